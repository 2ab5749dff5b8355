"""Learning the whole field from a corner: our engine against stock Ultralytics and the published rule.

    python examples/benchmark_sparse.py --data ../shared/data --weights ../shared/weights/yolo26n.pt

Each of ``ARMS`` is trained from the COCO weights on 20% regions (or on all labels) of the same fields of
``txl`` and judged on ``val``; ``PBC_ARMS`` learn class and attributes as well. Each run is kept in a JSONL
file under the hash of its configuration, so that the benchmark can be stopped and goes on where it was.
``--fold`` trains on four fifths of ``train`` and judges on the other, for choosing. ``--only naive,ours``
limits the arms, ``--table`` only prints what is there. ``--quick`` runs a few steps on the bundled sample.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from sparse_benchmark.cache import Cache
from sparse_benchmark.data import held_back, in_fold, load_fields, subset, truth_of, whole
from sparse_benchmark.ours import predict_ours, regions_of, train_many_classes, train_ours, vocabulary_of
from sparse_benchmark.scoring import score_classes
from sparse_benchmark.stock import cropped, predict_stock, train_sla, train_stock

from training.evaluate import summarise
from training.measure import fit_calibration, judge
from training.predict import propose_raw
from training.worker.stages import LEAST_EPOCHS, PSEUDO_SHARE

TXL = ("WBC", "RBC", "Platelets")
SETTINGS = {"40 fields": {"fields": 40, "epochs": 45}, "200 fields": {"fields": 200, "epochs": 15}}
ARMS = {
    "naive": 3,
    "crop-to-region": 1,
    "masked": 1,
    "SLA-Det's rule": 1,
    "ours": 3,
    "full": 3,
    "ours with all labels": 1,
    "ours with K classes": 1,
}
"""Arm to its number of seeds."""

PBC = ("Neutrophil", "Eosinophil", "Basophil", "Lymphocyte", "Monocyte")
PBC_ARMS = {"ours": 3, "ours with all labels": 3}
PBC_SETTING = {"set": "pbc", "fields": 200, "epochs": 16, "size": 448, "settings": {"window": 320}}


def run_detection(config: dict[str, Any], sets: dict[str, Any], weights: Path | str | None) -> dict[str, Any]:
    """Train one arm and judge it."""
    arm, seed = config["arm"], config["seed"]
    common = {"epochs": config["epochs"], "size": config["size"], "seed": seed}
    sparse, full, judged, classes = sets["sparse"], sets["full"], sets["judged"], sets["classes"]
    begun = time.monotonic()
    labels = full if arm in ("full", "ours with all labels") else sparse
    if arm == "ours with K classes":
        many = train_many_classes(labels, classes, weights, settings=config["settings"], **common)
        seconds = time.monotonic() - begun
        found = predict_stock(many, judged, classes, size=config["size"])
    elif arm.startswith("ours"):
        vocabulary = vocabulary_of(classes, attributes=False)
        model = train_ours(labels, vocabulary, weights, settings=config["settings"], **common)
        seconds = time.monotonic() - begun
        found = predict_ours(model, judged)
    else:
        if arm == "SLA-Det's rule":
            stock = train_sla(sparse, classes, weights, **common)
        elif arm == "crop-to-region":
            stock = train_stock(cropped(sparse), classes, weights, **common)
        elif arm == "masked":
            stock = train_stock(sparse, classes, weights, masked=True, **common)
        else:
            stock = train_stock([whole(f) for f in labels], classes, weights, **common)
        seconds = time.monotonic() - begun
        found = predict_stock(stock, judged, classes, size=config["size"])
    boxes = sum(len(f.cells) for f in labels)
    scores = score_classes([truth_of(f) for f in judged], found, classes)
    return {"boxes": boxes, "seconds": round(seconds), **scores}


def run_attributes(config: dict[str, Any], sets: dict[str, Any], weights: Path) -> dict[str, Any]:
    """Train detector, class and attributes as a project would: a fifth of the fields only calibrates."""
    fields = sets["full" if "all labels" in config["arm"] else "sparse"]
    held = [f for f in fields if held_back(f.name)]
    learnt = [f for f in fields if not held_back(f.name)]
    words = vocabulary_of(sets["classes"], attributes=True)
    begun = time.monotonic()
    model = train_ours(
        learnt, words, weights, epochs=config["epochs"], size=config["size"], seed=config["seed"],
        settings=config["settings"],
    )  # fmt: skip
    seconds = time.monotonic() - begun
    raw = propose_raw(model, [f.pixels for f in held], min_score=0.001)
    model.calibration = fit_calibration(model, [regions_of(f) for f in held], raw, note="held-out fifth")
    judged = sets["judged"]
    raw = propose_raw(model, [f.pixels for f in judged], min_score=0.001)
    results = judge(model, [truth_of(f) for f in judged], raw)
    numbers = summarise(results, attributes=list(words.attributes))
    keys = ("ap50", "precision", "recall", "ece", "class_f1", "class_n", "attribute_f1", "attributes")
    return {
        "boxes": sum(len(f.cells) for f in learnt),
        "seconds": round(seconds),
        **{key: numbers[key] for key in keys},
    }


def table(cache: Cache, configs: list[dict[str, Any]]) -> str:
    """Print mean and spread over seeds as a Markdown table."""
    groups: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for config in configs:
        result = cache.get(config)
        if result is not None:
            groups.setdefault((config["fields"], config["epochs"], config["arm"]), []).append(result)
    lines = [
        "| fields, epochs | arm | seeds | boxes | mAP50 | mAP50-95 | AP50 white / red / platelet "
        "| P / R | at | minutes | gap closed |",
        "|---" * 11 + "|",
    ]

    for (fields, epochs, arm), rows in groups.items():
        per_class = " / ".join(
            f"{statistics.mean(row['ap50_of'][name] for row in rows):.2f}" for name in rows[0]["ap50_of"]
        )
        mean = {
            k: statistics.mean(r[k] for r in rows) for k in ("precision", "recall", "confidence", "seconds")
        }
        lines.append(
            f"| {fields}, {epochs} | {arm} | {len(rows)} | {rows[0]['boxes']} | {spread(rows, 'map50')} "
            f"| {spread(rows, 'map')} | {per_class} | {mean['precision']:.2f} / {mean['recall']:.2f} "
            f"| {mean['confidence']:.2f} | {mean['seconds'] / 60:.1f} |"
        )
        naive, full = (groups.get((fields, epochs, other)) for other in ("naive", "full"))
        closed = ""
        if naive and full and arm not in ("naive", "full"):
            low, high = (statistics.mean(r["map50"] for r in some) for some in (naive, full))
            closed = f"{(statistics.mean(r['map50'] for r in rows) - low) / (high - low):.0%}"
        lines[-1] += f" {closed} |"
    return "\n".join(lines)


def attribute_table(cache: Cache, configs: list[dict[str, Any]]) -> str:
    """Print class and attributes on ``pbc``."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for config in configs:
        result = cache.get(config)
        if result is not None:
            groups.setdefault(config["arm"], []).append(result)
    keys = ("ap50", "precision", "recall", "class_f1", "attribute_f1", "ece")
    lines = [f"| arm | seeds | boxes | {' | '.join(keys)} | minutes |", "|---" * (len(keys) + 4) + "|"]
    for arm, rows in groups.items():
        cells = " | ".join(spread(rows, key) for key in keys)
        minutes = statistics.mean(row["seconds"] for row in rows) / 60
        lines.append(f"| {arm} | {len(rows)} | {rows[0]['boxes']} | {cells} | {minutes:.1f} |")
    return "\n".join(lines)


def spread(rows: list[dict[str, Any]], key: str) -> str:
    """Give mean and standard deviation over seeds."""
    values = [row[key] for row in rows]
    text = f"{statistics.mean(values):.3f}"
    return text + (f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else "")


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder with txl and pbc")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt")
    parser.add_argument("--cache", type=Path, default=Path("benchmark_sparse.jsonl"))
    parser.add_argument("--fold", action="store_true", help="judge on a fifth of train, for choosing")
    parser.add_argument("--only", help="arms, separated by commas")
    parser.add_argument("--setting", choices=[*SETTINGS, "pbc"], help="only this one")
    parser.add_argument("--seeds", type=int, help="at most so many")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of ours")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print what is there")
    parser.add_argument("--quick", action="store_true", help="a few steps on the bundled sample")
    return parser.parse_args()


def wanted(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List the configurations to run, in order."""
    changes = {k: json.loads(v) for k, v in (s.split("=", 1) for s in args.set)}
    only = args.only.split(",") if args.only else None
    judged = "fold" if args.fold else "val"
    configs = []
    for name, setting in SETTINGS.items():
        for arm in only or ARMS:
            for seed in range(min(ARMS.get(arm, 0), args.seeds or 99)):
                config = {"set": "txl", "judged": judged, "arm": arm, "size": 320, "seed": seed, **setting}
                if arm.startswith("ours"):
                    pseudo = (
                        {"pseudo": PSEUDO_SHARE} if arm == "ours" and config["epochs"] >= LEAST_EPOCHS else {}
                    )
                    config["settings"] = {**pseudo, **changes}
                if args.setting in (None, name):
                    configs.append(config)
    for arm in only or PBC_ARMS:
        for seed in range(min(PBC_ARMS.get(arm, 0), args.seeds or 99)):
            config = {"judged": judged, "arm": arm, "seed": seed, **PBC_SETTING}
            config["settings"] = {**PBC_SETTING["settings"], **changes}
            if args.setting in (None, "pbc"):
                configs.append(config)
    return configs


def load(folder: Path, *, fold: bool) -> dict[str, Any]:
    """Read a data set: what may be learnt from (sparse and full), what is judged, and the classes."""
    kinds = ("train", "train_sparse20", "val")
    every = {kind: load_fields(folder / f"{kind}.json", folder / "images") for kind in kinds}
    full, sparse, judged = (every[kind] for kind in kinds)
    if fold:
        judged = [f for f in full if in_fold(f.name)]
        full, sparse = ([f for f in some if not in_fold(f.name)] for some in (full, sparse))
    classes = list(TXL if folder.name == "txl" else PBC)
    return {"full": full, "sparse": sparse, "judged": judged, "classes": classes}


def quick() -> int:
    """Run a few steps of some arms, from random weights, on the bundled sample: it shows that they run."""
    import napari_lld.sample as sample

    folder = sample.truth().parent
    full, sparse = (load_fields(file, folder / "fields")[::3] for file in (sample.truth(), sample.sparse()))
    classes = sorted({cell.cell_class for field in full for cell in field.cells if cell.cell_class})
    sets = {"full": full, "sparse": sparse, "judged": full[:2], "classes": classes}
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        cache = Cache(Path(place) / "runs.jsonl")
        configs: list[dict[str, Any]] = []
        for arm in ("naive", "masked", "ours", "ours with K classes"):
            config: dict[str, Any] = {"set": "sample", "arm": arm, "fields": len(sparse), "epochs": 1}
            config |= {"size": 96, "seed": 0, "settings": {"window": 96}}
            weights = None if arm.startswith("ours") else "yolo26n.yaml"
            cache.add(config, run_detection(config, sets, weights))
            configs.append(config)
        print(table(Cache(cache.file), configs))
    return 0


def main() -> int:
    """Run what is not in the cache yet and print the tables."""
    args = parse()
    torch.set_num_threads(args.threads)
    if args.quick:
        return quick()
    if not args.table and not (args.data and args.weights):
        print("Give --data DIR and --weights yolo26n.pt, or --quick, or --table.", file=sys.stderr)
        return 2
    cache = Cache(args.cache)
    configs = wanted(args)
    sets: dict[str, dict[str, Any]] = {}
    for config in configs:
        if args.table or cache.get(config) is not None:
            continue
        name = config["set"]
        if name not in sets:
            sets[name] = load(args.data / name, fold=args.fold)
        chosen = {
            **sets[name],
            "sparse": subset(sets[name]["sparse"], config["fields"]),
            "full": subset(sets[name]["full"], config["fields"]),
        }
        run = run_detection if name == "txl" else run_attributes
        result = run(config, chosen, args.weights)
        cache.add(config, result)
        print(json.dumps(config), "\n ", json.dumps(result), flush=True)
    print(table(cache, [c for c in configs if c["set"] == "txl"]))
    print(attribute_table(cache, [c for c in configs if c["set"] == "pbc"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
