"""``regions.json`` beside annotation files whose format cannot store annotated areas.

It is a COCO file in the dialect of `coco` without annotations: schema, and for each image the field's name,
patient, slide, domain, finished regions and ignore areas; ``files`` says which images of the export it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from annotation_store.files.json_reader import read_json
from annotation_store.formats._exchange.document import FieldIn
from annotation_store.formats._exchange.export import Contents
from annotation_store.formats._io.file_names import Names
from annotation_store.formats.coco.coco import to_coco
from annotation_store.formats.coco.reader import from_coco
from annotation_store.records import Field
from annotation_store.schema import Schema

NAME = "regions.json"


def write_sidecar(
    folder: Path,
    contents: Contents,
    fields: Iterable[Field],
    files: Mapping[int, Sequence[str]],
    names: Names,
) -> None:
    """Write the sidecar into an export; `files` are the images' paths in it."""
    fields = list(fields)
    document = to_coco(
        contents.schema,
        fields,
        regions=[r for f in fields for r in contents.regions.get(f.id, ())],
        ignore_areas=[a for f in fields for a in contents.ignore_areas.get(f.id, ())],
        numbers=contents.numbers,
        names=names,
    )
    for image, field in zip(document["images"], fields, strict=True):
        image["files"] = list(files[field.id])
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    (folder / NAME).write_text(text, encoding="utf-8", newline="\n")


def read_sidecar(folder: Path, schema: Schema) -> dict[str, FieldIn]:
    """Read the sidecar, keyed by the images' paths in the folder without suffix; empty if there is none."""
    path = folder / NAME
    if not path.is_file():
        return {}
    data = read_json(path)
    document = from_coco(data, schema, source=str(path))
    by_path: dict[str, FieldIn] = {}
    fields = {field.name: field for field in document.fields}
    for image in data["images"]:
        entry = image if isinstance(image, dict) else {}
        name, places = entry.get("file_name"), entry.get("files")
        field = fields.get(name) if isinstance(name, str) else None
        for place in places if isinstance(places, list) else ():
            if isinstance(place, str) and field is not None:
                folder_name, slash, file = place.rpartition("/")
                by_path[folder_name + slash + PurePosixPath(file).stem] = field
    return by_path
