"""How to learn, chosen from how much there is to learn from."""

from __future__ import annotations

from training.engine.loop import LearningConfig


def settings(*, fields: int, size: int, epochs: int | None, seed: int, scratch: bool) -> LearningConfig:
    """Choose the loop's settings.

    Parameters
    ----------
    fields
        Training fields.
    scratch
        Whether the weights are random: everything must be learnt. Otherwise a model that finds cells is
        only nudged: its first layers and its batch norms stay, and the result keeps a share of it.
    """
    window = max(64, min(320, -(-size // 32) * 32))
    batch = max(1, min(8, fields))
    if scratch:
        # enough steps for random weights to find anything at all
        return LearningConfig(
            epochs=epochs or max(30, 2400 // max(1, fields)), window=window, batch=batch, seed=seed
        )
    steps_wanted = 60 if fields < 50 else 120
    return LearningConfig(
        epochs=epochs or max(3, -(-steps_wanted * batch // max(1, fields))),
        window=window,
        batch=batch,
        crops=32,
        detector_rate=2e-4,
        describer_rate=1e-4,
        frozen_layers=5,
        frozen_trunk=5,
        frozen_norms=True,
        average=0.97,
        keep=0.5,
        seed=seed,
    )
