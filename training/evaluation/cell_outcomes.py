"""What became of single cells when a model was measured: the best, the worst, the least certain; no torch.

A few of each are kept beside the model's weights, for whoever wants to see what the numbers are made of.
Which those are depends on the cells alone, never on the order of the fields.
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
from training.evaluation.metrics import FieldResult, TrueCell
from training.evaluation.uncertainty import Groups, information

FILE = "outcomes.json"
"""Beside the two files of a model; older versions wrote none."""

VERSION = 1
EACH = 12
"""Cells of each kind that are kept."""

THRESHOLD = 0.5

Kind = Literal["best", "worst", "unsure"]
What = Literal["right", "not found", "no cell", "class", "attribute"]

_NOTHING = 1e-6
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
        What it did on each field, and the field's id.
    groups
        Class group to its classes: the group and any of these do not contradict each other.
    threshold
        Confidence from which a proposal finds a cell.
    each
        How many of each kind.
    origins
        Where what was measured begins on the field: a window of a slide. ``None`` = at its corner.

    Returns
    -------
    list of dict
        ``kind`` (``"best"``: all that was labelled is right, with the most confidence; ``"worst"``: each
        kind of mistake in turn, the gravest first; ``"unsure"``: the greatest doubt, no matter whether
        right); ``what`` (see `What`); ``field``; ``box`` (``null`` if there is no cell) and ``proposed``
        (``null`` where nothing was); ``class`` and ``attributes`` as labelled; ``wrong``, the attributes
        that are; ``confidence``; ``said_class`` and ``said_attributes``: name to ``[value, probability]``;
        ``unknown``: the model could not say what the cell is, and no class stands in ``said_class``.
    """
    groups = groups or {}
    rows = [
        _moved(row, origin)
        for result, field_id, origin in zip(
            results, field_ids, origins or [(0.0, 0.0)] * len(results), strict=True
        )
        for row in _rows(result, field_id, groups, threshold)
    ]
    rows.sort(key=_place)
    best = sorted(
        (row for row in rows if row["what"] == "right" and row["labels"]),
        key=lambda row: (-row["labels"], row["surprise"]),
    )
    of_kind = [
        sorted((row for row in rows if row["what"] == what), key=lambda row: -row["surprise"])
        for what in ("class", "not found", "no cell", "attribute")
    ]
    worst = [row for some in zip_longest(*of_kind) for row in some if row is not None]
    shown = {id(row) for row in (*best[:each], *worst[:each])}
    unsure = sorted(
        (row for row in rows if row["doubt"] is not None and id(row) not in shown),
        key=lambda row: -row["doubt"],
    )
    kinds: list[tuple[Kind, list[Row]]] = [("best", best), ("worst", worst), ("unsure", unsure)]
    hidden = ("surprise", "doubt", "labels")
    return [
        {"kind": kind, **{k: v for k, v in row.items() if k not in hidden}}
        for kind, some in kinds
        for row in some[:each]
    ]


def write_outcomes(folder: Path, of: Mapping[str, Sequence[Row]]) -> None:
    """Store outcomes in a model's folder, by what they were measured on (``held_out``, ``trained_on``)."""
    text = json.dumps({"version": VERSION, **{name: list(rows) for name, rows in of.items()}})
    write_file(folder / FILE, text)


def read_outcomes(folder: Path) -> dict[str, list[Row]]:
    """Read what `write_outcomes` stored; empty if there is nothing, or it cannot be read."""
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
        "unknown": predicted is not None and predicted.is_unknown,
        "said_attributes": {},
        "labels": 0,
        "doubt": None,
        # of a cell that was not found only its size says how easily it could have been
        "surprise": 0.0 if cell is None else max(cell.box[2:]),
    }
    if predicted is None:
        return row
    chances = {} if predicted.is_unknown else predicted.class_probabilities
    if predicted.stated_class is not None:
        row["said_class"] = [predicted.stated_class, round(chances[predicted.stated_class], 4)]
    row["said_attributes"] = {
        name: [value, round(predicted.attribute_probabilities[name][value], 4)]
        for name, value in predicted.best_attributes.items()
    }
    if cell is None:
        return row | {"surprise": predicted.confidence}
    surprises = {"cell": -math.log(max(predicted.confidence, _NOTHING))}
    if label is not None and label != UNSURE and chances:
        members = groups.get(label, (label,))
        surprises["class"] = -math.log(max(sum(chances.get(name, 0.0) for name in members), _NOTHING))
        if predicted.stated_class not in members:
            row["what"] = "class"
    for name, value in labelled.items():
        shares = predicted.attribute_probabilities.get(name)
        if shares:
            surprises[name] = -math.log(max(shares.get(value, 0.0), _NOTHING))
            if predicted.best_attributes[name] != value:
                row["wrong"].append(name)
    if row["what"] == "right" and row["wrong"]:
        row["what"] = "attribute"
    known_groups: Groups = list(groups.values())
    return row | {
        "labels": len(surprises) - 1,
        "doubt": information(predicted, known_groups)
        if predicted.class_probabilities or predicted.attribute_probabilities
        else None,
        "surprise": math.fsum(surprises.values()),
    }


def _moved(row: Row, origin: tuple[float, float]) -> Row:
    if any(origin):
        for name in ("box", "proposed"):
            if (box := row[name]) is not None:
                row[name] = [round(box[0] + origin[0], 2), round(box[1] + origin[1], 2), *box[2:]]
    return row


def _place(row: Row) -> tuple[int, list[float]]:
    """Order rows by where they lie: what else is equal then never depends on how they came."""
    return row["field"], row["box"] or row["proposed"] or []
