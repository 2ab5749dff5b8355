"""The truth of the demonstration's fields: every white cell, from a COCO file in the house's dialect."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from annotation_store.geometry import iou
from annotation_store.records import Box
from annotation_store.schema.reserved import UNSURE
from training.evaluation.ground_truth import TrueCell


def read_truth(path: Path) -> dict[str, list[TrueCell]]:
    """Read the true cells by name of field; a field without cells has an empty list."""
    document = json.loads(path.read_text(encoding="utf-8"))
    classes = {category["id"]: category["name"] for category in document["categories"]}
    names = {image["id"]: image["file_name"] for image in document["images"]}
    cells: dict[str, list[TrueCell]] = {name: [] for name in names.values()}
    for annotation in document["annotations"]:
        attributes = {
            name: value
            for name, value in (annotation.get("attributes") or {}).items()
            if value is not None and value != UNSURE
        }
        cell_class = annotation.get("class_group") or classes.get(annotation["category_id"])
        x, y, w, h = (float(value) for value in annotation["bbox"])
        cells[names[annotation["image_id"]]].append(
            TrueCell((x, y, w, h), None if cell_class == UNSURE else cell_class, attributes)
        )
    return cells


def best_overlap(box: Box, others: Sequence[Box]) -> tuple[int | None, float]:
    """Find which of `others` overlaps `box` most, and by how much."""
    overlaps = [iou(box, other) for other in others]
    if not overlaps:
        return None, 0.0
    place = max(range(len(overlaps)), key=overlaps.__getitem__)
    return place, overlaps[place]
