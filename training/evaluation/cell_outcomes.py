"""Outcomes of single cells in an evaluation: the best, the worst, the most uncertain; no torch.

A few of each are stored with the model's weights, to inspect what the metrics are made of. The choice depends
on the cells alone, not on the order of the fields.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from annotation_store.files.outputs import write_file
from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult
from training.evaluation.uncertainty import Groups, uncertainty

FILE = "outcomes.json"
"""File in the model's folder; older versions wrote none."""

VERSION = 1
EACH = 12
"""Number of cells of each kind."""

THRESHOLD = 0.5

Kind = Literal["best", "worst", "unsure"]
What = Literal["right", "not found", "no cell", "class", "attribute"]

_EPSILON = 1e-6
Row = dict[str, Any]


def outcomes(
    results: Sequence[FieldResult],
    field_ids: Sequence[int],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    threshold: float = THRESHOLD,
    each: int = EACH,
    origins: Sequence[tuple[float, float]] | None = None,
) -> list[Row]:
    """Choose the cells that show most about a model's performance.

    Parameters
    ----------
    results, field_ids
        The results on each field, and the field's id.
    groups
        Class group to its classes: the group and any of these do not contradict each other.
    threshold
        Confidence from which a proposal finds a cell.
    each
        Number of cells of each kind.
    origins
        Upper left corner of each evaluated area on its field (a window of a slide); ``None`` = (0, 0).

    Returns
    -------
    list of dict
        ``kind`` (``"best"``: all labels are predicted correctly, with the lowest loss; ``"worst"``: each kind
        of mistake in turn, the highest loss first; ``"unsure"``: the highest uncertainty, correct or not);
        ``what`` (see `What`); ``field``; ``box`` (``null`` if there is no cell) and ``proposed`` (``null`` if
        nothing was); ``class`` and ``attributes`` as labelled; ``wrong``, the wrong attributes;
        ``confidence``; ``said_class`` and ``said_attributes``: the predictions, ``[value, probability]``;
        ``unknown``: the cell is unknown to the model: ``said_class`` has no class, ``most_similar`` has it.
        The class of an unknown cell is never correct; it is wrong if the most similar one is, as in the
        confusion matrix and in F1.
    """
    groups = groups or {}
    rows = [
        _shift_boxes(row, origin)
        for result, field_id, origin in zip(
            results, field_ids, origins or [(0.0, 0.0)] * len(results), strict=True
        )
        for row in _rows(result, field_id, groups, threshold)
    ]
    rows.sort(key=_sort_key)
    best = sorted(
        (row for row in rows if row["what"] == "right" and row["labels"] and not row["unknown"]),
        key=lambda row: (-row["labels"], row["surprise"]),
    )
    by_mistake = [
        sorted((row for row in rows if row["what"] == what), key=lambda row: -row["surprise"])
        for what in ("class", "not found", "no cell", "attribute")
    ]
    worst = [row for rows_of_kind in zip_longest(*by_mistake) for row in rows_of_kind if row is not None]
    shown = {id(row) for row in (*best[:each], *worst[:each])}
    unsure = sorted(
        (row for row in rows if row["doubt"] is not None and id(row) not in shown),
        key=lambda row: -row["doubt"],
    )
    kinds: list[tuple[Kind, list[Row]]] = [("best", best), ("worst", worst), ("unsure", unsure)]
    hidden = ("surprise", "doubt", "labels")
    return [
        {"kind": kind, **{k: v for k, v in row.items() if k not in hidden}}
        for kind, rows_of_kind in kinds
        for row in rows_of_kind[:each]
    ]


def write_outcomes(folder: Path, by_split: Mapping[str, Sequence[Row]]) -> None:
    """Write outcomes to a model's folder, by the set they were measured on (``held_out``, ``trained_on``)."""
    text = json.dumps({"version": VERSION, **{name: list(rows) for name, rows in by_split.items()}})
    write_file(folder / FILE, text, parents=False)


def read_outcomes(folder: Path) -> dict[str, list[Row]]:
    """Read what `write_outcomes` wrote; empty if it is missing or cannot be read."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            return {}
        return {
            str(name): [row for row in rows if isinstance(row, dict)]
            for name, rows in content.items()
            if isinstance(rows, list)
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _rows(
    result: FieldResult, field_id: int, groups: Mapping[str, Sequence[str]], threshold: float
) -> Iterator[Row]:
    for cell, proposal in result.matched:
        found = proposal.confidence >= threshold
        yield _row(field_id, cell, proposal if found else None, groups)
    for cell in result.missed:
        yield _row(field_id, cell, None, groups)
    for proposal in result.spurious:
        if proposal.confidence >= threshold:
            yield _row(field_id, None, proposal, groups)


def _row(
    field_id: int, cell: TrueCell | None, predicted: Proposal | None, groups: Mapping[str, Sequence[str]]
) -> Row:
    labelled = {} if cell is None else {k: v for k, v in cell.attributes.items() if v != UNSURE}
    label = None if cell is None else cell.cell_class
    row: Row = {
        "what": "not found" if predicted is None else "no cell" if cell is None else "right",
        "field": field_id,
        "box": None if cell is None else [round(v, 2) for v in cell.box],
        "proposed": None if predicted is None else [round(v, 2) for v in predicted.box],
        "class": label,
        "attributes": labelled,
        "wrong": [],
        "confidence": None if predicted is None else round(predicted.confidence, 4),
        "said_class": None,
        "most_similar": None,
        "unknown": predicted is not None and predicted.is_unknown,
        "said_attributes": {},
        "labels": 0,
        "doubt": None,
        # a missed cell has no loss: rank it by its size
        "surprise": 0.0 if cell is None else max(cell.box[2:]),
    }
    if predicted is None:
        return row
    probabilities, best = predicted.class_probabilities, predicted.best_class
    if best is not None:
        name = "most_similar" if predicted.is_unknown else "said_class"
        row[name] = [best, round(probabilities[best], 4)]
    row["said_attributes"] = {
        name: [value, round(predicted.attribute_probabilities[name][value], 4)]
        for name, value in predicted.best_attributes.items()
    }
    if cell is None:
        return row | {"surprise": predicted.confidence}
    surprises = {"cell": -math.log(max(predicted.confidence, _EPSILON))}
    if label is not None and label != UNSURE and probabilities:
        members = groups.get(label, (label,))
        surprises["class"] = -math.log(max(sum(probabilities.get(name, 0.0) for name in members), _EPSILON))
        if best not in members:
            row["what"] = "class"
    for name, value in labelled.items():
        value_probabilities = predicted.attribute_probabilities.get(name)
        if value_probabilities:
            surprises[name] = -math.log(max(value_probabilities.get(value, 0.0), _EPSILON))
            if predicted.best_attributes[name] != value:
                row["wrong"].append(name)
    if row["what"] == "right" and row["wrong"]:
        row["what"] = "attribute"
    known_groups: Groups = list(groups.values())
    return row | {
        "labels": len(surprises) - 1,
        "doubt": uncertainty(predicted, known_groups)
        if predicted.class_probabilities or predicted.attribute_probabilities
        else None,
        "surprise": math.fsum(surprises.values()),
    }


def _shift_boxes(row: Row, origin: tuple[float, float]) -> Row:
    if any(origin):
        for name in ("box", "proposed"):
            if (box := row[name]) is not None:
                row[name] = [round(box[0] + origin[0], 2), round(box[1] + origin[1], 2), *box[2:]]
    return row


def _sort_key(row: Row) -> tuple[int, list[float]]:
    """Return a sort key by position, so that ties do not depend on the input order."""
    return row["field"], row["box"] or row["proposed"] or []
