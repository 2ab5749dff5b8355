"""Train the starter: the initial weights of every project.

    python examples/benchmarks/train_starter.py --data ../shared/data --weights ../shared/weights/yolo26n.pt

Two stages, on ``train`` only. The *detector* learns the boxes of white cells: from fields of ``pbc`` and
``txl``, also with cells pasted into them until they touch, and from the boxed cells of ``pbc_ig``. The
*describer* learns class and attributes from the cells of ``pbc`` (WBCAtt's terms mapped to those of the
schema ``lld``) and classes from ``pbc_ig`` and ``lmu``, augmented with other stains and cameras;
promyelocytes, which ``lld`` lacks, are stored in its memory as unknown. The describer is not trained on a
sixth of the fields: their cells form its memory, and the probabilities are calibrated on them. The result is
written to ``training/models/starter/starter.safetensors``, with its card.

``--init FILE`` continues from a starter (with ``--describer-steps 0`` only its memory is filled again);
``--detector FILE`` uses a starter's detector unchanged. ``--fold``
trains on four fifths of ``train`` and reports on the other (to choose settings); otherwise ``val`` is
reported. ``--sets pbc txl`` excludes domains, ``--without Monocyte`` excludes classes, to measure how well
they are recognised as unknown and learned later (``benchmark_unknown.py --starters``,
``benchmark_new_class.py --starters``). ``--quick`` runs a few steps on the bundled sample, in seconds, and
writes into a temporary folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bench.crowded import crowded
from bench.data import Field, around, close_ups, parted, renamed, sample, taught_and_judged, within

from annotation_store.records import Shape
from annotation_store.schema import load_schema
from training.engine.augment import OTHER_LOOKS
from training.engine.cell_features import embed_cells, estimate_domain_shifts, remember, remember_untaught
from training.engine.data import LabelledCell, TrainingField, cut_patches, prepare_field
from training.engine.loop import LearningConfig, Loop, StepReport
from training.evaluation.ground_truth import TrueCell
from training.evaluation.metrics import summarise
from training.inference.measure import evaluate, fit_calibration
from training.inference.predict import propose_raw
from training.models.model import LearnedModel, adapt, new_model, read_model, starter_place, write_model
from training.models.pretrained import with_coco_weights
from training.networks.devices import choose_device, make_deterministic, set_threads
from training.networks.vocabulary import Vocabulary

SETS = {
    "pbc": {
        "what": "PBC_dataset_normal_DIB, composed fields of healthy donors: boxes, class, attributes",
        "licence": "pixels and boxes CC BY 4.0, attributes MIT",
        "source": "Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1; boxes by medmabcf; "
        "attributes (WBCAtt) by Tsutsui, Pang and Wen, NeurIPS 2023",
    },
    "txl": {
        "what": "TXL-PBC natural fields (BCCD, BCD, PBC, Raabin): boxes of white cells",
        "licence": "MIT",
        "source": "github.com/lugan113/TXL-PBC_Dataset",
    },
    "pbc_ig": {
        "what": "PBC_dataset_normal_DIB, close-ups of healthy donors: boxes and class of myelocytes, "
        "metamyelocytes and erythroblasts (artefacts in the schema lld); boxes alone of promyelocytes",
        "licence": "CC BY 4.0",
        "source": "Acevedo et al. 2020, doi 10.17632/snkd93bnjr.1; boxes by medmabcf",
    },
    "lmu": {
        "what": "AML-Cytomorphology_LMU, close-ups of patients with acute myeloid leukaemia: class of "
        "myeloblasts and segmented neutrophils; boxes are the detector's",
        "licence": "CC BY 3.0",
        "source": "Matek et al. 2019, TCIA, doi 10.7937/tcia.2019.36f5o9ld",
    },
}
"""The data sets as described in the card: images, labels, licences and sources."""
CLOSE_UP = 130.0
"""Approximate side of a cell in the close-ups of `lmu` in pixels, used to detect it."""

LIKELY = 0.1
"""Minimum raw score of the proposal in the centre of a close-up to be used as its cell."""

MISSING = "Promyelocyte"
"""Class of `pbc_ig` that the schema `lld` lacks."""

Sets = dict[str, list[Field]]
"""Fields by name of the data set."""


def load(args: argparse.Namespace) -> tuple[Sets, Sets]:
    """Load the training and the test fields: white cells, in the schema `lld`."""
    taught, judged = {}, {}
    for name in args.sets:
        folder, evaluate = args.data / name, "fold" if args.fold else "val"
        if name == "lmu":
            both = parted(partial(close_ups, folder), evaluate)
        else:
            both = taught_and_judged(folder, evaluate, in_lld=name == "pbc")
        taught[name] = [as_shown(field, name, args.without) for field in both[0]]
        judged[name] = [as_shown(field, name, ()) for field in both[1]]
    return taught, judged


def as_shown(field: Field, name: str, without: Collection[str]) -> Field:
    """Return a field of a data set with the labels used here."""
    if name == "txl":  # red cells and platelets are background
        white = tuple(replace(c, cell_class=None) for c in field.cells if c.cell_class == "WBC")
        return replace(field, cells=white)
    if name == "pbc_ig":
        field = renamed(field, {"Erythroblast": "None", MISSING: None})
        field = within(field, [around(field, cell.box) for cell in field.cells])
    cells = tuple(TrueCell(c.box) if c.cell_class in without else c for c in field.cells)
    return replace(field, cells=cells)


def of_missing_class(args: argparse.Namespace) -> list[TrainingField]:
    """Return the training fields whose cells are of the class that the schema lacks."""
    if args.quick or "pbc_ig" not in args.sets:
        return []
    fields, _ = taught_and_judged(args.data / "pbc_ig", "fold" if args.fold else "val")
    known = known_fields("pbc_ig", fields)
    return [
        item
        for field, item in zip(fields, known, strict=True)
        if any(c.cell_class == MISSING for c in field.cells)
    ]


def with_boxes(model: LearnedModel, fields: Sequence[Field]) -> list[Field]:
    """Box the cell in the centre of each close-up with the model; drop close-ups without a detection."""
    boxed = []
    for field in fields:
        found = propose_raw(model, [field.pixels], cell_sides=[CLOSE_UP])[0]
        off = abs(found.boxes[:, :2] + found.boxes[:, 2:] / 2 - (field.width / 2, field.height / 2))
        middle = (off.max(1) < 0.15 * field.width) & (found.scores > LIKELY)
        if middle.any():
            x, y, w, h = map(float, found.boxes[middle.argmax()])
            cell = replace(field.cells[0], box=(x, y, w, h))
            boxed.append(within(replace(field, cells=(cell,)), [around(field, cell.box)]))
    return boxed


def known_fields(name: str, fields: Sequence[Field]) -> list[TrainingField]:
    """Return fields of a data set as training fields; the cell side of close-ups is their median."""
    sides = [max(c.box[2:]) for f in fields for c in f.cells] if name in ("pbc_ig", "lmu") else []
    side = statistics.median(sides) if sides else None
    return [
        TrainingField(
            name=field.name,
            pixels=field.pixels,
            cells=tuple(LabelledCell(c.box, c.cell_class, c.attributes) for c in field.cells),
            regions=tuple(Shape.rectangle(*region) for region in field.regions),
            cell_side=side,
        )
        for field in fields
    ]


def is_kept(name: str) -> bool:
    """Return whether a field is for memory and calibration, and not used to train the describer."""
    return int(hashlib.sha256(f"kept:{Path(name).name}".encode()).hexdigest(), 16) % 6 == 0


def looks(steps: int, seed: int) -> LearningConfig:
    """Return the settings of the describer's stage, so that no laboratory's appearance identifies a class."""
    return LearningConfig(
        epochs=steps,
        describer_rate=5e-4,
        weight_decay=0.02,
        squeeze=0.27,
        average=0.99,
        seed=seed,
        **OTHER_LOOKS,
    )


def measure(model: LearnedModel, name: str, fields: Sequence[Field]) -> dict[str, Any]:
    """Return the metrics of `training.evaluation.metrics.summarise`."""
    known = known_fields(name, fields)
    raw = propose_raw(model, [f.pixels for f in known], cell_sides=[f.cell_side for f in known])
    results = evaluate(model, [f.truth() for f in fields], raw)
    numbers = summarise(results, attributes=list(model.vocabulary.attributes))
    taught = [name for name, cells in model.taught.get("class", {}).items() if cells]
    met = [
        (cell.cell_class in taught, item)
        for result in results
        for cell, item in result.matched
        if cell.cell_class
    ]
    for key, of in (("taught_called_unknown", True), ("others_called_unknown", False)):
        some = [item.is_unknown for known, item in met if known is of]
        numbers[key] = round(statistics.mean(some), 4) if some else None
    return numbers


def parse() -> argparse.Namespace:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt; random initial weights without it")
    parser.add_argument("--out", type=Path, default=starter_place(), help="the .safetensors file to write")
    parser.add_argument(
        "--fold", action="store_true", help="train on four fifths of train, report on the rest"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps on the bundled sample")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS), help="data sets to use")
    parser.add_argument("--without", nargs="*", default=[], metavar="CLASS", help="classes to exclude")
    parser.add_argument("--init", type=Path, help="a starter to continue from, instead of --weights")
    parser.add_argument("--detector", type=Path, help="a starter whose detector is used unchanged")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the detector")
    parser.add_argument("--describer-steps", type=int, default=1500)
    parser.add_argument("--minutes", type=float, help="fit the detector's epochs into this time")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--state", type=Path, help="file to resume an interrupted run from")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of the detector")
    return parser.parse_args()


def begin(args: argparse.Namespace) -> LearnedModel:
    """Return the initial model."""
    vocabulary = Vocabulary.from_schema(load_schema("lld"))
    if args.init:
        first = read_model(args.init)
        parent = adapt(first, vocabulary)
        model = new_model(vocabulary, size=parent.size)  # its features may be others than the parent's
        model.detector.load_state_dict(parent.detector.state_dict())
        weights = parent.describer.state_dict()
        fitted = [name for name in weights if name.startswith("lines.")]  # in projects alone
        model.describer.load_state_dict(weights | {n: model.describer.state_dict()[n] for n in fitted})
        model.sides, model.untaught, model.card = parent.sides, False, first.card
        return model
    model = new_model(vocabulary, size=448)
    if args.weights:
        with_coco_weights(model, args.weights)
    if args.detector:
        model.detector.load_state_dict(read_model(args.detector).detector.state_dict())
        model.untaught = False
    return model


class Teller:
    """Prints the progress of a stage."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, report: StepReport) -> None:
        """Print each fiftieth step."""
        if report.done % 50 == 0 or report.done == report.total:
            losses = " ".join(f"{k} {v:.3f}" for k, v in report.losses.items())
            print(
                f"{time.monotonic() - self._begun:6.0f} s  step {report.done}/{report.total}"
                f"  {report.seconds_left:.0f} s left  {losses}",
                flush=True,
            )


def learn_boxes(model: LearnedModel, taught: Sets, config: LearningConfig, args: argparse.Namespace) -> int:
    """Train the detector; return the number of epochs done."""
    shown = [
        *(item for field in taught.get("pbc", []) for item in (field, crowded(field))),
        *(
            item
            for field in taught.get("txl", [])
            for item in ((field, crowded(field)) if is_kept(field.name) else (field,))
        ),
        *taught.get("pbc_ig", [])[::3],  # one appearance among many
    ]
    ready = [prepare_field(item, model.size) for item in known_fields("fields", shown)]
    print(f"{len(ready)} fields, {config}", flush=True)
    deadline = time.monotonic() + 60 * args.minutes if args.minutes else None
    loop = Loop(model, ready, cut_patches([], model.vocabulary), config, state=args.state, deadline=deadline)
    if args.state and loop.resume(args.state):
        print("Going on from", args.state, flush=True)
    return loop.run(on_step=Teller())


def learn_cells(
    model: LearnedModel, taught: Sets, outside: Sequence[TrainingField], steps: int, seed: int
) -> int:
    """Train the describer, fill its memory, calibrate; return the number of training cells.

    Parameters
    ----------
    outside
        Fields of cells whose class the schema lacks: stored in the memory as unknown.
    """
    known = [
        both
        for name, fields in taught.items()
        for both in zip(fields, known_fields(name, fields), strict=True)
    ]
    patches = cut_patches([item for field, item in known if not is_kept(field.name)], model.vocabulary)
    print(f"{len(patches)} cells with labels", flush=True)
    if steps:
        Loop(model, [], patches, looks(steps, seed)).run(on_step=Teller())
    model.record_training(patches.labels.allowed)
    kept = [(field, item) for field, item in known if is_kept(field.name)]
    remember(model, embed_cells(model, [item for _, item in kept], seed=seed), seed=seed)
    estimate_domain_shifts(model, [item for _, item in kept], seed=seed)
    remember_untaught(model, outside, seed=seed)
    print(f"{len(model.memory)} cells remembered, {len(model.memory.outside)} as unknown", flush=True)
    raw = propose_raw(
        model, [item.pixels for _, item in kept], cell_sides=[item.cell_side for _, item in kept]
    )
    model.calibration = fit_calibration(
        model,
        [field.truth() for field, _ in kept],
        raw,
        note="fitted on cells that the describer did not learn from",
    )
    return len(patches)


def main() -> int:
    """Train, calibrate, evaluate, and write the starter."""
    args = parse()
    threads = set_threads()
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    make_deterministic()
    config = LearningConfig(
        epochs=args.epochs,
        scales=(0.5, 1.35),
        weight_decay=0.02,
        stain=1.5,
        blur=0.7,
        camera=0.7,
        squeeze=0.27,
    )
    changes = {k: type(getattr(config, k))(float(v)) for k, v in (s.split("=") for s in args.set)}
    config = dataclasses.replace(config, **changes)
    if args.quick:
        taught = judged = {"pbc": sample()[::3]}
        config = dataclasses.replace(config, epochs=1, window=128, batch=4)
        args.describer_steps = 1
        args.out = Path(tempfile.mkdtemp(prefix="napari-lld-starter-")) / "starter.safetensors"
    elif args.data:
        taught, judged = load(args)
    else:
        print("Give --data DIR, or --quick.", file=sys.stderr)
        return 2

    model = begin(args).to(choose_device("auto"))
    print(f"{threads} threads", flush=True)
    begun = time.monotonic()
    epochs = learn_boxes(model, taught, config, args) if config.epochs and not args.detector else 0
    for sets in (taught, judged):
        if "lmu" in sets:
            sets["lmu"] = with_boxes(model, sets["lmu"])
    cells = learn_cells(model, taught, of_missing_class(args), args.describer_steps, config.seed)
    seconds = time.monotonic() - begun
    metrics = {name: measure(model, name, fields) for name, fields in judged.items()}
    for name, numbers in metrics.items():
        print(name, json.dumps(numbers, indent=1))
    counted = {
        name: {
            "fields": len(fields),
            "cells": dict(Counter(called(c.cell_class) for f in fields for c in f.cells)),
        }
        for name, fields in taught.items()
    }
    made = {"epochs_done": epochs, "describer_steps": args.describer_steps, "seconds": round(seconds)}
    stages = model.card.get("stages", [model.card["config"]] if "config" in model.card else [])
    stages = [*stages, {**dataclasses.asdict(config), **made}]
    model.card = card(args, stages, metrics, counted, cells)
    write_model(model, args.out, args.out.with_suffix(".json"))
    print("Wrote", args.out, f"{args.out.stat().st_size / 1e6:.1f} MB")
    return 0


def called(cell_class: str | None) -> str:
    """Return the class of a cell as named in the card; all artefacts of these data sets are of one kind."""
    return {None: "box alone", "None": "None (nucleated red cell)"}.get(cell_class, cell_class or "")


def card(
    args: argparse.Namespace,
    stages: list[dict[str, Any]],
    metrics: dict[str, Any],
    counted: Mapping[str, dict[str, Any]],
    cells: int,
) -> dict[str, Any]:
    """Return the card of the model and of its data."""
    import torch

    from training.networks.ultralytics_api import VERSION

    return {
        "title": "Starter",
        "parent": "random weights" if not (args.weights or args.init) else "YOLO26n, COCO weights",
        "intended_use": "First suggestions in a project, before anything is annotated. Research use only, "
        "not for diagnosis.",
        "data": [{"name": name, **SETS[name], **count} for name, count in counted.items()],
        "weights_licence": "AGPL-3.0-or-later (from Ultralytics' YOLO26n)",
        "trained_on": {
            "fields": sum(count["fields"] for count in counted.values()),
            "cells_with_labels": cells,
            "split": "train",
        },
        "limits": [
            "Classes seen: neutrophil, eosinophil, basophil, lymphocyte, monocyte, myelocyte and "
            "metamyelocyte of healthy donors of one laboratory; myeloblast and neutrophil of patients with "
            "acute myeloid leukaemia of another; the erythroblast, as an artefact.",
            "Never seen: lymphoblast, monoblast, promonocyte, abnormal promyelocyte, atypical lymphocyte, "
            "smudged cells. It proposes none of these: it may call them unknown, and it may take them for a "
            "class it knows. The normal promyelocyte has no class in LLD: some are remembered as unknown.",
            "The nucleolus and the medium cell size were never labelled: it proposes neither before a "
            "project teaches them. Attributes were labelled on the five mature classes alone.",
            "Attributes are WBCAtt's words mapped to LLD's; cell size was learnt on fields that show cells "
            "at about an eighth of the field's longer side; elsewhere it is judged against the field's "
            "cells.",
            "Fields of 360 to 800 pixels, Wright-Giemsa-like stains of few laboratories; others are "
            "untested. Measured per domain: docs/benchmarks.md.",
        ],
        "stages": stages,
        "metrics": {"on": "fold" if args.fold else "sample" if args.quick else "val", **metrics},
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "ultralytics": VERSION,
        },
    }


if __name__ == "__main__":
    sys.exit(main())
