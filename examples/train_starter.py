"""Train the starter: the weights every project begins with.

    python examples/train_starter.py --data ../shared/data --weights ../shared/weights/yolo26n.pt

Learns boxes of white cells from ``pbc`` and ``txl`` (``train`` only), class and attributes from ``pbc``
(WBCAtt's words mapped to those of the schema ``lld``), beginning with the COCO weights of YOLO26n, and writes
``training/starter/starter.safetensors`` with its card. ``--fold`` trains on four fifths of ``train`` and
reports on the other (for choosing settings); without it all of ``train`` is used and ``val`` reported.
``--without Monocyte --detector training/starter/starter.safetensors`` makes a starter that was never told of
a class, to measure how well it can be taught (``benchmark_new_class.py --starters``): its describer learns
anew from COCO weights, and the detector, which knows no classes, is taken as it is.
``--quick`` shows in seconds, on the bundled sample, that the script runs; it writes into a temporary folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import sys
import tempfile
import time
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from bench.data import in_fold, read_pixels

from annotation_store.records import Shape
from annotation_store.schema import load_schema, wbcatt_to_lld
from training.engine.data import LabelledCell, TrainingField, cut_patches, prepare_field
from training.engine.devices import be_repeatable, choose_device, set_threads
from training.engine.loop import LearningConfig, Loop, StepReport
from training.engine.model import (
    LearnedModel,
    adapted,
    new_model,
    read_model,
    starter_place,
    write_model,
)
from training.engine.pretrained import with_coco_weights
from training.engine.recipe import look_at_cells, remember
from training.engine.vocabulary import Vocabulary
from training.evaluate import FieldTruth, TrueCell, summarise
from training.measure import fit_calibration, judge
from training.predict import RawProposals, propose_raw

WHITE = {"WBC", "Neutrophil", "Eosinophil", "Basophil", "Lymphocyte", "Monocyte"}


def load_coco(
    annotations: Path, images: Path, *, mapped: bool, without: Collection[str] = ()
) -> list[TrainingField]:
    """Read a fully annotated COCO file; white cells only.

    Parameters
    ----------
    mapped
        Whether the attributes are WBCAtt's and are to be mapped to LLD's.
    without
        Classes whose cells teach a box and nothing else.
    """
    content = json.loads(annotations.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    cells: dict[int, list[LabelledCell]] = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        name = names.get(one["category_id"])
        if one["category_id"] is not None and name not in WHITE:
            continue  # red cells and platelets are background
        said = one.get("attributes") or {}
        attributes = wbcatt_to_lld(said) if mapped else {k: v for k, v in said.items() if v is not None}
        x, y, w, h = one["bbox"]
        cell = LabelledCell((x, y, w, h), None if name == "WBC" else name, attributes)
        cells[one["image_id"]].append(LabelledCell(cell.box) if name in without else cell)
    return [
        TrainingField(
            name=image["file_name"],
            pixels=partial(read_pixels, images / image["file_name"]),
            cells=tuple(cells[image["id"]]),
            regions=(Shape.rectangle(0, 0, image["width"], image["height"]),),
        )
        for image in content["images"]
    ]


def truth_of(field: TrainingField) -> FieldTruth:
    """Give a fully annotated field as truth."""
    _, _, w, h = field.regions[0].bounds
    cells = tuple(TrueCell(c.box, c.cell_class, c.attributes) for c in field.cells)
    return FieldTruth(field.name, int(w), int(h), cells)


def sharpened(steps: int, seed: int) -> LearningConfig:
    """Give the settings of the last stage: the describer alone, on blurred crops as well.

    Minutes that make it read cells out of focus and under a weak objective (``docs/adr/0005``).
    """
    return LearningConfig(
        epochs=steps,
        describer_rate=5e-4,
        head_rate=5e-4,
        weight_decay=0.02,
        blur=1.0,
        average=0.98,
        seed=seed,
    )


def measure(model: LearnedModel, fields: list[TrainingField], raw: list[RawProposals]) -> dict[str, Any]:
    """Give the numbers of `training.evaluate.summarise`."""
    results = judge(model, [truth_of(f) for f in fields], raw)
    return summarise(results, attributes=list(model.vocabulary.attributes))


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder with pbc and txl")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt; without it the start is random")
    parser.add_argument("--out", type=Path, default=starter_place(), help="the .safetensors file to write")
    parser.add_argument(
        "--fold", action="store_true", help="train on four fifths of train, report on the rest"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps on the bundled sample")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--init", type=Path, help="a starter to go on from, instead of --weights")
    parser.add_argument("--without", nargs="*", default=[], metavar="CLASS", help="classes to leave out")
    parser.add_argument(
        "--detector", type=Path, help="a starter whose detector is taken as it is: only cells are learnt from"
    )
    parser.add_argument(
        "--describer-steps", type=int, default=400, help="steps of the describer alone, with blur, at the end"
    )
    parser.add_argument("--fields", type=int, help="use only so many fields of each set")
    parser.add_argument("--minutes", type=float, help="fit the epochs into this time")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--state", type=Path, help="file from which an interrupted run goes on")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the loop")
    return parser.parse_args()


def main() -> int:
    """Train, calibrate, measure, write."""
    args = parse()
    threads = set_threads()
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    be_repeatable()
    config = LearningConfig(epochs=args.epochs, scales=(0.5, 1.35), weight_decay=0.02)
    changes = {k: type(getattr(config, k))(float(v)) for k, v in (s.split("=") for s in args.set)}
    config = dataclasses.replace(config, **changes)

    if args.quick:
        import napari_lld.sample as sample

        folder = sample.truth().parent
        fields = load_coco(sample.truth(), folder / "fields", mapped=False)[::3]
        sets = {"sample": fields}
        train = fields
        config = dataclasses.replace(config, epochs=1, window=128, batch=4, crops=8)
        args.describer_steps = 1
        args.out = Path(tempfile.mkdtemp(prefix="napari-lld-starter-")) / "starter.safetensors"
    elif args.data:
        read = partial(load_coco, mapped=True, without=args.without)
        pbc = read(args.data / "pbc/train.json", args.data / "pbc/images")
        txl = read(args.data / "txl/train.json", args.data / "txl/images")
        if args.fields:
            pbc, txl = pbc[: args.fields], txl[: args.fields]
        if args.fold:
            sets = {"pbc": [f for f in pbc if in_fold(f.name)], "txl": [f for f in txl if in_fold(f.name)]}
            pbc, txl = [f for f in pbc if not in_fold(f.name)], [f for f in txl if not in_fold(f.name)]
        else:
            sets = {
                name: read(args.data / name / "val.json", args.data / name / "images")
                for name in ("pbc", "txl")
            }
        train = pbc * 2 + txl  # pbc's fields are fewer and hold more cells
    else:
        print("Give --data DIR, or --quick.", file=sys.stderr)
        return 2

    vocabulary = Vocabulary.from_schema(load_schema("lld"))
    if args.init:
        parent = read_model(args.init)
        model = adapted(parent, vocabulary)
        model.card = parent.card
        model.taught_before = {}  # by the same cells
    else:
        model = new_model(vocabulary, size=448)
        if args.weights:
            with_coco_weights(model, args.weights)
        if args.detector:
            model.detector.load_state_dict(read_model(args.detector).detector.state_dict())
            model.untaught = False
    unique = list({f.name: f for f in train}.values())
    ready = {} if args.detector else {f.name: prepare_field(f, model.size) for f in unique}
    patches = cut_patches(unique, vocabulary)
    print(f"{len(unique)} fields, {len(patches)} cells with labels, {threads} threads, {config}", flush=True)
    model.to(choose_device("auto"))
    deadline = time.monotonic() + 60 * args.minutes if args.minutes else None
    shown = [ready[f.name] for f in train if ready]
    if args.detector:  # each epoch goes over the cells once
        config = dataclasses.replace(config, epochs=config.epochs * -(-len(patches) // config.crops))
    loop = Loop(model, shown, patches, config, state=args.state, deadline=deadline)
    if args.state and loop.resume(args.state):
        print("Going on from", args.state, flush=True)
    begun = time.monotonic()
    last = [-1]

    def tell(report: StepReport) -> None:
        if report.epoch != last[0] or report.done % 50 == 0:
            last[0] = report.epoch
            losses = " ".join(f"{k} {v:.3f}" for k, v in report.losses.items())
            print(
                f"{time.monotonic() - begun:6.0f} s  epoch {report.epoch + 1}/{report.epochs}"
                f"  step {report.done}/{report.total}  {report.seconds_left:.0f} s left  {losses}",
                flush=True,
            )

    epochs = loop.run(on_step=tell) if config.epochs else 0
    if args.describer_steps:
        Loop(model, [], patches, sharpened(args.describer_steps, config.seed)).run(on_step=tell)
    model.teach(patches.allowed)
    remember(model, look_at_cells(model, unique, seed=config.seed), seed=config.seed)
    print(f"{len(model.memory)} cells remembered", flush=True)
    seconds = time.monotonic() - begun

    raws = {name: propose_raw(model, [f.pixels for f in some]) for name, some in sets.items()}
    if args.fold or args.quick:
        some = [f for s in sets.values() for f in s]
        note = "fitted where it is reported"
        raw = [r for raw in raws.values() for r in raw]
    else:  # on every fourth field of train, which makes it a little too sure; val is never fitted
        some = unique[::4]
        raw = propose_raw(model, [f.pixels for f in some])
        note = "fitted on a quarter of the training fields"
    model.calibration = fit_calibration(model, [truth_of(f) for f in some], raw, note=note)
    metrics = {name: measure(model, some, raws[name]) for name, some in sets.items()}
    for name, numbers in metrics.items():
        print(name, json.dumps(numbers, indent=1))
    before = model.card
    model.card = card(args, config, epochs, seconds, metrics, len(unique), len(patches))
    if args.init:  # the first stage was another run's
        model.card["parent"] = before["parent"]
        steps = before["config"].get("describer_steps", 0) + args.describer_steps
        model.card["config"] |= {
            **before["config"],
            "describer_steps": steps,
            "seconds": before["config"]["seconds"] + round(seconds),
        }
    write_model(model, args.out, args.out.with_suffix(".json"))
    print("Wrote", args.out, f"{args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def card(
    args: argparse.Namespace,
    config: LearningConfig,
    epochs: int,
    seconds: float,
    metrics: dict[str, Any],
    fields: int,
    cells: int,
) -> dict[str, Any]:
    """Write the model card."""
    import torch

    from training.engine._ultralytics import VERSION

    return {
        "title": "Starter",
        "parent": "YOLO26n, COCO weights" if args.weights else "random weights",
        "intended_use": "First suggestions in a project, before anything is annotated. Research use only, "
        "not for diagnosis.",
        "data": [
            {
                "name": "pbc",
                "what": "PBC_dataset_normal_DIB, composed fields: boxes, class, attributes (WBCAtt)",
                "licence": "pixels and boxes CC BY 4.0, attributes MIT",
                "source": "Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1; Tsutsui et al., NeurIPS 2023",
            },
            {
                "name": "txl",
                "what": "TXL-PBC natural fields: boxes of white cells",
                "licence": "MIT",
                "source": "github.com/lugan113/TXL-PBC_Dataset",
            },
        ],
        "weights_licence": "AGPL-3.0-or-later (from Ultralytics' YOLO26n)",
        "trained_on": {"fields": fields, "cells_with_labels": cells, "split": "train"},
        "limits": [
            "Classes seen: neutrophil, eosinophil, basophil, lymphocyte, monocyte of healthy donors. It has "
            "never seen a blast, nor any other class of the schema: those it does not propose.",
            "The nucleolus and the medium cell size were never labelled: it proposes neither before a "
            "project teaches them.",
            "Attributes are WBCAtt's words mapped to LLD's; cell size was learnt on fields that show cells "
            "at about an eighth of the field's longer side; elsewhere it is judged against the field's "
            "cells.",
            "Fields of 360 to 800 pixels, Wright-Giemsa-like stains; other stains are untested. For weaker "
            "objectives, blur and colour casts see docs/benchmarks.md.",
        ],
        "config": {
            **dataclasses.asdict(config),
            "epochs_done": epochs,
            "describer_steps": args.describer_steps,
            "seconds": round(seconds),
        },
        "metrics": {"on": "fold" if args.fold else "sample" if args.quick else "val", **metrics},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "ultralytics": VERSION,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
