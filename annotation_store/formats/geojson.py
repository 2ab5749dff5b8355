"""Read and write QuPath's GeoJSON: one file per image, dragged onto the open image in QuPath.

An export is a folder with ``<image name>.geojson`` for each field that says anything (or one ``.geojson``
file, where only one does). Cells are annotations, which QuPath lets its users edit; ``cells=detection`` makes
detections of them, which it draws faster. Suggestions are detections.

What it carries: boxes as polygons; the class as ``classification`` (a class group by its name, *unsure*, and
*unclassified* if it is missing); attributes, kind, flags and comment as ``metadata`` (QuPath 0.5 and
later); finished regions as annotations of QuPath's own class ``Region*``, ignore areas as ``Ignore*``; of
suggestions the confidence, all probabilities, ``Novelty``, ``Unchecked`` and the sets of values (of each its
place in the set: ``Set: class: Monocyte`` 1), as measurements. A member ``napari_lld`` holds the field's
name, patient, slide, domain and pixel size; QuPath passes it over, and drops it when it writes the file anew.

What it loses: fields without annotations. On reading, only ``Region*`` marks annotated areas; outlines become
the boxes around them; points and lines are skipped, as are a region with a hole, which would claim the hole,
and an annotation without a class, which may be anything.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.files.json_reader import read_json
from annotation_store.files.outputs import write_file
from annotation_store.formats._exchange.document import (
    CellIn,
    Document,
    FieldIn,
    Skipped,
    note_odd_side,
    stated_side,
)
from annotation_store.formats._exchange.export import (
    Contents,
    file_names,
    new_folder,
    refuse_full,
    refuse_nothing,
    with_progress,
)
from annotation_store.formats._exchange.image_places import walk
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import Names, safe_name
from annotation_store.formats._io.labels import (
    CONFIDENCES,
    certain,
    confidence_of,
    flag_words,
    label_of,
    novelty_of,
    read_class,
    read_flags,
    read_values,
    sets_of,
)
from annotation_store.formats._io.option import Option
from annotation_store.formats._io.text import shown
from annotation_store.records import Box, Cell, ExportReport, Field, Proposal, Shape, Suggestion
from annotation_store.schema import Schema
from annotation_store.validation import clean_name

_KIND = Option(
    "cells",
    "annotation",
    title="Cells as",
    help="What a cell is in QuPath.",
    values={
        "annotation": "Annotations, which can be edited in QuPath",
        "detection": "Detections, which are drawn faster",
    },
)
WRITE_OPTIONS = (_KIND,)

REGION, IGNORE = "Region*", "Ignore*"
_CONFIDENCE = "Confidence"
_CLASS = "class: "
_NOVELTY, _UNCHECKED, _SET = "Novelty", "Unchecked", "Set: "
_FLAGS = ("kind", "cut", "bookmark", "second_opinion", "comment")
_SPACE = uuid.UUID("5b1b0e0e-3d0c-4f4e-9a55-3c7f0f6a8e11")
_SUFFIXES = (".geojson", ".json")
# what QuPath finds is cells, classified or not; a drawn shape without a class may be anything
_CELLS = frozenset({"detection", "cell", "PathDetectionObject", "PathCellObject"})

Points = list[tuple[float, float]]


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read a GeoJSON file, or a folder of them; see `annotation_store.formats.read`."""
    path, finder = request.path, request.finder()
    document = Document(str(path), [], Skipped())
    files = [path] if path.is_file() else [p for p in walk(path) if p.suffix.lower() == ".geojson"]
    if not files:
        raise FormatError(f"The folder {path} holds no .geojson files: export the objects from QuPath again.")
    pairing = Pairing.for_files(finder, path, files)
    for file in files:
        try:
            parse(read_json(file, nan_as_null=True), file, request.project.schema, document, pairing)
        except FormatError as error:
            if path.is_file():
                raise
            document.skipped.note("files that cannot be read", f"{error} The file was left out.")
    document.refuse_empty()
    return document, finder


def parse(data: Any, file: Path, schema: Schema, document: Document, pairing: Pairing) -> None:
    """Read one GeoJSON object into a document; the name of its file names the image.

    Raises
    ------
    FormatError
        It is not GeoJSON.
    """
    name = file.name
    features = data.get("features", [data]) if isinstance(data, dict) else data
    if not isinstance(features, list) or (features and not any(map(_is_feature, features))):
        raise FormatError(f"{name} is not GeoJSON: it needs a list of features. Export it from QuPath again.")
    field = _field(data if isinstance(data, dict) else {}, file, pairing, document.skipped)
    document.fields.append(field)
    nameless: list[Box] = []
    for position, feature in enumerate(_flat(features), start=1):
        at = f"feature {position} of {name}"
        try:
            _read(feature, at, field, schema, document, nameless)
        except FormatError as error:
            document.skipped.note("features that cannot be read", f"{error} The feature was left out.")
            field.left_out(None)
    _keep_from_background(nameless, field)


def _is_feature(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("type") == "Feature"


def features_of(data: Any) -> Iterator[Any]:
    """Yield the features of a GeoJSON object, those nested in others too; none of what is not GeoJSON."""
    features = data.get("features", [data]) if isinstance(data, dict) else data
    yield from _flat(features if isinstance(features, list) else [])


def label_and_words(feature: Any) -> tuple[str | None, dict[str, str]]:
    """Return the class of a feature as it is spelled, and the values of its attributes."""
    properties = feature.get("properties") if isinstance(feature, dict) else None
    values = properties if isinstance(properties, dict) else {}
    metadata = values.get("metadata")
    words = {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}
    try:
        label = _label(values.get("classification"), "a feature")
    except FormatError:
        label = None
    return label, {n: v for n, v in words.items() if n not in _FLAGS and n.casefold() not in CONFIDENCES}


def _read(
    feature: Any, at: str, field: FieldIn, schema: Schema, document: Document, nameless: list[Box]
) -> None:
    """Read one feature; the boxes of annotations without a class are kept for later."""
    skipped = document.skipped
    properties = (feature.get("properties") or {}) if isinstance(feature, dict) else None
    if not isinstance(properties, dict) or not _is_feature(feature):
        raise FormatError(f"{at} is not a GeoJSON feature.")
    label = _label(properties.get("classification"), at)
    if label in (REGION, IGNORE):
        _take_area(feature.get("geometry"), label, field, skipped, at)
        return
    rings, _ = _polygons(feature.get("geometry"), at)
    points = [point for ring in rings for point in ring]
    kind = properties.get("objectType", properties.get("object_type", feature.get("id")))
    if label is None and kind not in _CELLS:
        skipped.count(
            "{n} annotations without a class were skipped: name cells by class, finished areas Region*."
        )
        if points:
            nameless.append(_bounds(points))
        return
    document.annotations += 1
    if not points:
        skipped.count("{n} points, lines and empty shapes were skipped: only areas are imported as cells.")
        field.left_out(None)
        return
    if not _is_box(rings):
        skipped.count("{n} outlines were converted to their bounding boxes.")
    _take(_bounds(points), label, properties, field, schema, skipped, at)


def _keep_from_background(boxes: Sequence[Box], field: FieldIn) -> None:
    """Keep annotations without a class from becoming background, unless they are outlines around cells."""
    cells = [cell.box for cell in field.cells]
    for box in boxes:
        shape = Shape(box) if box[2] > 0 and box[3] > 0 else None
        if shape is None or not any(shape.contains_centre(cell) for cell in cells):
            field.left_out(box)


def _field(data: Mapping[str, Any], file: Path, pairing: Pairing, skipped: Skipped) -> FieldIn:
    stated = data.get("napari_lld")
    stated = stated if isinstance(stated, dict) else {}
    name, match = pairing.match(file)
    if match.alike:
        raise FormatError(
            f"The image of {file.name} may be {' or '.join(match.alike[:3])}: give it the name of the file."
        )
    field = FieldIn(name, regions=[], image=match.path)
    if (field_name := stated.get("field")) is not None:
        field.name = safe_name(field_name, file.name)
        field.beside, field.stem = file.parent, file.stem
    for key in ("patient", "slide", "domain"):
        if isinstance(word := stated.get(key), str) and word.strip():
            setattr(field, key, clean_name(word))
    numbers: dict[str, float | None] = {}
    for key in ("width", "height", "pixel_size_um"):
        try:
            numbers[key] = None if stated.get(key) is None else _number(stated[key], file.name)
        except FormatError as error:
            numbers[key] = None
            skipped.note("numbers that cannot be read", f"{error} It was left out.")
    for side in ("width", "height"):
        if numbers[side] is not None and stated_side(numbers[side]) is None:
            note_odd_side(skipped, field.name, side)
    field.width, field.height = (stated_side(numbers[side]) for side in ("width", "height"))
    field.pixel_size_um = numbers["pixel_size_um"]
    return field


def _flat(features: Sequence[Any]) -> Iterator[Any]:
    """Return features and the child objects that QuPath nests in them."""
    waiting = list(reversed(features))
    while waiting:
        feature = waiting.pop()
        yield feature
        properties = feature.get("properties") if isinstance(feature, dict) else None
        children = properties.get("childObjects") if isinstance(properties, dict) else None
        if isinstance(children, list):
            waiting += reversed(children)


def _label(classification: Any, at: str) -> str | None:
    """Read a classification in any form that QuPath has written."""
    if isinstance(classification, dict):
        names = classification.get("names")
        classification = ": ".join(map(str, names)) if isinstance(names, list) else classification.get("name")
    if classification is not None and not isinstance(classification, str):
        raise FormatError(f"In {at}, the classification is {shown(classification)}, which is not a name.")
    return classification or None


def _polygons(geometry: Any, at: str) -> tuple[list[Points], bool]:
    """Return the outer rings of a geometry, and whether any has holes; no rings for points and lines."""
    if not isinstance(geometry, dict):
        return [], False
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "GeometryCollection":
        parts = geometry.get("geometries")
        # no collections in collections: QuPath writes none
        inner = (
            [_polygons(p, at) for p in parts if isinstance(p, dict) and "geometries" not in p]
            if isinstance(parts, list)
            else []
        )
        return [ring for rings, _ in inner for ring in rings], any(holes for _, holes in inner)
    if kind not in ("Polygon", "MultiPolygon"):
        return [], False
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(p, list) for p in polygons):
        raise FormatError(f"In {at}, the coordinates are not rings of points.")
    return [_ring(p[0], at) for p in polygons if p], any(len(p) > 1 for p in polygons)


def _ring(ring: Any, at: str) -> Points:
    if not isinstance(ring, list) or not all(isinstance(p, list) and len(p) >= 2 for p in ring):
        raise FormatError(f"In {at}, the coordinates are not rings of points.")
    points = [(_number(p[0], at), _number(p[1], at)) for p in ring]
    return points[:-1] if len(points) > 1 and points[0] == points[-1] else points


def _number(value: Any, at: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(f"In {at}, {shown(value)} is not a valid number.")
    return number


def _bounds(points: Iterable[tuple[float, float]]) -> Box:
    xs, ys = zip(*points, strict=True)
    x, y = min(xs), min(ys)
    return x, y, round(max(xs) - x, 6), round(max(ys) - y, 6)


def _is_box(rings: Sequence[Points]) -> bool:
    """Return whether a shape is one upright rectangle: four corners, two values of x, two of y."""
    return (
        len(rings) == 1
        and len(set(rings[0])) == 4
        and len({x for x, _ in rings[0]}) == 2
        and len({y for _, y in rings[0]}) == 2
    )


def _take_area(geometry: Any, label: str, field: FieldIn, skipped: Skipped, at: str) -> None:
    try:
        rings, holes = _polygons(geometry, at)
    except FormatError as error:
        skipped.note("features that cannot be read", f"{error} The area was left out.")
        return
    areas = field.ignore_areas
    if label == REGION:
        areas = field.regions = field.regions or []
        if holes:
            skipped.count("{n} regions with holes were skipped: whether the holes are annotated is unknown.")
            return
    drawn = [ring for ring in rings if len(ring) >= 3]
    if not drawn:
        skipped.count("{n} regions and ignore areas have no area: left out.")
    for ring in drawn:
        areas.append(_bounds(ring) if _is_box([ring]) else tuple(v for point in ring for v in point))


def _take(
    box: Box,
    label: str | None,
    properties: Mapping[str, Any],
    field: FieldIn,
    schema: Schema,
    skipped: Skipped,
    at: str,
) -> None:
    measured = _measurements(properties.get("measurements"))
    metadata = properties.get("metadata")
    words = {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}
    confidences = (confidence_of(measured), confidence_of(words, schema), confidence_of(properties))
    confidence = next((value for value in confidences if value is not None), None)
    cell_class, in_schema = read_class(label, schema, skipped) if label else (None, True)
    if not in_schema:
        if confidence is None:
            field.unknown_boxes.append((label or "", box))
        return
    where = at.rpartition(" of ")[0]
    if confidence is not None:
        words = {
            n: v for n, v in words.items() if schema.find_attribute(n) or n.casefold() not in CONFIDENCES
        }
    flags = {n: words.pop(n) for n in _FLAGS if n in words and schema.find_attribute(n) is None}
    values = read_values({n: v for n, v in words.items() if v.strip()}, schema, skipped)
    if confidence is not None:
        proposal = _proposal(box, confidence, cell_class, values, measured, schema, skipped, at)
        field.proposals.append((where, proposal))
    else:
        cell_flags = read_flags(flags, schema, cell_class, skipped)
        field.cells.append(CellIn(where, box, cell_class, values, cell_flags))


def _measurements(measurements: Any) -> dict[str, Any]:
    """Read measurements in the form of today, or of QuPath before 0.4."""
    if isinstance(measurements, list):
        return {str(m.get("name")): m.get("value") for m in measurements if isinstance(m, dict)}
    return (
        {str(name): value for name, value in measurements.items()} if isinstance(measurements, dict) else {}
    )


def _proposal(
    box: Box,
    confidence: float,
    cell_class: str | None,
    values: Mapping[str, str | None],
    measured: Mapping[str, Any],
    schema: Schema,
    skipped: Skipped,
    at: str,
) -> Proposal:
    classes: dict[str, float] = {}
    attributes: dict[str, dict[str, float]] = {}
    for name, value in measured.items():
        first, colon, second = name.partition(": ")
        if name.startswith(_CLASS) and (class_name := schema.find_class(name.removeprefix(_CLASS))):
            classes[class_name] = _number(value, at)
        elif colon and (pair := schema.find_value(first, second)) is not None:
            attributes.setdefault(pair[0], {})[pair[1]] = _number(value, at)
    sure_class, sure_values = certain(cell_class, values, schema)
    novelty = novelty_of(measured.get(_NOVELTY), skipped)
    unchecked = measured.get(_UNCHECKED) == 1
    return Proposal(
        box,
        confidence,
        classes or sure_class,
        attributes or sure_values,
        novelty,
        unchecked,
        sets_of(_sets_in(measured, at), schema, skipped),
    )


def _sets_in(measured: Mapping[str, Any], at: str) -> dict[str, list[str]]:
    """Read sets of values from the place of each value in its set."""
    places: dict[str, dict[str, float]] = {}
    for name, value in measured.items():
        head, colon, member = name.removeprefix(_SET).partition(": ")
        if name.startswith(_SET) and colon:
            places.setdefault(head, {})[member] = _number(value, at)
    return {head: sorted(members, key=members.__getitem__) for head, members in places.items()}


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write a folder of GeoJSON files, or one file; see `annotation_store.formats.write`."""
    contents = request.contents()
    kind = _KIND.read(request.options)
    names = request.names()
    skipped = Skipped()
    fields = contents.annotated()
    if request.what == "suggestions":
        fields = [field for field in fields if field.id in contents.suggestions]
    for _ in range(len(contents.fields) - len(fields)):
        skipped.count("{n} fields have no annotations: no file was written for them.")
    report = ExportReport(request.out, **contents.count(fields), skipped=skipped.sentences())
    if request.out.suffix.lower() in _SUFFIXES and not request.out.is_dir():
        if len(fields) != 1:
            raise FormatError(
                f"QuPath reads one file per image, and {len(fields)} fields are exported: "
                "name a folder, without .geojson."
            )
        write_file(request.out, _text(to_geojson(contents, fields[0], names, kind)))
        return report
    refuse_full(request.out)
    refuse_nothing(fields, skipped)
    files = file_names(fields, names)
    with new_folder(request.out) as folder:
        for field in with_progress(fields, contents.progress):
            text = _text(to_geojson(contents, field, names, kind))
            (folder / f"{files[field.id]}.geojson").write_text(text, "utf-8", newline="\n")
    return report


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False)


def to_geojson(contents: Contents, field: Field, names: Names, kind: str = "annotation") -> dict[str, Any]:
    """Make the GeoJSON object of one field."""
    schema = contents.schema
    properties = {
        "field": names.file(field.name),
        "width": field.width,
        "height": field.height,
        "patient": names.person(field.patient),
        "slide": names.person(field.slide),
        "domain": names.domain(field.domain),
        "pixel_size_um": field.pixel_size_um,
    }
    features = [
        _feature(
            properties["field"], f"region {region.id}", region.shape, "annotation", REGION, (50, 50, 180)
        )
        for region in contents.regions.get(field.id, ())
    ]
    features += [
        _feature(properties["field"], f"ignore {area.id}", area.shape, "annotation", IGNORE, (180, 180, 180))
        for area in contents.ignore_areas.get(field.id, ())
    ]
    for cell in contents.cells.get(field.id, ()):
        features.append(_cell_feature(properties["field"], cell, kind, schema, anonymous=names.anonymous))
    for suggestion in contents.suggestions.get(field.id, ()):
        features.append(_suggestion_feature(properties["field"], suggestion, schema))
    return {
        "type": "FeatureCollection",
        "napari_lld": {key: value for key, value in properties.items() if value is not None},
        "features": features,
    }


def _feature(
    field: Any,
    thing: str,
    shape: Shape,
    kind: str,
    label: str | None,
    colour: tuple[int, ...],
) -> dict[str, Any]:
    ring = [list(point) for point in (*shape.points, shape.points[0])]
    properties: dict[str, Any] = {"objectType": kind}
    if label is not None:
        properties["classification"] = {"name": label, "color": list(colour)}
    return {
        "type": "Feature",
        # the same thing has the same id in every export: QuPath replaces it instead of adding it again
        "id": str(uuid.uuid5(_SPACE, f"{field} {thing}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def _colour(cell_class: str | None, schema: Schema) -> tuple[int, ...]:
    if cell_class is None or not schema.is_class(cell_class):
        return (128, 128, 128)
    code = schema.class_named(cell_class).colour.lstrip("#")
    return tuple(bytes.fromhex(code))


def _cell_feature(field: Any, cell: Cell, kind: str, schema: Schema, *, anonymous: bool) -> dict[str, Any]:
    colour = _colour(cell.cell_class, schema)
    label = label_of(cell.cell_class, schema)
    feature = _feature(field, f"cell {cell.id}", Shape(cell.box), kind, label, colour)
    metadata = {**cell.attributes, **flag_words(cell, anonymous=anonymous)}
    if metadata:
        feature["properties"]["metadata"] = metadata
    return feature


def _suggestion_feature(field: Any, suggestion: Suggestion, schema: Schema) -> dict[str, Any]:
    proposal = suggestion.proposal
    best = proposal.stated_class
    shape = Shape(suggestion.box)
    feature = _feature(field, f"suggestion {suggestion.id}", shape, "detection", best, _colour(best, schema))
    measured: dict[str, float] = {_CONFIDENCE: proposal.confidence}
    measured |= {} if proposal.novelty is None else {_NOVELTY: proposal.novelty}
    measured |= {_UNCHECKED: 1} if proposal.unchecked else {}
    measured |= {f"{_CLASS}{name}": p for name, p in proposal.class_probabilities.items()}
    for name, values in proposal.attribute_probabilities.items():
        measured |= {f"{name}: {value}": p for value, p in values.items()}
    for name, members in proposal.sets.items():
        measured |= {f"{_SET}{name}: {value}": place for place, value in enumerate(members, start=1)}
    feature["properties"]["measurements"] = measured
    if best_values := proposal.best_attributes:
        feature["properties"]["metadata"] = best_values
    return feature
