"""The shapes of Label Studio's results in pixels: boxes, polygons, ellipses, brush strokes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.formats._io.text import shown
from annotation_store.images.read import MAX_PIXELS
from annotation_store.records import Box

Points = list[tuple[float, float]]
Size = tuple[int, int]

_SHAPES = ("rectangle", "polygon", "ellipse", "brush", "bitmask", "keypoint", "vector", "magicwand")
_PLACE = ("x", "y", "width", "height", "radiusX", "radiusY", "rotation", "points", "vertices", "rle")

OUTLINES = "{n} outlines were converted to their bounding boxes."
TURNED = "{n} turned boxes became the upright boxes around them."


def is_shape(result: Mapping[str, Any]) -> bool:
    """Return whether a result has its own shape."""
    kind = str(result.get("type", ""))
    return kind.startswith(_SHAPES)


def place_of(value: Mapping[str, Any]) -> str:
    """Return a key that is equal for results of the same shape; empty if a value has no shape."""
    return repr([(key, value[key]) for key in _PLACE if key in value])


def points_of(result: Mapping[str, Any], size: Size, at: str) -> tuple[Points, str]:
    """Return the corners of a result's shape in pixels, and the sentence that describes what was lost.

    Raises
    ------
    FormatError
        It is no area (a point, a line), or a number is invalid.
    """
    value = result["value"]
    kind = str(result.get("type", ""))
    width, height = size
    if kind.startswith("brush") and value.get("format", "rle") == "rle":
        x, y, w, h = _brush_box(value.get("rle"), size, at)
        return [(x, y), (x + w, y + h)], OUTLINES
    if kind.startswith("polygon"):
        points = value.get("points")
        if not isinstance(points, list) or not points or not all(_is_pair(p) for p in points):
            raise FormatError(f"In {at}, the points of a polygon are not pairs of numbers.")
        return [(number(x, at) * width / 100, number(y, at) * height / 100) for x, y in points], OUTLINES
    angle = math.radians(number(value.get("rotation") or 0, at))
    turn, lean = math.cos(angle), math.sin(angle)
    if kind.startswith("ellipse"):
        x, y, rx, ry = (number(value.get(k), at) for k in ("x", "y", "radiusX", "radiusY"))
        x, rx, y, ry = x * width / 100, rx * width / 100, y * height / 100, ry * height / 100
        across, down = math.hypot(rx * turn, ry * lean), math.hypot(rx * lean, ry * turn)
        return [(x - across, y - down), (x + across, y + down)], OUTLINES
    if not (kind.startswith("rectangle") or kind == "labels"):
        raise FormatError(f"In {at}, an annotation of type {shown(kind)} has no area that can be read.")
    x, y, w, h = (number(value.get(k), at) for k in ("x", "y", "width", "height"))
    left, top, w, h = x * width / 100, y * height / 100, w * width / 100, h * height / 100
    # Label Studio turns a box around its top left corner
    corners = [
        (left + a * turn - b * lean, top + a * lean + b * turn) for a, b in ((0, 0), (w, 0), (w, h), (0, h))
    ]
    return corners, TURNED if angle else ""


def _is_pair(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2


def number(value: Any, at: str) -> float:
    """Read a finite number that JSON gives."""
    try:
        result = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:
        result = math.inf
    if not math.isfinite(result) or abs(result) > 1e9:
        raise FormatError(f"In {at}, {shown(value)} is not a valid number.")
    return result


def bounds(points: Sequence[tuple[float, float]]) -> Box:
    """Return the box around points."""
    xs, ys = zip(*points, strict=True)
    x, y = round(min(xs), 6), round(min(ys), 6)
    return x, y, round(max(xs) - x, 6), round(max(ys) - y, 6)


# -- brush ---------------------------------------------------------------------------------------


class _Bits:
    """Reads numbers of some bits each."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def read(self, count: int) -> int:
        end = self._at + count
        if end > 8 * len(self._data):
            raise ValueError("it ends too early")
        chunk = int.from_bytes(self._data[self._at // 8 : (end + 7) // 8], "big")
        self._at = end
        return (chunk >> (-end % 8)) & ((1 << count) - 1)


def _brush_box(rle: Any, size: Size, at: str) -> Box:
    """Return the box around a brush stroke: run lengths over the four channels of each pixel.

    Raises
    ------
    FormatError
        It is not such a stroke, not of this image, or empty.
    """
    width, height = size
    try:
        stream = _Bits(bytes(rle if isinstance(rle, list) else []))
        count, word = stream.read(32), stream.read(5) + 1
        lengths = [stream.read(4) + 1 for _ in range(4)]
        if count != 4 * width * height or width * height > MAX_PIXELS:
            raise ValueError("its size differs")
        box = _opaque_box(stream, count, word, lengths, width)
    except (TypeError, ValueError, OverflowError) as error:
        raise FormatError(f"In {at}, a brush stroke cannot be read ({str(error)[:60]}).") from error
    if box is None:
        raise FormatError(f"In {at}, a brush stroke is empty.")
    return box


def _opaque_box(stream: _Bits, count: int, word: int, lengths: Sequence[int], width: int) -> Box | None:
    low_x, low_y, high_x, high_y = width, count, -1, -1
    place = 0
    while place < count:
        repeated = stream.read(1)
        end = min(place + 1 + stream.read(lengths[stream.read(2)]), count)
        step = end - place if repeated else 1
        for start in range(place, end, step):
            value = stream.read(word)
            # the fourth channel of a pixel is its opacity
            first, last = (start + 3 - start % 4) // 4, (start + step - 4) // 4
            if not value or last < first:
                continue
            rows = first // width, last // width
            columns = (first % width, last % width) if rows[0] == rows[1] else (0, width - 1)
            low_x, high_x = min(low_x, columns[0]), max(high_x, columns[1])
            low_y, high_y = min(low_y, rows[0]), max(high_y, rows[1])
        place = end
    return None if high_x < 0 else (low_x, low_y, high_x - low_x + 1, high_y - low_y + 1)
