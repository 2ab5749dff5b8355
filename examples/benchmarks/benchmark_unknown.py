"""Novelty detection: cells of untrained classes must be flagged, those of known classes on other films not.

    python examples/benchmarks/benchmark_unknown.py --data ../shared/data [--starters FOLDER]

Each suggestion of ``napari-lld predict --images`` has the p-value of being of a trained class; below 0.05
it is shown as unknown. ``starter``: cells of all sets with the bundled starter, which was trained on all of
their classes except the promyelocyte. The other arms use starters that ``train_starter.py`` trained without
some data (``FOLDER/without-WHAT.safetensors``): ``left-out`` without each class of ``pbc``, ``pbc_ig``
without the immature cells of the same laboratory, ``lmu`` without another laboratory, whose neutrophils are a
trained class and whose myeloblasts are not, in a project without labels, and with 1, 3 and 10 of its
neutrophils labelled, before and after a model is trained. The projects of the other arms have ten or more
labelled cells of trained classes per film, without which no probability would be validated. Runs are cached
in ``CACHE/unknown.jsonl``; ``--quick`` runs on the sample.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, around, close_ups, picked, renamed, sample, studied, taught_and_judged, within
from PIL import Image

from annotation_store.geometry import iou_matrix
from annotation_store.records import Proposal
from training.evaluation.matching import IOU
from training.evaluation.metrics import macro_f1

CLASSES = ("Neutrophil", "Eosinophil", "Basophil", "Lymphocyte", "Monocyte")
YOUNG = ("Myelocyte", "Metamyelocyte", "None")
"""Classes of `pbc_ig` that the bundled starter was trained on."""

ARMS = ("starter", "left-out", "pbc_ig", "lmu:0", "lmu:1", "lmu:3", "lmu:10", "lmu:10 trained")
ORDINARY = "Neutrophil"
LABELLED = 10
"""Minimum number of labelled cells of a film for its probabilities to count as validated."""

SURE = 0.95
SHOWN = 0.25
"""Confidence from which suggestions are shown."""


def lmu(data: Path, split: str, made: Any, *, study: int = 0, most: int | None = None) -> list[Field]:
    """Return close-ups of `lmu`, with the box of the starter's suggestion nearest to the centre."""
    bare = studied(close_ups(data / "lmu", split), study)[:most]
    found = project.proposals(made, bare, model="starter", min_confidence=SHOWN)
    fields = []
    for field, some in zip(bare, found, strict=True):
        boxes = [item.box for item in some if _in_the_middle(field, item)]
        if boxes:
            box = min(boxes, key=lambda item: _off(field, item))
            shown = replace(field, cells=(replace(field.cells[0], box=box),))
            fields.append(within(shown, [around(field, box)]))
    return fields


def _off(field: Field, box: Sequence[float]) -> float:
    x, y, w, h = box
    return max(abs(x + w / 2 - field.width / 2), abs(y + h / 2 - field.height / 2))


def _in_the_middle(field: Field, item: Proposal) -> bool:
    return _off(field, item.box) < 0.15 * max(field.width, field.height)


def asked(made: Any, fields: Sequence[Field], taught: Sequence[str], model: Any) -> dict[str, Any]:
    """Predict fields with a model, and evaluate its predictions of the annotated cells that it finds.

    Returns
    -------
    dict
        Areas under the ROC of flagging each untrained class as unknown (`auroc`), shares flagged as unknown
        of the trained classes and of the others, and shares with a class probability of `SURE` or more: of
        the trained (all, and wrong ones) and of the others. `taught_f1` is the macro-F1 of the classes of the
        trained cells, flagged or not; `taught_surer_than_right` is the mean probability of those that are not
        flagged, less their accuracy.
    """
    found = project.proposals(made, fields, model=model, min_confidence=SHOWN)
    rows: list[tuple[str, Proposal]] = []
    for field, some in zip(fields, found, strict=True):
        if not some:
            continue
        overlaps = iou_matrix(np.array([c.box for c in field.cells]), np.array([p.box for p in some]))
        for cell, row in zip(field.cells, overlaps, strict=True):
            if row.max() >= IOU and some[int(row.argmax())].novelty is not None:
                rows.append((str(cell.cell_class), some[int(row.argmax())]))
    known = [item for name, item in rows if name in taught]
    others = [(name, item) for name, item in rows if name not in taught]
    outcome: dict[str, Any] = {
        "cells": len(rows),
        "taught_f1": macro_f1(*zip(*((n, item.best_class) for n, item in rows if n in taught), strict=True)),
        "taught_flagged": share([item.is_unknown for item in known]),
        "taught_sure": share([_sure(item) for item in known]),
        "taught_surer_than_right": surer([(n, item) for n, item in rows if n in taught]),
        "taught_sure_and_wrong": share(
            [_sure(item) and item.best_class != n for n, item in rows if n in taught]
        ),
        "others_flagged": share([item.is_unknown for _, item in others]),
        "others_sure": share([_sure(item) for _, item in others]),
    }
    outcome["auroc"] = {
        name: auroc(
            [item.novelty or 0.0 for item in known], [p.novelty or 0.0 for n, p in others if n == name]
        )
        for name in sorted({name for name, _ in others})
    }
    outcome["flagged"] = {
        name: share([item.is_unknown for n, item in rows if n == name])
        for name in sorted({n for n, _ in rows})
    }
    return outcome


def _sure(item: Proposal) -> bool:
    return not item.is_unknown and max(item.class_probabilities.values(), default=0.0) >= SURE


def surer(rows: Sequence[tuple[str, Proposal]]) -> float | None:
    """Return the mean probability of cells not flagged as unknown, less their accuracy."""
    stated = [(item.class_probabilities.get(str(item.best_class), 0.0), name == item.best_class)
              for name, item in rows if not item.is_unknown]  # fmt: skip
    return statistics.mean(p - right for p, right in stated) if stated else None


def close_ups_of(fields: Sequence[Field], like: Field, folder: Path) -> list[Field]:
    """Crop the cells of fields, each to an image as large as another field."""
    made = []
    for field in fields:
        pixels = field.pixels()
        for cell in field.cells:
            x, y, w, h = cell.box
            left = int(min(max(0, x + w / 2 - like.width / 2), field.width - like.width))
            top = int(min(max(0, y + h / 2 - like.height / 2), field.height - like.height))
            file = folder / f"{len(made)}-{Path(field.name).stem}.png"
            Image.fromarray(pixels[top : top + like.height, left : left + like.width]).save(file)
            shown = replace(cell, box=(x - left, y - top, w, h))
            item = Field(file.name, file, like.width, like.height, (shown,), ())
            made.append(within(item, [around(item, shown.box)]))
    return made


def some_of_each(fields: Sequence[Field], names: Sequence[str]) -> list[Field]:
    """Return at least `LABELLED` cells of some classes, the same number of each."""
    return picked(studied(fields, 0), dict.fromkeys(names, -(-LABELLED // len(names))))


def share(some: Sequence[bool]) -> float | None:
    """Return the share of ``True``."""
    return statistics.mean(some) if some else None


def auroc(known: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the area under the ROC of separating `other` from `known` by small p-values; ties count half."""
    if not (known and other):
        return None
    a, b = np.array(known)[:, None], np.array(other)[None]
    return float((b < a).mean() + 0.5 * (b == a).mean())


def run(config: dict[str, Any], data: Path, starter: Path | None) -> dict[str, Any]:
    """Create a project, label cells, and evaluate."""
    name = config["set"]
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place,
        project.new(Path(place) / "project") as made,
    ):
        to_label, pbc = taught_and_judged(data / "pbc", config["judge"], in_lld=True)
        model: Any = "starter" if starter is None else project.adopt(made, starter)
        if name != "lmu":
            taught = [item for item in CLASSES if item != config.get("new")]
            project.annotate(made, ordinary := some_of_each(to_label, taught))
        if name == "left-out":
            return asked(made, pbc, taught, model)
        young_to_label, young = (
            [renamed(field, {"Erythroblast": "None"}) for field in some]
            for some in taught_and_judged(data / "pbc_ig", config["judge"])
        )
        if name == "pbc_ig":
            (Path(place) / "cut").mkdir()
            project.annotate(made, close_ups_of(ordinary, young[0], Path(place) / "cut"))
            return asked(made, [*pbc, *young], CLASSES, model)
        judged = lmu(data, "val", made)
        if name == "starter":
            project.annotate(made, some_of_each(young_to_label, YOUNG))
            project.annotate(made, some_of_each(lmu(data, "train", made, most=4 * LABELLED), [ORDINARY]))
            return asked(made, [*pbc, *young, *judged], [*CLASSES, *YOUNG, "Myeloblast"], model)
        if config["labelled"]:
            of_film = lmu(data, "train", made, study=config["subset"], most=8 * config["labelled"])
            project.annotate(made, picked(of_film, {ORDINARY: config["labelled"]}))
        if config["trained"]:
            project.train(made, init=str(model))
            model = "active"
        return asked(made, judged, CLASSES, model)


def wanted(args: Any) -> list[tuple[dict[str, Any], Path | None]]:
    """Return configuration and starter of all runs."""
    runs: list[tuple[dict[str, Any], Path | None]] = []
    for arm in args.arms:
        name, _, how = arm.partition(":")
        config: dict[str, Any] = {"benchmark": "unknown", "judge": args.judge, "set": name}
        if name != "lmu":
            config["labelled"] = LABELLED
        if name == "starter":
            runs.append((config, None))
            continue
        for left_out in () if args.starters is None else CLASSES if name == "left-out" else (name,):
            file = args.starters / f"without-{left_out}.safetensors"
            if not file.is_file():
                continue
            item = config | {"new": left_out, "starter": file_digest(file)}
            if name == "lmu":
                labelled = int(how.split()[0])
                item |= {"labelled": labelled, "trained": "trained" in how}
                some = range(args.subsets if labelled else 1)
                runs += [(item | {"subset": subset}, file) for subset in some]
            else:
                runs.append((item, file))
    return runs


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per arm."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in kept:
        config = row["config"]
        arm = config["set"]
        if arm in ("left-out", "pbc_ig"):
            arm = f"without {config['new']}"
        elif arm == "lmu":
            arm = f"lmu, {config['labelled']} labelled" + (", trained" if config["trained"] else "")
        groups.setdefault(arm, []).append(row["result"])
    head = ["asked", "runs", "cells", "AUROC of each other class", "taught cells called unknown", "others",
            f"others shown at ≥ {SURE:.0%}", f"taught shown wrongly at ≥ {SURE:.0%}",
            f"taught shown at ≥ {SURE:.0%}", "taught: certainty over accuracy",
            "class F1 of the taught"]  # fmt: skip
    rows = []
    for arm, some in groups.items():
        of = {name: [item["auroc"][name] for item in some] for name in some[0]["auroc"]}
        keys = ("taught_flagged", "others_flagged", "others_sure", "taught_sure_and_wrong", "taught_sure",
                "taught_surer_than_right", "taught_f1")  # fmt: skip
        rows.append(
            [arm, len(some), some[0]["cells"],
             ", ".join(f"{name} {tables.spread(values)}" for name, values in of.items()),
             *(tables.spread([item.get(key) for item in some]) for key in keys)]
        )  # fmt: skip
    return tables.markdown(head, rows)


def quick() -> int:
    """Evaluate the bundled starter on the sample, with monocytes treated as untrained."""
    fields = [field for field in sample() if any(cell.cell_class for cell in field.cells)][:2]
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place,
        project.new(Path(place) / "project") as made,
    ):
        outcome = asked(made, fields, [name for name in CLASSES if name != "Monocyte"], "starter")
    print(table([{"config": {"set": "sample"}, "result": outcome}]))
    return 0


def main() -> int:
    """Run what is not cached, and write the table."""
    parser = arguments.parser(__doc__, ARMS)
    parser.add_argument("--starters", type=Path, help="folder of without-WHAT.safetensors and .json")
    args = arguments.read(parser)
    if args.quick:
        return quick()
    kept = Cache(args.cache / "unknown.jsonl")
    runs = wanted(args)
    for config, starter in () if args.table else runs:
        kept.kept(config, partial(run, config, args.data, starter))
    found = [row for config, _ in runs if (row := kept.latest(config)) is not None]
    tables.publish(args.cache, f"unknown-{args.judge}", table(found) if found else "", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
