"""Find what a project cannot import from a COCO file, before the import.

A file that holds cells of a class, or on an image, that is unknown here, or values that the schema lacks, is
refused as a whole, unless the user says ``--skip-unknown``: the schema or the folder of the images may be the
wrong one. What costs no cell (an attribute of another program) and single odd records are left out on import,
which tells them; what is wrong with the file's structure is for `annotation_store.formats` to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation_store.errors import FormatError
from annotation_store.files.json_reader import read_json
from annotation_store.formats._exchange.document import FieldIn
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.matching import find_images
from annotation_store.formats._io.labels import class_of
from annotation_store.formats.coco.reader import Id, category_names, is_id, known_id
from annotation_store.schema.from_coco import value_word
from annotation_store.schema.reserved import UNSURE
from annotation_store.validation import clean_name
from napari_lld.i18n.translate import tr

if TYPE_CHECKING:
    from annotation_store import Project
    from annotation_store.schema import Schema


def problems(project: Project, file: Path, images: Path | None) -> list[str]:
    """List what would be left out on import, most frequent first; empty where all of it fits."""
    try:
        document = read_json(file, nan_as_null=True)
        finder = Images.for_file(file, images, project)
    except FormatError:
        return []
    if not isinstance(document, dict):
        return []
    counts: Counter[str] = Counter()
    names = [image.get("file_name") for image in _objects(document.get("images"))]
    fields = [FieldIn(name) for name in names if isinstance(name, str)]
    for index in find_images(fields, finder)[1]:
        counts[tr("image {name} was not found", name=clean_name(fields[index].name))] += 1
    categories = category_names(document.get("categories"))
    ids = {image["id"] for image in _objects(document.get("images")) if is_id(image.get("id"))}
    for annotation in _objects(document.get("annotations")):
        if known_id(annotation.get("image_id"), ids) is not None:
            counts.update(_unknown_words(annotation, project.schema, categories))
    return [
        what if n == 1 else tr("{what} ({n:,} times)", what=what, n=n) for what, n in counts.most_common()
    ]


def _objects(content: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in content if isinstance(item, dict)) if isinstance(content, list) else iter(())


def _unknown_words(
    annotation: Mapping[str, Any], schema: Schema, categories: Mapping[Id, str]
) -> Iterator[str]:
    category, group = annotation.get("category_id"), annotation.get("class_group")
    if group is not None:
        if schema.find_class(str(group)) is None:
            yield tr(
                "class group '{name}' is not in the schema {schema}",
                name=clean_name(str(group)),
                schema=schema.name,
            )
    elif isinstance(category, int | str):
        category_id = known_id(category, categories)
        name = None if category_id is None else categories[category_id]
        if name is None:
            yield tr(
                "category {category} is not among the file's categories", category=clean_name(str(category))
            )
        elif not class_of(name, schema)[1]:
            yield tr(
                "class '{name}' is not in the schema {schema}", name=clean_name(name), schema=schema.name
            )
    attributes = annotation.get("attributes")
    for name, value in attributes.items() if isinstance(attributes, dict) else ():
        word = value_word(value)
        if word is None or word.lower() in (UNSURE, "missing") or schema.find_attribute(name) is None:
            continue
        if schema.find_value(name, word) is None:
            yield tr(
                "value '{value}' of {name} is not in the schema {schema}",
                value=clean_name(word),
                name=clean_name(name),
                schema=schema.name,
            )
