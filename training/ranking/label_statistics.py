"""Compare labels with predictions: the probability that a label, a box or an unboxed cell is an error."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotation_store.geometry import iou_matrix
from annotation_store.records import Box, Cell, Field, Proposal, Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.evaluation.matching import match

PRIOR = 0.03
"""Prior probability that a label, or a box, is wrong."""

MIN_PROBABILITY = 0.5
"""Minimum probability of a listed error."""

_MISSED_ODDS = 0.3
"""Factor on the odds of a predicted cell if a person has finished the area without boxing it."""

_PRIOR_EMPTY = 0.1
"""Prior probability that a box is empty."""

_MIN_BOXES = 10
_MIN_BOX_DEVIATION, _BOX_DEVIATION = 0.06, 0.1
"""Median deviation (1 - IoU) of boxes from predicted ones: its minimum, and the default for few boxes."""

_PRIOR_RECALL, _PRIOR_RECALL_CELLS = 0.9, 10
"""Prior recall of a model, and its weight as a number of cells."""

TOUCHING_IOU = 0.2
"""Minimum IoU of boxes that may be of one cell."""

SAME_IOU = 0.5
"""Minimum IoU of boxes that are of one cell."""


@dataclass(frozen=True)
class PredictedField:
    """A field's labels and one model's predictions for it.

    Attributes
    ----------
    judged
        Cell id to its out-of-fold prediction.
    learnt
        Id of the last training cell of this field; ``None`` = the model was not trained on it.
    decided
        Ids of cells that a person labelled while seeing this model's prediction.
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

    def matches(self) -> tuple[list[Proposal], np.ndarray, dict[int, Proposal]]:
        """Return the predictions, the most confident first, their IoU with the cells, and matches."""
        boxes = np.array([cell.box for cell in self.cells]).reshape(-1, 4)
        predicted = sorted(self.predictions, key=lambda p: -p.confidence)
        overlaps = iou_matrix(np.array([p.box for p in predicted]), boxes)
        matched = match(overlaps, range(len(predicted)), np.zeros(len(self.cells), bool))
        return predicted, overlaps, {int(cell): predicted[i] for i, cell in enumerate(matched) if cell >= 0}

    def prediction(self, cell: Cell, found_by: Proposal | None) -> Proposal | None:
        """Return the prediction for a cell, if possible the out-of-fold one."""
        judged = self.judged.get(cell.id)
        if judged is None or iou_matrix([judged.box], [cell.box])[0, 0] < SAME_IOU:  # the box was moved away
            return found_by
        if found_by is None:
            return judged
        return replace(judged, box=found_by.box, confidence=found_by.confidence)


@dataclass(frozen=True)
class LabelStatistics:
    """Statistics of a reading's labels that single labels are compared with.

    Attributes
    ----------
    self_confidence
        Attribute (``""`` = the class) and label to the mean out-of-fold probability of the label: low for a
        new class, or if readers disagree. (Confident learning: Northcutt et al. 2021, arXiv 1911.00068.)
    box_deviation
        Median deviation of boxes from predicted ones: 1 - IoU.
    recall
        Share of the cells that the model finds.
    """

    self_confidence: Mapping[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    box_deviation: float = _BOX_DEVIATION
    recall: float = _PRIOR_RECALL

    @classmethod
    def of(
        cls, fields: Sequence[PredictedField], schema: Schema, recall: float | None = None
    ) -> LabelStatistics:
        """Compute them from all fields; `recall` is that on held-out cells, if it was measured."""
        probabilities: dict[tuple[str, str], list[float]] = defaultdict(list)
        deviations: list[float] = []
        cells = n_touched = 0
        for field_ in fields:
            predicted, overlaps, matches = field_.matches()
            cells += len(field_.cells)
            n_touched += int((overlaps >= TOUCHING_IOU).any(0).sum()) if len(predicted) else 0
            for i, cell in enumerate(field_.cells):
                if i in matches:
                    deviations.append(1 - float(iou_matrix([cell.box], [matches[i].box])[0, 0]))
                for name, label, p, _ in predicted_labels(cell, field_.judged.get(cell.id), schema):
                    probabilities[name, label].append(p)
        shares = {key: float(np.mean(values)) for key, values in probabilities.items()}
        deviation = (
            max(_MIN_BOX_DEVIATION, float(np.median(deviations)))
            if len(deviations) >= _MIN_BOXES
            else _BOX_DEVIATION
        )
        prior = _PRIOR_RECALL if recall is None else recall
        # leave one out: the cell in question does not count
        recall_share = (n_touched + _PRIOR_RECALL_CELLS * prior) / (
            max(n_touched, cells - 1) + _PRIOR_RECALL_CELLS
        )
        return cls(shares, deviation, recall_share)

    def wrong_label(self, attribute: str, label: str, p: float) -> float:
        """Return the probability that a label is wrong, given its predicted probability `p`."""
        p_correct = min(1.0, p / max(1e-3, self.self_confidence.get((attribute, label), 1.0)))
        return PRIOR * (1 - p_correct) / (PRIOR * (1 - p_correct) + (1 - PRIOR) * p_correct)

    def wrong_box(self, overlap: float) -> float:
        """Return the probability that a box is badly placed, given its IoU with the predicted one."""
        sigma = self.box_deviation / 0.6745  # from the median of a half-normal distribution
        density = math.sqrt(2 / math.pi) / sigma * math.exp(-0.5 * ((1 - overlap) / sigma) ** 2)
        return PRIOR / (PRIOR + (1 - PRIOR) * density)

    @property
    def empty_box(self) -> float:
        """Probability that a box without a predicted cell is empty."""
        return _PRIOR_EMPTY / (_PRIOR_EMPTY + (1 - _PRIOR_EMPTY) * (1 - self.recall))


def missed_probability(confidence: float) -> float:
    """Return the probability that a person missed a predicted cell."""
    odds = _MISSED_ODDS * confidence
    return odds / (odds + 1 - confidence)


@dataclass(frozen=True)
class Contradiction:
    """The predictions that confidently contradict the labels of a cell.

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
    cell: Cell, predicted: Proposal, schema: Schema, statistics: LabelStatistics | None = None
) -> Contradiction:
    """Return which labels of a cell a model contradicts, except those that a person has confirmed."""
    statistics = statistics or LabelStatistics()
    other, values = None, {}
    for name, label, p, alternative in predicted_labels(cell, predicted, schema):
        if alternative is None or statistics.wrong_label(name, label, p) < MIN_PROBABILITY:
            continue
        if name:
            values[name] = alternative
        else:
            other = alternative
    return Contradiction(other, values)


def predicted_labels(
    cell: Cell, predicted: Proposal | None, schema: Schema
) -> Iterator[tuple[str, str, float, str | None]]:
    """Yield each label that has a prediction and was not confirmed by a person.

    A model has no prediction for a class or value it was not trained on (it may be older than the schema),
    nor for the class of an unknown cell.

    Yields
    ------
    tuple
        Attribute (``""`` = the class), label, its predicted probability, and the most probable alternative;
        ``None`` = none.
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
            yield "", label, sum(shares[name] for name in members), _most_probable(others)
    confirmed = cell.confirmed.get("attributes", {})
    for attribute in schema.attributes:
        name = attribute.name
        value, shares = cell.attributes.get(name), predicted.attribute_probabilities.get(name, {})
        if value is None or value not in shares or value == confirmed.get(name):
            continue
        others = {
            other: p for other, p in shares.items() if other != value and other in attribute.value_names
        }
        yield name, value, shares[value], _most_probable(others)


def _most_probable(shares: Mapping[str, float]) -> str | None:
    return max(sorted(shares), key=shares.__getitem__, default=None)
