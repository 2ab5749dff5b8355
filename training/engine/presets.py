"""How to learn, chosen from how much there is to learn from and how much of it the start knows already."""

from __future__ import annotations

from dataclasses import replace

from training.engine.loop import LearningConfig

KNOWS = 0.8
"""F1 of the start on the training regions from which it is only nudged: below it, it must learn to find."""

FEWEST_TO_TEACH = 30
"""With fewer labelled cells than this a start is nudged whatever it finds: they would replace too much."""

_TEACHING_STEPS = 225
_TAUGHT_BY = 40
"""Steps that teach a detector another kind of cell, and the fields that need no more (``docs/adr/0006``)."""


def settings(
    *,
    fields: int,
    size: int,
    epochs: int | None,
    seed: int,
    scratch: bool,
    finds: bool = True,
    names: bool = True,
) -> LearningConfig:
    """Choose the loop's settings.

    Parameters
    ----------
    fields
        Training fields.
    scratch
        Whether the weights are random: everything must be learnt.
    finds
        Whether the start finds the cells of the training regions, and little else. If it does, it is only
        nudged: its first layers and its batch norms stay, and the result keeps a share of it. If it does
        not (objects that it has taken for background, say), all its layers learn and nothing is kept.
    names
        Whether the start was taught any class of these cells. If not, there is nothing that its describer
        could forget, and all of it learns likewise.
    """
    window = max(64, min(320, -(-size // 32) * 32))
    batch = max(1, min(8, fields))
    if scratch:
        # enough steps for random weights to find anything at all
        return LearningConfig(
            epochs=epochs or max(30, 2400 // max(1, fields)), window=window, batch=batch, seed=seed
        )
    nudged = LearningConfig(
        window=window,
        batch=batch,
        detector_rate=2e-4,
        describer_rate=1e-4,
        frozen_layers=5,
        frozen_trunk=5,
        frozen_norms=True,
        average=0.97,
        keep=0.5,
        keep_describer=0.5,
        seed=seed,
    )
    if finds:
        return replace(nudged, epochs=epochs or _epochs(60 if fields < 50 else 120, batch, fields))
    growth = min(2.0, max(1.0, fields / _TAUGHT_BY) ** 0.43)  # twice the steps for five times the fields
    plain = LearningConfig()
    taught = replace(
        nudged,
        epochs=epochs or _epochs(round(growth * _TEACHING_STEPS), batch, fields),
        detector_rate=plain.detector_rate,
        frozen_layers=0,
        frozen_norms=False,
        average=plain.average,
        keep=0.0,
    )
    if names:
        return taught
    return replace(taught, describer_rate=plain.describer_rate, frozen_trunk=0, keep_describer=0.0)


def _epochs(steps: int, batch: int, fields: int) -> int:
    return max(3, -(-steps * batch // max(1, fields)))
