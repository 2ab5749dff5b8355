"""Weight interpolation between a parent's detector and its fine-tuned child, by a selected share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Candidate shares of the parent's weights."""

_TOLERANCE = 0.02
"""A share is good enough if its loss is this close to the child's: more of the parent is safer."""


def interpolate_with_parent(child: nn.Module, parent: nn.Module, evaluate: Callable[[], float]) -> float:
    """Interpolate a child's weights with its parent's, by the largest share as good as the child alone.

    The weights of a fine-tuned model can be interpolated with those it started from (WiSE-FT: Wortsman et al.
    2022, arXiv 2109.01903): it gains from the new cells without forgetting the old ones.

    Parameters
    ----------
    child
        Changed in place.
    evaluate
        Return the loss of the child with its current weights on held-out cells.

    Returns
    -------
    float
        The share of the parent.
    """
    child_weights = {name: tensor.detach().clone() for name, tensor in child.state_dict().items()}
    parent_weights = parent.state_dict()

    def mix(share: float) -> None:
        child.load_state_dict(
            {
                name: torch.lerp(tensor, parent_weights[name].to(tensor), share)
                if tensor.is_floating_point()
                else tensor
                for name, tensor in child_weights.items()
            }
        )

    def loss_at(share: float) -> float:
        mix(share)
        return evaluate()

    limit = loss_at(0.0) + _TOLERANCE
    kept = next((share for share in SHARES[:-1] if loss_at(share) <= limit), 0.0)
    mix(kept)
    return kept
