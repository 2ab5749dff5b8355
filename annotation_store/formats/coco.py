"""COCO JSON in and out, with regions, attributes and suggestions.

What it carries beyond COCO: ``images[].annotated_regions`` and ``ignore_areas`` (``[x, y, w, h]`` or
``[x1, y1, x2, y2, …]``), ``patient``, ``slide``, ``domain``, ``pixel_size_um``; ``annotations[].attributes``
(name to value or null), ``unsure`` (attribute names, or ``class``), ``class_group``, ``kind``, ``cut``,
``comment``, ``bookmark``, ``second_opinion``, and for suggestions ``score``, ``class_probabilities``,
``attribute_probabilities``; the schema under ``napari_lld``. What it loses: draft regions, history,
readings other than the current one, suggestions already judged, outlines (``segmentation``).

`from_coco` and `to_coco` are pure; `read` and `write` add files and a project.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import sqlalchemy as sa

from annotation_store import _rows
from annotation_store._db.tables import cells as cells_table
from annotation_store.errors import FormatError
from annotation_store.formats._document import CellIn, Document, FieldIn, Regions, Skipped
from annotation_store.formats._export import each
from annotation_store.formats._files import Names, safe_name
from annotation_store.formats._images import Images
from annotation_store.formats._json import read_json
from annotation_store.formats._merge import merge
from annotation_store.outputs import write_file
from annotation_store.records import (
    UNSURE,
    Box,
    Cell,
    ExportReport,
    Field,
    IgnoreArea,
    ImportReport,
    Proposal,
    Region,
    RegionState,
    Suggestion,
)
from annotation_store.schema import Schema

if TYPE_CHECKING:
    from annotation_store.project import Project

_FLAGS = ("kind", "cut", "comment", "bookmark", "second_opinion")
_KNOWN = frozenset(
    {
        "id",
        "image_id",
        "category_id",
        "bbox",
        "iscrowd",
        "segmentation",
        "attributes",
        "unsure",
        "class_group",
    }
    | {"score", "class_probabilities", "attribute_probabilities", *_FLAGS}
)
_MAX_EXTRA = 20
_BATCH = 4_000

Words = dict[tuple[str, str], tuple[str, str] | None]
"""Attribute and value as a file spells them, to what the schema calls them: looked up once a file."""


class Source(NamedTuple):
    """Where in which file, for sentences."""

    file: str
    where: str = ""

    def error(self, sentence: str) -> FormatError:
        """Make an error that names the place."""
        place = f"{self.where} of {self.file}" if self.where else self.file
        return FormatError(f"In {place}, {sentence}.")


# -- in ------------------------------------------------------------------------------------------


def read(
    project: Project,
    path: Path,
    *,
    images: Path | None,
    regions: Regions,
    patient_from: str | None,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    """Merge a COCO file into the current reading of a project; see `annotation_store.formats.read`."""
    document = from_coco(read_json(path), project.schema, source=str(path))
    return merge(
        project,
        document,
        images=Images.of(path, images, project),
        regions=regions,
        patient_from=patient_from,
        progress=progress,
    )


def from_coco(data: Any, schema: Schema, *, source: str = "the COCO file") -> Document:
    """Read a COCO object in the words of a schema.

    What the schema does not know is skipped with a sentence. What is no COCO at all is an error.

    Raises
    ------
    FormatError
        The structure is wrong: no images, a box that is not four numbers, a file name that leads out of
        its folder, …
    """
    here = Source(source)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise FormatError(
            f"{source} is no COCO file: it needs a list of images, and one of annotations. "
            "Export it again as COCO."
        )
    annotations = data.get("annotations", [])
    if not isinstance(annotations, list):
        raise here.error("annotations must be a list")
    skipped = Skipped()
    categories = _categories(data.get("categories", []), here)
    words: Words = {}
    fields: dict[int | str, FieldIn] = {}
    for position, image in enumerate(data["images"]):
        at = Source(source, f"image {position + 1}")
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise at.error("an image needs an id and a file_name")
        if image["id"] in fields:
            raise at.error(f"the id {image['id']!r} is given twice")
        fields[image["id"]] = _field(image, at)
    for position, annotation in enumerate(annotations):
        at = Source(source, f"annotation {position + 1}")
        if not isinstance(annotation, dict):
            raise at.error("an annotation must be an object")
        image_id = annotation.get("image_id")
        if not isinstance(image_id, int | str) or image_id not in fields:
            skipped.count("{n} annotations belong to no image of the file: skipped.")
            continue
        _annotation(annotation, fields[image_id], schema, categories, words, skipped, at)
    return Document(source, list(fields.values()), skipped, len(annotations))


def _categories(given: Any, at: Source) -> dict[int, str]:
    if not isinstance(given, list):
        raise at.error("categories must be a list")
    categories: dict[int, str] = {}
    for category in given:
        if not isinstance(category, dict) or not isinstance(category.get("id"), int):
            raise at.error("a category needs a whole number as id, and a name")
        if category["id"] in categories:
            raise at.error(f"the category id {category['id']} is given twice")
        categories[category["id"]] = str(category.get("name", ""))
    return categories


def _field(image: Mapping[str, Any], at: Source) -> FieldIn:
    name = safe_name(image.get("file_name"), at.file)
    regions = None
    if "annotated_regions" in image:
        regions = _areas(image["annotated_regions"], "annotated_regions", at)
    pixel_size = image.get("pixel_size_um")
    return FieldIn(
        name=name,
        width=_size(image.get("width"), at),
        height=_size(image.get("height"), at),
        patient=_word(image.get("patient")),
        slide=_word(image.get("slide")),
        domain=_word(image.get("domain")),
        pixel_size_um=None if pixel_size is None else _positive(pixel_size, "pixel_size_um", at),
        regions=regions,
        ignore_areas=_areas(image.get("ignore_areas") or [], "ignore_areas", at),
    )


def _word(value: Any) -> str | None:
    from annotation_store._rules import clean_name

    return clean_name(value) if isinstance(value, str) and value.strip() else None


def _size(value: Any, at: Source) -> int | None:
    return None if value is None else round(_positive(value, "width and height", at))


def _positive(value: Any, what: str, at: Source) -> float:
    (number,) = _numbers([value], what, at)
    if number <= 0:
        raise at.error(f"{what} must be above 0, not {number:g}")
    return number


def _numbers(values: Any, what: str, at: Source) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    ):
        raise at.error(f"{what} must be numbers")
    try:
        numbers = tuple(map(float, values))
    except OverflowError as error:
        raise at.error(f"{what} has a number that is too large") from error
    if not all(map(math.isfinite, numbers)):
        raise at.error(f"{what} has NaN or an infinite number")
    return numbers


def _areas(given: Any, what: str, at: Source) -> list[tuple[float, ...]]:
    if not isinstance(given, list):
        raise at.error(f"{what} must be a list of [x, y, w, h] or [x1, y1, x2, y2, …]")
    areas = [_numbers(area, what, at) for area in given]
    for area in areas:
        if len(area) != 4 and (len(area) < 6 or len(area) % 2):
            raise at.error(f"{what} has an area of {len(area)} numbers: give 4, or 6 and more in pairs")
    return areas


def _annotation(
    annotation: Mapping[str, Any],
    field: FieldIn,
    schema: Schema,
    categories: Mapping[int, str],
    words: Words,
    skipped: Skipped,
    at: Source,
) -> None:
    box = _numbers(annotation.get("bbox"), "bbox", at)
    if len(box) != 4:
        raise at.error("bbox must be four numbers x, y, width, height")
    where = f"annotation {annotation.get('id', at.where.split()[-1])}"
    if annotation.get("iscrowd") == 1:
        skipped.count("{n} boxes around crowds (iscrowd) became ignore areas.")
        field.ignore_areas.append(box)
        return
    unsure = annotation.get("unsure") or []
    if not isinstance(unsure, list):
        raise at.error("unsure must be a list of attribute names, or class")
    cell_class, known = _class(annotation, schema, categories, "class" in unsure, skipped)
    if not known:
        if "score" not in annotation:
            number = annotation["category_id"]  # anything: it is a stranger's file
            name = categories.get(number, "") if isinstance(number, int) else ""
            field.strangers.append((name, (box[0], box[1], box[2], box[3])))
        return
    attributes = _attributes(annotation, schema, unsure, words, skipped, at)
    if "score" in annotation:
        field.proposals.append((where, _proposal(annotation, box, schema, cell_class, attributes, at)))
        return
    flags: dict[str, Any] = {name: annotation[name] for name in _FLAGS if name in annotation}
    for name in ("cut", "bookmark", "second_opinion"):
        if name in flags:
            flags[name] = bool(flags[name])
    # not stated is not the same as "not cut": the field's edge decides
    if "comment" in flags and not isinstance(flags["comment"], str):
        flags["comment"] = str(flags["comment"])
    if flags.get("kind") is not None and flags["kind"] not in _kinds(schema, cell_class):
        skipped.count(f"kind {str(flags['kind'])[:80]!r}: not in the schema, left out ({{n}} cells).")
        del flags["kind"]
    if annotation.get("segmentation"):
        skipped.count("{n} outlines (segmentation) were left out: cells are boxes here.")
    field.cells.append(CellIn(where, box, cell_class, attributes, flags, _extra(annotation, box)))


def _kinds(schema: Schema, cell_class: str | None) -> tuple[str, ...]:
    if cell_class is None or not schema.is_class(cell_class):
        return ()
    return schema.class_named(cell_class).kinds


def _class(
    annotation: Mapping[str, Any],
    schema: Schema,
    categories: Mapping[int, str],
    unsure: bool,
    skipped: Skipped,
) -> tuple[str | None, bool]:
    """Give the class, and whether the annotation is a white cell that the schema can speak of."""
    category_id = annotation.get("category_id")
    if category_id is not None:
        if not isinstance(category_id, int) or category_id not in categories:
            skipped.count(
                f"category {category_id!r} is not among the file's categories: {{n}} boxes skipped."
            )
            return None, False
        name = categories[category_id]
        found = schema.find_class(name)
        if found is None and schema.is_unclassified(name):
            return None, True
        if found is None:
            skipped.count(f"class {name[:80]!r} is not in the schema {schema.name}: {{n}} boxes skipped.")
            return None, False
        return found, True
    group = annotation.get("class_group")
    if group is not None:
        found = schema.find_class(str(group))
        if found is None:
            skipped.count(
                f"class group {str(group)[:80]!r} is not in the schema: class left out ({{n}} cells)."
            )
        return found, True
    return (UNSURE if unsure else None), True


def _attributes(
    annotation: Mapping[str, Any],
    schema: Schema,
    unsure: Sequence[Any],
    words: Words,
    skipped: Skipped,
    at: Source,
) -> dict[str, str | None]:
    given = annotation.get("attributes") or {}
    if not isinstance(given, dict):
        raise at.error("attributes must be an object of names and values")
    found: dict[str, str | None] = {}
    for name, value in given.items():
        attribute = schema.find_attribute(name)
        if attribute is None:
            if value is not None:
                skipped.count(f"attribute {name[:80]!r} is not in the schema: left out ({{n}} cells).")
        elif isinstance(value, str | int | float):
            word = str(value)
            if (name, word) not in words:
                words[name, word] = schema.find_value(name, word)
            pair = words[name, word]
            if pair is None:
                text = str(value)[:80]
                skipped.count(f"value {text!r} of {attribute} is not in the schema: left out ({{n}} cells).")
            else:
                found[attribute] = pair[1]
        elif value is not None:
            raise at.error(f"the value of {name[:80]!r} must be text or null")
    for name in unsure:
        attribute = schema.find_attribute(name) if isinstance(name, str) else None
        if attribute is not None:
            found[attribute] = UNSURE
        elif name != "class":
            skipped.count(f"unsure {str(name)[:80]!r} is not in the schema: left out ({{n}} cells).")
    return found


def _proposal(
    annotation: Mapping[str, Any],
    box: Sequence[float],
    schema: Schema,
    cell_class: str | None,
    attributes: Mapping[str, str | None],
    at: Source,
) -> Proposal:
    """Read a suggestion; where only the most probable value is given, it is taken for certain."""
    (score,) = _numbers([annotation["score"]], "score", at)
    classes = _probabilities(annotation.get("class_probabilities"), "class_probabilities", at)
    named = {found: p for name, p in classes.items() if (found := schema.find_class(name))}
    if not named and cell_class and schema.is_class(cell_class):
        named = {cell_class: 1.0}
    values: dict[str, dict[str, float]] = {}
    given = annotation.get("attribute_probabilities") or {}
    if not isinstance(given, dict):
        raise at.error("attribute_probabilities must be an object")
    for name, distribution in given.items():
        attribute = schema.find_attribute(name)
        read_ = _probabilities(distribution, "attribute_probabilities", at)
        if attribute is not None:
            pairs = ((schema.find_value(name, value), p) for value, p in read_.items())
            values[attribute] = {pair[1]: p for pair, p in pairs if pair}
    for name, value in attributes.items():
        if value is not None and value != UNSURE:
            values.setdefault(name, {value: 1.0})
    x, y, w, h = box
    return Proposal((x, y, w, h), score, named, {name: v for name, v in values.items() if v})


def _probabilities(given: Any, what: str, at: Source) -> dict[str, float]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise at.error(f"{what} must be an object of names and numbers")
    return dict(zip(given, _numbers(list(given.values()), what, at), strict=True))


def _extra(annotation: Mapping[str, Any], box: Sequence[float]) -> dict[str, Any] | None:
    """Keep what the store has no word for, so that an export can hand it on."""
    extra = {
        str(name)[:80]: value
        for name, value in annotation.items()
        if name not in _KNOWN and isinstance(value, str | int | float) and len(str(value)) <= 200
    }
    if not extra or len(extra) > _MAX_EXTRA:
        return None
    # an area is that of the box as it was; see `_cell_out`
    return {"coco": extra, "bbox": list(box)} if set(extra) != {"area"} or extra["area"] else None


# -- out -----------------------------------------------------------------------------------------


def write(
    project: Project, out: Path, *, what: Literal["cells", "suggestions"], anonymise: bool
) -> ExportReport:
    """Write the current reading, or the pending suggestions; see `annotation_store.formats.write`."""
    names = Names.of_project(project, anonymise=anonymise)
    counts: Counter[str] = Counter()
    with project._snapshot():  # what is written was so at one moment, whoever edits meanwhile
        fields = project.fields()
        regions = [r for r in project.regions() if r.state == RegionState.FINISHED]
        suggestions = project.suggestions() if what == "suggestions" else []
        document = to_coco(
            project.schema,
            fields,
            regions=regions,
            ignore_areas=project.ignore_areas(),
            suggestions=suggestions,
            names=names,
        )
        # cells are read and written a few thousand at a time: all at once they are half a gigabyte
        cells = _cells_out(project, names, counts) if what == "cells" else ()
        write_file(out, _streamed(document, cells))
    return ExportReport(out, len(fields), counts["cells"], len(regions), len(suggestions))


def _streamed(document: dict[str, Any], more: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Spell a COCO object, and further annotations behind its own."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    text = encode(document)
    empty = not document["annotations"]
    assert text.endswith("]}"), "the annotations come last"
    yield text[:-2]
    for batch in more:
        spelled = ", ".join(map(encode, batch))
        yield spelled if empty else f", {spelled}"
        empty = False
    yield "]}"


def _cells_out(project: Project, names: Names, counts: Counter[str]) -> Iterator[list[dict[str, Any]]]:
    last = 0
    query = (
        sa.select(cells_table)
        .where(cells_table.c.reading_id == project.reading.id, sa.not_(cells_table.c.deleted))
        .order_by(cells_table.c.id)
        .limit(_BATCH)
    )
    while rows := project._rows(query.where(cells_table.c.id > last)):
        last = rows[-1].id
        counts["cells"] += len(rows)
        yield [
            _cell_out(
                _rows.cell(row),
                project.schema,
                None if names.anonymous else row.extra,
                anonymous=names.anonymous,
            )
            for row in rows
        ]


def to_coco(
    schema: Schema,
    fields: Iterable[Field],
    *,
    regions: Iterable[Region] = (),
    ignore_areas: Iterable[IgnoreArea] = (),
    cells: Iterable[Cell] = (),
    suggestions: Iterable[Suggestion] = (),
    extras: Mapping[int, Mapping[str, Any]] | None = None,
    names: Names = Names(),  # noqa: B008 - an immutable constant
) -> dict[str, Any]:
    """Make a COCO object of records; regions must be finished ones."""
    regions_of = _by_field((r.field_id, r.shape.coords) for r in regions)
    ignored_of = _by_field((a.field_id, a.shape.coords) for a in ignore_areas)
    images = []
    for field in each(fields):
        image: dict[str, Any] = {
            "id": field.id,
            "file_name": names.of(field.name),
            "width": field.width,
            "height": field.height,
            "annotated_regions": regions_of.get(field.id, []),
        }
        if field.id in ignored_of:
            image["ignore_areas"] = ignored_of[field.id]
        described = {
            "patient": names.person(field.patient),
            "slide": names.person(field.slide),
            "domain": names.domain(field.domain),
            "pixel_size_um": field.pixel_size_um,
        }
        images.append(image | {key: value for key, value in described.items() if value is not None})
    annotations = [
        _cell_out(cell, schema, (extras or {}).get(cell.id), anonymous=names.anonymous) for cell in cells
    ]
    annotations += [suggestion_out(s.id, s.field_id, s.proposal, schema) for s in suggestions]
    return {
        "info": {"description": "Blood film fields, annotated with napari-lld", "version": "1.0"},
        "napari_lld": {"schema": json.loads(schema.model_dump_json())},
        "categories": [{"id": c.id, "name": c.name} for c in schema.classes],
        "images": images,
        "annotations": annotations,
    }


def _by_field(pairs: Iterable[tuple[int, tuple[float, ...]]]) -> dict[int, list[list[float]]]:
    found: dict[int, list[list[float]]] = {}
    for field_id, coords in pairs:
        found.setdefault(field_id, []).append(list(coords))
    return found


def _base(annotation_id: int, field_id: int, box: Box) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": field_id,
        "bbox": list(box),
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
    }


def _cell_out(
    cell: Cell, schema: Schema, extra: Mapping[str, Any] | None, *, anonymous: bool
) -> dict[str, Any]:
    annotation = _base(cell.id, cell.field_id, cell.box)
    # what an import brought along may name anybody
    given = {} if anonymous else dict((extra or {}).get("coco", {}))
    if (extra or {}).get("bbox") != list(cell.box):
        given.pop("area", None)  # it was measured on another box
    annotation |= {name: value for name, value in given.items() if name not in _KNOWN}
    named = cell.cell_class is not None and schema.is_class(cell.cell_class)
    annotation["category_id"] = schema.class_named(str(cell.cell_class)).id if named else None
    if cell.cell_class is not None and schema.is_group(cell.cell_class):
        annotation["class_group"] = cell.cell_class
    annotation["attributes"] = {
        name: None if (value := cell.attributes.get(name)) == UNSURE else value
        for name in schema.attribute_names
    }
    unsure = [name for name in schema.attribute_names if cell.attributes.get(name) == UNSURE]
    if cell.cell_class == UNSURE:
        unsure.insert(0, "class")
    if unsure:
        annotation["unsure"] = unsure
    for name in _FLAGS:
        value = getattr(cell, name)
        if value and not (anonymous and name == "comment"):
            annotation[name] = value
    return annotation


def suggestion_out(annotation_id: int, field_id: int, proposal: Proposal, schema: Schema) -> dict[str, Any]:
    """Make the annotation of a proposal: the most probable values, and the probabilities."""
    best = proposal.best_class
    values = proposal.best_attributes
    return _base(annotation_id, field_id, proposal.box) | {
        "category_id": None if best is None else schema.class_named(best).id,
        "attributes": {name: values.get(name) for name in schema.attribute_names},
        "score": proposal.confidence,
        "class_probabilities": dict(proposal.class_probabilities),
        "attribute_probabilities": {n: dict(v) for n, v in proposal.attribute_probabilities.items()},
    }
