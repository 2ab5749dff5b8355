"""Boxes, outlines and masks of COCO annotations: what can be read of them, ``None`` of what cannot."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from annotation_store.records import Box

_MAX_RUNS = 10_000_000
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,3})?")


def finite(value: Any) -> float | None:
    """Return a number as a float; some programs write it in quotes."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            return None
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def numbers(values: Any) -> tuple[float, ...] | None:
    """Return a list of numbers."""
    if not isinstance(values, list):
        return None
    parsed = [finite(value) for value in values]
    return None if None in parsed else tuple(number for number in parsed if number is not None)


def area(values: Any) -> tuple[float, ...] | None:
    """Return an area: ``x, y, w, h``, or three points or more."""
    coords = numbers(values)
    return coords if coords and (len(coords) == 4 or (len(coords) >= 6 and len(coords) % 2 == 0)) else None


def box_of(bbox: Any, segmentation: Any) -> tuple[Box | None, bool]:
    """Return the box of an annotation, and whether it is that around its outline or mask."""
    coords = numbers(bbox)
    box: Box | None = None
    if coords is not None and len(coords) == 4:
        box = (coords[0], coords[1], coords[2], coords[3])
        if box[2] and box[3]:
            return box, False
    around = _around_mask(segmentation) if isinstance(segmentation, dict) else _around(segmentation)
    return (box, False) if around is None else (around, True)


def _around(segmentation: Any) -> Box | None:
    if not isinstance(segmentation, list) or not segmentation:
        return None
    rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
    points: list[float] = []
    for ring in rings:
        coords = numbers(ring)
        if coords is None or len(coords) < 6 or len(coords) % 2:
            return None
        points += coords
    xs, ys = points[::2], points[1::2]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _around_mask(mask: dict[str, Any]) -> Box | None:
    """Return the box around a mask in run lengths, by columns: a list of them, or COCO's compressed text."""
    size, counts = numbers(mask.get("size")), mask.get("counts")
    runs = _runs(counts) if isinstance(counts, str) else numbers(counts)
    if size is None or len(size) != 2 or min(size) < 1 or runs is None or len(runs) > _MAX_RUNS:
        return None
    height, total = int(size[0]), int(size[0]) * int(size[1])
    ends = list(accumulate(map(int, runs)))
    if min(runs, default=0) < 0 or not ends or ends[-1] > total:
        return None
    spans = [(start, end - 1) for start, end in zip(ends[::2], ends[1::2], strict=False) if end > start]
    if not spans:
        return None
    left, right = spans[0][0] // height, spans[-1][1] // height
    top, bottom = height, 0
    for first, last in spans:
        within = first // height == last // height
        top = min(top, first % height if within else 0)
        bottom = max(bottom, last % height if within else height - 1)
    return float(left), float(top), float(right - left + 1), float(bottom - top + 1)


def _runs(text: str) -> Sequence[int] | None:
    """Decode the run lengths of COCO's masks: six bits a character, differences to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60 or len(runs) > _MAX_RUNS:
            return None
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return None if shift else runs
