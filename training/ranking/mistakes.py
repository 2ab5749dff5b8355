"""Labels that the model confidently contradicts: to be looked at again, not to be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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
from training.evaluate import FieldTruth, iou_matrix, match
from training.ranking.cost import CostModel
from training.ranking.items import Ranked
from training.ranking.project import STAIN, by_field, newest_maker
from training.ranking.words import Words
from training.split import unit_of

if TYPE_CHECKING:
    from annotation_store.project import Project

LEAST_LEFT = 0.1
"""A label is contradicted when the model leaves it this much probability or less …"""

SURE = 0.7
"""… gives another this much or more, and believes in the cell as much."""

ATTRIBUTE = 0.5
"""What an attribute's contradiction weighs against the class's."""

_TOUCHES = 0.2
_SAME = 0.5
_UNMEASURED = 0.5
"""What it says against a cell that a model does not see it, where nobody measured how many it misses."""


@dataclass(frozen=True)
class SeenField:
    """A field's labels beside what one model says of it.

    Attributes
    ----------
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


def find_mistakes(
    fields: Sequence[SeenField],
    schema: Schema,
    *,
    learnt: Callable[[Field, int], bool],
    recall: float | None = None,
    cost: CostModel | None = None,
) -> list[Ranked]:
    """Rank what the model contradicts, the likeliest mistakes first, with the reason.

    Parameters
    ----------
    learnt
        Whether the model learnt from a cell (its field and id; id 0: from anything on the field). It is
        said: that a model agrees with what it was taught proves nothing, that it disagrees all the more.
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
            if i in of_cell:
                score, reasons = _contradictions(cell, of_cell[i], schema, words)
            elif len(said) and overlaps[:, i].max() >= _TOUCHES:
                score, reasons = 0.5 * unseen, ["The model draws the box elsewhere"]
            else:
                score, reasons = unseen, ["The model sees no cell here"]
            if score > 0:
                reasons.append(_taught(learnt(one.field, cell.id), "this very cell"))
                found.append(
                    Ranked("mistake", cell.id, one.field.id, score, seconds, tuple(reasons), cell.box)
                )
        found += _missed(one, said, overlaps, learnt, cost.new_cell(len(schema.attributes)))
    return sorted(found, key=lambda item: (-item.score, item.field_id, item.id or 0, item.box))


def _contradictions(cell: Cell, said: Proposal, schema: Schema, words: Words) -> tuple[float, list[str]]:
    score, reasons = 0.0, []
    if said.confidence < SURE:
        return 0.0, []
    shares = said.class_probabilities
    if cell.cell_class is not None and cell.cell_class != UNSURE and shares:
        members = [name for name in schema.members(cell.cell_class) if name in shares]
        left = sum(shares[name] for name in members)
        best = max(sorted(shares), key=shares.__getitem__)
        # of a class that nobody taught it the model says nothing
        if members and left <= LEAST_LEFT and shares[best] >= SURE:
            score = said.confidence * (1 - left)
            label = words.title(cell.cell_class)
            reasons.append(f"Labelled {label}, the model says {words.title(best)} at {shares[best]:.0%}")
    for attribute in schema.attributes:
        value, shares = (
            cell.attributes.get(attribute.name),
            said.attribute_probabilities.get(attribute.name, {}),
        )
        if value is None or value not in shares:
            continue
        best = max(sorted(shares), key=shares.__getitem__)
        if shares[value] <= LEAST_LEFT and shares[best] >= SURE:
            score = max(score, ATTRIBUTE * said.confidence * (1 - shares[value]))
            titles = {v.name: v.title or v.name for v in attribute.values}
            reasons.append(
                f"{attribute.title or attribute.name}: labelled {titles[value]}, "
                f"the model says {titles.get(best, best)} at {shares[best]:.0%}"
            )
    return score, reasons


def _missed(
    one: SeenField,
    said: Sequence[Proposal],
    overlaps: np.ndarray,
    learnt: Callable[[Field, int], bool],
    seconds: float,
) -> list[Ranked]:
    """Find what the model believes to be a cell, where a person says that all cells are boxed."""
    truth = FieldTruth(one.field.name, one.field.width, one.field.height, (), one.finished, one.ignore)
    found = []
    for i, proposal in enumerate(said):
        box = proposal.box
        if proposal.confidence < SURE or not truth.covers(box) or overlaps[i].max(initial=0.0) >= _TOUCHES:
            continue
        if truth.border_distance(box) < max(box[2:]) / 4:
            continue  # its true centre may lie outside
        if one.rejected and iou_matrix(np.array([box]), np.array(one.rejected)).max() >= _SAME:
            continue
        reasons = (
            f"The model sees a cell at {proposal.confidence:.0%}; none is boxed, and the area is finished",
            _taught(learnt(one.field, 0), "this field"),
        )
        found.append(Ranked("mistake", None, one.field.id, proposal.confidence, seconds, reasons, box))
    return found


def _taught(learnt: bool, what: str) -> str:
    return f"The model learnt from {what}" if learnt else f"The model did not learn from {what}"


# --- of a project ----------------------------------------------------------------------------------------


def mistakes(project: Project) -> list[Ranked]:
    """Rank the likely mistakes of the current reading, by what the model that looked last says.

    Empty where no model has looked. In a blind reading only finished regions are judged.
    """
    maker = newest_maker(project, besides=(STAIN,))
    if maker is None:
        return []
    looks = project.looks(maker, opinions=True)
    number = int(maker) if maker.isdecimal() else None
    judged = [s for s in SuggestionState if s is not SuggestionState.SUPERSEDED]
    suggestions = project.suggestions(states=judged)
    own = by_field((s.field_id, s) for s in suggestions if s.model_id == number)
    rejected = by_field(
        (s.field_id, s.box)
        for s in suggestions
        if s.state is SuggestionState.REJECTED and s.reason is RejectionReason.NOT_A_CELL
    )
    cells = by_field((cell.field_id, cell) for cell in project.cells())
    finished = by_field((r.field_id, r.shape) for r in project.regions() if r.state is RegionState.FINISHED)
    ignored = by_field((area.field_id, area.shape) for area in project.ignore_areas())
    seen = []
    for field in project.fields():
        if field.id not in looks or not (cells.get(field.id) or finished.get(field.id)):
            continue
        regions, some = finished.get(field.id, []), cells.get(field.id, [])
        if project.reading.blind:
            some = [cell for cell in some if any(shape.contains_centre(cell.box) for shape in regions)]
        shown = own.get(field.id, [])
        seen.append(
            SeenField(
                field,
                tuple(some),
                (*looks[field.id].opinions, *(s.proposal for s in shown)),
                tuple(regions),
                tuple(ignored.get(field.id, ())),
                tuple(rejected.get(field.id, ())),
                frozenset(s.cell_id for s in shown if s.cell_id is not None),
            )
        )
    cards = {model.id: (model.card, model.parent) for model in project.models()}
    recall = None
    if number is not None and number in cards:
        held_out = (cards[number][0].get("metrics") or {}).get("held_out") or {}
        recall = held_out.get("recall")
    return find_mistakes(seen, project.schema, learnt=_learnt(number, cards), recall=recall)


def _learnt(
    number: int | None, cards: Mapping[int, tuple[Mapping[str, Any], str]]
) -> Callable[[Field, int], bool]:
    """Say from which cells a model learnt, itself or any model it was made from."""
    line: list[tuple[frozenset[str], int | None]] = []
    while number is not None and number in cards and len(line) <= len(cards):
        card, parent = cards[number]
        last = card.get("last_cell")
        line.append((frozenset(card.get("held_out") or ()), last if isinstance(last, int) else None))
        number = int(parent) if parent.isdecimal() else None

    def learnt(field: Field, cell_id: int) -> bool:
        unit = unit_of(field)
        return any(unit not in held and (last is None or cell_id <= last) for held, last in line)

    return learnt
