"""Choose the training configuration from the amount of data and the initial model's detection quality."""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.engine.loop import LearningConfig

MIN_F1_TO_FINE_TUNE = 0.8
"""Detection F1 of the initial model on the training regions from which it is only fine-tuned."""

MIN_F1_TO_FREEZE = 0.97
"""Detection F1 from which the detector is not trained at all."""

MIN_CELLS_TO_RETRAIN = 30
"""With fewer labelled cells, the detector is only fine-tuned, whatever its F1: it would forget too much."""

_RETRAINING_STEPS = 225
_RETRAINING_FIELDS = 40
"""Steps to train a detector on another kind of cell, for up to this many fields (``docs/adr/0006``)."""


@dataclass(frozen=True)
class CellsFound:
    """Detection quality of the initial model in the finished regions.

    Attributes
    ----------
    cells
        Number of cells.
    f1
        F1 of detection, regardless of class.
    """

    cells: int
    f1: float


NOTHING_FOUND = CellsFound(MIN_CELLS_TO_RETRAIN, 0.0)
"""The value of a detector that was never trained on cells."""


def settings(
    *, fields: int, size: int, epochs: int | None, seed: int, finds: CellsFound | None
) -> LearningConfig:
    """Choose the configuration of the training loop.

    Parameters
    ----------
    fields
        Number of training fields.
    finds
        Detection quality of the initial model. The detector is not trained if it finds all cells; it is
        fine-tuned with frozen first layers and batch norms if it finds most; otherwise (e.g. objects that it
        was trained to ignore) all its layers are trained. ``None`` = random weights.
    """
    window = max(64, min(320, -(-size // 32) * 32))
    batch = max(1, min(8, fields))
    base = LearningConfig(window=window, batch=batch, seed=seed)
    if finds is None:
        # enough steps for random weights to find anything at all
        return replace(base, epochs=epochs or max(30, 2400 // max(1, fields)))
    if finds.f1 < MIN_F1_TO_FINE_TUNE and finds.cells >= MIN_CELLS_TO_RETRAIN:
        growth = min(
            2.0, max(1.0, fields / _RETRAINING_FIELDS) ** 0.43
        )  # twice the steps for five times the fields
        return replace(base, epochs=epochs or _epochs(round(growth * _RETRAINING_STEPS), batch, fields))
    fine_tuning = replace(base, detector_rate=2e-4, frozen_layers=5, frozen_norms=True, average=0.97)
    steps = (60 if fields < 50 else 120) if finds.f1 < MIN_F1_TO_FREEZE else 0
    return replace(fine_tuning, epochs=epochs or (_epochs(steps, batch, fields) if steps else 0))


def _epochs(steps: int, batch: int, fields: int) -> int:
    return max(3, -(-steps * batch // max(1, fields)))
