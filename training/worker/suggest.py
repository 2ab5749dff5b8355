"""Suggestions into a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from training.engine.model import LearnedModel
from training.predict import RawProposals, calibrated, propose_raw, suggestible
from training.protocol import Progress, Suggested
from training.worker.channel import Channel
from training.worker.project_data import Knowledge

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 8


def suggest_on(
    project: Project,
    model: LearnedModel,
    number: int | None,
    known: Sequence[Knowledge],
    channel: Channel,
    *,
    min_confidence: float,
    ready: Mapping[int, RawProposals] | None = None,
) -> int:
    """Propose cells in the unknown area of fields and put them into the project; skipped fields get none.

    Parameters
    ----------
    number
        The model's number; ``None`` = the starter.
    ready
        Field id to what the model said already.

    Returns
    -------
    int
        How many suggestions there are now.
    """
    count = 0
    known = [one for one in known if not one.field.skipped]  # people pass over them, whatever stands there
    ready = ready or {}
    least = max(0.001, model.calibration.raw(min_confidence))
    channel.send(Progress(stage="suggest", done=0, total=len(known)))
    for start in range(0, len(known), _BATCH):
        channel.check()
        some = known[start : start + _BATCH]
        missing = [one for one in some if one.field.id not in ready]
        raw = propose_raw(model, [partial(project.pixels, one.field.id) for one in missing], min_score=least)
        new = dict(zip((one.field.id for one in missing), raw, strict=True))
        for one in some:
            said = new.get(one.field.id) or ready[one.field.id]
            found = calibrated(model, said, min_confidence=min_confidence)
            kept = suggestible(
                found,
                regions=one.finished,
                ignore=one.ignore,
                taken=[*(cell.box for cell in one.cells), *one.rejections],
            )
            count += len(project.suggest(one.field.id, kept, model_id=number))
        channel.send(Progress(stage="suggest", done=start + len(some), total=len(known)))
    channel.send(Suggested(field_ids=[one.field.id for one in known], count=count))
    return count
