"""Convert expert work between counts of acts and seconds, for other costs per act than those assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from training.ranking.cost import CostModel

ACTS = tuple(item.name for item in fields(CostModel) if item.name not in ("factor", "measured_fields"))
"""The acts that have a cost."""

BY_HAND = ("box", "label_class", "attribute")
REVIEW = ("accept", "glance", "correct_value", "correct_box", "reject")
AROUND = ("open_field", "region", "scan")

SCENARIOS: dict[str, dict[Sequence[str], float]] = {
    "as assumed": {},
    "boxing and labelling by hand × ½": {BY_HAND: 0.5},
    "boxing and labelling by hand × 2": {BY_HAND: 2.0},
    "reviewing suggestions × ½": {REVIEW: 0.5},
    "reviewing suggestions × 2": {REVIEW: 2.0},
    "opening, region and scan × ½": {AROUND: 0.5},
    "opening, region and scan × 2": {AROUND: 2.0},
    "by hand × ½ and reviewing × 2": {BY_HAND: 0.5, REVIEW: 2.0},
    "by hand × 2 and reviewing × ½": {BY_HAND: 2.0, REVIEW: 0.5},
}
"""Factors of costs by scenario."""


def counting() -> CostModel:
    """Return unit vectors as costs, with which the seconds of work are a vector of counts per act."""
    units = np.eye(len(ACTS))
    return CostModel(**dict(zip(ACTS, units, strict=True)))  # type: ignore[arg-type]


def counted(vector: Any) -> dict[str, float]:
    """Return the counts per act of such a vector; all 0 if no work was done."""
    each = np.broadcast_to(np.asarray(vector, float), (len(ACTS),))
    return {name: round(float(count), 4) for name, count in zip(ACTS, each, strict=True) if count}


def vector(acts: Mapping[str, float]) -> np.ndarray:
    """Return counts per act as a vector."""
    return np.array([acts.get(name, 0.0) for name in ACTS])


def seconds(acts: Mapping[str, float], prices: CostModel | None = None) -> float:
    """Return the seconds of counted acts."""
    prices = prices or CostModel()
    return sum(count * float(getattr(prices, name)) for name, count in acts.items())


def scenario(name: str) -> CostModel:
    """Return the costs of a scenario."""
    prices = CostModel()
    for acts, factor in SCENARIOS[name].items():
        prices = replace(prices, **{act: factor * getattr(prices, act) for act in acts})
    return prices


def repriced(result: Mapping[str, Any], prices: CostModel) -> dict[str, Any]:
    """Return the result of a run with the seconds of its rounds recomputed from other costs."""
    rounds = [
        item | {"seconds": seconds(item["acts"], prices), "by_hand": seconds(item["acts_by_hand"], prices)}
        for item in result["rounds"]
    ]
    return {**result, "rounds": rounds}


def with_acts(result: Mapping[str, Any], attributes: int) -> dict[str, Any]:
    """Reconstruct the acts of a run from before they were stored, from seconds and counts of each round.

    Two counts are not stored: the scanned share of a field, which follows from the seconds by hand, and the
    number of attributes missing in suggestions, which follows from the seconds with suggestions. A missing
    class counts as a corrected one, since both have the same cost.

    Parameters
    ----------
    attributes
        Number of attributes per cell.
    """
    price = CostModel()
    acts, by_hand = dict.fromkeys(ACTS, 0.0), dict.fromkeys(ACTS, 0.0)
    rounds, before = [], (0.0, 0.0)
    for item in result["rounds"]:
        did = item["did"]
        reviewed = did["accepted"] + did["corrected"]
        cells = did["drawn"] + reviewed
        new = {"open_field": did["regions"], "region": did["regions"]}
        hand = new | {"box": cells, "label_class": cells, "attribute": attributes * cells}
        hand["scan"] = (item["by_hand"] - before[1] - seconds(hand)) / price.scan
        drawn = did["drawn"]
        wrong = sum(count for part, count in did["parts"].items() if part != "box")
        helped = new | {
            "scan": hand["scan"],
            "box": drawn,
            "label_class": drawn,
            "attribute": attributes * drawn,
        }
        helped |= {"accept": reviewed, "glance": attributes * reviewed, "correct_value": wrong,
                   "correct_box": did["parts"].get("box", 0), "reject": did["rejected"]}  # fmt: skip
        saved = seconds(helped) - (item["seconds"] - before[0])
        unsaid = saved / (price.glance + price.correct_value - price.attribute) if attributes else 0.0
        helped["glance"] -= unsaid
        helped["correct_value"] -= unsaid
        helped["attribute"] += unsaid
        before = (item["seconds"], item["by_hand"])
        for total, part in ((acts, helped), (by_hand, hand)):
            for name, count in part.items():
                total[name] += count
        rounds.append({**item, "acts": dict(acts), "acts_by_hand": dict(by_hand)})
    return {**result, "rounds": rounds}
