"""Label Studio's JSON, in and out: a list of tasks; beside it, the labelling configuration they need.

What it carries: boxes as ``rectanglelabels`` in percent, attributes as choices of the region (``unsure`` is
one of the choices), kind, flags and comment likewise; a cell without a class under *unclassified*, *unsure*
and class groups under labels of their own; finished regions and ignore areas as ``polygonlabels``; patient,
slide, domain and the field's name in the task's data. Suggestions are ``predictions`` with a score; only the
most probable class and values are kept.

``OUT.json`` is imported in Label Studio; ``OUT_config.xml`` goes into *Labeling Interface → Code* first.
Images are named ``/data/local-files/?d=NAME``: serve them from local storage, or give another ``prefix``.

On reading, a task counts as annotated as a whole unless it was written here; of several annotations of a task
the one marked as ground truth is read, else the last. Polygons, ellipses, brush strokes and turned boxes
become the boxes around them (see `reader`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from annotation_store.files.json_reader import read_json
from annotation_store.files.outputs import missing, removed_on_failure, write_file
from annotation_store.formats._exchange.document import Document
from annotation_store.formats._exchange.export import Contents, with_progress
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.losses import lost_by_suggestions
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.labels import flag_words, label_of, labels
from annotation_store.formats._io.option import Option
from annotation_store.formats.labelstudio.reader import FLAGS, IGNORE, REGION, STATED, TAKEN, parse
from annotation_store.records import Box, Cell, ExportReport, Field, Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

CONFIGURATION = "{stem}_config.xml"
"""The labelling configuration, beside the tasks."""

_PREFIX = Option(
    "prefix",
    "/data/local-files/?d=",
    title="Before an image's name",
    help="Prefix of an image's name: where Label Studio finds it.",
)
WRITE_OPTIONS = (_PREFIX,)

_GREY = "#808080"


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read a JSON export of Label Studio; see `annotation_store.formats.read`."""
    finder = request.finder()
    document = parse(
        read_json(request.path, nan_as_null=True), request.project.schema, str(request.path), finder
    )
    return document, finder


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write tasks and their configuration; see `annotation_store.formats.write`."""
    contents = request.contents()
    names = request.names()
    prefix = _PREFIX.read(request.options)
    tasks = [
        to_task(contents, field, names, prefix) for field in with_progress(contents.fields, contents.progress)
    ]
    classes = [c.cell_class for of_field in contents.cells.values() for c in of_field]
    classes += [s.stated_class for of_field in contents.suggestions.values() for s in of_field]
    beside_it = request.out.with_name(CONFIGURATION.format(stem=request.out.stem))
    new = missing([beside_it])
    write_file(beside_it, config(contents.schema, labels(contents.schema, classes)))
    with removed_on_failure(new):
        write_file(request.out, json.dumps(tasks, ensure_ascii=False, allow_nan=False))
    lost = lost_by_suggestions(contents, "labelstudio")
    return ExportReport(request.out, **contents.count(contents.fields), skipped=lost)


def to_task(contents: Contents, field: Field, names: Names, prefix: str) -> dict[str, Any]:
    """Make the task of one field."""
    name = names.file(field.name)
    data = {
        "image": prefix + (quote(name) if prefix.endswith("?d=") else name),
        "field": names.file(field.name),
        "patient": names.person(field.patient),
        "slide": names.person(field.slide),
        "domain": names.domain(field.domain),
        "pixel_size_um": field.pixel_size_um,
        STATED: True,
    }
    result: list[dict[str, Any]] = []
    for region in contents.regions.get(field.id, ()):
        result.append(_area(f"region-{region.id}", region.shape, REGION, field))
    for ignored in contents.ignore_areas.get(field.id, ()):
        result.append(_area(f"ignore-{ignored.id}", ignored.shape, IGNORE, field))
    for cell in contents.cells.get(field.id, ()):
        result += _cell_results(cell, field, contents.schema, anonymous=names.anonymous)
    task: dict[str, Any] = {
        "id": contents.number(field),
        "data": {key: value for key, value in data.items() if value is not None},
        "annotations": [{"result": result}] if result else [],
    }
    suggested: list[dict[str, Any]] = []
    for suggestion in contents.suggestions.get(field.id, ()):
        proposal = suggestion.proposal
        result_id = f"suggestion-{suggestion.id}"
        label = label_of(proposal.stated_class, contents.schema)
        suggested.append(_box(result_id, suggestion.box, label, field) | {"score": proposal.probability})
        for name, value in proposal.best_attributes.items():
            suggested.append(_choice(result_id, suggestion.box, _tag(name), [value], field))
    if suggested:
        task["predictions"] = [{"model_version": "napari-lld", "result": suggested}]
    return task


def _base(result_id: str, tag: str, kind: str, value: dict[str, Any], field: Field) -> dict[str, Any]:
    return {
        "id": result_id,
        "from_name": tag,
        "to_name": "image",
        "type": kind,
        "original_width": field.width,
        "original_height": field.height,
        "image_rotation": 0,
        "value": value,
    }


def _percent(box: Box, field: Field) -> dict[str, float]:
    x, y, w, h = box
    return {
        "x": 100 * x / field.width,
        "y": 100 * y / field.height,
        "width": 100 * w / field.width,
        "height": 100 * h / field.height,
        "rotation": 0,
    }


def _box(result_id: str, box: Box, label: str, field: Field) -> dict[str, Any]:
    value = {**_percent(box, field), "rectanglelabels": [label]}
    return _base(result_id, "label", "rectanglelabels", value, field)


def _choice(result_id: str, box: Box, tag: str, choices: Sequence[str], field: Field) -> dict[str, Any]:
    return _base(result_id, tag, "choices", {**_percent(box, field), "choices": list(choices)}, field)


def _area(result_id: str, shape: Shape, label: str, field: Field) -> dict[str, Any]:
    points = [[100 * x / field.width, 100 * y / field.height] for x, y in shape.points]
    value = {"points": points, "closed": True, "polygonlabels": [label]}
    return _base(result_id, "area", "polygonlabels", value, field)


def _cell_results(cell: Cell, field: Field, schema: Schema, *, anonymous: bool) -> list[dict[str, Any]]:
    result_id = f"cell-{cell.id}"
    results = [_box(result_id, cell.box, label_of(cell.cell_class, schema), field)]
    results += [_choice(result_id, cell.box, _tag(name), [v], field) for name, v in cell.attributes.items()]
    words = flag_words(cell, anonymous=anonymous)
    if flags := [name for name in FLAGS if name in words]:
        results.append(_choice(result_id, cell.box, "flags", flags, field))
    if "kind" in words:
        results.append(_choice(result_id, cell.box, "kind", [words["kind"]], field))
    if "comment" in words:
        value = {**_percent(cell.box, field), "text": [words["comment"]]}
        results.append(_base(result_id, "comment", "textarea", value, field))
    return results


def _tag(attribute: str) -> str:
    return f"attribute_{attribute}" if attribute in TAKEN else attribute


def config(schema: Schema, names: Sequence[str]) -> str:
    """Make the labelling configuration: the labels, and choices for each region."""
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    boxes = ET.SubElement(view, "RectangleLabels", name="label", toName="image")
    for name in names:
        colour = schema.class_named(name).colour if schema.is_class(name) else _GREY
        ET.SubElement(boxes, "Label", value=name, background=colour)
    areas = ET.SubElement(view, "PolygonLabels", name="area", toName="image", opacity="0.1")
    for name in (REGION, IGNORE):
        ET.SubElement(areas, "Label", value=name, background=_GREY)
    for attribute in schema.attributes:
        ET.SubElement(view, "Header", value=attribute.title, size="6")
        _choices(view, _tag(attribute.name), [*attribute.value_names, UNSURE])
    kinds = [kind for cell_class in schema.classes for kind in cell_class.kinds]
    if kinds:
        _choices(view, "kind", list(dict.fromkeys(kinds)))
    _choices(view, "flags", list(FLAGS), choice="multiple")
    ET.SubElement(view, "TextArea", name="comment", toName="image", perRegion="true", editable="true")
    ET.indent(view)
    return str(ET.tostring(view, encoding="unicode")) + "\n"


def _choices(view: ET.Element, name: str, values: Sequence[str], choice: str = "single") -> None:
    element = ET.SubElement(view, "Choices", name=name, toName="image", perRegion="true", choice=choice)
    element.set("whenTagName", "label")
    for value in values:
        ET.SubElement(element, "Choice", value=value)
