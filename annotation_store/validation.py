"""The rules for values that the store accepts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from annotation_store.errors import EditError
from annotation_store.records import Box, Field, Proposal, Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

MIN_SIDE = 1.0
"""A box or region thinner than one pixel is a slip of the hand."""

_SLACK = 1e-6
_MAX_TEXT = 10_000
_MAX_POINTS = 10_000
# control characters, and the marks that turn text around: in a file name they deceive the reader;
# lone surrogates stand for bytes that are no text
_DECEIVING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)


def clean_name(text: str) -> str:
    """Replace what a name must not contain (newlines, control characters, direction marks)."""
    return _DECEIVING.sub("_", text).strip()[:255] or "_"


def number(value: Any, what: str) -> float:
    """Return a finite float."""
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise EditError(f"The {what} {value!r} is not a number.") from error
    if not math.isfinite(result):
        raise EditError(f"The {what} is {result}, which is not a valid number.")
    return result


def box_in_field(field: Field, box: Any) -> tuple[Box, bool]:
    """Clip a box to its field; report whether the field's edge cut it.

    Raises
    ------
    EditError
        It has no four finite numbers, is empty, or lies outside the field.
    """
    try:
        x, y, w, h = (number(v, "box coordinate") for v in box)
    except (TypeError, ValueError) as error:
        raise EditError(f"A box is four numbers x, y, width, height, not {box!r}.") from error
    if w <= 0 or h <= 0:
        raise EditError(f"The box {_spell(x, y, w, h)} is empty: its width and height must be above 0.")
    if x >= -_SLACK and y >= -_SLACK and x + w <= field.width + _SLACK and y + h <= field.height + _SLACK:
        inside, cut = (max(x, 0.0), max(y, 0.0), w, h), False
    else:
        x0, y0 = max(x, 0.0), max(y, 0.0)
        x1, y1 = min(x + w, float(field.width)), min(y + h, float(field.height))
        if x1 <= x0 or y1 <= y0:
            raise EditError(
                f"The box {_spell(x, y, w, h)} lies outside the field {field.name} "
                f"({field.width} x {field.height} pixels)."
            )
        inside, cut = (x0, y0, x1 - x0, y1 - y0), True
    if inside[2] < MIN_SIDE or inside[3] < MIN_SIDE:
        raise EditError(f"The box {_spell(x, y, w, h)} is thinner than one pixel of the field {field.name}.")
    return inside, cut


def shape_in_field(field: Field, shape: Any) -> Shape:
    """Clip a rectangle or polygon to its field.

    Raises
    ------
    EditError
        It is not a shape, crosses itself, is empty, or lies outside the field.
    """
    coords = shape.coords if isinstance(shape, Shape) else shape
    try:
        values = tuple(number(v, "coordinate") for v in coords)
    except TypeError as error:
        raise EditError(f"{shape!r} is neither a rectangle nor a polygon.") from error
    if len(values) == 4:
        box, _ = box_in_field(field, values)
        return Shape(box)
    if len(values) < 6 or len(values) % 2:
        raise EditError("A polygon needs at least three points, each with x and y.")
    if len(values) > 2 * _MAX_POINTS:
        raise EditError(f"A polygon may have {_MAX_POINTS} points at most.")
    polygon = shapely.Polygon(list(zip(values[::2], values[1::2], strict=True)))
    if not polygon.is_valid:
        raise EditError("The outline crosses itself: draw it without crossing.")
    frame = shapely.box(-_SLACK, -_SLACK, field.width + _SLACK, field.height + _SLACK)
    if not frame.covers(polygon):
        clipped = polygon.intersection(shapely.box(0, 0, field.width, field.height))
        if clipped.is_empty or clipped.area == 0:
            raise EditError(f"The outline lies outside the field {field.name}.")
        if clipped.geom_type != "Polygon" or len(clipped.interiors):
            raise EditError(
                f"The edge of the field {field.name} cuts the outline into pieces: draw each one."
            )
        polygon = clipped
        points = list(polygon.exterior.coords)[:-1]
        values = tuple(float(v) for point in points for v in point[:2])
        if len(values) == 4:  # pragma: no cover - a clipped polygon keeps three corners or more
            raise EditError("The outline is empty.")
    if polygon.area < MIN_SIDE:
        raise EditError("The outline is smaller than one pixel.")
    return Shape(values)


def _spell(*values: float) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"


def cell_class(schema: Schema, value: Any) -> str | None:
    """Check a class: missing, unsure, a class or a group of the schema."""
    if value is None or value == UNSURE:
        return None if value is None else UNSURE
    if isinstance(value, str) and (schema.is_class(value) or schema.is_group(value)):
        return value
    raise EditError(f"The schema {schema.name} has no class or group {value!r}.")


def attributes(schema: Schema, values: Mapping[str, Any]) -> dict[str, str | None]:
    """Check attribute values; ``None`` (missing) is kept for merging."""
    checked: dict[str, str | None] = {}
    for name, value in values.items():
        try:
            value_names = schema.attribute_named(name).value_names
        except (KeyError, TypeError) as error:
            raise EditError(f"The schema {schema.name} has no attribute {name!r}.") from error
        if value is not None and value != UNSURE and value not in value_names:
            allowed = ", ".join(value_names)
            raise EditError(f"{name} cannot be {value!r}: it is one of {allowed}, unsure or missing.")
        checked[name] = None if value is None else str(value)
    return checked


def kind(schema: Schema, value: Any, of_class: str | None) -> str | None:
    """Check the kind of an artefact."""
    if value is None or value == "":
        return None
    kinds = schema.class_named(of_class).kinds if of_class and schema.is_class(of_class) else ()
    if value not in kinds:
        if not kinds:
            raise EditError(f"Only an artefact has a kind, and the cell's class is {of_class or 'missing'}.")
        raise EditError(f"{of_class} has no kind {value!r}: it is one of {', '.join(kinds)}.")
    return str(value)


def text(value: Any, what: str) -> str:
    """Check a comment or note."""
    if not isinstance(value, str):
        raise EditError(f"The {what} must be text.")
    if len(value) > _MAX_TEXT:
        raise EditError(f"The {what} is longer than {_MAX_TEXT} characters.")
    # a zero byte cannot be stored; a lone surrogate cannot be written to any file
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def proposal(schema: Schema, field: Field, candidate: Proposal) -> dict[str, Any]:
    """Check a proposal and give its columns."""
    (x, y, w, h), _ = box_in_field(field, candidate.box)
    for name in candidate.class_probabilities:
        if not schema.is_class(name):
            raise EditError(f"The schema {schema.name} has no class {name!r}.")
    for name, values in candidate.attribute_probabilities.items():
        attributes(schema, {name: None})
        for value in values:
            attributes(schema, {name: value})
    confidence = _probability(candidate.confidence, "confidence")
    novelty = None if candidate.novelty is None else _probability(candidate.novelty, "novelty")
    classes = _distribution(candidate.class_probabilities, "class")
    return {
        "x": x,
        "y": y,
        "w": w,
        "h": h,
        "confidence": confidence,
        "probability": Proposal((x, y, w, h), confidence, classes, novelty=novelty).probability,
        "novelty": novelty,
        "unchecked": bool(candidate.unchecked),
        "sets": _sets(schema, candidate.sets),
        "class_probabilities": classes,
        "attribute_probabilities": {
            name: _distribution(values, name) for name, values in candidate.attribute_probabilities.items()
        },
    }


def _sets(schema: Schema, sets: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    for name, values in sets.items():
        known = schema.class_names
        if name != "class":
            attributes(schema, {name: None})
            known = schema.attribute_named(name).value_names
        if not values or len(set(values)) < len(values) or not set(values) <= set(known):
            raise EditError(
                f"The set of {name} is empty, repeats a value, or contains one that the schema "
                f"{schema.name} lacks."
            )
    return {name: list(values) for name, values in sets.items()}


def _probability(value: Any, what: str) -> float:
    result = number(value, what)
    if not -_SLACK <= result <= 1 + 1e-4:
        raise EditError(f"The {what} {result:g} is not a probability between 0 and 1.")
    return min(max(result, 0.0), 1.0)


def _distribution(values: Mapping[str, Any], what: str) -> dict[str, float]:
    checked = {name: _probability(value, f"probability of {what} {name}") for name, value in values.items()}
    total = sum(checked.values())
    if checked and not 0.98 <= total <= 1.02:
        raise EditError(f"The probabilities of {what} add up to {total:.3f}, not to 1.")
    return checked


_FIELD_TEXT = ("patient", "slide", "domain", "quality", "microscope", "camera", "stain")


def field_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Check what may be changed of a field."""
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name in _FIELD_TEXT:
            value = None if value is None or not str(value).strip() else clean_name(text(value, name))
            checked[name] = value
        elif name == "note":
            checked[name] = text(value, "note")
        elif name == "skipped":
            checked[name] = bool(value)
        elif name == "pixel_size_um":
            checked[name] = None if value is None else number(value, "pixel size")
            if checked[name] is not None and not 0.001 <= checked[name] <= 100:
                raise EditError(f"A pixel size of {checked[name]:g} µm is out of range.")
        elif name == "magnification":
            checked[name] = None if value is None else number(value, "magnification")
            if checked[name] is not None and not 0.1 <= checked[name] <= 1000:
                raise EditError(f"A magnification of {checked[name]:g} is out of range.")
        else:
            raise EditError(f"The property {name!r} of a field cannot be changed.")
    return checked
