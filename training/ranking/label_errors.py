"""Labels that the model confidently contradicts: to be looked at again, not to be believed."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.geometry import iou_matrix
from annotation_store.records import (
    Box,
    Cell,
    Field,
    Proposal,
    RejectionReason,
    Shape,
    SuggestionState,
)
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.evaluation.metrics import FieldTruth, match
from training.models.lineage import Lineage
from training.ranking.cost import CostModel
from training.ranking.explanations import Words
from training.ranking.items import STAIN, Ranked
from training.ranking.project import by_field, newest_source
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store.project import Project

EXPECTED = 0.03
"""Share of labels, and of boxes, that are taken to be wrong before anything is known of them."""

LISTED = 0.5
"""Probability of an error from which it is listed."""

_OVERLOOKED = 0.3
"""The odds that what a model sees is a cell count so much where a person has looked and boxed none."""

_EMPTY = 0.1
"""Share of the boxes that no model sees which are taken to be empty, were models to miss every cell."""

_MIN_BOXES = 10
_LEAST_OFF, _USUALLY_OFF = 0.06, 0.1
"""How far (1 - IoU) boxes usually lie from what the model draws: the least of many, and that of few boxes."""

_FOUND, _FOUND_OF = 0.9, 10
"""Assumed recall of a model that was not measured, and the number of cells this counts for."""

_CELL_TAUGHT = Reason("The model learnt from this very cell")
_CELL_NOT_TAUGHT = Reason("The model did not learn from this very cell")
_FIELD_TAUGHT = Reason("The model learnt from this field")
_FIELD_NOT_TAUGHT = Reason("The model did not learn from this field")

_TOUCHES = 0.2
_SAME = 0.5


@dataclass(frozen=True)
class SeenField:
    """A field's labels and one model's predictions for it.

    Attributes
    ----------
    judged
        By cell id, the prediction of a model that was not trained on the cell.
    learnt
        Id of the last cell that the model learnt from here; ``None`` = it was not shown this field.
    decided
        Ids of cells whose label a person gave with this model's word before their eyes.
    rejected
        Boxes that a person rejected.
    """

    field: Field
    cells: tuple[Cell, ...]
    predictions: tuple[Proposal, ...]
    finished: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()
    rejected: tuple[Box, ...] = ()
    decided: frozenset[int] = frozenset()
    learnt: float | None = None
    judged: Mapping[int, Proposal] = dataclasses.field(default_factory=dict)

    def partners(self) -> tuple[list[Proposal], np.ndarray, dict[int, Proposal]]:
        """Return the predictions, the most confident first, their IoU with the cells, and the matches."""
        boxes = np.array([cell.box for cell in self.cells]).reshape(-1, 4)
        predicted = sorted(self.predictions, key=lambda p: -p.confidence)
        overlaps = iou_matrix(np.array([p.box for p in predicted]), boxes)
        partner = match(overlaps, range(len(predicted)), np.zeros(len(self.cells), bool))
        return predicted, overlaps, {int(cell): predicted[i] for i, cell in enumerate(partner) if cell >= 0}

    def prediction(self, cell: Cell, found: Proposal | None) -> Proposal | None:
        """Return the prediction for a cell, if possible of a model that has not learnt from it."""
        judged = self.judged.get(cell.id)
        if judged is None or iou_matrix([judged.box], [cell.box])[0, 0] < _SAME:  # the box was moved away
            return found
        if found is None:
            return judged
        return replace(judged, box=found.box, confidence=found.confidence)


@dataclass(frozen=True)
class Usual:
    """What is usual of a reading's labels: what a single one is compared with.

    Attributes
    ----------
    shares
        By attribute (``""`` = the class) and label the mean probability that the label has of models which
        did not learn from the cells: low where a class is young, or readers differ. (Confident learning:
        Northcutt et al. 2021, arXiv 1911.00068.)
    off
        How far a box lies from what the model draws: 1 - IoU.
    found
        Share of the cells that the model finds.
    """

    shares: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    off: float = _USUALLY_OFF
    found: float = _FOUND

    @classmethod
    def of(cls, fields: Sequence[SeenField], schema: Schema, recall: float | None = None) -> Usual:
        """Learn it from all fields; `recall`, where it was measured, is the share of cells that are found."""
        given: dict[tuple[str, str], list[float]] = defaultdict(list)
        off: list[float] = []
        cells = touched = 0
        for one in fields:
            predicted, overlaps, of_cell = one.partners()
            cells += len(one.cells)
            touched += int((overlaps >= _TOUCHES).any(0).sum()) if len(predicted) else 0
            for i, cell in enumerate(one.cells):
                if i in of_cell:
                    off.append(1 - float(iou_matrix([cell.box], [of_cell[i].box])[0, 0]))
                for name, label, left, _ in _labels(cell, one.judged.get(cell.id), schema):
                    given[name, label].append(left)
        shares = {key: float(np.mean(some)) for key, some in given.items()}
        usually = max(_LEAST_OFF, float(np.median(off))) if len(off) >= _MIN_BOXES else _USUALLY_OFF
        measured = _FOUND if recall is None else recall
        # the cell that is asked about does not count
        found = (touched + _FOUND_OF * measured) / (max(touched, cells - 1) + _FOUND_OF)
        return cls(shares, usually, found)

    def wrong_label(self, attribute: str, label: str, left: float) -> float:
        """Return the probability that a label is wrong of which a model leaves so much probability."""
        right = min(1.0, left / max(1e-3, self.shares.get((attribute, label), 1.0)))
        return EXPECTED * (1 - right) / (EXPECTED * (1 - right) + (1 - EXPECTED) * right)

    def wrong_box(self, overlap: float) -> float:
        """Return the probability that a box is badly placed which overlaps what the model draws so much."""
        spread = self.off / 0.6745  # half of the boxes lie nearer than the median
        right = math.sqrt(2 / math.pi) / spread * math.exp(-0.5 * ((1 - overlap) / spread) ** 2)
        return EXPECTED / (EXPECTED + (1 - EXPECTED) * right)

    @property
    def empty_box(self) -> float:
        """The probability that there is no cell in a box where the model sees none."""
        return _EMPTY / (_EMPTY + (1 - _EMPTY) * (1 - self.found))


def overlooked(confidence: float) -> float:
    """Return the probability that a person overlooked what a model takes for a cell."""
    odds = _OVERLOOKED * confidence
    return odds / (odds + 1 - confidence)


@dataclass(frozen=True)
class Contradiction:
    """The labels that a model predicts instead, where it is confident and contradicts the label.

    Attributes
    ----------
    cell_class
        ``None`` = the class is not contradicted.
    """

    cell_class: str | None = None
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.cell_class is not None or bool(self.attributes)


def contradiction(
    cell: Cell, predicted: Proposal, schema: Schema, usual: Usual | None = None
) -> Contradiction:
    """Return which labels of a cell a model contradicts, except those that a person has confirmed."""
    usual = usual or Usual()
    other, values = None, {}
    for name, label, left, best in _labels(cell, predicted, schema):
        if best is None or usual.wrong_label(name, label, left) < LISTED:
            continue
        if name:
            values[name] = best
        else:
            other = best
    return Contradiction(other, values)


def _labels(
    cell: Cell, predicted: Proposal | None, schema: Schema
) -> Iterator[tuple[str, str, float, str | None]]:
    """Return each label that a model can judge and that no person has confirmed.

    A model predicts nothing for a class or value it was not trained on; it may be older than the schema. Of a
    cell unlike anything taught it states no class.

    Yields
    ------
    tuple
        Attribute (``""`` = the class), label, the probability that is left to the label, and what is more
        probable; ``None`` = nothing.
    """
    if predicted is None:
        return
    label, shares = cell.cell_class, predicted.class_probabilities
    if (
        label is not None
        and label not in (UNSURE, cell.confirmed.get("cell_class"))
        and not predicted.is_unknown
    ):
        members = [name for name in schema.members(label) if name in shares]
        others = {name: p for name, p in shares.items() if name not in members and schema.is_class(name)}
        if members:
            yield "", label, sum(shares[name] for name in members), _best(others)
    kept = cell.confirmed.get("attributes", {})
    for attribute in schema.attributes:
        name = attribute.name
        value, shares = cell.attributes.get(name), predicted.attribute_probabilities.get(name, {})
        if value is None or value not in shares or value == kept.get(name):
            continue
        others = {one: p for one, p in shares.items() if one != value and one in attribute.value_names}
        yield name, value, shares[value], _best(others)


def _best(shares: Mapping[str, float]) -> str | None:
    return max(sorted(shares), key=shares.__getitem__, default=None)


def find_label_errors(
    fields: Sequence[SeenField],
    schema: Schema,
    *,
    usual: Usual | None = None,
    cost: CostModel | None = None,
    least: float = LISTED,
) -> list[Ranked]:
    """Rank what the model contradicts, the likeliest mistakes first, with the reason.

    Each score is the probability of an error. A reason states whether the model was trained on the cell:
    that it agrees with what it was taught proves nothing, that it disagrees all the more.

    Parameters
    ----------
    usual
        What is usual here; ``None`` = learn it from `fields`.
    least
        Probability from which an error is listed.
    """
    words, cost, usual = Words(schema), cost or CostModel(), usual or Usual.of(fields, schema)
    seconds = cost.accepted(len(schema.attributes), 1.0)
    found = []
    for one in fields:
        predicted, overlaps, of_cell = one.partners()
        for i, cell in enumerate(one.cells):
            if cell.id in one.decided:
                continue
            prediction = one.prediction(cell, of_cell.get(i))
            errors, reasons = _wrong_labels(cell, prediction, schema, usual, words, least)
            if tuple(cell.confirmed.get("box", ())) != tuple(cell.box):
                overlap = float(overlaps[:, i].max(initial=0.0))
                if overlap >= _TOUCHES:
                    nearest = predicted[int(overlaps[:, i].argmax())]
                    errors["box"] = usual.wrong_box(overlap) * nearest.confidence
                    if errors["box"] >= least > 0:
                        reasons.append(Reason("The model draws the box elsewhere"))
                        prediction = _in_box_of(nearest, prediction)
                else:
                    errors["spurious"] = usual.empty_box
                    if errors["spurious"] >= least:
                        reasons, prediction = [Reason("The model sees no cell here")], None
            if max(errors.values(), default=0.0) >= max(least, 1e-9):
                learnt = one.learnt is not None and cell.id <= one.learnt and cell.id not in one.judged
                reasons.append(_CELL_TAUGHT if learnt else _CELL_NOT_TAUGHT)
                found.append(
                    Ranked(
                        "label_error",
                        cell.id,
                        one.field.id,
                        1 - float(np.prod([1 - p for p in errors.values()])),
                        seconds,
                        tuple(reasons),
                        cell.box,
                        prediction=prediction,
                        errors=errors,
                    )
                )
        found += _missed(one, predicted, overlaps, cost.new_cell(len(schema.attributes)), least)
    return sorted(found, key=lambda item: (-item.score, item.field_id, item.id or 0, item.box))


def _in_box_of(predicted: Proposal, prediction: Proposal | None) -> Proposal:
    return (
        predicted
        if prediction is None
        else replace(prediction, box=predicted.box, confidence=predicted.confidence)
    )


def _wrong_labels(
    cell: Cell, predicted: Proposal | None, schema: Schema, usual: Usual, words: Words, least: float
) -> tuple[dict[str, float], list[Reason]]:
    """Return how probable it is that the class is wrong, or a value, and a reason for each that is listed.

    Where only all values together are probably wrong, the most doubtful is named.
    """
    errors: dict[str, float] = {"class": 0.0, "value": 0.0}
    reasons: list[tuple[float, Reason]] = []
    for name, label, left, best in _labels(cell, predicted, schema):
        if best is None or predicted is None:
            continue
        error = usual.wrong_label(name, label, left)
        shares = predicted.attribute_probabilities[name] if name else predicted.class_probabilities
        kind = "value" if name else "class"
        errors[kind] = 1 - (1 - errors[kind]) * (1 - error)
        if shares[best] <= left:
            continue
        if not name:
            reason = Reason(
                "Labelled {label}, predicted {other} at {share:.0%}",
                label=words.title(label),
                other=words.title(best),
                share=shares[best],
            )
            reasons.append((error, reason))
            continue
        reason = Reason(
            "{attribute}: labelled {label}, predicted {other} at {share:.0%}",
            attribute=schema.attribute_title(name),
            label=schema.value_title(name, label),
            other=schema.value_title(name, best),
            share=shares[best],
        )
        reasons.append((error, reason))
    listed = [reason for error, reason in reasons if error >= least]
    if not listed and reasons and max(errors.values()) >= least:
        listed = [max(reasons, key=lambda one: one[0])[1]]
    return errors, listed


def _missed(
    one: SeenField,
    predicted: Sequence[Proposal],
    overlaps: np.ndarray,
    seconds: float,
    least: float,
) -> list[Ranked]:
    """Find what the model believes to be a cell, where a person says that all cells are boxed."""
    truth = FieldTruth(one.field.name, one.field.width, one.field.height, (), one.finished, one.ignore)
    found = []
    for i, proposal in enumerate(predicted):
        box = proposal.box
        error = overlooked(proposal.confidence)
        if error < least or not truth.covers(box) or overlaps[i].max(initial=0.0) >= _TOUCHES:
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
        errors = {"missing": error}
        found.append(
            Ranked(
                "label_error",
                None,
                one.field.id,
                error,
                seconds,
                reasons,
                box,
                prediction=proposal,
                errors=errors,
            )
        )
    return found


# --- of a project ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelErrors:
    """The possible label errors of a reading as a model sees them, and what is needed to judge them again.

    Attributes
    ----------
    source
        Who looked: a model's number or ``"starter"``; ``None`` = no model has looked at the fields yet.
    unchecked
        How many labelled cells no model has judged that did not learn from them: they came since, or fewer
        than ten are labelled.
    """

    source: str | None = None
    items: tuple[Ranked, ...] = ()
    seen: Mapping[int, SeenField] = dataclasses.field(default_factory=dict)
    usual: Usual = dataclasses.field(default_factory=Usual)
    unchecked: int = 0

    @property
    def model_id(self) -> int | None:
        """The model's number; ``None`` for the starter."""
        return _number(self.source)

    def now(self, project: Project, field_id: int) -> list[Ranked]:
        """Evaluate a field's possible label errors again, from its present cells; as cheap as reading it."""
        seen = self.seen.get(field_id)
        if seen is None:
            return []
        marks = _marks(project, self.model_id, field_id)
        again = replace(
            marks.of(project.fields.get(field_id), seen.predictions), learnt=seen.learnt, judged=seen.judged
        )
        return find_label_errors([again], project.schema, usual=self.usual)

    def contradiction(self, cell: Cell, predicted: Proposal, schema: Schema) -> Contradiction:
        """Describe the model's label for a cell, in the schema's words."""
        return contradiction(cell, predicted, schema, self.usual)


def label_errors(project: Project, *, least: float = LISTED) -> LabelErrors:
    """Rank the possible label errors of the current reading, by the newest model's predictions.

    A label is judged by what models say that did not learn from it, where the worker has asked them
    (`training.worker.out_of_fold`). Nothing where no model has looked, and nothing in a blind reading: a
    model would change what is read.

    Parameters
    ----------
    least
        Probability from which an error is listed; 0 = all that can be judged, in order.
    """
    source = newest_source(project, besides=(STAIN,))
    if source is None or project.reading.blind:
        return LabelErrors()
    looks = project.embeddings.of(source, predictions=True)
    number = _number(source)
    marks = _marks(project, number)
    cards = {model.id: (model.card, model.parent) for model in project.models.all()}
    lineage = Lineage.of(project, number, cards)
    seen = []
    for field in project.fields.all():
        if field.id not in looks or not (marks.cells.get(field.id) or marks.finished.get(field.id)):
            continue
        predicted = (*looks[field.id].predictions, *marks.predictions.get(field.id, ()))
        judged = looks[field.id].cells
        seen.append(replace(marks.of(field, predicted), learnt=lineage.learnt(field), judged=judged))
    recall = None
    if number is not None and number in cards:
        recall = _measured_recall(cards[number][0])
    usual = Usual.of(seen, project.schema, recall)
    items = find_label_errors(seen, project.schema, usual=usual, least=least)
    listed = {item.field_id for item in items}
    unchecked = sum(
        cell.id not in one.judged and (cell.cell_class not in (None, UNSURE) or bool(cell.attributes))
        for one in seen
        for cell in one.cells
    )
    kept = {one.field.id: one for one in seen if one.field.id in listed}
    return LabelErrors(source, tuple(items), kept, usual, unchecked)


def _measured_recall(card: Mapping[str, Any]) -> float | None:
    """Return a share that a card states; cards come from files, so it may have any value."""
    found: Any = card
    for name in ("metrics", "held_out", "recall"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) and 0 <= found <= 1 else None


def _number(source: str | None) -> int | None:
    return int(source) if source is not None and source.isdecimal() else None


@dataclass(frozen=True)
class _Marks:
    """Annotations by field, of a whole project or one field, read in five statements."""

    cells: Mapping[int, list[Cell]]
    finished: Mapping[int, list[Shape]]
    ignored: Mapping[int, list[Shape]]
    predictions: Mapping[int, list[Proposal]]
    rejected: Mapping[int, list[Box]]
    decided: Mapping[int, list[int]]

    def of(self, field: Field, predicted: Sequence[Proposal]) -> SeenField:
        return SeenField(
            field,
            tuple(self.cells.get(field.id, ())),
            tuple(predicted),
            tuple(self.finished.get(field.id, ())),
            tuple(self.ignored.get(field.id, ())),
            tuple(self.rejected.get(field.id, ())),
            frozenset(self.decided.get(field.id, ())),
        )


def _marks(project: Project, model_id: int | None, field_id: int | None = None) -> _Marks:
    judged = [s for s in SuggestionState if s is not SuggestionState.SUPERSEDED]
    suggestions = project.suggestions.find(field_id, states=judged)
    own = [s for s in suggestions if s.model_id == model_id]
    regions = project.regions.all(field_id)
    return _Marks(
        by_field((cell.field_id, cell) for cell in project.cells.all(field_id)),
        by_field((r.field_id, r.shape) for r in regions if r.finished),
        by_field((area.field_id, area.shape) for area in project.ignore_areas.all(field_id)),
        by_field((s.field_id, s.proposal) for s in own),
        by_field((s.field_id, s.box) for s in suggestions if s.reason is RejectionReason.NOT_A_CELL),
        by_field((s.field_id, s.cell_id) for s in own if s.cell_id is not None),
    )
