"""How much of the parent's detector stays."""

from __future__ import annotations

import torch
from torch import nn

from training.engine.interpolation import SHARES, interpolate_with_parent


def layer(value: float) -> nn.Linear:
    one = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        one.weight.fill_(value)
    return one


def kept(loss_of: dict[float, float]) -> tuple[float, float]:
    """Give the share chosen, where each share of a parent of weight 1 has the loss said, and the weight."""
    child = layer(0.0)
    share = interpolate_with_parent(
        child, layer(1.0), lambda: loss_of[round(float(child.weight.detach()), 2)]
    )
    return share, float(child.weight.detach())


def test_the_best_is_kept_and_of_equals_that_with_most_of_the_parent() -> None:
    assert kept(dict.fromkeys(SHARES, 0.5)) == (1.0, 1.0)
    assert kept({1.0: 0.5, 0.75: 0.4, 0.5: 0.1, 0.25: 0.1, 0.0: 0.1}) == (0.5, 0.5)
    assert kept({1.0: 0.9, 0.75: 0.8, 0.5: 0.7, 0.25: 0.6, 0.0: 0.1}) == (0.0, 0.0)


def test_what_was_learnt_gains_less_than_it_could_by_chance_is_left() -> None:
    assert kept({1.0: 0.110, 0.75: 0.100, 0.5: 0.100, 0.25: 0.100, 0.0: 0.100}) == (1.0, 1.0)
