"""Label error detection: how many true label errors rank first among the possible label errors.

    python examples/benchmarks/benchmark_mistakes.py --data ../shared/data

``injected``: a project of fully annotated fields of ``pbc`` in the schema `lld`, with a few injected label
errors of each kind: a wrong class, a wrong attribute value, a shifted or scaled box, a missing cell. After
``napari-lld predict`` (``trained``: after ``napari-lld train``), the possible label errors are ranked as by
``napari-lld rank --what label-errors --least 0``. Reported is the average precision of the whole list and of
each kind, next to that of cleanlab's ObjectLab (Tkachenko et al. 2023, arXiv 2309.00832; ``pip install
cleanlab``) on the same predictions, which detects errors of classes, boxes and missing cells. ``readers``:
cells read by two annotators, without injected errors; reported is how many of those that were read
differently rank in the first fifth. ``--judge fold`` needs a model that was not trained on the fixed fifth
(``--init``). ``--quick`` runs on the sample.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, sample, second_readings, studied, taught_and_judged
from bench.worker import ask

from annotation_store import Project
from annotation_store.geometry import iou, iou_matrix
from annotation_store.records import Box
from training import ranking
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import IOU
from training.protocol import PredictRequest

ARMS = ("injected:24", "injected:6", "injected:24 trained", "readers:lld", "readers:wbcatt")
KINDS = ("class", "value", "box", "missing")
OBJECTLAB = ("class", "box", "missing")
"""The kinds of errors that ObjectLab detects."""

CONFIDENT = (0.95, 0.8)
"""Minimum probability of predictions for ObjectLab: its default, and one that suits our models better."""

SHARE = 0.04
"""Share of the cells that get an error of each kind."""

FIRST = 0.2
"""Share of the cells that is reviewed."""


@dataclass(frozen=True)
class Error:
    """An injected error: of the cell in a box, or ``"missing"``: of a cell deleted there."""

    kind: str
    field: str
    box: Box


def injected(fields: Sequence[Field], seed: int) -> tuple[list[Field], list[Error]]:
    """Inject errors of each of `KINDS` into `SHARE` of the cells, at most one per cell."""
    rng = random.Random(seed)
    places = [(i, j) for i, field in enumerate(fields) for j in range(len(field.cells))]
    rng.shuffle(places)
    each = max(1, round(SHARE * len(places)))
    classes = sorted({str(cell.cell_class) for field in fields for cell in field.cells if cell.cell_class})
    values: dict[str, set[str]] = {}
    for field in fields:
        for cell in field.cells:
            for name, value in cell.attributes.items():
                values.setdefault(name, set()).add(value)
    cells: dict[tuple[int, int], TrueCell | None] = {}
    errors = []
    for number, kind in enumerate(KINDS):
        for i, j in places[number * each : (number + 1) * each]:
            field, cell = fields[i], fields[i].cells[j]
            wrong: TrueCell | None = cell
            if kind == "class":
                wrong = replace(cell, cell_class=rng.choice([c for c in classes if c != cell.cell_class]))
            elif kind == "value":
                name = rng.choice(sorted(n for n in cell.attributes if len(values[n]) > 1))
                others = sorted(values[name] - {cell.attributes[name]})
                wrong = replace(cell, attributes={**cell.attributes, name: rng.choice(others)})
            elif kind == "box":
                wrong = replace(cell, box=displaced(field, cell.box, rng))
            else:
                wrong = None
            cells[i, j] = wrong
            errors.append(Error(kind, field.name, (wrong or cell).box))
    made = []
    for i, field in enumerate(fields):
        own = [cells.get((i, j), cell) for j, cell in enumerate(field.cells)]
        made.append(replace(field, cells=tuple(cell for cell in own if cell is not None)))
    return made, errors


def displaced(field: Field, box: Box, rng: random.Random) -> Box:
    """Shift a box by 20 to 50% of its side, or scale it to 60 to 80% or 125 to 160%, inside the field."""
    while True:
        x, y, w, h = box
        if rng.random() < 0.5:
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.5)
            x, y = x + far * w * np.cos(angle), y + far * h * np.sin(angle)
        else:
            factor = rng.uniform(0.6, 0.8) if rng.random() < 0.5 else rng.uniform(1.25, 1.6)
            x, y, w, h = x + w * (1 - factor) / 2, y + h * (1 - factor) / 2, w * factor, h * factor
        x1, y1, x2, y2 = max(0.0, x), max(0.0, y), min(field.width, x + w), min(field.height, y + h)
        moved = (x1, y1, x2 - x1, y2 - y1)
        if moved[2] > 4 and moved[3] > 4 and iou(moved, box) < 0.75:
            return moved


@dataclass(frozen=True)
class Doubt:
    """A possible label error, with a score per kind of error, and one of all kinds together."""

    field: str
    box: Box
    missing: bool
    scores: Mapping[str, float]
    score: float


def doubts(made: Project) -> list[Doubt]:
    """List the possible label errors of a project, as ``napari-lld rank --what label-errors`` does."""
    names = {field.id: field.name for field in made.fields.all()}
    return [
        Doubt(names[item.field_id], item.box, item.id is None, item.errors, item.score)
        for item in ranking.label_errors(made, min_probability=0.0).items
        if item.box is not None
    ]


def predictions(made: Project, classes: Sequence[str]) -> dict[str, list[tuple[Box, str, float]]]:
    """Return the predictions of the trained model per field: boxes, classes and probabilities of both.

    In a box with a labelled cell, the class is the out-of-fold prediction.
    """
    looks = made.embeddings.of(ranking.label_errors(made).source or "", predictions=True)
    found: dict[str, list[tuple[Box, str, float]]] = {}
    for field in made.fields.all():
        look = looks[field.id]
        cells = list(look.cells.values())
        some = [*look.predictions, *(item.proposal for item in made.suggestions.find(field.id))]
        overlaps = iou_matrix([item.box for item in some], [item.box for item in cells])
        rows = []
        for item, row in zip(some, overlaps, strict=True):
            predicted = item.class_probabilities
            if len(row) and row.max() >= IOU:
                predicted = cells[int(row.argmax())].class_probabilities or predicted
            if predicted:
                best = max(sorted(predicted), key=predicted.__getitem__)
                if best in classes:
                    rows.append((item.box, best, item.confidence * predicted[best]))
        found[field.name] = rows
    return found


def objectlab(
    fields: Sequence[Field], found: Mapping[str, list[tuple[Box, str, float]]], confident: float
) -> list[Doubt]:
    """Return the scores of ObjectLab for the same labels and predictions; nothing if it is not installed."""
    try:
        from cleanlab.object_detection import rank  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        print("ObjectLab is compared where cleanlab is installed: pip install cleanlab", file=sys.stderr)
        return []
    seen = {name for some in found.values() for _, name, _ in some}
    classes = sorted(seen | {str(cell.cell_class) for field in fields for cell in field.cells})
    labels, predicted, boxes = [], [], []
    for field in fields:
        names = np.array([classes.index(str(cell.cell_class)) for cell in field.cells], int)
        labels.append({"bboxes": _corners([cell.box for cell in field.cells]), "labels": names})
        of_class = [[item for item in found[field.name] if item[1] == name] for name in classes]
        boxes.append([box for some in of_class for box, _, _ in some])
        rows = np.empty(len(classes), object)
        for k, some in enumerate(of_class):
            probabilities = np.array([p for _, _, p in some], float)
            rows[k] = np.column_stack((_corners([box for box, _, _ in some]), probabilities))
        predicted.append(rows)
    both: dict[str, Any] = {"labels": labels, "predictions": predicted}
    swap = rank.compute_swap_box_scores(**both, high_probability_threshold=confident)
    badly = rank.compute_badloc_box_scores(**both)
    overlooked = rank.compute_overlooked_box_scores(**both, high_probability_threshold=confident)
    doubts = []
    for i, field in enumerate(fields):
        for cell, a, b in zip(field.cells, swap[i], badly[i], strict=True):
            scores = {"class": 1 - float(a), "box": 1 - float(b)}
            doubts.append(Doubt(field.name, cell.box, False, scores, max(scores.values())))
        for box, c in zip(boxes[i], overlooked[i], strict=True):
            if np.isfinite(c):
                doubts.append(Doubt(field.name, box, True, {"missing": 1 - float(c)}, 1 - float(c)))
    return doubts


def _corners(boxes: Sequence[Box]) -> np.ndarray:
    rows = np.array(boxes, float).reshape(-1, 4)
    return np.concatenate((rows[:, :2], rows[:, :2] + rows[:, 2:]), 1)


def judged(
    doubts: Sequence[Doubt], errors: Sequence[Error], kinds: Sequence[str], *, together: bool
) -> dict[str, float]:
    """Return the average precision, and precision and recall at the number of errors.

    Parameters
    ----------
    kinds
        Kinds of the errors to find.
    together
        Whether to order the list by the score of all kinds, or by the highest score of `kinds`.
    """
    matching = [item for item in errors if item.kind in kinds]
    order = []
    for item in doubts:
        score = item.score if together else max((item.scores.get(kind, 0.0) for kind in kinds), default=0.0)
        if score > 0:
            order.append((score, item))
    order.sort(key=lambda pair: -pair[0])
    taken: set[Error] = set()
    hits = []
    for _, item in order:
        hit = next((e for e in matching if e not in taken and _is(item, e)), None)
        taken |= {hit} if hit is not None else set()
        hits.append(hit is not None)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    first = len(matching)
    return {
        "ap": float((precision * np.array(hits, bool)).sum() / max(1, len(matching))),
        "precision": float(np.mean(hits[:first])) if hits else 0.0,
        "recall": len(taken) / max(1, len(matching)),
        "errors": len(matching),
        "listed": len(order),
    }


def _is(doubt: Doubt, error: Error) -> bool:
    if doubt.field != error.field or doubt.missing != (error.kind == "missing"):
        return False
    return iou(doubt.box, error.box) >= (IOU if doubt.missing else 0.98)


def look(made: Project, args: Any, *, trained: bool = False) -> None:
    """Predict a project with the starter, with the model of ``--init``, or with one trained on it."""
    if trained:
        options: dict[str, Any] = dict(arguments.beginning(args))
        project.train(made, **options)
        return
    model = "starter" if args.init is None else project.adopt(made, args.init)
    ask(PredictRequest(project=str(made.path), model=model))
    made.refresh()


def run_injected(config: Mapping[str, Any], fields: Sequence[Field], args: Any) -> dict[str, Any]:
    """Inject errors into fields, predict, and evaluate both lists."""
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        wrong, errors = injected(studied(fields, config["subset"])[: config["fields"]], config["subset"])
        project.annotate(made, wrong)
        look(made, args, trained=config["trained"])
        ours, classes = doubts(made), sorted({str(c.cell_class) for f in wrong for c in f.cells})
        listed = len(ranking.label_errors(made).items)
        found = predictions(made, classes)
    outcome: dict[str, Any] = {
        "cells": sum(len(f.cells) for f in wrong),
        "listed": listed,
        "all": judged(ours, errors, KINDS, together=True),
        "three": judged(ours, errors, OBJECTLAB, together=False),
        **{kind: judged(ours, errors, [kind], together=False) for kind in KINDS},
        "objectlab": {},
    }
    for confident in CONFIDENT:
        if other := objectlab(wrong, found, confident):
            outcome["objectlab"][str(confident)] = {
                "three": judged(other, errors, OBJECTLAB, together=False),
                **{kind: judged(other, errors, [kind], together=False) for kind in OBJECTLAB},
            }
    return outcome


def run_readers(
    schema: str, fields: Sequence[Field], second: Mapping[tuple[str, Box], Mapping[str, str]], args: Any
) -> dict[str, Any]:
    """Count the cells read differently among the first of those read twice."""
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project", schema) as made,
    ):
        project.annotate(made, fields)
        look(made, args)
        scores = {(item.field, tuple(item.box)): item.score for item in doubts(made) if not item.missing}
    read = [(field.name, cell) for field in fields for cell in field.cells]
    rows = []
    for name, cell in read:
        other = second.get((name, cell.box))
        if other is not None:
            differs = any(other.get(key) != value for key, value in cell.attributes.items())
            rows.append((scores.get((name, tuple(cell.box)), 0.0), differs))
    rows.sort(key=lambda row: -row[0])
    first = round(FIRST * len(rows))
    return {
        "cells": len(rows),
        "looked_at": first,
        "disputed": sum(differs for _, differs in rows),
        "among_the_first": sum(differs for _, differs in rows[:first]),
    }


def run(config: Mapping[str, Any], args: Any) -> dict[str, Any]:
    """Run a configuration."""
    in_lld = config.get("schema") != "wbcatt"
    fields = taught_and_judged(args.data / "pbc", config["judge"], in_lld=in_lld)[1]
    if "schema" not in config:
        return run_injected(config, fields, args)
    split = "val" if config["judge"] == "val" else "train"
    return run_readers(config["schema"], fields, second_readings(args.data, split, in_lld=in_lld), args)


def wanted(args: Any) -> list[dict[str, Any]]:
    """Return the configurations of all runs."""
    runs = []
    for arm in args.arms:
        name, _, how = arm.partition(":")
        config: dict[str, Any] = {"benchmark": "mistakes", "judge": args.judge, "set": name}
        if args.init is not None:
            config["init"] = file_digest(args.init)
        if name == "readers":
            runs.append(config | {"schema": how})
            continue
        config |= {"fields": int(how.split()[0]), "trained": "trained" in how}
        runs += [config | {"subset": subset} for subset in range(args.subsets)]
    return runs


def table(kept: Sequence[Mapping[str, Any]]) -> str:
    """Format a table of the injected errors, and one of the readers."""
    groups: dict[tuple[int, bool], list[Any]] = {}
    readers = []
    for row in kept:
        config, result = row["config"], row["result"]
        if config["set"] == "readers":
            numbers = (result[key] for key in ("cells", "disputed", "looked_at", "among_the_first"))
            readers.append([config["schema"], *numbers])
        else:
            groups.setdefault((config["fields"], config["trained"]), []).append(result)
    head = ["fields", "runs", "list", "all errors", "precision", "recall", "without values", *KINDS]
    rows = []
    for (fields, trained), some in groups.items():
        cells = [tables.spread([item[key]["ap"] for item in some]) for key in ("three", *KINDS)]
        first = [tables.spread([item["all"][key] for item in some]) for key in ("ap", "precision", "recall")]
        name = f"{fields}, trained" if trained else str(fields)
        rows.append([name, len(some), "ours", *first, *cells])
        for confident in sorted({key for item in some for key in item["objectlab"]}, reverse=True):
            theirs = [item["objectlab"][confident] for item in some if confident in item["objectlab"]]
            cells = [
                tables.spread([item[key]["ap"] for item in theirs]) if key in theirs[0] else "–"
                for key in ("three", *KINDS)
            ]
            rows.append([name, len(theirs), f"ObjectLab, from {confident}", "–", "–", "–", *cells])
    text = tables.markdown(head, rows) if rows else ""
    if readers:
        head = ["words", "read twice", "read differently", "first fifth", "of them read differently"]
        text += ("\n\n" if text else "") + tables.markdown(head, readers)
    return text


def quick() -> int:
    """Evaluate injected errors on the sample."""
    parser = arguments.parser(__doc__)
    args = parser.parse_args([])
    fields = [field for field in sample() if any(cell.attributes for cell in field.cells)][:2]
    config = {"set": "injected", "subset": 0, "fields": 2, "trained": False}
    print(table([{"config": config, "result": run_injected(config, fields, args)}]))
    return 0


def main() -> int:
    """Run what is not cached, and write the tables."""
    parser = arguments.parser(__doc__, ARMS)
    args = arguments.read(parser)
    if args.quick:
        return quick()
    kept = Cache(args.cache / "mistakes.jsonl")
    runs = wanted(args)
    for config in () if args.table else runs:
        kept.kept(config, partial(run, config, args))
    found = [row for config in runs if (row := kept.latest(config)) is not None]
    tables.publish(args.cache, f"mistakes-{args.judge}", table(found) if found else "", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
