"""A simulated reviewer: a rule that stands in for the person in an unattended demonstration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from annotation_store.records import Box, Proposal, RejectionReason
from napari_lld.demo.truth import best_overlap, iou
from napari_lld.report.data import Effort
from training.evaluate import TrueCell

if TYPE_CHECKING:
    from annotation_store import Project

SAME_CELL = 0.5
"""Overlap (IoU) from which a suggestion shows a cell."""

NEARLY = 0.3
"""Overlap from which it means a cell, but with a bad box."""

RULE = (
    "The simulated reviewer takes the suggestions of a field one by one, the most confident first, and sees "
    "only the truth of the suggestion before it. Where it overlaps a true cell that is not annotated yet by "
    "half or more (IoU ≥ 0.5), it is accepted if its class and every attribute known in the truth agree "
    "(what the truth does not know counts as agreement); if one differs, it is corrected to the true values. "
    "Where the truth knows no class, the reviewer leaves class and attributes empty and does not take the "
    "model's guess, which counts as a correction. If the cell is annotated already, the suggestion is "
    "rejected as a duplicate; if it overlaps a true cell by 0.3 to 0.5, as a bad box; else as not a cell. "
    "Boxes are never redrawn, and cells that no suggestion shows are not added."
)


class Action(StrEnum):
    """What the reviewer does with a suggestion."""

    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reviewer decides on one suggestion; for a correction, the true values.

    Attributes
    ----------
    attributes
        Of a correction: each attribute the truth knows, and ``None`` for each that the suggestion guesses
        and the truth does not know.
    """

    action: Action
    reason: RejectionReason | None = None
    cell_class: str | None = None
    attributes: dict[str, str | None] = field(default_factory=dict)


def judge(
    proposals: Sequence[Proposal],
    truth: Sequence[TrueCell],
    annotated: Sequence[Box],
    members: Callable[[str], Sequence[str]] = lambda name: (name,),
) -> list[Verdict]:
    """Decide on the suggestions of one field.

    Each is judged with its own truth alone: with an overlap (IoU) of 0.5 or more with a true cell not
    annotated yet, it is accepted when class and all attributes known in the truth agree (missing in the
    truth is agreement), else corrected to the true values; where the truth has no class at all, class and
    attributes are left missing rather than taken from the model: a correction. A cell annotated already
    makes it a duplicate, an overlap of 0.3 to 0.5 a bad box, and all else not a cell. `RULE` says the same
    to the reader of a report.

    Parameters
    ----------
    proposals
        The suggestions, the most confident first.
    truth
        Every white cell of the field.
    annotated
        Boxes of the cells that are annotated already.
    members
        The classes that a name stands for: a class for itself, a class group for its classes.

    Returns
    -------
    list of Verdict
        One for each proposal, in their order.
    """
    boxes = [cell.box for cell in truth]
    taken = {
        place for box in annotated for place, overlap in [best_overlap(box, boxes)] if overlap >= SAME_CELL
    }
    verdicts = []
    for proposal in proposals:
        overlaps = [iou(proposal.box, box) for box in boxes]
        free = [
            place for place, overlap in enumerate(overlaps) if overlap >= SAME_CELL and place not in taken
        ]
        if free:
            place = max(free, key=overlaps.__getitem__)
            taken.add(place)
            verdicts.append(_look(proposal, truth[place], members))
        else:
            verdicts.append(Verdict(Action.REJECT, _reason(max(overlaps, default=0.0))))
    return verdicts


def _reason(overlap: float) -> RejectionReason:
    if overlap >= SAME_CELL:
        return RejectionReason.DUPLICATE
    return RejectionReason.BAD_BOX if overlap >= NEARLY else RejectionReason.NOT_A_CELL


def _look(proposal: Proposal, true: TrueCell, members: Callable[[str], Sequence[str]]) -> Verdict:
    guessed = proposal.best_attributes
    if true.cell_class is None:
        agrees = proposal.best_class is None and all(guessed.get(n) == v for n, v in true.attributes.items())
        agrees = agrees and not set(guessed) - set(true.attributes)
    else:
        agrees = proposal.best_class in members(true.cell_class)
        agrees = agrees and all(guessed.get(name) == value for name, value in true.attributes.items())
    if agrees:
        return Verdict(Action.ACCEPT)
    values: dict[str, str | None] = dict.fromkeys(guessed)
    return Verdict(Action.CORRECT, cell_class=true.cell_class, attributes=values | dict(true.attributes))


def count(verdicts: Iterable[Verdict]) -> Effort:
    """Count verdicts."""
    decided = list(verdicts)

    def rejected(reason: RejectionReason) -> int:
        return sum(verdict.reason is reason for verdict in decided)

    return Effort(
        accepted=sum(verdict.action is Action.ACCEPT for verdict in decided),
        corrected=sum(verdict.action is Action.CORRECT for verdict in decided),
        not_a_cell=rejected(RejectionReason.NOT_A_CELL),
        duplicate=rejected(RejectionReason.DUPLICATE),
        bad_box=rejected(RejectionReason.BAD_BOX),
    )


def review(
    project: Project, field_ids: Iterable[int], truth: dict[str, list[TrueCell]], *, write: bool = True
) -> Effort:
    """Review the pending suggestions of some fields.

    Parameters
    ----------
    truth
        The true cells by name of field.
    write
        Whether the verdicts go into the project; else they are only counted.
    """
    verdicts: list[Verdict] = []
    for field_id in field_ids:
        pending = project.suggestions(field_id)
        decided = judge(
            [suggestion.proposal for suggestion in pending],
            truth[project.field(field_id).name],
            [cell.box for cell in project.cells(field_id)],
            project.schema.members,
        )
        verdicts += decided
        if not write:
            continue
        for suggestion, verdict in zip(pending, decided, strict=True):
            match verdict.action:
                case Action.ACCEPT:
                    project.accept(suggestion.id)
                case Action.CORRECT:
                    project.correct(
                        suggestion.id, cell_class=verdict.cell_class, attributes=verdict.attributes
                    )
                case Action.REJECT:
                    assert verdict.reason is not None
                    project.reject(suggestion.id, verdict.reason)
    return count(verdicts)
