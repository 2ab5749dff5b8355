"""A simulated annotator: its edits are real, from the ground truth; its time is from the cost model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annotation_store.records import Box, RejectionReason, Shape, Suggestion
from training.evaluation.ground_truth import TrueCell
from training.ranking.cost import CostModel
from training.simulate.verdicts import Action, Verdict, annotated_cells, judge

if TYPE_CHECKING:
    from annotation_store.project import Project

GOOD_BOX = 0.6
"""Minimum IoU with the true box at which a suggested box is not corrected."""


@dataclass(frozen=True, slots=True)
class AnnotationWork:
    """Work done, and its time by the cost model.

    Attributes
    ----------
    seconds
        Time with suggestions.
    by_hand
        Time to box and label the same cells without suggestions.
    drawn, accepted, corrected, rejected
        Number of cells boxed by hand, and of suggestions by decision.
    parts
        Corrected parts (``"box"``, ``"class"``, attributes) to their number.
    reasons
        Reasons of rejection to their number.
    in_bulk, wrong_in_bulk
        Number of suggestions accepted in bulk, and of the wrong ones among them: not a cell, or of another
        class.
    """

    seconds: float = 0.0
    by_hand: float = 0.0
    regions: int = 0
    drawn: int = 0
    accepted: int = 0
    corrected: int = 0
    rejected: int = 0
    in_bulk: int = 0
    wrong_in_bulk: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[RejectionReason] = field(default_factory=Counter)

    @property
    def cells(self) -> int:
        """Number of added cells."""
        return self.drawn + self.accepted + self.corrected + self.in_bulk

    def __add__(self, other: AnnotationWork) -> AnnotationWork:
        """Add two amounts of work."""
        return AnnotationWork(
            *(getattr(self, name) + getattr(other, name) for name in AnnotationWork.__slots__)
        )


class SimulatedAnnotator:
    """Annotates a project from the ground truth of its fields, by real edits.

    Parameters
    ----------
    truth
        Field id to all of its cells.
    cost
        The cost model.
    uses_suggestions
        Whether pending suggestions are reviewed; otherwise every cell is boxed by hand, with its true box.
    good_box
        Minimum IoU with the true box at which a suggested box is not corrected.
    """

    def __init__(
        self,
        project: Project,
        truth: Mapping[int, Sequence[TrueCell]],
        *,
        cost: CostModel | None = None,
        uses_suggestions: bool = True,
        good_box: float = GOOD_BOX,
    ) -> None:
        self.project = project
        self.truth = truth
        self.cost = cost or CostModel()
        self.uses_suggestions = uses_suggestions
        self.good_box = good_box

    def finish(self, field_id: int, box: Box | None = None, *, opened: bool = False) -> AnnotationWork:
        """Finish an area of a field: review its suggestions, box missed cells, mark it finished.

        Parameters
        ----------
        box
            The area; ``None`` = the whole field.
        opened
            Whether the field is open already.

        Returns
        -------
        AnnotationWork
            Its `seconds` include the review of pending suggestions even if they are not used.
        """
        project, cost = self.project, self.cost
        field_ = project.fields.get(field_id)
        area = Shape.rectangle(*(box or (0, 0, field_.width, field_.height)))
        share = area.geometry.area / (field_.width * field_.height)
        fixed = cost.area((), share, 0) - (cost.factor * cost.open_field if opened else 0.0)
        inside = [s for s in project.suggestions.find(field_id) if area.contains_centre(s.box)]
        annotated = [cell.box for cell in project.cells.all(field_id)]
        verdicts = self._judge(field_id, inside, annotated)
        suggested = {verdict.cell for verdict in verdicts}
        annotated_already = annotated_cells(self.truth[field_id], annotated)
        missed = [
            cell
            for i, cell in enumerate(self.truth[field_id])
            if i not in suggested and i not in annotated_already and area.contains_centre(cell.box)
        ]
        work = AnnotationWork(seconds=fixed, by_hand=fixed, regions=1)
        for suggestion, verdict in zip(inside, verdicts, strict=True):
            work += self._decide(suggestion, verdict, write=self.uses_suggestions)
        by_hand = [self.truth[field_id][v.cell] for v in verdicts if v.cell is not None]
        for cell in missed if self.uses_suggestions else [*by_hand, *missed]:
            project.cells.add(
                field_id, cell.box, cell_class=cell.cell_class, attributes=dict(cell.attributes)
            )
        seconds = sum(self._seconds_by_hand(cell) for cell in missed)
        if box is None:
            project.regions.add_whole_field(field_id)
        else:
            project.regions.add(field_id, area)
        return work + AnnotationWork(seconds=seconds, by_hand=seconds, drawn=len(missed))

    def review(self, suggestions: Sequence[Suggestion]) -> AnnotationWork:
        """Review single suggestions of an open field, as in a queue."""
        work = AnnotationWork()
        if suggestions:
            field_id = suggestions[0].field_id
            for suggestion, verdict in zip(suggestions, self.verdicts(field_id, suggestions), strict=True):
                work += self._decide(suggestion, verdict, write=True)
        return work

    def accept_in_bulk(self, suggestions: Sequence[Suggestion]) -> AnnotationWork:
        """Accept all suggestions of an open field at once; return the number of wrong ones.

        Unknown ones and those of films that were not validated are skipped, as in the window
        (`Project.suggestions.accept_many`).
        """
        suggestions = [
            suggestion
            for suggestion in suggestions
            if not (suggestion.is_unknown or suggestion.proposal.unchecked)
        ]
        if not suggestions:
            return AnnotationWork()
        field_id = suggestions[0].field_id
        verdicts = self.verdicts(field_id, suggestions)
        self.project.suggestions.accept_many([suggestion.id for suggestion in suggestions])
        wrong = sum(v.action is Action.REJECT or "class" in v.wrong for v in verdicts)
        by_hand = sum(
            self._seconds_by_hand(self.truth[field_id][v.cell]) for v in verdicts if v.cell is not None
        )
        seconds = self.cost.accepted(0)
        return AnnotationWork(seconds=seconds, by_hand=by_hand, in_bulk=len(suggestions), wrong_in_bulk=wrong)

    def verdicts(self, field_id: int, suggestions: Sequence[Suggestion]) -> list[Verdict]:
        """Return the decisions on suggestions of a field without any edit."""
        return self._judge(field_id, suggestions, [cell.box for cell in self.project.cells.all(field_id)])

    def _judge(
        self, field_id: int, suggestions: Sequence[Suggestion], annotated: Sequence[Box]
    ) -> list[Verdict]:
        return judge(
            [suggestion.proposal for suggestion in suggestions],
            self.truth[field_id],
            annotated,
            self.project.schema.members,
            good_box=self.good_box,
        )

    def _seconds_by_hand(self, cell: TrueCell) -> float:
        return self.cost.new_cell(len(cell.attributes))

    def _decide(self, suggestion: Suggestion, verdict: Verdict, *, write: bool) -> AnnotationWork:
        """Compute the cost of a decision, and write it to the project."""
        project, cost = self.project, self.cost
        if verdict.cell is None:
            assert verdict.reason is not None
            if write:
                project.suggestions.reject(suggestion.id, verdict.reason)
            return AnnotationWork(seconds=cost.rejected(), rejected=1, reasons=Counter({verdict.reason: 1}))
        true = self.truth[suggestion.field_id][verdict.cell]
        n_values = sum(name in suggestion.proposal.best_attributes for name in true.attributes)
        boxes = int("box" in verdict.wrong)
        seconds = cost.accepted(n_values, len(verdict.wrong) - boxes, boxes)
        if verdict.unsaid:
            n_attributes = sum(name != "class" for name in verdict.unsaid)
            seconds += cost.factor * (
                n_attributes * cost.attribute + cost.label_class * ("class" in verdict.unsaid)
            )
        if verdict.action is Action.ACCEPT:
            if write:
                project.suggestions.accept(suggestion.id)
            return AnnotationWork(seconds=seconds, by_hand=self._seconds_by_hand(true), accepted=1)
        if write:
            new_box: dict[str, Any] = {} if verdict.box is None else {"box": verdict.box}
            project.suggestions.correct(
                suggestion.id, cell_class=verdict.cell_class, attributes=verdict.attributes, **new_box
            )
        return AnnotationWork(
            seconds=seconds,
            by_hand=self._seconds_by_hand(true),
            corrected=1,
            parts=Counter([*verdict.wrong, *verdict.unsaid]),
        )
