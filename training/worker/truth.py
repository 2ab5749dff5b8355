"""A fully annotated COCO file as truth."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.records import Shape
from annotation_store.schema import Schema
from training.engine.scale import domain_of_size
from training.evaluate import FieldTruth, TrueCell


def read_truth(file: Path, schema: Schema) -> list[FieldTruth]:
    """Read every white cell of a COCO file.

    Categories and values are found by the schema's spellings; a category that says only "white cell" is a
    missing class; a category of another kind (red cells, platelets) is no white cell. What the file calls
    ``annotated_regions`` limits the evaluated area, ``ignore_areas`` are taken out of it.

    Raises
    ------
    FormatError
        If it is no COCO file, or none of its categories is a white cell.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        images, annotations = content["images"], content["annotations"]
        categories = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
    except FileNotFoundError as error:
        raise FormatError(f"{file} is not there.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{file} is not a COCO file.") from error
    white = {i: _class(schema, name) for i, name in categories.items()}
    if categories and not any(known for known, _ in white.values()):
        raise FormatError(
            f"None of the categories of {file} is a white cell: {', '.join(categories.values())}."
        )
    cells: dict[Any, list[TrueCell]] = {image["id"]: [] for image in images}
    for one in annotations:
        known, name = white.get(one.get("category_id"), (one.get("category_id") is None, None))
        if not known or one["image_id"] not in cells:
            continue
        if one.get("class_group") is not None:
            name = schema.find_class(str(one["class_group"]))
        x, y, w, h = (float(v) for v in one["bbox"])
        cells[one["image_id"]].append(TrueCell((x, y, w, h), name, _attributes(schema, one)))
    return [
        FieldTruth(
            name=str(image["file_name"]),
            width=int(image["width"]),
            height=int(image["height"]),
            cells=tuple(cells[image["id"]]),
            inside=None
            if image.get("annotated_regions") is None
            else tuple(Shape(tuple(map(float, s))) for s in image["annotated_regions"]),
            outside=tuple(Shape(tuple(map(float, s))) for s in image.get("ignore_areas") or ()),
            patient=str(image.get("patient") or ""),
            domain=str(image.get("domain") or domain_of_size(int(image["width"]), int(image["height"]))),
        )
        for image in images
    ]


def _class(schema: Schema, name: str) -> tuple[bool, str | None]:
    found = schema.find_class(name)
    return (found is not None or schema.is_unclassified(name)), found


def _attributes(schema: Schema, annotation: Mapping[str, Any]) -> dict[str, str]:
    unsure = set(annotation.get("unsure") or ())
    result = {}
    for name, value in (annotation.get("attributes") or {}).items():
        if value is None or name in unsure:
            continue
        pair = schema.find_value(str(name), str(value))
        if pair is not None:
            result[pair[0]] = pair[1]
    return result


def outside_regions(
    truths: list[FieldTruth], finished: Mapping[str, tuple[Shape, ...]], names: Collection[str] | None = None
) -> list[FieldTruth]:
    """Take a project's finished regions out of the truth: what is left was never shown to the model.

    Parameters
    ----------
    finished
        Field name to its finished regions, as they were when the model was trained.
    names
        Keep only fields of these names.
    """
    return [
        replace(truth, outside=(*truth.outside, *finished.get(Path(truth.name).name, ())))
        for truth in truths
        if names is None or Path(truth.name).name in names
    ]
