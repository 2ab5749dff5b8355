"""Lines of LLD's label files, and the annotated patch in those of 16 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

import shapely

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.image_places import Size
from annotation_store.formats._io.text import lines, number, whole
from annotation_store.records import Box, Shape

CANVAS = 640
"""Patches are in pixels of the image letterboxed to a square of this side."""

ORDERS = ("xyxy", "xxyy")
_ATTRIBUTES = 7
_SLACK = 2.0  # patches are whole pixels of the canvas
_LEAST, _MOST = -0.01, 1.01

Patch = tuple[float, float, float, float]


class Row(NamedTuple):
    """One line: class, box as fractions of the image, the patch's four numbers as written, seven codes."""

    class_id: int
    box: tuple[float, float, float, float]
    patch: Patch | None
    codes: tuple[int, ...]


class Unreadable(NamedTuple):
    """A line that is not a label, why, and its box if that can be read as shares of the image."""

    reason: str
    box: tuple[float, float, float, float] | None = None


def parse(data: bytes, source: str) -> list[Row | Unreadable]:
    """Read a label file of 12 or 16 columns."""
    return [
        _row(words, f"{source} line {position}")
        for position, line in enumerate(lines(data, source), start=1)
        if (words := line.split())
    ]


def _row(words: Sequence[str], at: str) -> Row | Unreadable:
    box: tuple[float, float, float, float] | None = None
    try:
        if len(words) not in (12, 16):
            hint = " Read it as yolo." if len(words) in (5, 6) else ""
            raise FormatError(f"In {at}, there are {len(words)} columns: LLD's labels have 12 or 16.{hint}")
        x, y, w, h = (number(word, at) for word in words[1:5])
        if not all(_LEAST <= v <= _MOST for v in (x, y, w, h)):
            raise FormatError(
                f"In {at}, the box lies outside 0 to 1: box coordinates are fractions of the image's "
                "width and height."
            )
        box = x, y, w, h
        class_id = whole(words[0], at)
        if class_id < 0:
            raise FormatError(f"In {at}, the class number is negative.")
        patch = None
        if len(words) == 16:
            first, second, third, fourth = (number(word, at) for word in words[5:9])
            patch = (first, second, third, fourth)
        codes = tuple(whole(word, at) for word in words[-_ATTRIBUTES:])
        if not all(0 <= code <= 9 for code in codes):
            raise FormatError(f"In {at}, an attribute is coded below 0 or above 9: this is not an LLD label.")
    except FormatError as error:
        return Unreadable(str(error), box)
    return Row(class_id, box, patch, codes)


def pixel_box(shares: tuple[float, float, float, float], size: Size) -> Box:
    """Return a box in pixels of the image."""
    cx, cy, w, h = shares
    width, height = abs(w) * size[0], abs(h) * size[1]
    return (
        round(cx * size[0] - width / 2, 6),
        round(cy * size[1] - height / 2, 6),
        round(width, 6),
        round(height, 6),
    )


# -- the patch -----------------------------------------------------------------------------------


def _letterbox(size: Size) -> tuple[float, float, float]:
    """Return the scale from the image to the canvas, and the padding at the left and at the top."""
    scale = CANVAS / max(size)
    return scale, (CANVAS - size[0] * scale) / 2, (CANVAS - size[1] * scale) / 2


def ordered(patch: Patch, order: str) -> Patch:
    """Return left, top, right and bottom."""
    a, b, c, d = patch
    return (a, b, c, d) if order == "xyxy" else (a, c, b, d)


def _fits(row: Row, size: Size, order: str) -> bool:
    """Return whether a reading of the patch is a rectangle that holds the row's centre."""
    if row.patch is None:
        return True
    left, top, right, bottom = ordered(row.patch, order)
    scale, pad_x, pad_y = _letterbox(size)
    x, y = row.box[0] * size[0] * scale + pad_x, row.box[1] * size[1] * scale + pad_y
    return (
        left < right
        and top < bottom
        and left - _SLACK <= x <= right + _SLACK
        and top - _SLACK <= y <= bottom + _SLACK
    )


def patch_order(rows: Iterable[tuple[Row, Size]], source: str) -> str:
    """Return the order of the patches' numbers, from all the rows of a data set.

    The README of the data set says x1 x2 y1 y2, its code reads x1 y1 x2 y2. Only one of them makes
    rectangles that hold the cells.

    Raises
    ------
    FormatError
        Both do, or neither: that is not guessed.
    """
    patched = [(row, size) for row, size in rows if row.patch is not None]
    fitting = {order: sum(_fits(row, size, order) for row, size in patched) for order in ORDERS}
    both = all(ordered(row.patch, "xyxy") == ordered(row.patch, "xxyy") for row, _ in patched if row.patch)
    if not patched or (both and fitting["xyxy"]):
        return "xyxy"
    for order, other in (ORDERS, ORDERS[::-1]):
        sure = fitting[order] == len(patched) > fitting[other]
        # a few cells centred outside their patch are slips, as long as the other reading is hopeless
        nearly = fitting[order] >= 0.95 * len(patched) and fitting[other] <= 0.5 * len(patched)
        if sure or nearly:
            return order
    orders = "both orders" if fitting["xyxy"] == len(patched) else "neither order"
    raise FormatError(
        f"The patches in {source} can be read as x1 y1 x2 y2 or as x1 x2 y1 y2, and {orders} of their "
        "numbers fit the cells: choose one (--option patch_order=xyxy or patch_order=xxyy)."
    )


def region(patch: Patch, order: str, size: Size) -> Box | None:
    """Return a patch as a rectangle of the image, clipped to it; ``None`` if nothing is left."""
    left, top, right, bottom = ordered(patch, order)
    scale, pad_x, pad_y = _letterbox(size)
    x0, x1 = (min(max((v - pad_x) / scale, 0.0), size[0]) for v in (left, right))
    y0, y1 = (min(max((v - pad_y) / scale, 0.0), size[1]) for v in (top, bottom))
    if x1 - x0 < 1 or y1 - y0 < 1:
        return None
    return round(x0, 3), round(y0, 3), round(x1 - x0, 3), round(y1 - y0, 3)


def patch_words(rectangle: Box, size: Size) -> list[str]:
    """Return a rectangle of the image as the four patch columns, in the published code's order."""
    scale, pad_x, pad_y = _letterbox(size)
    x, y, w, h = rectangle
    values = (x * scale + pad_x, y * scale + pad_y, (x + w) * scale + pad_x, (y + h) * scale + pad_y)
    return [f"{min(max(v, 0.0), CANVAS):.9g}" for v in values]


def inner_rectangle(shape: Shape) -> Box | None:
    """Return a large rectangle inside a shape: the patch must not claim unannotated area."""
    if shape.is_rectangle:
        x, y, w, h = shape.coords
        return x, y, w, h
    polygon = shape.geometry
    shapely.prepare(polygon)
    x, y, w, h = shape.bounds
    xs = _lines_of([p[0] for p in shape.points], x, w)
    ys = _lines_of([p[1] for p in shape.points], y, h)
    candidates = [(x0, y0, x1, y1) for x0, x1 in combinations(xs, 2) for y0, y1 in combinations(ys, 2)]
    candidates.sort(key=lambda c: (c[2] - c[0]) * (c[3] - c[1]), reverse=True)
    for x0, y0, x1, y1 in candidates:
        if x1 - x0 >= 1 and y1 - y0 >= 1 and polygon.covers(shapely.box(x0, y0, x1, y1)):
            return x0, y0, x1 - x0, y1 - y0
    return None


def _lines_of(corners: Sequence[float], start: float, length: float) -> list[float]:
    """Choose where the sides of the rectangle may lie: some corners, and an even grid."""
    distinct = sorted(set(corners))
    step = max(1, len(distinct) // 8)
    return sorted({*distinct[::step], *(start + length * i / 10 for i in range(11))})
