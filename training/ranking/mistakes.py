"""Labels that the model confidently contradicts: to be looked at again, not to be believed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.boxes import iou_matrix
from annotation_store.records import (
    UNSURE,
    Box,
    Cell,
    Field,
    Proposal,
    RegionState,
    RejectionReason,
    Shape,
    SuggestionState,
)
from annotation_store.schema import Schema
from training.evaluate import FieldTruth, match
from training.lineage import Lineage
from training.ranking.cost import CostModel
from training.ranking.items import Ranked
from training.ranking.project import STAIN, by_field, newest_maker
from training.ranking.reason import Reason
from training.ranking.words import Words

if TYPE_CHECKING:
    from annotation_store.project import Project

LEAST_LEFT = 0.1
"""A label is contradicted when the model leaves it this much probability or less …"""

SURE = 0.7
"""… gives another this much or more, and believes in the cell as much."""

ATTRIBUTE = 0.5
"""What an attribute's contradiction weighs against the class's."""

_CELL_TAUGHT = Reason("The model learnt from this very cell")
_CELL_NOT_TAUGHT = Reason("The model did not learn from this very cell")
_FIELD_TAUGHT = Reason("The model learnt from this field")
_FIELD_NOT_TAUGHT = Reason("The model did not learn from this field")

_TOUCHES = 0.2
_SAME = 0.5
_UNMEASURED = 0.5
"""What it says against a cell that a model does not see it, where nobody measured how many it misses."""


@dataclass(frozen=True)
class SeenField:
    """A field's labels beside what one model says of it.

    Attributes
    ----------
    learnt
        Id of the last cell that the model learnt from here; ``None`` = it was not shown this field.
    decided
        Ids of cells whose label a person gave with this model's word before their eyes.
    rejected
        Boxes that a person rejected.
    """

    field: Field
    cells: tuple[Cell, ...]
    said: tuple[Proposal, ...]
    finished: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()
    rejected: tuple[Box, ...] = ()
    decided: frozenset[int] = frozenset()
    learnt: float | None = None


@dataclass(frozen=True)
class Contradiction:
    """What a model would have a cell say instead: only where it is sure, and the label leaves it no room.

    Attributes
    ----------
    cell_class
        ``None`` = the class is not contradicted.
    """

    cell_class: str | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.cell_class is not None or bool(self.attributes)


def contradiction(cell: Cell, said: Proposal, schema: Schema) -> Contradiction:
    """Say what a model contradicts of a cell's label; what a person has confirmed stays out of it."""
    if said.confidence < SURE:
        return Contradiction()
    other, shares = None, said.class_probabilities
    label, kept = cell.cell_class, cell.confirmed.get("cell_class")
    # of a cell unlike anything taught the model states no class
    if label is not None and label not in (UNSURE, kept) and shares and not said.is_unknown:
        members = [name for name in schema.members(label) if name in shares]
        best = max(sorted(shares), key=shares.__getitem__)
        # of a class that nobody taught it the model says nothing; it may be older than the schema
        left = sum(shares[name] for name in members)
        if members and left <= LEAST_LEFT and shares[best] >= SURE and schema.is_class(best):
            other = best
    values = {}
    kept_values = cell.confirmed.get("attributes", {})
    for attribute in schema.attributes:
        name = attribute.name
        value, shares = cell.attributes.get(name), said.attribute_probabilities.get(name, {})
        if value is None or value not in shares or value == kept_values.get(name):
            continue
        best = max(sorted(shares), key=shares.__getitem__)
        if shares[value] <= LEAST_LEFT and shares[best] >= SURE and best in attribute.value_names:
            values[name] = best
    return Contradiction(other, values)


def find_mistakes(
    fields: Sequence[SeenField],
    schema: Schema,
    *,
    recall: float | None = None,
    cost: CostModel | None = None,
) -> list[Ranked]:
    """Rank what the model contradicts, the likeliest mistakes first, with the reason.

    It is said whether the model learnt from a cell: that it agrees with what it was taught proves nothing,
    that it disagrees all the more.

    Parameters
    ----------
    recall
        Share of the cells that the model finds; ``None`` = not measured.
    """
    words, cost = Words.of(schema), cost or CostModel()
    seconds = cost.accepted(len(schema.attributes), 1.0)
    unseen = _UNMEASURED if recall is None or not 0 <= recall <= 1 else recall
    found = []
    for one in fields:
        boxes = np.array([cell.box for cell in one.cells]).reshape(-1, 4)
        said = sorted(one.said, key=lambda p: -p.confidence)
        overlaps = iou_matrix(np.array([p.box for p in said]), boxes)
        partner = match(overlaps, range(len(said)), np.zeros(len(one.cells), bool))
        of_cell = {int(cell): said[i] for i, cell in enumerate(partner) if cell >= 0}
        for i, cell in enumerate(one.cells):
            if cell.id in one.decided:
                continue
            opinion = of_cell.get(i)
            if opinion is not None:
                score, reasons = _contradictions(cell, opinion, schema, words)
            elif tuple(cell.confirmed.get("box", ())) == tuple(cell.box):
                continue
            elif len(said) and overlaps[:, i].max() >= _TOUCHES:
                opinion = said[int(overlaps[:, i].argmax())]
                score, reasons = 0.5 * unseen, [Reason("The model draws the box elsewhere")]
            else:
                score, reasons = unseen, [Reason("The model sees no cell here")]
            if score > 0:
                learnt = one.learnt is not None and cell.id <= one.learnt
                reasons.append(_CELL_TAUGHT if learnt else _CELL_NOT_TAUGHT)
                found.append(
                    Ranked(
                        "mistake",
                        cell.id,
                        one.field.id,
                        score,
                        seconds,
                        tuple(reasons),
                        cell.box,
                        said=opinion,
                    )
                )
        found += _missed(one, said, overlaps, cost.new_cell(len(schema.attributes)))
    return sorted(found, key=lambda item: (-item.score, item.field_id, item.id or 0, item.box))


def _contradictions(cell: Cell, said: Proposal, schema: Schema, words: Words) -> tuple[float, list[Reason]]:
    score, reasons = 0.0, []
    other = contradiction(cell, said, schema)
    if other.cell_class is not None and cell.cell_class is not None:
        shares = said.class_probabilities
        left = sum(shares.get(name, 0.0) for name in schema.members(cell.cell_class))
        score = said.confidence * (1 - left)
        reasons.append(
            Reason(
                "Labelled {label}, the model says {other} at {share:.0%}",
                label=words.title(cell.cell_class),
                other=words.title(other.cell_class),
                share=shares[other.cell_class],
            )
        )
    for name, best in other.attributes.items():
        attribute, value = schema.attribute_named(name), cell.attributes[name]
        shares = said.attribute_probabilities[name]
        score = max(score, ATTRIBUTE * said.confidence * (1 - shares[value]))
        titles = {v.name: v.title or v.name for v in attribute.values}
        reasons.append(
            Reason(
                "{attribute}: labelled {label}, the model says {other} at {share:.0%}",
                attribute=attribute.title or name,
                label=titles[value],
                other=titles.get(best, best),
                share=shares[best],
            )
        )
    return score, reasons


def _missed(
    one: SeenField,
    said: Sequence[Proposal],
    overlaps: np.ndarray,
    seconds: float,
) -> list[Ranked]:
    """Find what the model believes to be a cell, where a person says that all cells are boxed."""
    truth = FieldTruth(one.field.name, one.field.width, one.field.height, (), one.finished, one.ignore)
    found = []
    for i, proposal in enumerate(said):
        box = proposal.box
        if proposal.confidence < SURE or not truth.covers(box) or overlaps[i].max(initial=0.0) >= _TOUCHES:
            continue
        if truth.at_border([box])[0]:
            continue  # its true centre may lie outside
        if one.rejected and iou_matrix(np.array([box]), np.array(one.rejected)).max() >= _SAME:
            continue
        reasons = (
            Reason(
                "The model sees a cell at {share:.0%}; none is boxed, and the area is finished",
                share=proposal.confidence,
            ),
            _FIELD_TAUGHT if one.learnt is not None else _FIELD_NOT_TAUGHT,
        )
        found.append(
            Ranked("mistake", None, one.field.id, proposal.confidence, seconds, reasons, box, said=proposal)
        )
    return found


# --- of a project ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistakes:
    """The likely mistakes of one reading as one model sees them, and all that is needed to judge them again.

    Attributes
    ----------
    maker
        Who looked: a model's number or ``"starter"``; ``None`` = no model has looked at the fields yet.
    """

    maker: str | None = None
    items: tuple[Ranked, ...] = ()
    seen: Mapping[int, SeenField] = dataclasses.field(default_factory=dict)
    recall: float | None = None

    @property
    def model_id(self) -> int | None:
        """The model's number; ``None`` for the starter."""
        return _number(self.maker)

    def now(self, project: Project, field_id: int) -> list[Ranked]:
        """Judge a field's likely mistakes again, by what its cells say now; as cheap as reading a field."""
        seen = self.seen.get(field_id)
        if seen is None:
            return []
        marks = _marks(project, self.model_id, field_id)
        again = dataclasses.replace(marks.of(project.field(field_id), seen.said), learnt=seen.learnt)
        return find_mistakes([again], project.schema, recall=self.recall)


def mistakes(project: Project) -> Mistakes:
    """Rank the likely mistakes of the current reading, by what the model that looked last says.

    Nothing where no model has looked, and nothing in a blind reading: a model would change what is read.
    """
    maker = newest_maker(project, besides=(STAIN,))
    if maker is None or project.reading.blind:
        return Mistakes()
    looks = project.looks(maker, opinions=True)
    number = _number(maker)
    marks = _marks(project, number)
    cards = {model.id: (model.card, model.parent) for model in project.models()}
    lineage = Lineage.of(project, number, cards)
    seen = []
    for field in project.fields():
        if field.id not in looks or not (marks.cells.get(field.id) or marks.finished.get(field.id)):
            continue
        said = (*looks[field.id].opinions, *marks.said.get(field.id, ()))
        seen.append(dataclasses.replace(marks.of(field, said), learnt=lineage.learnt(field)))
    recall = None
    if number is not None and number in cards:
        recall = _measured_recall(cards[number][0])
    items = find_mistakes(seen, project.schema, recall=recall)
    listed = {item.field_id for item in items}
    return Mistakes(maker, tuple(items), {s.field.id: s for s in seen if s.field.id in listed}, recall)


def _measured_recall(card: Mapping[str, Any]) -> float | None:
    """Return a share that a card states; cards come from files, so anything may stand there."""
    found: Any = card
    for name in ("metrics", "held_out", "recall"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else None


def _number(maker: str | None) -> int | None:
    return int(maker) if maker is not None and maker.isdecimal() else None


@dataclass(frozen=True)
class _Marks:
    """What stands on fields, by field: of a project in five statements, of one field likewise."""

    cells: Mapping[int, list[Cell]]
    finished: Mapping[int, list[Shape]]
    ignored: Mapping[int, list[Shape]]
    said: Mapping[int, list[Proposal]]
    rejected: Mapping[int, list[Box]]
    decided: Mapping[int, list[int]]

    def of(self, field: Field, said: Sequence[Proposal]) -> SeenField:
        return SeenField(
            field,
            tuple(self.cells.get(field.id, ())),
            tuple(said),
            tuple(self.finished.get(field.id, ())),
            tuple(self.ignored.get(field.id, ())),
            tuple(self.rejected.get(field.id, ())),
            frozenset(self.decided.get(field.id, ())),
        )


def _marks(project: Project, model_id: int | None, field_id: int | None = None) -> _Marks:
    judged = [s for s in SuggestionState if s is not SuggestionState.SUPERSEDED]
    suggestions = project.suggestions(field_id, states=judged)
    own = [s for s in suggestions if s.model_id == model_id]
    regions = project.regions(field_id)
    return _Marks(
        by_field((cell.field_id, cell) for cell in project.cells(field_id)),
        by_field((r.field_id, r.shape) for r in regions if r.state is RegionState.FINISHED),
        by_field((area.field_id, area.shape) for area in project.ignore_areas(field_id)),
        by_field((s.field_id, s.proposal) for s in own),
        by_field((s.field_id, s.box) for s in suggestions if s.reason is RejectionReason.NOT_A_CELL),
        by_field((s.field_id, s.cell_id) for s in own if s.cell_id is not None),
    )
