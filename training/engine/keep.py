"""How much of the parent's detector stays in its child: chosen where it can be judged, never a constant."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the parent's weights that are tried."""

_SERVES = 0.02
"""A share whose loss is this close to the child's serves as well, and more of the parent is safer."""


def keep_share(child: nn.Module, parent: nn.Module, judge: Callable[[], float]) -> float:
    """Mix the parent's weights into a child, by the greatest share that is as good as the child alone.

    Weights of a parent and of a child that learnt from it can be interpolated (Wortsman et al. 2022, arXiv
    2109.01903): what few cells teach is added without losing what many taught.

    Parameters
    ----------
    child
        Changed in place.
    judge
        Gives the loss of the child, as it is by then, on cells that it has not learnt from.

    Returns
    -------
    float
        The share of the parent that stays.
    """
    learnt = {name: tensor.detach().clone() for name, tensor in child.state_dict().items()}
    before = parent.state_dict()

    def mix(share: float) -> None:
        child.load_state_dict(
            {
                name: torch.lerp(tensor, before[name].to(tensor), share)
                if tensor.is_floating_point()
                else tensor
                for name, tensor in learnt.items()
            }
        )

    def judged(share: float) -> float:
        mix(share)
        return judge()

    most = judged(0.0) + _SERVES
    kept = next((share for share in SHARES[:-1] if judged(share) <= most), 0.0)
    mix(kept)
    return kept
