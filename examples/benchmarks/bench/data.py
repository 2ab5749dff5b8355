"""Load the shared data sets as fields; choose subsets and folds."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from annotation_store.records import Box, Shape
from annotation_store.schema import wbcatt_to_lld
from training.evaluation.ground_truth import FieldTruth, TrueCell


def read_pixels(file: Path) -> np.ndarray:
    """Read an image as ``(H, W, 3)`` uint8."""
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class Field:
    """A field with its cells.

    Attributes
    ----------
    name
        File name in the data set.
    regions
        Rectangles in which every cell is annotated.
    drawn
        The pixels, if they differ from those of the file.
    """

    name: str
    file: Path
    width: int
    height: int
    cells: tuple[TrueCell, ...]
    regions: tuple[Box, ...]
    drawn: np.ndarray | None = None

    def pixels(self) -> np.ndarray:
        """Return the pixels as ``(H, W, 3)`` uint8."""
        return read_pixels(self.file) if self.drawn is None else self.drawn

    def truth(self) -> FieldTruth:
        """Return the ground truth for evaluation."""
        regions = tuple(Shape.rectangle(*item) for item in self.regions)
        return FieldTruth(self.name, self.width, self.height, self.cells, regions)


def load_fields(annotations: Path, images: Path, *, in_lld: bool = False) -> list[Field]:
    """Load a COCO file as in docs/formats.md; without ``annotated_regions`` the whole field is annotated.

    Parameters
    ----------
    in_lld
        Whether to map the attributes from WBCAtt's terms to the schema `lld`.
    """
    content = json.loads(annotations.read_text(encoding="utf-8"))
    names = {category["id"]: category["name"] for category in content["categories"]}
    cells: dict[int, list[TrueCell]] = {image["id"]: [] for image in content["images"]}
    for item in content["annotations"]:
        given = item.get("attributes") or {}
        given = {k: v for k, v in (wbcatt_to_lld(given) if in_lld else given).items() if v is not None}
        cells[item["image_id"]].append(TrueCell(tuple(item["bbox"]), names.get(item["category_id"]), given))
    return [
        Field(
            image["file_name"],
            images / image["file_name"],
            image["width"],
            image["height"],
            tuple(cells[image["id"]]),
            tuple(map(tuple, image.get("annotated_regions", [[0, 0, image["width"], image["height"]]]))),
        )
        for image in content["images"]
    ]


def second_readings(data: Path, split: str, *, in_lld: bool) -> dict[tuple[str, Box], dict[str, str]]:
    """Load a second annotator's attributes of cells of `pbc` by file and box, in terms of WBCAtt or `lld`."""
    content = json.loads((data / f"pbc/{split}.json").read_text(encoding="utf-8"))
    readings = json.loads((data / f"pbc/reannotations_{split}.json").read_text(encoding="utf-8"))
    files = {image["id"]: image["file_name"] for image in content["images"]}
    return {
        (files[item["image_id"]], tuple(item["bbox"])): wbcatt_to_lld(other) if in_lld else dict(other)
        for item in content["annotations"]
        if (other := readings.get(str(item["id"]))) is not None
    }


def write_coco(fields: Sequence[Field], file: Path) -> Path:
    """Write fields as a COCO file with ``annotated_regions``, which `import` can read."""
    classes = sorted({cell.cell_class for field in fields for cell in field.cells if cell.cell_class})
    images, annotations = [], []
    for number, field in enumerate(fields, 1):
        images.append(
            {"id": number, "file_name": field.name, "width": field.width, "height": field.height,
             "annotated_regions": [list(item) for item in field.regions]}
        )  # fmt: skip
        for cell in field.cells:
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "bbox": list(cell.box), "iscrowd": 0,
                 "area": cell.box[2] * cell.box[3], "attributes": dict(cell.attributes),
                 "category_id": None if cell.cell_class is None else classes.index(cell.cell_class) + 1}
            )  # fmt: skip
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def _hash(name: str, salt: str = "") -> int:
    return int(hashlib.sha256((salt + Path(name).name).encode()).hexdigest(), 16)


def in_fold(name: str) -> bool:
    """Return whether a field of ``train`` belongs to the fixed fifth on which settings are chosen."""
    return _hash(name) % 5 == 0


def studied(fields: Iterable[Field], study: int) -> list[Field]:
    """Shuffle fields by a hash of their names and the study; the first n are the subset of size n."""
    return sorted(fields, key=lambda field: _hash(field.name, f"study{study}:"))


def taught_and_judged(folder: Path, judge: str, **options: Any) -> tuple[list[Field], list[Field]]:
    """Return the training fields of ``train``, and the test fields.

    Parameters
    ----------
    judge
        ``"fold"``: test on the fixed fifth of ``train``, which is then not trained on, to choose settings;
        ``"val"``: test on ``val``, to report.
    """
    return parted(lambda split: load_fields(folder / f"{split}.json", folder / "images", **options), judge)


def parted(load: Callable[[str], list[Field]], judge: str) -> tuple[list[Field], list[Field]]:
    """Split fields like `taught_and_judged`; `load` returns those of ``train`` and ``val``."""
    train = load("train")
    if judge == "val":
        return train, load("val")
    return [f for f in train if not in_fold(f.name)], [f for f in train if in_fold(f.name)]


def close_ups(folder: Path, split: str) -> list[Field]:
    """Load a data set of close-ups (`lmu`) of one cell in the centre; without a box, the image is the box."""
    fields = []
    with (folder / f"{split}.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            with Image.open(folder / row["file"]) as image:
                width, height = image.size
            cell = TrueCell((0.0, 0.0, float(width), float(height)), row["class"])
            place = folder / row["file"]
            fields.append(Field(place.name, place, width, height, (cell,), ()))
    return fields


def sparsely(fields: Iterable[Field], folder: Path) -> list[Field]:
    """Restrict fields of ``train`` to their 20% regions."""
    content = json.loads((folder / "train_sparse20.json").read_text(encoding="utf-8"))
    regions = {image["file_name"]: image["annotated_regions"] for image in content["images"]}
    return [within(field, [tuple(item) for item in regions[field.name]]) for field in fields]


def within(field: Field, regions: Sequence[Box]) -> Field:
    """Restrict the annotations of a field to rectangles."""
    shapes = [Shape.rectangle(*item) for item in regions]
    cells = tuple(cell for cell in field.cells if any(s.contains_centre(cell.box) for s in shapes))
    return replace(field, cells=cells, regions=tuple(regions))


def picked(fields: Iterable[Field], cells: Mapping[str, int]) -> list[Field]:
    """Return fields with a number of cells per class, in order, each cell in a separate small region."""
    left = dict(cells)
    taken = []
    for field in fields:
        some = []
        for cell in field.cells:
            if left.get(cell.cell_class or "", 0):
                left[cell.cell_class or ""] -= 1
                some.append(around(field, cell.box))
        if some:
            taken.append(within(field, some))
    if any(left.values()):
        raise ValueError(f"The fields have too few cells: {left} are missing.")
    return taken


def around(field: Field, box: Box, margin: float = 0.1) -> Box:
    """Return a box enlarged by a narrow margin, inside the field."""
    x, y, w, h = box
    x1, y1 = max(0.0, x - margin * w), max(0.0, y - margin * h)
    x2, y2 = min(field.width, x + (1 + margin) * w), min(field.height, y + (1 + margin) * h)
    return (x1, y1, x2 - x1, y2 - y1)


def whole(field: Field) -> Field:
    """Mark a whole field as annotated, whatever its regions, as a tool without regions does."""
    return replace(field, regions=((0, 0, field.width, field.height),))


def renamed(field: Field, names: Mapping[str, str | None]) -> Field:
    """Return a field with renamed classes."""
    cells = (replace(c, cell_class=names.get(c.cell_class or "", c.cell_class)) for c in field.cells)
    return replace(field, cells=tuple(cells))


def sample(*, sparse: bool = False, like: Sequence[Field] = ()) -> list[Field]:
    """Return the bundled fields, all or those with the names of `like`, for quick runs."""
    from napari_lld import sample

    file, names = sample.sparse() if sparse else sample.truth(), {field.name for field in like}
    return [f for f in load_fields(file, file.parent / "fields") if not like or f.name in names]
