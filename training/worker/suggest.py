"""Suggestions into a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from annotation_store import Look
from training import ranking
from training.engine.model import LearnedModel
from training.engine.scale import domain_of
from training.from_stain import STAIN_CONFIDENCE, stain_note
from training.predict import RawProposals, calibrated, cell_sides, propose_raw, suggestible
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
) -> Suggested:
    """Propose cells in the unknown area of fields and put them into the project; skipped fields get none.

    Parameters
    ----------
    number
        The model's number; ``None`` = the starter.
    ready
        Field id to what the model said already.

    Returns
    -------
    Suggested
        What was told: how many suggestions there are now.
    """
    count = unknown = 0
    from_stain: list[int] = []
    known = [one for one in known if not one.field.skipped]  # people pass over them, whatever stands there
    ready = ready or {}
    maker = ranking.STARTER if number is None else str(number)
    sides = known_or_seen_sides(project, model, [one for one in known if one.field.id not in ready])
    least = max(0.001, model.calibration.raw(min_confidence))
    channel.send(Progress(stage="suggest", done=0, total=len(known)))
    for start in range(0, len(known), _BATCH):
        channel.check()
        some = known[start : start + _BATCH]
        missing = [one for one in some if one.field.id not in ready]
        raw = propose_raw(
            model,
            [partial(project.pixels, one.field.id) for one in missing],
            cell_sides=[sides[one.field.id] for one in missing],
            min_score=least,
        )
        new = dict(zip((one.field.id for one in missing), raw, strict=True))
        looks: dict[int, Look] = {}
        for one in some:
            said = new.get(one.field.id) or ready[one.field.id]
            found = calibrated(model, said, min_confidence=min_confidence)
            if not found and number is None and min_confidence <= STAIN_CONFIDENCE:
                from training.propose import propose_where_model_fails  # scikit-image takes a second

                found = propose_where_model_fails(project.pixels(one.field.id))
                from_stain += [one.field.id] if found else []
            kept = suggestible(
                found,
                regions=one.finished,
                ignore=one.ignore,
                taken=[*(cell.box for cell in one.cells), *one.rejections],
            )
            count += len(project.suggest(one.field.id, kept, model_id=number))
            unknown += sum(proposal.is_unknown for proposal in kept)
            if said.vector is not None:
                shown = {id(proposal) for proposal in kept}
                rest = tuple(proposal for proposal in found if id(proposal) not in shown)
                looks[one.field.id] = Look(said.vector, rest)
        project.keep_looks(maker, looks)
        channel.send(Progress(stage="suggest", done=start + len(some), total=len(known)))
    _rank(project, maker, channel, whole=len(known) == sum(not f.is_slide for f in project.fields()))
    if from_stain:
        channel.send(
            Progress(stage="suggest", done=len(known), total=len(known), note=stain_note(len(from_stain)))
        )
    suggested = Suggested(
        field_ids=[one.field.id for one in known], count=count, unknown=unknown, from_stain=from_stain
    )
    channel.send(suggested)
    return suggested


def _rank(project: Project, maker: str, channel: Channel, *, whole: bool) -> None:
    """Work out where to look next; a round is not lost because that failed."""
    try:
        if whole:
            project.forget_looks(keep=[maker])
        ranking.update(project)
    except Exception as error:
        note = f"The order in which to look next could not be worked out: {error}"
        channel.send(Progress(stage="suggest", done=0, total=0, note=note))


def known_or_seen_sides(
    project: Project, model: LearnedModel, known: Sequence[Knowledge]
) -> dict[int, float | None]:
    """Give the side of a white cell by field id: what the project knows, else what the model sees."""
    sides = cell_sides(
        model,
        [partial(project.pixels, one.field.id) for one in known],
        [domain_of(one.field) for one in known],
        [one.cell_side for one in known],
    )
    return {one.field.id: side for one, side in zip(known, sides, strict=True)}
