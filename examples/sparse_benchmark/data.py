"""The shared data sets as training fields, and the subsets and folds that the benchmark uses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from annotation_store.records import Shape
from training.engine.data import LabelledCell, TrainingField
from training.evaluate import FieldTruth, TrueCell


def read_pixels(file: Path) -> np.ndarray:
    """Read an image as ``(H, W, 3)`` uint8."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def load_fields(annotations: Path, images: Path) -> list[TrainingField]:
    """Read a COCO file in the project's dialect (design §6): no ``annotated_regions`` = the whole field."""
    content = json.loads(annotations.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    cells: dict[int, list[LabelledCell]] = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        said = {k: v for k, v in (one.get("attributes") or {}).items() if v is not None}
        x, y, w, h = one["bbox"]
        cells[one["image_id"]].append(LabelledCell((x, y, w, h), names.get(one["category_id"]), said))
    fields = []
    for image in content["images"]:
        rectangles = image.get("annotated_regions", [[0, 0, image["width"], image["height"]]])
        fields.append(
            TrainingField(
                name=image["file_name"],
                pixels=partial(read_pixels, images / image["file_name"]),
                cells=tuple(cells[image["id"]]),
                regions=tuple(Shape.rectangle(*rectangle) for rectangle in rectangles),
                patient=image["file_name"],
            )
        )
    return fields


def _hash(name: str, salt: str = "") -> int:
    return int(hashlib.sha256((salt + Path(name).name).encode()).hexdigest(), 16)


def in_fold(name: str) -> bool:
    """Whether a field of ``train`` belongs to the fixed fifth on which settings are chosen."""
    return _hash(name) % 5 == 0


def held_back(name: str) -> bool:
    """Whether a training field is kept for calibration (a fifth, another than the fold)."""
    return _hash(name, "held:") % 5 == 0


def subset(fields: list[TrainingField], n: int | None) -> list[TrainingField]:
    """Take `n` fields by a hash of their names: the same for every arm, labels and seed; nested."""
    ordered = sorted(fields, key=lambda field: _hash(field.name, "subset:"))
    return ordered if n is None else ordered[:n]


def whole(field: TrainingField) -> TrainingField:
    """Take what is not boxed for background: what a tool without regions does with sparse labels."""
    height, width = field.pixels().shape[:2]
    return replace(field, regions=(Shape.rectangle(0, 0, width, height),))


def truth_of(field: TrainingField) -> FieldTruth:
    """Give a fully annotated field as truth."""
    height, width = field.pixels().shape[:2]
    cells = tuple(TrueCell(c.box, c.cell_class, c.attributes) for c in field.cells)
    return FieldTruth(field.name, width, height, cells)
