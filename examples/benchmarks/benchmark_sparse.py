"""Sparse annotation: training on a region of each field, against stock Ultralytics and the published rule.

    python examples/benchmarks/benchmark_sparse.py --data ../shared/data --weights yolo26n.pt

All arms are trained on the same 40 or 200 fields of ``txl``, chosen by a hash of their names: stock
Ultralytics from the COCO weights, ours as a project that is created, filled by import and trained with the
defaults of ``napari-lld train``, from the starter. *Ours* has the 20% regions; *naive labels* the same cells
with each whole field marked finished; *all labels* every cell; *unannotated too* has as many unannotated
fields in addition. All are evaluated on other fields, with ``napari-lld predict --images``. On ``pbc``, class
and attributes are trained as well, evaluated by ``napari-lld evaluate --truth``. Runs are cached in
``CACHE/sparse.jsonl``; ``--quick`` runs on the sample.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench import arguments, cache, project, tables
from bench.data import Field, sample, sparsely, studied, taught_and_judged, whole
from bench.scores import score_classes

from annotation_store.schema import load_schema, schema_from_coco

SETTINGS: dict[str, dict[str, Any]] = {
    "40 fields": {"set": "txl", "fields": 40, "epochs": 45},
    "200 fields": {"set": "txl", "fields": 200, "epochs": 15},
    "pbc": {"set": "pbc", "fields": 200},
}
"""Number of training fields, and of epochs of the stock arms."""

STOCK = ("naive", "crop-to-region", "masked", "SLA-Det's rule", "full")
OURS: dict[str, dict[str, Any]] = {
    "ours": {},
    "ours, naive labels": {},
    "ours, masked only": {"holdout": 0.0},  # nothing held out: no pseudo-labels outside the regions
    "ours, all labels": {},
    "ours, unannotated too": {},
}
"""Options of ``napari-lld train`` by arm."""

SIZE = 320
"""Image size of the stock arms: pixels of the longer side."""


def labels(arm: str, some: Sequence[Field], folder: Path | None) -> list[Field]:
    """Return the labels of an arm: all, the regions, or the regions' cells in fields marked finished."""
    if arm in ("full", "ours, all labels"):
        return list(some)
    sparse = sample(sparse=True, like=some) if folder is None else sparsely(some, folder)
    return [whole(item) for item in sparse] if arm in ("naive", "ours, naive labels") else sparse


def stock(arm: str, fields: Sequence[Field], judged: Sequence[Field], weights: Any, **common: Any) -> Any:
    """Train a stock arm; return its proposals and the seconds of training."""
    from bench.stock import cropped, predict_stock, train_sla, train_stock

    classes = common.pop("classes")
    begun = time.monotonic()
    if arm == "SLA-Det's rule":
        model = train_sla(fields, classes, weights, **common)
    else:
        some = cropped(fields) if arm == "crop-to-region" else fields
        model = train_stock(some, classes, weights, masked=arm == "masked", **common)
    seconds = time.monotonic() - begun
    return predict_stock(model, judged, classes, size=common["size"]), {"seconds": round(seconds, 1)}


def ours(
    fields: Sequence[Field],
    judged: Sequence[Field],
    schema: Any,
    options: dict[str, Any],
    *,
    attributes: bool,
    others: Sequence[Field] = (),
) -> Any:
    """Train a project that also has the unannotated fields `others`; predict the test fields."""
    device = {"device": options["device"]} if "device" in options else {}
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place,
        project.new(Path(place) / "project", schema) as made,
    ):
        project.annotate(made, fields)
        made.fields.add([field.file for field in others])
        outcome = project.train(made, **options)
        look = project.measured if attributes else project.proposals
        return look(made, judged, **device), outcome


def run(
    config: dict[str, Any],
    taught: Sequence[Field],
    judged: Sequence[Field],
    *,
    folder: Path | None,
    schema: Any,
    weights: Path | str | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Train and evaluate one arm."""
    arm = config["arm"]
    some = studied(taught, config["subset"])
    fields = labels(arm, some[: config["fields"]], folder)
    boxes = sum(len(field.cells) for field in fields)
    if config["set"] == "pbc":
        numbers, outcome = ours(fields, judged, schema, options, attributes=True)
        keys = ("ap50", "precision", "recall", "class_f1", "attribute_f1", "ece")
        return {"boxes": boxes, **outcome, **{key: numbers[key] for key in keys}}
    classes = sorted({cell.cell_class for field in judged for cell in field.cells if cell.cell_class})
    if arm in STOCK:
        device = {"device": options["device"]} if "device" in options else {}
        found, outcome = stock(
            arm, fields, judged, weights, classes=classes, epochs=config["epochs"],
            size=config["size"], seed=config["subset"], **device,
        )  # fmt: skip
    else:
        others = some[config["fields"] :][: config["fields"]] if arm == "ours, unannotated too" else []
        found, outcome = ours(fields, judged, schema, options, attributes=False, others=others)
    return {"boxes": boxes, **outcome, **score_classes([f.truth() for f in judged], found, classes)}


def detection_table(kept: Sequence[dict[str, Any]]) -> str:
    """Format mean and standard deviation over the subsets, by number of fields and arm."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in kept:
        groups.setdefault((row["config"]["fields"], row["config"]["arm"]), []).append(row["result"])
    rows = []
    for (fields, arm), some in groups.items():
        per_class = " / ".join(
            tables.spread([item["ap50_of"].get(name) for item in some], 2) for name in some[0]["ap50_of"]
        )
        naive, full = (groups.get((fields, other)) for other in ("naive", "full"))
        closed = ""
        if naive and full and arm not in ("naive", "full"):
            low, high, own = (statistics.mean(r["map50"] for r in part) for part in (naive, full, some))
            closed = f"{(own - low) / (high - low):.0%}" if high != low else ""
        rows.append(
            [fields, arm, len(some), round(statistics.mean(item["boxes"] for item in some)),
             *(tables.spread([item[key] for item in some]) for key in ("map50", "map")), per_class,
             " / ".join(tables.spread([item[key] for item in some], 2) for key in ("precision", "recall")),
             tables.spread([item["confidence"] for item in some], 2),
             tables.spread([item["seconds"] / 60 for item in some], 1), closed]
        )  # fmt: skip
    names = " / ".join(next(iter(groups.values()))[0]["ap50_of"])
    head = ["fields", "arm", "subsets", "boxes", "mAP50", "mAP50-95", f"AP50 {names}", "P / R", "at"]
    return tables.markdown([*head, "minutes of training", "gap closed"], rows)


def attribute_table(kept: Sequence[dict[str, Any]]) -> str:
    """Format the metrics of class and attributes on ``pbc``."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in kept:
        groups.setdefault(row["config"]["arm"], []).append(row["result"])
    keys = ("ap50", "precision", "recall", "class_f1", "attribute_f1", "ece")
    rows = [
        [arm, len(some), round(statistics.mean(item["boxes"] for item in some)),
         *(tables.spread([item[key] for item in some]) for key in keys),
         tables.spread([item["seconds"] / 60 for item in some], 1)]
        for arm, some in groups.items()
    ]  # fmt: skip
    return tables.markdown(["arm", "subsets", "boxes", *keys, "minutes of training"], rows)


def wanted(args: Any) -> list[dict[str, Any]]:
    """Return the configurations of all runs, the first subset of every arm first."""
    start = {} if args.init is None else {"starter": cache.file_digest(args.init)}
    configs = []
    for subset in range(args.subsets):
        for name, setting in SETTINGS.items():
            for arm in args.arms:
                if args.setting not in (None, name) or (
                    name == "pbc" and arm not in ("ours", "ours, all labels")
                ):
                    continue
                config = {"benchmark": "sparse", "judge": args.judge, "arm": arm, "subset": subset, **setting}
                configs.append(config | ({"size": SIZE} if arm in STOCK else start))
                if arm not in STOCK:
                    configs[-1].pop("epochs", None)
                elif args.epochs:
                    configs[-1]["epochs"] = args.epochs
    return configs


def quick() -> int:
    """Run a stock arm and ours for one short epoch on the bundled sample."""
    fields, judged = sample()[:2], sample()[2:4]
    schema = load_schema("lld")
    options = {"epochs": 1, "size": 64, "holdout": 0.0}
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        kept = cache.Cache(Path(place) / "runs.jsonl")
        for arm in ("masked", "ours"):
            config = {"set": "sample", "arm": arm, "fields": 2, "subset": 0, "epochs": 1, "size": 64}
            work = partial(
                run,
                config,
                fields,
                judged,
                folder=None,
                schema=schema,
                weights="yolo26n.yaml",
                options=options,
            )
            kept.kept(config, work)
        print(detection_table(kept.rows()))
    return 0


def main() -> int:
    """Run what is not cached, and write the tables."""
    parser = arguments.parser(__doc__, [*STOCK, *OURS])
    parser.add_argument("--weights", type=Path, help="yolo26n.pt, the initial weights of the stock arms")
    parser.add_argument("--setting", choices=list(SETTINGS), help="run only this setting")
    parser.add_argument("--epochs", type=int, help="epochs of the stock arms, instead of the setting's")
    args = arguments.read(parser)
    if args.quick:
        return quick()
    kept = cache.Cache(args.cache / "sparse.jsonl")
    configs = wanted(args)
    sets: dict[str, Any] = {}
    for config in [] if args.table else configs:
        if config["arm"] in STOCK and args.weights is None:
            parser.error(
                "The stock arms begin from COCO weights: give --weights yolo26n.pt, or other --arms."
            )
        folder = args.data / config["set"]
        if config["set"] not in sets:
            truth = json.loads((folder / "train.json").read_text(encoding="utf-8"))
            schema = schema_from_coco(truth) if config["set"] == "txl" else load_schema("wbcatt")
            sets[config["set"]] = (*taught_and_judged(folder, args.judge), schema)
        taught, judged, schema = sets[config["set"]]
        options = arguments.beginning(args) | OURS.get(config["arm"], {})
        work = partial(
            run, config, taught, judged, folder=folder, schema=schema, weights=args.weights, options=options
        )
        kept.kept(config, work, cache.stock() if config["arm"] in STOCK else None)
    found = [row for config in configs if (row := kept.latest(config)) is not None]
    parts = []
    for name, write in (("txl", detection_table), ("pbc", attribute_table)):
        some = [row for row in found if row["config"]["set"] == name]
        parts += [f"**{name}**, judged on {args.judge}\n\n{write(some)}"] if some else []
    tables.publish(args.cache, f"sparse-{args.judge}", "\n\n".join(parts), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
