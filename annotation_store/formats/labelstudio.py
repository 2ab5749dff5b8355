"""Label Studio's JSON, in and out: a list of tasks; beside it, the labelling configuration they need.

What it carries: boxes as ``rectanglelabels`` in percent, attributes as choices of the region (``unsure`` is
one of the choices), kind, flags and comment likewise; a cell without a class under *unclassified*, *unsure*
and class groups under labels of their own; finished regions and ignore areas as ``polygonlabels``; patient,
slide, domain and the field's name in the task's data. Suggestions are ``predictions`` with a score; only the
most probable class and values are kept.

``OUT.json`` is imported in Label Studio; ``OUT_config.xml`` goes into *Labeling Interface → Code* first.
Images are named ``/data/local-files/?d=NAME``: serve them from local storage, or say another ``prefix``.

On reading, a task counts as annotated as a whole unless it was written here; of several annotations of a task
the one marked as ground truth is read, else the last. Polygons, ellipses and turned boxes become the boxes
around them; brush masks are skipped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

from annotation_store._rules import clean_name
from annotation_store.errors import FormatError
from annotation_store.formats._document import CellIn, Document, FieldIn, Regions, Skipped
from annotation_store.formats._export import Contents, What, each
from annotation_store.formats._files import Names, safe_name
from annotation_store.formats._images import Images, Size
from annotation_store.formats._json import read_json
from annotation_store.formats._merge import merge
from annotation_store.formats._text import shown
from annotation_store.formats._words import (
    certain,
    flag_words,
    label_of,
    labels,
    read_class,
    read_flags,
    read_values,
)
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.outputs import write_file
from annotation_store.records import UNSURE, Box, Cell, ExportReport, Field, ImportReport, Proposal, Shape
from annotation_store.schema import Schema

if TYPE_CHECKING:
    from annotation_store.project import Project

CONFIGURATION = "{stem}_config.xml"
"""The labelling configuration, beside the tasks."""

WRITE_OPTIONS: Mapping[str, str] = {
    "prefix": "what stands before an image's name (/data/local-files/?d=)",
}

REGION, IGNORE = "finished region", "ignore area"
_STATED = "regions_stated"
_TAKEN = frozenset({"image", "label", "area", "kind", "flags", "comment"})
_FLAGS = ("cut", "bookmark", "second_opinion")
_GREY = "#808080"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")


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
    """Merge a JSON export of Label Studio; see `annotation_store.formats.read`."""
    finder = Images.of(path, images, project.fields())
    document = parse(read_json(path), project.schema, str(path), finder)
    return merge(
        project,
        document,
        images=finder,
        regions=regions,
        patient_from=patient_from,
        progress=progress,
    )


def parse(data: Any, schema: Schema, source: str, images: Images) -> Document:
    """Read a list of tasks in the words of a schema.

    Raises
    ------
    FormatError
        It is no list of tasks, or a number is none.
    """
    if not isinstance(data, list) or not all(isinstance(t, dict) and "data" in t for t in data):
        raise FormatError(
            f"{source} is no Label Studio export: it needs a list of tasks, each with data. "
            "Export it again as JSON (not JSON-MIN)."
        )
    document = Document(source, [], Skipped())
    for position, task in enumerate(data, start=1):
        at = f"task {position} of {source}"
        field = _field(task["data"], at, images)
        document.fields.append(field)
        chosen = _chosen(task, document.skipped)
        if chosen is None:
            field.regions = []
        else:
            _results(chosen, field, schema, document, at, images, scored=None)
        predictions = task.get("predictions")
        for prediction in predictions if isinstance(predictions, list) else ():
            if isinstance(prediction, dict):
                _results(prediction, field, schema, document, at, images, scored=prediction.get("score", 0.0))
    return document


def _field(data: Any, at: str, images: Images) -> FieldIn:
    if not isinstance(data, dict):
        raise FormatError(f"{at} has data that are no object: export it again as JSON.")
    place = _image_of(data)
    if place is None:
        raise FormatError(f"{at} names no image.")
    file = unquote(place.rpartition("?d=")[2]).replace("\\", "/").rsplit("/", 1)[-1]
    short = _UPLOADED.sub("", file)
    path = images.file(file) or images.file(short)
    name = short if path is None or path.name != file else file
    field = FieldIn(safe_name(data.get("field") or name, at), image=path)
    for key in ("patient", "slide", "domain"):
        if isinstance(word := data.get(key), str) and word.strip():
            setattr(field, key, clean_name(word))
    if data.get("pixel_size_um") is not None:
        field.pixel_size_um = _number(data["pixel_size_um"], at)
    if data.get(_STATED) is True:
        field.regions = []
    return field


def _image_of(data: Mapping[str, Any]) -> str | None:
    texts = [value for key in ("image", *data) if isinstance(value := data.get(key), str)]
    named = [
        t for t in texts if Path(t.rpartition("?d=")[2].partition("?")[0]).suffix.lower() in IMAGE_SUFFIXES
    ]
    return named[0] if named else (data["image"] if isinstance(data.get("image"), str) else None)


def _chosen(task: Mapping[str, Any], skipped: Skipped) -> Mapping[str, Any] | None:
    given = task.get("annotations", task.get("completions"))
    found = (
        [a for a in given if isinstance(a, dict) and not a.get("was_cancelled")]
        if isinstance(given, list)
        else []
    )
    for _ in found[1:]:
        skipped.count("{n} further annotations of a task were left out: a reading here is one annotator's.")
    marked = [a for a in found if a.get("ground_truth")]
    usable = marked or found
    return usable[-1] if usable else None


def _results(
    given: Mapping[str, Any],
    field: FieldIn,
    schema: Schema,
    document: Document,
    at: str,
    images: Images,
    *,
    scored: Any,
) -> None:
    """Read the results of an annotation, or of a prediction, whose score is `scored`."""
    results = given.get("result")
    if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
        raise FormatError(f"{at} has results that are no list of objects: export it again as JSON.")
    shapes: list[Mapping[str, Any]] = []
    about: dict[str, dict[str, list[str]]] = {}
    for result in results:
        value = result.get("value")
        if not isinstance(value, dict):
            continue
        words = value.get("choices", value.get("text"))
        if result.get("type") in ("choices", "textarea"):
            said = [words] if isinstance(words, str) else words
            if isinstance(said, list):
                own = about.setdefault(str(result.get("id")), {})
                own.setdefault(str(result.get("from_name")), []).extend(str(w) for w in said)
        else:
            shapes.append(result)
    for result in shapes:
        points = _points(result, field, at, images, document.skipped)
        label = _label(result)
        if label in (REGION, IGNORE):
            _take_area(points, label, field)
            continue
        document.annotations += 1
        if points is None:
            document.skipped.count("{n} masks, lines and points were skipped: cells are boxes here.")
            continue
        said_of = about.get(str(result.get("id")), {})
        score = None if scored is None else result.get("score", scored)
        _take(points, label, said_of, score, field, schema, document.skipped, at)


def _label(result: Mapping[str, Any]) -> str | None:
    value = result["value"]
    for key in ("rectanglelabels", "polygonlabels", "ellipselabels", "labels"):
        found = value.get(key)
        if isinstance(found, list) and found:
            return str(found[0])
    return None


def _points(
    result: Mapping[str, Any], field: FieldIn, at: str, images: Images, skipped: Skipped
) -> list[tuple[float, float]] | None:
    """Give the corners of a shape in pixels; ``None`` for what has no area."""
    value = result["value"]
    width, height = _size(result, field, at, images)
    kind = str(result.get("type", ""))
    if result.get("image_rotation") not in (None, 0):
        raise FormatError(f"In {at}, the image was turned in Label Studio: turn it back and export again.")
    if kind.startswith("polygon"):
        points = value.get("points")
        if not isinstance(points, list) or not all(isinstance(p, list) and len(p) == 2 for p in points):
            raise FormatError(f"In {at}, the points of a polygon are no pairs of numbers.")
        if "polygonlabels" not in value or value["polygonlabels"] not in ([REGION], [IGNORE]):
            skipped.count("{n} outlines became the boxes around them: cells are boxes here.")
        return [(_number(x, at) * width / 100, _number(y, at) * height / 100) for x, y in points]
    if kind.startswith("ellipse"):
        x, y, rx, ry = (_number(value.get(k), at) for k in ("x", "y", "radiusX", "radiusY"))
        skipped.count("{n} outlines became the boxes around them: cells are boxes here.")
        corners = [(x - rx, y - ry), (x + rx, y + ry)]
        return [(a * width / 100, b * height / 100) for a, b in corners]
    if not kind.startswith("rectangle"):
        return None
    x, y, w, h = (_number(value.get(k), at) for k in ("x", "y", "width", "height"))
    angle = math.radians(_number(value.get("rotation") or 0, at))
    left, top, w, h = x * width / 100, y * height / 100, w * width / 100, h * height / 100
    if angle:
        skipped.count("{n} turned boxes became the upright boxes around them.")
    # Label Studio turns a box around its top left corner
    return [
        (left + a * math.cos(angle) - b * math.sin(angle), top + a * math.sin(angle) + b * math.cos(angle))
        for a, b in ((0, 0), (w, 0), (w, h), (0, h))
    ]


def _size(result: Mapping[str, Any], field: FieldIn, at: str, images: Images) -> Size:
    given = [result.get(key) for key in ("original_width", "original_height")]
    if None not in given:
        width, height = (round(_number(v, at)) for v in given)
        if width > 0 and height > 0:
            field.width, field.height = width, height
            return width, height
    size = images.size(field.image, field.name)
    if size is None:
        raise FormatError(f"In {at}, nothing says how large the image is: give the images with --images.")
    return size


def _number(value: Any, at: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or abs(number) > 1e9:
        raise FormatError(f"In {at}, {shown(value)} is no usable number.")
    return number


def _bounds(points: Sequence[tuple[float, float]]) -> Box:
    xs, ys = zip(*points, strict=True)
    x, y = round(min(xs), 6), round(min(ys), 6)
    return x, y, round(max(xs) - x, 6), round(max(ys) - y, 6)


def _take_area(points: list[tuple[float, float]] | None, label: str, field: FieldIn) -> None:
    if not points:
        return
    corners = [(round(x, 6), round(y, 6)) for x, y in points]
    x, y, w, h = _bounds(corners)
    box = {(x, y), (round(x + w, 6), y), (round(x + w, 6), round(y + h, 6)), (x, round(y + h, 6))}
    area = (x, y, w, h) if set(corners) == box else tuple(v for point in corners for v in point)
    if len(area) < 4 or len(area) % 2:
        return
    if label == IGNORE:
        field.ignore_areas.append(area)
    else:
        field.regions = [*(field.regions or []), area]


def _take(
    points: list[tuple[float, float]],
    label: str | None,
    said: Mapping[str, list[str]],
    score: Any,
    field: FieldIn,
    schema: Schema,
    skipped: Skipped,
    at: str,
) -> None:
    cell_class, known = read_class(label, schema, skipped) if label else (None, True)
    if not known or not points:
        if points and score is None:
            field.strangers.append((label or "", _bounds(points)))
        return
    words = {name: found[0] for name, found in said.items() if found and name not in _TAKEN}
    values = read_values({_unprefixed(name): word for name, word in words.items()}, schema, skipped)
    box = _bounds(points)
    where = f"box {len(field.cells) + len(field.proposals) + 1} in {at.partition(' of ')[0]}"
    if score is not None:
        proposal = Proposal(box, _number(score, at), *certain(cell_class, values, schema))
        field.proposals.append((where, proposal))
        return
    flags = dict.fromkeys(set(said.get("flags", ())) & set(_FLAGS), "yes")
    flags |= {name: "\n".join(said[name]) for name in ("kind", "comment") if name in said}
    found = read_flags(flags, schema, cell_class, skipped)
    field.cells.append(CellIn(where, box, cell_class, values, found))


def _unprefixed(name: str) -> str:
    return name.removeprefix("attribute_") if name.removeprefix("attribute_") in _TAKEN else name


# -- out -----------------------------------------------------------------------------------------


def write(
    project: Project, out: Path, *, what: What, anonymise: bool, options: Mapping[str, str]
) -> ExportReport:
    """Write tasks and their configuration; see `annotation_store.formats.write`."""
    contents = Contents.of(project, what)
    names = Names.of_project(project, anonymise=anonymise)
    prefix = options.get("prefix", "/data/local-files/?d=")
    tasks = [to_task(contents, field, names, prefix) for field in each(contents.fields)]
    found = [c.cell_class for own in contents.cells.values() for c in own]
    found += [s.proposal.best_class for own in contents.suggestions.values() for s in own]
    beside_it = out.with_name(CONFIGURATION.format(stem=out.stem))
    write_file(beside_it, config(contents.schema, labels(contents.schema, found)))
    write_file(out, json.dumps(tasks, ensure_ascii=False, allow_nan=False))
    return ExportReport(out, **contents.count(contents.fields), skipped=[])


def to_task(contents: Contents, field: Field, names: Names, prefix: str) -> dict[str, Any]:
    """Make the task of one field."""
    said = {
        "image": prefix + names.of(field.name),
        "field": names.of(field.name),
        "patient": names.person(field.patient),
        "slide": names.person(field.slide),
        "domain": field.domain,
        "pixel_size_um": field.pixel_size_um,
        _STATED: True,
    }
    result: list[dict[str, Any]] = []
    for region in contents.regions.get(field.id, ()):
        result.append(_area(f"region-{region.id}", region.shape, REGION, field))
    for ignored in contents.ignore_areas.get(field.id, ()):
        result.append(_area(f"ignore-{ignored.id}", ignored.shape, IGNORE, field))
    for cell in contents.cells.get(field.id, ()):
        result += _cell_results(cell, field, contents.schema, anonymous=names.anonymous)
    task: dict[str, Any] = {
        "id": field.id,
        "data": {key: value for key, value in said.items() if value is not None},
        "annotations": [{"result": result}] if result else [],
    }
    suggested: list[dict[str, Any]] = []
    for suggestion in contents.suggestions.get(field.id, ()):
        proposal = suggestion.proposal
        one = f"suggestion-{suggestion.id}"
        label = label_of(proposal.best_class, contents.schema)
        suggested.append(_box(one, suggestion.box, label, field) | {"score": proposal.probability})
        for name, value in proposal.best_attributes.items():
            suggested.append(_choice(one, suggestion.box, _tag(name), [value], field))
    if suggested:
        task["predictions"] = [{"model_version": "napari-lld", "result": suggested}]
    return task


def _base(one: str, tag: str, kind: str, value: dict[str, Any], field: Field) -> dict[str, Any]:
    return {
        "id": one,
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


def _box(one: str, box: Box, label: str, field: Field) -> dict[str, Any]:
    value = {**_percent(box, field), "rectanglelabels": [label]}
    return _base(one, "label", "rectanglelabels", value, field)


def _choice(one: str, box: Box, tag: str, choices: Sequence[str], field: Field) -> dict[str, Any]:
    return _base(one, tag, "choices", {**_percent(box, field), "choices": list(choices)}, field)


def _area(one: str, shape: Shape, label: str, field: Field) -> dict[str, Any]:
    points = [[100 * x / field.width, 100 * y / field.height] for x, y in shape.points]
    value = {"points": points, "closed": True, "polygonlabels": [label]}
    return _base(one, "area", "polygonlabels", value, field)


def _cell_results(cell: Cell, field: Field, schema: Schema, *, anonymous: bool) -> list[dict[str, Any]]:
    one = f"cell-{cell.id}"
    results = [_box(one, cell.box, label_of(cell.cell_class, schema), field)]
    results += [_choice(one, cell.box, _tag(name), [v], field) for name, v in cell.attributes.items()]
    words = flag_words(cell, anonymous=anonymous)
    if flags := [name for name in _FLAGS if name in words]:
        results.append(_choice(one, cell.box, "flags", flags, field))
    if "kind" in words:
        results.append(_choice(one, cell.box, "kind", [words["kind"]], field))
    if "comment" in words:
        value = {**_percent(cell.box, field), "text": [words["comment"]]}
        results.append(_base(one, "comment", "textarea", value, field))
    return results


def _tag(attribute: str) -> str:
    return f"attribute_{attribute}" if attribute in _TAKEN else attribute


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
    kinds = [kind for one in schema.classes for kind in one.kinds]
    if kinds:
        _choices(view, "kind", list(dict.fromkeys(kinds)))
    _choices(view, "flags", list(_FLAGS), choice="multiple")
    ET.SubElement(view, "TextArea", name="comment", toName="image", perRegion="true", editable="true")
    ET.indent(view)
    return str(ET.tostring(view, encoding="unicode")) + "\n"


def _choices(view: ET.Element, name: str, values: Sequence[str], choice: str = "single") -> None:
    element = ET.SubElement(view, "Choices", name=name, toName="image", perRegion="true", choice=choice)
    element.set("whenTagName", "label")
    for value in values:
        ET.SubElement(element, "Choice", value=value)
