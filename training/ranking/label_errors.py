"""Possible label errors: labels that the model confidently contradicts, for a person to review."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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
from training.evaluation.ground_truth import FieldTruth
from training.models.lineage import Lineage
from training.ranking.cost import CostModel
from training.ranking.explanations import Words
from training.ranking.items import STAIN, Ranked
from training.ranking.label_statistics import (
    MIN_PROBABILITY,
    SAME_IOU,
    TOUCHING_IOU,
    Contradiction,
    LabelStatistics,
    PredictedField,
    contradiction,
    missed_probability,
    predicted_labels,
)
from training.ranking.project import by_field, newest_source
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store.project import Project

_CELL_TAUGHT = Reason("The model learnt from this very cell")
_CELL_NOT_TAUGHT = Reason("The model did not learn from this very cell")
_FIELD_TAUGHT = Reason("The model learnt from this field")
_FIELD_NOT_TAUGHT = Reason("The model did not learn from this field")


def find_label_errors(
    fields: Sequence[PredictedField],
    schema: Schema,
    *,
    statistics: LabelStatistics | None = None,
    cost: CostModel | None = None,
    min_probability: float = MIN_PROBABILITY,
) -> list[Ranked]:
    """Rank possible label errors, the most probable first, with reasons.

    The score is the probability of an error. A reason states whether the model was trained on the cell: its
    agreement with a training label proves nothing, its disagreement all the more.

    Parameters
    ----------
    statistics
        Statistics of the labels; ``None`` = compute them from `fields`.
    min_probability
        Minimum probability of a listed error.
    """
    words, cost, statistics = (
        Words(schema),
        cost or CostModel(),
        statistics or LabelStatistics.of(fields, schema),
    )
    seconds = cost.accepted(len(schema.attributes), 1.0)
    found = []
    for field_ in fields:
        predicted, overlaps, matches = field_.matches()
        for i, cell in enumerate(field_.cells):
            if cell.id in field_.decided:
                continue
            prediction = field_.prediction(cell, matches.get(i))
            errors, reasons = _wrong_labels(cell, prediction, schema, statistics, words, min_probability)
            if tuple(cell.confirmed.get("box", ())) != tuple(cell.box):
                overlap = float(overlaps[:, i].max(initial=0.0))
                if overlap >= TOUCHING_IOU:
                    nearest = predicted[int(overlaps[:, i].argmax())]
                    errors["box"] = statistics.wrong_box(overlap) * nearest.confidence
                    if errors["box"] >= min_probability > 0:
                        reasons.append(Reason("The model draws the box elsewhere"))
                        prediction = _in_box_of(nearest, prediction)
                else:
                    errors["spurious"] = statistics.empty_box
                    if errors["spurious"] >= min_probability:
                        reasons, prediction = [Reason("The model sees no cell here")], None
            if max(errors.values(), default=0.0) >= max(min_probability, 1e-9):
                learnt = (
                    field_.learnt is not None and cell.id <= field_.learnt and cell.id not in field_.judged
                )
                reasons.append(_CELL_TAUGHT if learnt else _CELL_NOT_TAUGHT)
                found.append(
                    Ranked(
                        "label_error",
                        cell.id,
                        field_.field.id,
                        1 - float(np.prod([1 - p for p in errors.values()])),
                        seconds,
                        tuple(reasons),
                        cell.box,
                        prediction=prediction,
                        errors=errors,
                    )
                )
        found += _missed(field_, predicted, overlaps, cost.new_cell(len(schema.attributes)), min_probability)
    return sorted(found, key=lambda item: (-item.score, item.field_id, item.id or 0, item.box))


def _in_box_of(predicted: Proposal, prediction: Proposal | None) -> Proposal:
    return (
        predicted
        if prediction is None
        else replace(prediction, box=predicted.box, confidence=predicted.confidence)
    )


def _wrong_labels(
    cell: Cell,
    predicted: Proposal | None,
    schema: Schema,
    statistics: LabelStatistics,
    words: Words,
    min_probability: float,
) -> tuple[dict[str, float], list[Reason]]:
    """Return the probabilities that the class or a value is wrong, and a reason for each listed one.

    If only all values together are probably wrong, the most doubtful one is named.
    """
    errors: dict[str, float] = {"class": 0.0, "value": 0.0}
    reasons: list[tuple[float, Reason]] = []
    for name, label, p, alternative in predicted_labels(cell, predicted, schema):
        if alternative is None or predicted is None:
            continue
        error = statistics.wrong_label(name, label, p)
        shares = predicted.attribute_probabilities[name] if name else predicted.class_probabilities
        kind = "value" if name else "class"
        errors[kind] = 1 - (1 - errors[kind]) * (1 - error)
        if shares[alternative] <= p:
            continue
        if not name:
            reason = Reason(
                "Labelled {label}, predicted {other} at {share:.0%}",
                label=words.title(label),
                other=words.title(alternative),
                share=shares[alternative],
            )
            reasons.append((error, reason))
            continue
        reason = Reason(
            "{attribute}: labelled {label}, predicted {other} at {share:.0%}",
            attribute=schema.attribute_title(name),
            label=schema.value_title(name, label),
            other=schema.value_title(name, alternative),
            share=shares[alternative],
        )
        reasons.append((error, reason))
    listed = [reason for error, reason in reasons if error >= min_probability]
    if not listed and reasons and max(errors.values()) >= min_probability:
        listed = [max(reasons, key=lambda pair: pair[0])[1]]
    return errors, listed


def _missed(
    field_: PredictedField,
    predicted: Sequence[Proposal],
    overlaps: np.ndarray,
    seconds: float,
    min_probability: float,
) -> list[Ranked]:
    """Find predicted cells without a box in finished areas."""
    truth = FieldTruth(
        field_.field.name, field_.field.width, field_.field.height, (), field_.finished, field_.ignore
    )
    missed = []
    for i, proposal in enumerate(predicted):
        box = proposal.box
        error = missed_probability(proposal.confidence)
        if error < min_probability or not truth.covers(box) or overlaps[i].max(initial=0.0) >= TOUCHING_IOU:
            continue
        if truth.at_border([box])[0]:
            continue  # its true centre may lie outside
        if field_.rejected and iou_matrix(np.array([box]), np.array(field_.rejected)).max() >= SAME_IOU:
            continue
        reasons = (
            Reason(
                "The model sees a cell at {share:.0%}; none is boxed, and the area is finished",
                share=proposal.confidence,
            ),
            _FIELD_TAUGHT if field_.learnt is not None else _FIELD_NOT_TAUGHT,
        )
        errors = {"missing": error}
        missed.append(
            Ranked(
                "label_error",
                None,
                field_.field.id,
                error,
                seconds,
                reasons,
                box,
                prediction=proposal,
                errors=errors,
            )
        )
    return missed


# --- of a project ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelErrors:
    """Possible label errors of a reading, and the data to compute them again.

    Attributes
    ----------
    source
        The number of the model, or ``"starter"``; ``None`` = there are no predictions yet.
    unchecked
        Number of labelled cells without an out-of-fold prediction: they are new, or there are fewer than ten.
    """

    source: str | None = None
    items: tuple[Ranked, ...] = ()
    seen: Mapping[int, PredictedField] = dataclasses.field(default_factory=dict)
    statistics: LabelStatistics = dataclasses.field(default_factory=LabelStatistics)
    unchecked: int = 0

    @property
    def model_id(self) -> int | None:
        """The model's number; ``None`` for the starter."""
        return _number(self.source)

    def now(self, project: Project, field_id: int) -> list[Ranked]:
        """Compute a field's possible label errors again from its current cells; as fast as reading them."""
        stored = self.seen.get(field_id)
        if stored is None:
            return []
        annotations = _read_annotations(project, self.model_id, field_id)
        current = replace(
            annotations.of(project.fields.get(field_id), stored.predictions),
            learnt=stored.learnt,
            judged=stored.judged,
        )
        return find_label_errors([current], project.schema, statistics=self.statistics)

    def contradiction(self, cell: Cell, predicted: Proposal, schema: Schema) -> Contradiction:
        """Return which labels of a cell are contradicted; see `contradiction`."""
        return contradiction(cell, predicted, schema, self.statistics)


def label_errors(project: Project, *, min_probability: float = MIN_PROBABILITY) -> LabelErrors:
    """Rank the possible label errors of the current reading, by the newest model's predictions.

    A label is compared with its out-of-fold prediction, if the worker has computed it
    (`training.worker.out_of_fold`). Empty without predictions, and in a blind reading, which they would bias.

    Parameters
    ----------
    min_probability
        Minimum probability of a listed error; 0 = all that can be compared, in order.
    """
    source = newest_source(project, besides=(STAIN,))
    if source is None or project.reading.blind:
        return LabelErrors()
    embeddings = project.embeddings.of(source, predictions=True)
    number = _number(source)
    annotations = _read_annotations(project, number)
    cards = {model.id: (model.card, model.parent) for model in project.models.all()}
    lineage = Lineage.of(project, number, cards)
    predicted_fields = []
    for field in project.fields.all():
        if field.id not in embeddings or not (
            annotations.cells.get(field.id) or annotations.finished.get(field.id)
        ):
            continue
        predicted = (*embeddings[field.id].predictions, *annotations.predictions.get(field.id, ()))
        out_of_fold = embeddings[field.id].cells
        predicted_fields.append(
            replace(annotations.of(field, predicted), learnt=lineage.learnt(field), judged=out_of_fold)
        )
    recall = None
    if number is not None and number in cards:
        recall = _measured_recall(cards[number][0])
    statistics = LabelStatistics.of(predicted_fields, project.schema, recall)
    items = find_label_errors(
        predicted_fields, project.schema, statistics=statistics, min_probability=min_probability
    )
    listed = {item.field_id for item in items}
    unchecked = sum(
        cell.id not in field_.judged and (cell.cell_class not in (None, UNSURE) or bool(cell.attributes))
        for field_ in predicted_fields
        for cell in field_.cells
    )
    listed_fields = {field_.field.id: field_ for field_ in predicted_fields if field_.field.id in listed}
    return LabelErrors(source, tuple(items), listed_fields, statistics, unchecked)


def _measured_recall(card: Mapping[str, Any]) -> float | None:
    """Read the held-out recall of a card; cards come from files, so it may have any value."""
    entry: Any = card
    for name in ("metrics", "held_out", "recall"):
        entry = entry.get(name) if isinstance(entry, Mapping) else None
    return float(entry) if isinstance(entry, int | float) and 0 <= entry <= 1 else None


def _number(source: str | None) -> int | None:
    return int(source) if source is not None and source.isdecimal() else None


@dataclass(frozen=True)
class _Annotations:
    """Annotations by field, of a whole project or one field, read in five statements."""

    cells: Mapping[int, list[Cell]]
    finished: Mapping[int, list[Shape]]
    ignored: Mapping[int, list[Shape]]
    predictions: Mapping[int, list[Proposal]]
    rejected: Mapping[int, list[Box]]
    decided: Mapping[int, list[int]]

    def of(self, field: Field, predicted: Sequence[Proposal]) -> PredictedField:
        return PredictedField(
            field,
            tuple(self.cells.get(field.id, ())),
            tuple(predicted),
            tuple(self.finished.get(field.id, ())),
            tuple(self.ignored.get(field.id, ())),
            tuple(self.rejected.get(field.id, ())),
            frozenset(self.decided.get(field.id, ())),
        )


def _read_annotations(project: Project, model_id: int | None, field_id: int | None = None) -> _Annotations:
    states = [s for s in SuggestionState if s is not SuggestionState.SUPERSEDED]
    suggestions = project.suggestions.find(field_id, states=states)
    own = [s for s in suggestions if s.model_id == model_id]
    regions = project.regions.all(field_id)
    return _Annotations(
        by_field((cell.field_id, cell) for cell in project.cells.all(field_id)),
        by_field((r.field_id, r.shape) for r in regions if r.finished),
        by_field((area.field_id, area.shape) for area in project.ignore_areas.all(field_id)),
        by_field((s.field_id, s.proposal) for s in own),
        by_field((s.field_id, s.box) for s in suggestions if s.reason is RejectionReason.NOT_A_CELL),
        by_field((s.field_id, s.cell_id) for s in own if s.cell_id is not None),
    )
