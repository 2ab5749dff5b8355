"""Create, train and query a project as a user does, with the defaults of the product.

Nothing here sets how a model is trained: a benchmark may only choose the start and the duration, by the
options of ``napari-lld train``.
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
"""Minimum confidence of proposals for average precision."""


def new(folder: Path, schema: Any = "lld") -> Project:
    """Create an empty project, like ``napari-lld new``."""
    return Project.create(folder, schema=schema, annotator="benchmark")


def annotate(project: Project, fields: Sequence[Field]) -> None:
    """Import annotated fields, like ``napari-lld import --format coco``."""
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
    """Train, like ``napari-lld train``.

    Parameters
    ----------
    options
        Options of the command that differ from its defaults.

    Returns
    -------
    dict
        ``model``, ``active``, ``epochs`` and ``seconds``, which include the suggestions, and the start of the
        worker unless it is running.
    """
    begun = time.monotonic()
    done = ask(TrainRequest(project=str(project.path), **options), on_message=on_message)
    seconds = time.monotonic() - begun
    project.refresh()
    outcome = {name: done.result.get(name) for name in ("active", "epochs")}
    return {"model": done.model_id, **outcome, "seconds": round(seconds, 1)}


def later(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of later rounds, which always continue from the active model."""
    return options | ({"init": "active"} if "init" in options else {})


def proposals(
    project: Project, fields: Sequence[Field], *, worker: Callable[..., Any] = ask, **options: Any
) -> list[list[Proposal]]:
    """Predict fields with the project's model, like ``napari-lld predict --images … --out …``."""
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        # numbered: data sets may have files with the same name
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
    for item in content["annotations"]:
        found[number_of[item["image_id"]]].append(
            Proposal(
                tuple(item["bbox"]),
                item["score"],
                item["class_probabilities"],
                item["attribute_probabilities"],
                item.get("novelty"),
            )
        )
    return found


def measured(project: Project, fields: Sequence[Field], **options: Any) -> dict[str, Any]:
    """Evaluate the project's model, like ``napari-lld evaluate --truth … --json``."""
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
    """Import a model that was trained elsewhere, without activating it; return its id."""
    number = project.models.reserve_id()
    folder = project.models.folder(number)
    folder.mkdir(parents=True)
    shutil.copyfile(file, folder / "model.safetensors")
    shutil.copyfile(file.with_suffix(".json"), folder / "model.json")
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    project.models.add(number, parent="elsewhere", card=card, activate=False)
    return number


def put(field: Field, folder: Path, number: int) -> Path:
    """Write a field's image to a folder, named by a number; return its path."""
    to = folder / f"{number:05}{field.file.suffix if field.drawn is None else '.png'}"
    if field.drawn is None:
        shutil.copyfile(field.file, to)  # a copy, since links out of the folder are not followed
    else:
        Image.fromarray(field.drawn).save(to, compress_level=1)
    return to


def machine() -> str:
    """Describe the machine that times were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}"
