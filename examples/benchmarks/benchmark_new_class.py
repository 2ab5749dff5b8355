"""Training on a class that is new to the starter, and forgetting of the classes that it knows.

    python examples/benchmarks/benchmark_new_class.py --data ../shared/data [--starters FOLDER]

A project of the schema `lld` gets 20 or 100 labelled cells of each new class, each in a small region, is
trained with the defaults of ``napari-lld train``, and predicts cells not used for training, as by
``napari-lld predict --images``. ``pbc_ig``: myelocytes, metamyelocytes and erythroblasts (as the class
``None``), with ten fields of ``pbc`` with their 20% regions, from ``FOLDER/without-pbc_ig.safetensors``.
``left-out``: each class of ``pbc``, with five cells of each other, from a starter trained without it,
``FOLDER/without-CLASS.safetensors``. Subsets are chosen by a hash of the file names. Runs are cached in
``CACHE/new_class.jsonl``; ``--quick`` runs on the sample.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, around, picked, renamed, sample, sparsely, studied, taught_and_judged, within
from bench.scores import naming

NEW = ("Myelocyte", "Metamyelocyte", "None")
NAMES = {"Erythroblast": "None"}
"""Its counterpart in the schema `lld`: an artefact, of the kind nucleated red cell."""

OLD = ("Neutrophil", "Eosinophil", "Basophil", "Lymphocyte", "Monocyte")
OLD_FIELDS = 10
OLD_CELLS = 5
"""Labels of the classes that the starter knows: number of fields, or of cells per class."""

SHOWN = 0.25
"""Confidence from which suggestions are shown."""

ARMS = ("pbc_ig:20", "pbc_ig:100", "left-out:20", "left-out:100")


class Sets:
    """The training and the test fields, loaded on first use."""

    def __init__(self, data: Path, judge: str) -> None:
        self.data = data
        self.taught, self.judged = taught_and_judged(data / "pbc", judge, in_lld=True)
        young = taught_and_judged(data / "pbc_ig", judge)
        self.young, self.young_judged = (
            [_alone(renamed(f, NAMES)) for f in some if f.cells[0].cell_class in (*NEW, *NAMES)]
            for some in young
        )

    def lesson(self, config: dict[str, Any]) -> list[Field]:
        """Return the training fields of a run."""
        taught = studied(self.taught, config["subset"])
        if config["set"] == "pbc_ig":
            new = picked(studied(self.young, config["subset"]), dict.fromkeys(NEW, config["cells"]))
            return [*new, *sparsely(taught[:OLD_FIELDS], self.data / "pbc")]
        cells = dict.fromkeys(OLD, OLD_CELLS) | {config["new"]: config["cells"]}
        return picked(taught, cells)

    def exam(self, name: str) -> list[Field]:
        """Return the test fields."""
        return [*self.judged, *(self.young_judged if name == "pbc_ig" else ())]


def _alone(field: Field) -> Field:
    """Limit the annotated region of a field to its one cell; the surroundings are not annotated."""
    return within(field, [around(field, field.cells[0].box)])


def run(
    lesson: Sequence[Field], exam: Sequence[Field], options: dict[str, Any], starter: Path | None
) -> dict[str, Any]:
    """Train a project and predict the test fields; without training fields, predict with the starter."""
    device = {"device": options["device"]} if "device" in options else {}
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place,
        project.new(Path(place) / "project") as made,
    ):
        outcome: dict[str, Any] = {}
        model: int | str = "active"
        if lesson:
            project.annotate(made, lesson)
            outcome = {"taught": len(made.cells.all()), **project.train(made, **options)}
        else:
            model = "starter" if starter is None else project.adopt(made, starter)
        found = project.proposals(made, exam, model=model, min_confidence=SHOWN, **device)
    return {**outcome, **naming([field.truth() for field in exam], found)}


def wanted(args: Any) -> list[tuple[dict[str, Any], Path | None]]:
    """Return configuration and starter of all runs; those of untrained starters first."""
    runs: list[tuple[dict[str, Any], Path | None]] = []
    for subset in (None, *range(args.subsets)):
        for arm in args.arms:
            name, _, cells = arm.partition(":")
            for new in [None] if name == "pbc_ig" else OLD:
                starter = without(args.starters, new or name) if new or args.init is None else args.init
                if starter is None:  # the bundled one was trained on all classes
                    continue
                config: dict[str, Any] = {"benchmark": "new_class", "judge": args.judge, "set": name}
                config |= {} if new is None else {"new": new}
                config |= {} if starter is None else {"starter": file_digest(starter)}
                config |= {} if subset is None else {"cells": int(cells), "subset": subset}
                if (config, starter) not in runs:
                    runs.append((config, starter))
    return runs


def without(folder: Path | None, name: str) -> Path | None:
    """Return the starter that was trained without a class, if any."""
    return None if folder is None else folder / f"without-{name}.safetensors"


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format recall and forgetting by new class and number of cells."""
    before: dict[Any, dict[str, Any]] = {}
    groups: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for row in kept:
        config = row["config"]
        new = config.get("new", " + ".join(NEW))
        if "subset" not in config:
            before[config["set"], new] = row["result"]
            continue
        item = recalls(row["result"], before.get((config["set"], new), {}), new.split(" + "))
        groups.setdefault((config["set"], new, config["cells"]), []).append(item)
        if "new" in config:
            groups.setdefault((config["set"], "each", config["cells"]), []).append(item)
    head = ["set", "new", "cells of each", "runs", "recall of the new", "each of them", "recall of the old",
            "the starter's", "difference", "macro F1", "found", "seconds of training"]  # fmt: skip
    rows = []
    for (name, new, cells), some in groups.items():
        each = [] if new == "each" else list(some[0]["each"])
        recalled = " / ".join(tables.spread([item["each"][name] for item in some], 2) for name in each)
        keys = ("old", "before", "change", "macro_f1", "found")
        rows.append(
            [name, new, cells, len(some), tables.spread([item["new"] for item in some]),
             recalled, *(tables.spread([item[key] for item in some]) for key in keys),
             tables.spread([item["seconds"] for item in some], 0)]
        )  # fmt: skip
    return tables.markdown(head, rows)


def recalls(result: dict[str, Any], before: dict[str, Any], new: Sequence[str]) -> dict[str, Any]:
    """Return the mean recalls of the new and the old classes, and of the old ones before training."""
    old = [name for name in result["recall"] if name not in new]
    mean = statistics.mean(result["recall"][name] for name in old)
    first = statistics.mean(before["recall"][name] for name in old) if before else None
    return {
        "new": statistics.mean(result["recall"][name] for name in new),
        "each": {name: result["recall"][name] for name in new},
        "old": mean,
        "before": first,
        "change": None if first is None else mean - first,
        **{key: result[key] for key in ("macro_f1", "found", "seconds")},
    }


def quick() -> int:
    """Train on a few monocytes of the sample, labelled as myelocytes."""
    fields = [renamed(field, {"Monocyte": "Myelocyte"}) for field in sample()[:4]]
    options = {"epochs": 1, "size": 224, "holdout": 0.0}
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        kept = Cache(Path(place) / "runs.jsonl")
        config = {"set": "sample", "new": "Myelocyte"}
        lesson = picked(fields[:3], {"Myelocyte": 2, "Eosinophil": 2})
        config |= {"cells": 2, "subset": 0}
        kept.kept(config, partial(run, lesson, fields[3:], options, None))
        print(table(kept.rows()))
    return 0


def main() -> int:
    """Run what is not cached, and write the table."""
    parser = arguments.parser(__doc__, ARMS)
    parser.add_argument("--starters", type=Path, help="folder of without-WHAT.safetensors and .json")
    args = arguments.read(parser)
    if args.quick:
        return quick()
    kept = Cache(args.cache / "new_class.jsonl")
    runs = wanted(args)
    sets = None if args.table else Sets(args.data, args.judge)
    for config, starter in runs if sets else ():
        options = arguments.beginning(args) | ({} if starter is None else {"init": str(starter.absolute())})
        lesson = sets.lesson(config) if "subset" in config else []
        kept.kept(config, partial(run, lesson, sets.exam(config["set"]), options, starter))
    found = [row for config, _ in runs if (row := kept.latest(config)) is not None]
    tables.publish(args.cache, f"new_class-{args.judge}", table(found) if found else "", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
