"""How to learn, chosen from how much there is to learn from and how much of it the start knows already."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.engine.loop import LearningConfig

KNOWS = 0.8
"""F1 of the start on the training regions from which it is only nudged: below it, it must learn to find."""

KNOWS_ALL = 0.97
"""F1 from which there is nothing to learn about finding."""

MIN_CELLS_TO_RETRAIN = 30
"""With fewer labelled cells than this a start is nudged whatever it finds: they would replace too much."""

_TEACHING_STEPS = 225
_TAUGHT_BY = 40
"""Steps that teach a detector another kind of cell, and the fields that need no more (``docs/adr/0006``)."""


@dataclass(frozen=True)
class CellsFound:
    """What a start finds of the cells in the finished regions.

    Attributes
    ----------
    cells
        How many cells there are.
    f1
        Of finding them, regardless of their class.
    """

    cells: int
    f1: float


NOTHING_FOUND = CellsFound(MIN_CELLS_TO_RETRAIN, 0.0)
"""Of a detector that has never learnt cells."""


def settings(
    *, fields: int, size: int, epochs: int | None, seed: int, finds: CellsFound | None
) -> LearningConfig:
    """Choose the loop's settings.

    Parameters
    ----------
    fields
        Training fields.
    finds
        What the start finds. The more it finds, the less its detector learns: nothing if it finds all,
        some steps with its first layers and its batch norms as they are where it finds most. Where it does
        not (objects that it has taken for background, say), all its layers learn. ``None`` = random weights.
    """
    window = max(64, min(320, -(-size // 32) * 32))
    batch = max(1, min(8, fields))
    plain = LearningConfig(window=window, batch=batch, seed=seed)
    if finds is None:
        # enough steps for random weights to find anything at all
        return replace(plain, epochs=epochs or max(30, 2400 // max(1, fields)))
    if finds.f1 < KNOWS and finds.cells >= MIN_CELLS_TO_RETRAIN:
        growth = min(2.0, max(1.0, fields / _TAUGHT_BY) ** 0.43)  # twice the steps for five times the fields
        return replace(plain, epochs=epochs or _epochs(round(growth * _TEACHING_STEPS), batch, fields))
    nudged = replace(plain, detector_rate=2e-4, frozen_layers=5, frozen_norms=True, average=0.97)
    steps = (60 if fields < 50 else 120) if finds.f1 < KNOWS_ALL else 0
    return replace(nudged, epochs=epochs or (_epochs(steps, batch, fields) if steps else 0))


def _epochs(steps: int, batch: int, fields: int) -> int:
    return max(3, -(-steps * batch // max(1, fields)))
