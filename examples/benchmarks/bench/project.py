"""A project, made, taught and asked as a user does, with the defaults of the product.

Nothing here chooses how a model learns: a benchmark says where to start and how long, as the options of
``napari-lld train`` do, or says nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from annotation_store import Project, formats
from annotation_store.records import Proposal
from bench.data import Field, write_coco
from bench.worker import ask
from training.protocol import EvaluateRequest, Message, PredictRequest, TrainRequest

LEAST = 0.001
"""Confidence from which average precision is computed."""


def new(folder: Path, schema: Any = "lld") -> Project:
    """Make an empty project, as ``napari-lld new`` does."""
    return Project.create(folder, schema=schema, annotator="benchmark")


def annotate(project: Project, fields: Sequence[Field]) -> None:
    """Import annotated fields, as ``napari-lld import --format coco`` does."""
    of_folder: dict[Path, list[Field]] = defaultdict(list)
    for field in fields:
        of_folder[Path(str(field.file).removesuffix(field.name))].append(field)
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        for images, some in of_folder.items():
            report = formats.read(
                "coco", project, write_coco(some, Path(place) / "cells.json"), images=images
            )
            if report.skipped or report.conflicts:
                raise RuntimeError(f"{images}: not all was imported: {report.skipped or report.conflicts}")


def train(
    project: Project, *, on_message: Callable[[Message], None] | None = None, **options: Any
) -> dict[str, Any]:
    """Train, as ``napari-lld train`` does.

    Parameters
    ----------
    options
        Of the command, where a benchmark departs from its defaults.

    Returns
    -------
    dict
        ``model``, ``active``, ``epochs`` and ``seconds``: suggestions included, and the worker's start where
        none stays from before.
    """
    begun = time.monotonic()
    done = ask(TrainRequest(project=str(project.path), **options), on_message=on_message)
    seconds = time.monotonic() - begun
    project.refresh()
    outcome = {name: done.result.get(name) for name in ("active", "epochs")}
    return {"model": done.model_id, **outcome, "seconds": round(seconds, 1)}


def later(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of later rounds: where a start was named, they go on from the model in use."""
    return options | ({"init": "active"} if "init" in options else {})


def proposals(
    project: Project, fields: Sequence[Field], *, worker: Callable[..., Any] = ask, **options: Any
) -> list[list[Proposal]]:
    """Let the project's model look at fields, as ``napari-lld predict --images … --out …`` does."""
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        # by number: data sets may have files of equal names
        files = []
        for number, field in enumerate(fields):
            files.append(put(field, Path(place), number))
        out = Path(place) / "found.json"
        request = PredictRequest(
            project=str(project.path),
            images=[str(file) for file in files],
            out=str(out),
            **{"min_confidence": LEAST, **options},
        )
        worker(request)
        content = json.loads(out.read_text(encoding="utf-8"))
    number_of = {image["id"]: int(Path(image["file_name"]).stem) for image in content["images"]}
    found: list[list[Proposal]] = [[] for _ in fields]
    for one in content["annotations"]:
        found[number_of[one["image_id"]]].append(
            Proposal(
                tuple(one["bbox"]),
                one["score"],
                one["class_probabilities"],
                one["attribute_probabilities"],
                one.get("novelty"),
            )
        )
    return found


def measured(project: Project, fields: Sequence[Field], **options: Any) -> dict[str, Any]:
    """Measure the project's model, as ``napari-lld evaluate --truth … --json`` does."""
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        (Path(place) / "images").mkdir()
        named = []
        for number, field in enumerate(fields):
            file = put(field, Path(place) / "images", number)
            named.append(replace(field, name=file.name))
        request = EvaluateRequest(
            project=str(project.path),
            truth=str(write_coco(named, Path(place) / "truth.json")),
            images=str(Path(place) / "images"),
            **options,
        )
        return ask(request).metrics


def adopt(project: Project, file: Path) -> int:
    """Take over a model that was trained elsewhere, not active, to measure it; give its number."""
    number = project.models.reserve_id()
    folder = project.models.folder(number)
    folder.mkdir(parents=True)
    shutil.copyfile(file, folder / "model.safetensors")
    shutil.copyfile(file.with_suffix(".json"), folder / "model.json")
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    project.models.add(number, parent="elsewhere", card=card, activate=False)
    return number


def put(field: Field, folder: Path, number: int) -> Path:
    """Put a field's image into a folder, under a number."""
    to = folder / f"{number:05}{field.file.suffix if field.drawn is None else '.png'}"
    if field.drawn is None:
        shutil.copyfile(field.file, to)  # a link is not followed out of the folder
    else:
        Image.fromarray(field.drawn).save(to, compress_level=1)
    return to


def machine() -> str:
    """Describe what a time was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}"
