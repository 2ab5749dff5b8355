"""A hematologist who knows the truth, at work in a project: every edit is real, only the time is reckoned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from annotation_store.records import Box, RejectionReason, Shape, Suggestion
from training.evaluation.metrics import TrueCell
from training.ranking.cost import CostModel
from training.simulate.verdicts import Action, Verdict, already, judge

if TYPE_CHECKING:
    from annotation_store.project import Project

GOOD_BOX = 0.6
"""Overlap from which a suggested box is left as it is."""


@dataclass(frozen=True, slots=True)
class AnnotationWork:
    """What was done, and how long it takes by the cost model.

    Attributes
    ----------
    seconds
        With the suggestions that were there.
    by_hand
        The same cells boxed and labelled without a suggestion, in seconds.
    drawn, accepted, corrected, rejected
        How many cells were boxed anew, and what became of the suggestions.
    parts
        Corrected parts (``"box"``, ``"class"``, attributes) to how often.
    reasons
        Reasons of rejection to how often.
    in_bulk, wrong_in_bulk
        How many suggestions were accepted without a look, and how many of these a look would have changed:
        no cell, or the wrong class.
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
        """How many cells there are now that were not there before."""
        return self.drawn + self.accepted + self.corrected + self.in_bulk

    def __add__(self, other: AnnotationWork) -> AnnotationWork:
        """Add two amounts of work."""
        return AnnotationWork(
            *(getattr(self, name) + getattr(other, name) for name in AnnotationWork.__slots__)
        )


class SimulatedAnnotator:
    """Works in a project as a person would who knows the truth of its fields, by real commands.

    Parameters
    ----------
    truth
        Field id to every cell of it.
    cost
        How long each thing takes.
    uses_suggestions
        Whether waiting suggestions are reviewed; otherwise every cell is boxed by hand, with its true box.
    good_box
        Overlap from which a suggested box is left as it is.
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
        """Finish an area of a field: review its suggestions, box what they missed, mark it finished.

        Parameters
        ----------
        box
            The area; ``None`` = the whole field.
        opened
            Whether the field is open already.

        Returns
        -------
        Work
            Where no suggestions are used, `Work.seconds` still says what it would take with those that wait.
        """
        project, cost = self.project, self.cost
        known = project.fields.get(field_id)
        area = Shape.rectangle(*(box or (0, 0, known.width, known.height)))
        share = area.geometry.area / (known.width * known.height)
        fixed = cost.area((), share, 0) - (cost.factor * cost.open_field if opened else 0.0)
        inside = [s for s in project.suggestions.find(field_id) if area.contains_centre(s.box)]
        annotated = [cell.box for cell in project.cells.all(field_id)]
        verdicts = self._judge(field_id, inside, annotated)
        shown = {verdict.cell for verdict in verdicts}
        there = already(self.truth[field_id], annotated)
        missed = [
            cell
            for i, cell in enumerate(self.truth[field_id])
            if i not in shown and i not in there and area.contains_centre(cell.box)
        ]
        work = AnnotationWork(seconds=fixed, by_hand=fixed, regions=1)
        for one, verdict in zip(inside, verdicts, strict=True):
            work += self._settle(one, verdict, write=self.uses_suggestions)
        by_hand = [self.truth[field_id][v.cell] for v in verdicts if v.cell is not None]
        for cell in missed if self.uses_suggestions else [*by_hand, *missed]:
            project.cells.add(
                field_id, cell.box, cell_class=cell.cell_class, attributes=dict(cell.attributes)
            )
        seconds = sum(self._new(cell) for cell in missed)
        if box is None:
            project.regions.add_whole_field(field_id)
        else:
            project.regions.add(field_id, area)
        return work + AnnotationWork(seconds=seconds, by_hand=seconds, drawn=len(missed))

    def review(self, suggestions: Sequence[Suggestion]) -> AnnotationWork:
        """Decide on single suggestions of a field that is open, as in a queue."""
        work = AnnotationWork()
        if suggestions:
            field_id = suggestions[0].field_id
            for one, verdict in zip(suggestions, self.verdicts(field_id, suggestions), strict=True):
                work += self._settle(one, verdict, write=True)
        return work

    def accept_in_bulk(self, suggestions: Sequence[Suggestion]) -> AnnotationWork:
        """Accept all suggestions of an open field at once; return the number of wrong ones.

        Unknown ones and those of films where nothing was checked stay, as in a window
        (`Project.suggestions.accept_many`).
        """
        suggestions = [one for one in suggestions if not (one.is_unknown or one.proposal.unchecked)]
        if not suggestions:
            return AnnotationWork()
        field_id = suggestions[0].field_id
        verdicts = self.verdicts(field_id, suggestions)
        self.project.suggestions.accept_many([one.id for one in suggestions])
        wrong = sum(v.action is Action.REJECT or "class" in v.wrong for v in verdicts)
        by_hand = sum(self._new(self.truth[field_id][v.cell]) for v in verdicts if v.cell is not None)
        seconds = self.cost.accepted(0)
        return AnnotationWork(seconds=seconds, by_hand=by_hand, in_bulk=len(suggestions), wrong_in_bulk=wrong)

    def verdicts(self, field_id: int, suggestions: Sequence[Suggestion]) -> list[Verdict]:
        """Evaluate suggestions of a field without doing anything."""
        return self._judge(field_id, suggestions, [cell.box for cell in self.project.cells.all(field_id)])

    def _judge(
        self, field_id: int, suggestions: Sequence[Suggestion], annotated: Sequence[Box]
    ) -> list[Verdict]:
        return judge(
            [one.proposal for one in suggestions],
            self.truth[field_id],
            annotated,
            self.project.schema.members,
            good_box=self.good_box,
        )

    def _new(self, cell: TrueCell) -> float:
        return self.cost.new_cell(len(cell.attributes))

    def _settle(self, one: Suggestion, verdict: Verdict, *, write: bool) -> AnnotationWork:
        """Count a decision's cost, and write it to the project."""
        project, cost = self.project, self.cost
        if verdict.cell is None:
            assert verdict.reason is not None
            if write:
                project.suggestions.reject(one.id, verdict.reason)
            return AnnotationWork(seconds=cost.rejected(), rejected=1, reasons=Counter({verdict.reason: 1}))
        true = self.truth[one.field_id][verdict.cell]
        looked_at = sum(name in one.proposal.best_attributes for name in true.attributes)
        boxes = int("box" in verdict.wrong)
        seconds = cost.accepted(looked_at, len(verdict.wrong) - boxes, boxes)
        if verdict.unsaid:
            filled = sum(name != "class" for name in verdict.unsaid)
            seconds += cost.factor * (
                filled * cost.attribute + cost.label_class * ("class" in verdict.unsaid)
            )
        if verdict.action is Action.ACCEPT:
            if write:
                project.suggestions.accept(one.id)
            return AnnotationWork(seconds=seconds, by_hand=self._new(true), accepted=1)
        if write:
            moved: dict[str, Any] = {} if verdict.box is None else {"box": verdict.box}
            project.suggestions.correct(
                one.id, cell_class=verdict.cell_class, attributes=verdict.attributes, **moved
            )
        return AnnotationWork(
            seconds=seconds,
            by_hand=self._new(true),
            corrected=1,
            parts=Counter([*verdict.wrong, *verdict.unsaid]),
        )
