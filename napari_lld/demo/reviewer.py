"""A simulated reviewer: a rule that stands in for the person in an unattended demonstration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from annotation_store.records import RejectionReason
from napari_lld.demo.report.data import Effort
from training.evaluation.ground_truth import TrueCell
from training.simulate import Action, Verdict, judge

if TYPE_CHECKING:
    from annotation_store import Project

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
        pending = project.suggestions.find(field_id)
        decided = judge(
            [suggestion.proposal for suggestion in pending],
            truth[project.fields.get(field_id).name],
            [cell.box for cell in project.cells.all(field_id)],
            project.schema.members,
        )
        verdicts += decided
        if not write:
            continue
        for suggestion, verdict in zip(pending, decided, strict=True):
            match verdict.action:
                case Action.ACCEPT:
                    project.suggestions.accept(suggestion.id)
                case Action.CORRECT:
                    project.suggestions.correct(
                        suggestion.id, cell_class=verdict.cell_class, attributes=verdict.attributes
                    )
                case Action.REJECT:
                    assert verdict.reason is not None
                    project.suggestions.reject(suggestion.id, verdict.reason)
    return count(verdicts)
