"""The bundled fields as napari sample data: pixels, and the boxes of the truth beside them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from napari_lld import sample

LayerData = tuple[Any, dict[str, Any], str]


def natural_field() -> list[LayerData]:
    """Return a natural field and its white cells."""
    return _field("txl_")


def composed_field() -> list[LayerData]:
    """Return a composed field: single white cells of one patient on one background."""
    return _field("pbc_")


def _field(prefix: str) -> list[LayerData]:
    from annotation_store.images.read import read_image

    truth = json.loads(sample.truth().read_text(encoding="utf-8"))
    boxes: dict[int, list[dict[str, Any]]] = {}
    for annotation in truth["annotations"]:
        boxes.setdefault(annotation["image_id"], []).append(annotation)
    candidates = [image for image in truth["images"] if image["file_name"].startswith(prefix)]
    image = max(candidates, key=lambda image: len(boxes.get(image["id"], [])))
    path = next(path for path in sample.fields() if path.name == image["file_name"])
    names = {category["id"]: category["name"] for category in truth["categories"]}
    cells = boxes.get(image["id"], [])
    corners = [
        np.array([[y, x], [y, x + w], [y + h, x + w], [y + h, x]])
        for x, y, w, h in (cell["bbox"] for cell in cells)
    ]
    classes = [names.get(cell.get("category_id"), "white cell") for cell in cells]
    return [
        (read_image(path), {"name": path.stem, "rgb": True, "translate": (0.5, 0.5)}, "image"),
        (
            corners,
            {
                "name": "white cells",
                "shape_type": "rectangle",
                "face_color": "transparent",
                "edge_color": "yellow",
                "edge_width": 2,
                "features": {"class": classes},
                "text": {"string": "{class}", "color": "yellow", "size": 9, "anchor": "upper_left"},
            },
            "shapes",
        ),
    ]
