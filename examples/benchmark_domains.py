"""Many microscopes: how well the starter and short trainings carry over to another microscope.

    python examples/benchmark_domains.py --data ../shared/data --weights ../shared/weights/yolo26n.pt

Three parts (``--part``): ``starter`` measures a model per domain; ``hard`` measures it on fields that were
blurred, cast in a colour, or taken under a lower magnification (fields shrunk and put together, so that a
field keeps its size while its cells have fewer pixels), with the working scale and without; ``train`` trains
for a few minutes from the COCO weights, without each domain of ``txl`` in turn, and without and with the
augmentation of stain and blur. Settings are chosen on the fixed fifth of ``train`` (the default); ``--val``
reports on ``val``. Every number is kept in a JSONL file by the hash of what made it, so that a run that was
cut off goes on. ``--quick`` shows in seconds, on the bundled sample, that the script runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from sparse_benchmark.cache import Cache
from sparse_benchmark.data import in_fold
from train_starter import load_coco, truth_of

from annotation_store.records import Shape
from annotation_store.schema import load_schema
from training.engine.data import TrainingField, cut_patches, prepare_field
from training.engine.devices import be_repeatable, set_threads
from training.engine.loop import LearningConfig, Loop
from training.engine.model import LearnedModel, new_model, read_model, starter_place
from training.engine.pretrained import with_coco_weights
from training.engine.scale import domain_of_size, sides_around
from training.engine.vocabulary import Vocabulary
from training.evaluate import FieldTruth, TrueCell, summarise
from training.measure import fit_calibration, judge
from training.predict import cell_sides, propose_raw

BLUR = 3.0
"""Standard deviation of the synthetic blur in pixels of a field."""

CASTS = {
    "warm": (1.0, 0.85, 0.65),
    "cool": (0.7, 0.9, 1.0),
    "dim": (0.6, 0.6, 0.6),
    "green": (0.75, 1.0, 0.7),
}
"""What red, green and blue are multiplied by: lamps and white balances that went astray."""

SCALES = (0.4, 0.25)
NUMBERS = ("ap50", "precision", "recall", "class_f1", "attribute_f1")


def part_of(domain: str, field: TrainingField) -> str:
    """Name a field's domain: the set, and for ``txl`` its size, since each source has its own."""
    _, _, width, height = field.regions[0].bounds
    return f"{domain} {domain_of_size(int(width), int(height))}" if domain == "txl" else domain


def load(data: Path, split: str) -> dict[str, list[TrainingField]]:
    """Read fully annotated fields by domain; of ``txl`` the handful of an odd size is left out."""
    domains: dict[str, list[TrainingField]] = {}
    for name in ("pbc", "txl"):
        for field in load_coco(data / name / f"{split}.json", data / name / "images", mapped=True):
            domains.setdefault(part_of(name, field), []).append(field)
    return {name: fields for name, fields in sorted(domains.items()) if len(fields) >= 10}


# --- what is done to fields ------------------------------------------------------------------------------


def changed(field: TrainingField, change: Callable[[np.ndarray], np.ndarray]) -> TrainingField:
    """Give a field whose pixels are changed when they are read."""
    return dataclasses.replace(field, pixels=lambda: change(field.pixels()))


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Put pixels out of focus."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), BLUR))


def cast(pixels: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Show pixels under another lamp."""
    return (pixels * np.array(factors, np.float32)).clip(0, 255).astype(np.uint8)


def magnified_less(fields: Sequence[TrainingField], scale: float) -> list[TrainingField]:
    """Shrink fields and put them together on canvases of the size that one had."""
    _, _, w, h = fields[0].regions[0].bounds
    width, height = int(w), int(h)
    small = (round(width * scale), round(height * scale))
    columns, rows = width // small[0], height // small[1]
    composed = []
    for start in range(0, len(fields), columns * rows):
        some = fields[start : start + columns * rows]
        canvas = np.full((height, width, 3), 235, np.uint8)
        cells = []
        for i, field in enumerate(some):
            left, top = (i % columns) * small[0], (i // columns) * small[1]
            shrunk = cv2.resize(field.pixels(), small, interpolation=cv2.INTER_AREA)
            canvas[top : top + small[1], left : left + small[0]] = shrunk
            for cell in field.cells:
                x, y, cw, ch = (v * scale for v in cell.box)
                cells.append(dataclasses.replace(cell, box=(x + left, y + top, cw, ch)))
        composed.append(
            TrainingField(
                f"{some[0].name} and others",
                partial(np.asarray, canvas),
                tuple(cells),
                (Shape.rectangle(0, 0, width, height),),
            )
        )
    return composed


def conditions(
    fields: list[TrainingField], wanted: Sequence[str] | None = None
) -> Iterator[tuple[str, list[TrainingField], tuple[str, ...]]]:
    """Give fields as they are and under each condition, and the working scales to measure with.

    Parameters
    ----------
    wanted
        Words of which a condition's name must hold one; ``None`` = all.
    """
    of_name: dict[str, Callable[[], list[TrainingField]]] = {
        "as it is": lambda: fields,
        f"blur {BLUR:g} px": lambda: [changed(f, blurred) for f in fields],
        **{
            f"cast {name}": lambda factors=factors: [  # type: ignore[misc]
                changed(f, partial(cast, factors=factors)) for f in fields
            ]
            for name, factors in CASTS.items()
        },
        **{f"{scale:g}× magnification": partial(magnified_less, fields, scale) for scale in SCALES},
    }
    for name, make in of_name.items():
        if wanted is None or any(word in name for word in wanted):
            # blur and colour change no scale
            yield name, make(), ("on",) if name.startswith(("blur", "cast")) else ("off", "on")


# --- measuring -------------------------------------------------------------------------------------------


def measure(model: LearnedModel, domain: str, fields: list[TrainingField], *, scale: bool) -> dict[str, Any]:
    """Measure a model; `scale`: whether fields are brought to the working scale."""
    pixels = [f.pixels for f in fields]
    sides = cell_sides(model, pixels, [domain] * len(fields)) if scale else None
    results = judge(model, [truth_of(f) for f in fields], propose_raw(model, pixels, cell_sides=sides))
    numbers = summarise(results, attributes=list(model.vocabulary.attributes))
    return {name: numbers[name] for name in ("fields", "cells", *NUMBERS)}


def kept(cache: Cache, config: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Give the numbers of a configuration with it; work where nobody has yet."""
    result = cache.get(config)
    if result is None:
        begun = time.monotonic()
        result = {**work(), "seconds": round(time.monotonic() - begun, 1)}
        cache.add(config, result)
    return {**config, **result}


def show(row: dict[str, Any], *names: str) -> None:
    """Print a row of the table."""
    numbers = " | ".join("–" if row[n] is None else f"{row[n]:.3f}" for n in NUMBERS)
    print(
        "| " + " | ".join(str(row[n]) for n in names) + f" | {row['fields']} | {row['cells']} | {numbers} |",
        flush=True,
    )


def head(*names: str) -> None:
    """Print the head of a table."""
    columns = (*names, "fields", "cells", "AP50", "precision", "recall", "class F1", "attribute F1")
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


# --- training --------------------------------------------------------------------------------------------


def train(args: argparse.Namespace, fields: Sequence[TrainingField], config: LearningConfig) -> LearnedModel:
    """Train for a few minutes from the COCO weights, on one thread."""
    torch.set_num_threads(1)
    model = new_model(Vocabulary.from_schema(load_schema("lld")), size=args.size, seed=config.seed)
    if args.weights:
        with_coco_weights(model, args.weights)
    longer = {f.name: max(f.pixels().shape[:2]) for f in fields}
    model.sides = sides_around([max(c.box[2:]) / longer[f.name] for f in fields for c in f.cells])
    ready = [prepare_field(f, model.size, model.sides) for f in fields]
    Loop(model, ready, cut_patches(fields, model.vocabulary), config).run()
    some = fields[:: -(-len(fields) // 60)]
    truths = [truth_of_sparse(f) for f in some]
    raw = propose_raw(model, [f.pixels for f in some])
    model.calibration = fit_calibration(model, truths, raw, note="fitted on what was learnt from")
    return model


def truth_of_sparse(field: TrainingField) -> FieldTruth:
    """Give the finished regions of a field as truth."""
    height, width = field.pixels().shape[:2]
    return FieldTruth(field.name, width, height, tuple(TrueCell(c.box) for c in field.cells), field.regions)


def sparse(data: Path, domains: dict[str, list[TrainingField]]) -> dict[str, list[TrainingField]]:
    """Keep of each field what its 20% region teaches."""
    known: dict[str, tuple[Shape, ...]] = {}
    for name in ("pbc", "txl"):
        content = json.loads((data / name / "train_sparse20.json").read_text(encoding="utf-8"))
        for image in content["images"]:
            regions = tuple(Shape(tuple(map(float, one))) for one in image["annotated_regions"])
            known[image["file_name"]] = regions
    return {
        domain: [
            dataclasses.replace(
                field,
                cells=tuple(
                    c for c in field.cells if any(r.contains_centre(c.box) for r in known[field.name])
                ),
                regions=known[field.name],
            )
            for field in fields
        ]
        for domain, fields in domains.items()
    }


def train_all(args: argparse.Namespace, cache: Cache, test: dict[str, list[TrainingField]]) -> None:
    """Leave one domain of ``txl`` out, with and without what is done against it."""
    everything = load(args.data, "train")
    learn = sparse(
        args.data, {d: [f for f in fields if not in_fold(f.name)] for d, fields in everything.items()}
    )
    of_txl = [d for d in learn if d.startswith("txl")]
    plain = LearningConfig(epochs=args.epochs, window=224, crops=16, seed=args.seed, stain=0.0, blur=0.0)
    variants = {"no jitter": plain, "stain": dataclasses.replace(plain, stain=1.0)}
    variants["stain and blur"] = dataclasses.replace(plain, stain=1.0, blur=1.0)
    head("left out", "augmentation", "condition", "working scale")
    for left in of_txl if args.left is None else [d for d in of_txl if args.left in d]:
        fields = [f for d in of_txl if d != left for f in learn[d]]
        fields = fields[:: -(-len(fields) // args.fields)]
        for name, config in variants.items():
            if args.only and name not in args.only:
                continue
            about = {
                "part": "train",
                "on": args.on,
                "left out": left,
                "augmentation": name,
                "config": dataclasses.asdict(config),
                "size": args.size,
                "learnt": len(fields),
                "calibrated": True,
            }
            trained = functools.cache(partial(train, args, tuple(fields), config))
            for condition, some, scales in conditions(test[left], args.conditions):
                for scale in scales:
                    row = kept(
                        cache,
                        {**about, "condition": condition, "working scale": scale},
                        partial(measure_trained, trained, left, some, scale=scale == "on"),
                    )
                    show(row, "left out", "augmentation", "condition", "working scale")


def measure_trained(trained: Callable[[], LearnedModel], *args: Any, **options: Any) -> dict[str, Any]:
    """Measure a model that is trained when first asked for: see `measure`."""
    return measure(trained(), *args, **options)


def test_model(args: argparse.Namespace, cache: Cache, test: dict[str, list[TrainingField]]) -> None:
    """Measure the starter, or the model given, per domain and under each condition."""
    digest = hashlib.sha256(args.model.read_bytes()).hexdigest()[:12]
    model = read_model(args.model)
    head("domain", "condition", "working scale")
    for domain, fields in test.items():
        wanted = ["as it is"] if args.part == "starter" else args.conditions
        for condition, some, scales in conditions(fields, wanted):
            for scale in scales:
                about = {
                    "part": "model",
                    "on": args.on,
                    "model": digest,
                    "sides": list(model.sides),
                    "domain": domain,
                    "condition": condition,
                    "working scale": scale,
                }
                row = kept(cache, about, partial(measure, model, domain, some, scale=scale == "on"))
                show(row, "domain", "condition", "working scale")


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder with pbc and txl")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt, from which trainings begin")
    parser.add_argument("--model", type=Path, default=starter_place(), help="the .safetensors to measure")
    parser.add_argument("--part", choices=("starter", "hard", "train"), action="append")
    parser.add_argument("--val", action="store_true", help="report on val; else on the fixed fifth of train")
    parser.add_argument("--cache", type=Path, default=Path("benchmark_domains.jsonl"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--domain", help="test only the domains whose names hold this")
    parser.add_argument("--left", help="leave out only the domain whose name holds this")
    parser.add_argument("--conditions", nargs="*", help="only conditions whose names hold one of these words")
    parser.add_argument("--fields", type=int, default=300, help="most fields that a training learns from")
    parser.add_argument("--only", nargs="*", help="only these augmentations")
    parser.add_argument("--quick", action="store_true", help="a field of the bundled sample")
    return parser.parse_args()


def main() -> int:
    """Print the tables."""
    args = parse()
    set_threads()
    torch.set_num_threads(1)
    be_repeatable()
    args.on = "val" if args.val else "fold"
    if args.quick:
        from napari_lld import sample

        folder = sample.truth().parent
        some = load_coco(sample.truth(), folder / "fields", mapped=False)
        test = {"sample": [f for f in some if f.regions[0].bounds[2] == 800][:1]}
        args.on, args.part, args.conditions = "sample", "hard", ["as it is", "blur", "0.4"]
        with tempfile.TemporaryDirectory() as temporary:
            test_model(args, Cache(Path(temporary) / "cache.jsonl"), test)
        return 0
    if args.data is None:
        print("Give --data DIR, or --quick.", file=sys.stderr)
        return 2
    test = load(args.data, "val" if args.val else "train")
    if not args.val:
        test = {domain: [f for f in fields if in_fold(f.name)] for domain, fields in test.items()}
    test = {domain: fields for domain, fields in test.items() if (args.domain or "") in domain}
    cache = Cache(args.cache)
    for part in args.part or ("hard", "train"):
        args.part = part
        (train_all if part == "train" else test_model)(args, cache, test)
    return 0


if __name__ == "__main__":
    sys.exit(main())
