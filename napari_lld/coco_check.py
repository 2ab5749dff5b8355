"""What in a COCO file a project cannot take, found before anything is imported.

A cell that is left out of an area which the file calls annotated would be taught as background. So a file
that holds a class, a value or an image unknown here is refused as a whole, unless the user says
``--skip-unknown``. What is wrong with the file's structure is for `annotation_store.formats` to say.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation_store.formats._images import Images
from napari_lld.translate import tr

if TYPE_CHECKING:
    from annotation_store import Project
    from annotation_store.schema import Schema


def problems(project: Project, file: Path, images: Path | None) -> list[str]:
    """List what would be left out on import, most frequent first; empty where all of it fits."""
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    counts: Counter[str] = Counter()
    sizes: dict[Any, tuple[float, float]] = {}
    finder = Images.of(file, images, project)
    for image in _objects(document.get("images")):
        name = str(image.get("file_name", ""))
        if not finder.find(name).found:
            counts[tr("image {name} was not found", name=name)] += 1
        if isinstance(image.get("id"), int | str):
            sizes[image["id"]] = (_number(image.get("width")), _number(image.get("height")))
    categories = {
        one["id"]: str(one.get("name", ""))
        for one in _objects(document.get("categories"))
        if isinstance(one.get("id"), int | str)
    }
    for annotation in _objects(document.get("annotations")):
        if not isinstance(annotation.get("image_id"), int | str):
            continue
        counts.update(_unknown_words(annotation, project.schema, categories))
        if _outside(annotation.get("bbox"), sizes.get(annotation["image_id"])):
            counts[tr("the box of annotation {id} lies outside its image", id=annotation.get("id"))] += 1
    return [
        what if n == 1 else tr("{what} ({n:,} times)", what=what, n=n) for what, n in counts.most_common()
    ]


def _objects(given: Any) -> Iterator[Mapping[str, Any]]:
    return (one for one in given if isinstance(one, dict)) if isinstance(given, list) else iter(())


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value == value else float("inf")


def _unknown_words(
    annotation: Mapping[str, Any], schema: Schema, categories: Mapping[Any, str]
) -> Iterator[str]:
    category = annotation.get("category_id")
    if isinstance(category, int | str):
        name = categories.get(category)
        if name is None:
            yield tr("category {category} is not among the file's categories", category=category)
        elif schema.find_class(name) is None and not schema.is_unclassified(name):
            yield tr("class '{name}' is not in the schema {schema}", name=name, schema=schema.name)
    group = annotation.get("class_group")
    if group is not None and schema.find_class(str(group)) is None:
        yield tr("class group '{name}' is not in the schema {schema}", name=group, schema=schema.name)
    attributes = annotation.get("attributes")
    for name, value in attributes.items() if isinstance(attributes, dict) else ():
        if value is None:
            continue
        if schema.find_attribute(str(name)) is None:
            yield tr("attribute '{name}' is not in the schema {schema}", name=name, schema=schema.name)
        elif schema.find_value(str(name), str(value)) is None:
            yield tr(
                "value '{value}' of {name} is not in the schema {schema}",
                value=value,
                name=name,
                schema=schema.name,
            )


def _outside(box: Any, size: tuple[float, float] | None) -> bool:
    """Whether nothing of a box lies in its image; what passes the edge only in part is cut there."""
    if size is None or not isinstance(box, list) or len(box) != 4:
        return False
    if not all(isinstance(value, int | float) for value in box):
        return False
    x, y, w, h = box
    return bool(x + w <= 0 or y + h <= 0 or x >= size[0] or y >= size[1])
