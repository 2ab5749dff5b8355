"""Agreement of a model with an expert, compared with the agreement of two experts.

    python examples/benchmarks/benchmark_readers.py --data ../shared/data

On the cells of ``pbc`` that two annotators read (74 of ``val``, none used to train the bundled starter): per
attribute of the schema `lld`, the agreement of the model with the first reader, of the model with the second,
and of both readers, as a share and as Cohen's kappa, with bootstrap intervals over cells. Predictions are
those of ``napari-lld predict --images``. ``--quick`` runs on the sample, whose second reader is the first.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments, project, tables
from bench.cache import Cache
from bench.data import Field, load_fields, sample, second_readings

from annotation_store.geometry import iou_matrix
from annotation_store.schema import load_schema
from training.evaluation.matching import IOU

Readings = list[tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str]]]
"""For each cell the values of the model, the first and the second reader: attribute to value."""

PAIRS = {"model, first reader": (0, 1), "model, second reader": (0, 2), "the two readers": (1, 2)}
RESAMPLES = 2000


def ask(
    fields: Sequence[Field], second: Mapping[tuple[str, tuple[float, ...]], Mapping[str, str]]
) -> Readings:
    """Predict the cells that were read twice with the starter."""
    fields = [field for field in fields if any((field.name, tuple(c.box)) in second for c in field.cells)]
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        found = project.proposals(made, fields, model="starter", min_confidence=0.25)
    read: Readings = []
    for field, some in zip(fields, found, strict=True):
        for cell in field.cells:
            other = second.get((field.name, tuple(cell.box)))
            overlaps = (
                iou_matrix(np.array([cell.box]), np.array([item.box for item in some]))[0] if some else []
            )
            if other is not None and len(overlaps) and max(overlaps) >= IOU:
                read.append((some[int(np.argmax(overlaps))].best_attributes, cell.attributes, other))
    return read


def kappa(item: np.ndarray, other: np.ndarray) -> float:
    """Return Cohen's kappa (1960); 1 if both always give the same single value."""
    values = np.unique(np.concatenate((item, other)))
    chance = sum(float((item == v).mean() * (other == v).mean()) for v in values)
    return 1.0 if chance == 1 else float(((item == other).mean() - chance) / (1 - chance))


def compare(read: Readings, attribute: str) -> dict[str, Any] | None:
    """Compare an attribute on the cells for which all three have a value; ``None`` if there are none."""
    rows = [[complete.get(attribute) for complete in cell] for cell in read]
    complete = np.array([row for row in rows if all(row)])
    if not len(complete):
        return None
    rng = np.random.default_rng(0)
    draws = rng.integers(len(complete), size=(RESAMPLES, len(complete)))
    outcome: dict[str, Any] = {"cells": len(complete)}
    same = {name: complete[:, a] == complete[:, b] for name, (a, b) in PAIRS.items()}
    for name, (a, b) in PAIRS.items():
        outcome[name] = {
            "same": float(same[name].mean()),
            "interval": _interval(same[name][draws].mean(1)),
            "kappa": kappa(complete[:, a], complete[:, b]),
            "kappa_interval": _interval([kappa(complete[rows, a], complete[rows, b]) for rows in draws]),
        }
    of_model = (same["model, first reader"] + 0.0 + same["model, second reader"]) / 2
    less = (same["the two readers"] - of_model)[draws].mean(1)
    outcome["less_than_readers"] = _interval(less)
    return outcome


def _interval(drawn: Sequence[float] | np.ndarray) -> list[float]:
    """Return the 95% percentile interval of bootstrap values."""
    return [float(v) for v in np.quantile(drawn, [0.025, 0.975])]


def run(fields: Sequence[Field], second: Mapping[Any, Mapping[str, str]]) -> dict[str, Any]:
    """Predict, and compare every attribute."""
    read = ask(fields, second)
    compared = {item.name: compare(read, item.name) for item in load_schema("lld").attributes}
    return {"cells": len(read), "attributes": {name: item for name, item in compared.items() if item}}


def table(result: Mapping[str, Any]) -> str:
    """Format a table with a row per attribute."""
    rows = []
    for name, item in result["attributes"].items():
        low, high = item["less_than_readers"]
        both = (_share(item[pair]) for pair in PAIRS)
        rows.append([name, item["cells"], *both, f"{low:+.3f} to {high:+.3f}"])
    return tables.markdown(["attribute", "cells", *PAIRS, "the readers' less the model's, 95%"], rows)


def _share(pair: Mapping[str, Any]) -> str:
    """Format agreement and kappa of a pair, each with its interval."""
    text = f"{pair['same']:.3f} [{pair['interval'][0]:.2f}, {pair['interval'][1]:.2f}]"
    low, high = pair["kappa_interval"]
    return f"{text} ({pair['kappa']:.2f} [{low:.2f}, {high:.2f}])"


def main() -> int:
    """Compare, and write the table."""
    parser = arguments.parser(__doc__)
    args = arguments.read(parser)
    if args.quick:
        fields = [field for field in sample() if any(cell.attributes for cell in field.cells)][:2]
        second = {(f.name, tuple(c.box)): dict(c.attributes) for f in fields for c in f.cells}
        print(table(run(fields, second)))
        return 0
    kept = Cache(args.cache / "readers.jsonl")
    config = {"benchmark": "readers", "judge": "val", "intervals": "both"}
    if not args.table:
        fields = load_fields(args.data / "pbc/val.json", args.data / "pbc/images", in_lld=True)
        kept.kept(config, lambda: run(fields, second_readings(args.data, "val", in_lld=True)))
    row = kept.latest(config)
    tables.publish(args.cache, "readers", table(row["result"]) if row else "", [row] if row else [])
    return 0


if __name__ == "__main__":
    sys.exit(main())
