"""Attribute prediction beyond what the class implies, after training on a few fields of a project.

    python examples/benchmarks/benchmark_attributes.py --data ../shared/data --judge val

A project is trained on twenty fields of ``pbc`` in the schema `lld`, which were not used to train the
starter's describer, and evaluated on the fixed fifth of ``train`` or on ``val``, with the defaults of
``napari-lld train`` and ``evaluate``, and a budget of one minute. Reported per attribute: macro-F1; macro-F1
of predicting the most common value of the class; how often each value is recognised within a class; for
ordered attributes the mean distance in ranks, and kappa. ``starter`` evaluates the starter alone. Runs are
cached in ``CACHE/attributes.jsonl``; ``--quick`` runs on the bundled sample.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, sample, studied, taught_and_judged

FIELDS, BUDGET = 20, 60.0
ARMS = ("starter", "taught")
NUMBERS = ("f1", "look_up", "within_class", "rank_error", "weighted_kappa")
TITLES = ("macro-F1", "of the class alone", "within a class", "places off", "weighted kappa")


def is_new(field: Field) -> bool:
    """Return whether the starter's describer was not trained on a field (`train_starter.is_kept`)."""
    return int(hashlib.sha256(f"kept:{Path(field.name).name}".encode()).hexdigest(), 16) % 6 == 0


def run(fields: Sequence[Field], judged: Sequence[Field], **options: Any) -> dict[str, Any]:
    """Train a project on fields, or use the starter if there are none, and evaluate all attributes."""
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        if fields:
            project.annotate(made, fields)
            project.train(made, **options)
        numbers = project.measured(made, judged, **({} if fields else {"model": "starter"}))
    some = {name: item for name, item in numbers["attributes"].items() if item["n"]}
    return {
        **{key: numbers[key] for key in ("class_f1", "attribute_f1")},
        "calibration": {name: numbers["calibration"]["attributes"][name]["after"] for name in some},
        "attributes": {name: {key: item.get(key) for key in NUMBERS} for name, item in some.items()},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format mean and standard deviation over the subsets."""
    lines = []
    for arm in ARMS:
        results = [row["result"] for row in rows if row["config"]["arm"] == arm]
        for name in results[0]["attributes"] if results else ():
            found = [item["attributes"][name] for item in results]
            lines.append([arm, name.replace("_", " "), len(found), *(_spread(found, key) for key in NUMBERS)])
        for name in ("attribute_f1", "class_f1") if results else ():
            lines.append(
                [arm, name.replace("_f1", ", mean"), len(results), _spread(results, name), *[""] * 4]
            )
    return tables.markdown(["model", "attribute", "subsets", *TITLES], lines)


def _spread(found: Sequence[Mapping[str, Any]], key: str) -> str:
    values = [item[key] for item in found if item[key] is not None]
    return tables.spread(values) if values else ""


def main() -> int:
    """Run what is not cached, and write the table."""
    args = arguments.read(arguments.parser(__doc__, ARMS))
    options = arguments.beginning(args)
    if args.quick:
        some = [field for field in sample() if any(cell.attributes for cell in field.cells)]
        result = run(some[:1], some[1:2], epochs=1, size=128, holdout=0.0, suggest=False)
        print(table([{"config": {"arm": "taught"}, "result": result}]))
        return 0
    kept = Cache(args.cache / "attributes.jsonl")
    start = {} if args.init is None else {"starter": file_digest(args.init)}
    configs = [
        {"benchmark": "attributes", "judge": args.judge, "arm": arm, "subset": subset, **start}
        for arm in args.arms
        for subset in range(args.subsets if arm == "taught" else 1)
    ]
    if not args.table:
        taught, judged = taught_and_judged(args.data / "pbc", args.judge, in_lld=True)
        new = [field for field in taught if is_new(field)]
        for item in configs:
            fields = studied(new, item["subset"])[:FIELDS] if item["arm"] == "taught" else []
            kept.kept(
                item, lambda fields=fields: run(fields, judged, budget=BUDGET, suggest=False, **options)
            )  # type: ignore[misc]
    rows = [row for item in configs if (row := kept.latest(item)) is not None]
    tables.publish(args.cache, f"attributes-{args.judge}", table(rows) if rows else "", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
