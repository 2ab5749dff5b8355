"""Overlap of boxes: intersection over union, of two or of many at once.

A box is ``x, y, width, height``. What has no area overlaps nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from annotation_store.records import Box

SAME_CELL = 0.5
"""Two boxes that overlap so much (intersection over union) show the same cell."""
SAME_BOX = 0.9
"""Two boxes that overlap so much are one box, drawn or written twice."""


def iou(a: Box, b: Box) -> float:
    """Return the intersection of two boxes over their union, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def iou_matrix(
    a: npt.NDArray[np.floating] | Sequence[Box], b: npt.NDArray[np.floating] | Sequence[Box]
) -> npt.NDArray[np.float64]:
    """Return the intersection over union of every pair: ``(n, m)`` from ``(n, 4)`` and ``(m, 4)``."""
    first = np.asarray(a, np.float64).reshape(-1, 4)
    second = np.asarray(b, np.float64).reshape(-1, 4)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    union = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))


def upright(box: Sequence[float]) -> Box:
    """Return a box whose sizes are not negative: some programs write corners in the order of the drag."""
    x, y, w, h = box
    return min(x, x + w), min(y, y + h), abs(w), abs(h)


class BoxIndex:
    """Finds boxes that overlap a given one by much, without comparing all with all.

    Boxes that overlap so much are of like size in a like place: they lie in neighbouring bins.

    Parameters
    ----------
    at_least
        The intersection over union from which two boxes count as overlapping, 0.5 to 1.
    """

    def __init__(self, at_least: float) -> None:
        self._least = at_least
        self._step = -math.log(at_least)  # a bin of sizes
        self._reach = (1 - at_least) / (at_least * (1 + at_least))  # how far centres may lie apart, in sizes
        self._bins: defaultdict[tuple[int, int, int, int], list[tuple[int, Box]]] = defaultdict(list)

    def add(self, number: int, box: Box) -> None:
        """Add a box that has an area, under a number."""
        column, row = self._size_bin(box[2]), self._size_bin(box[3])
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        key = column, row, math.floor(x / self._pitch(column)), math.floor(y / self._pitch(row))
        self._bins[key].append((number, box))

    def find(self, box: Box) -> list[int]:
        """List the numbers of the boxes that overlap one so much, the closest first."""
        matches = []
        for column, x in self._places(box[0], box[2]):
            for row, y in self._places(box[1], box[3]):
                for number, other in self._bins.get((column, row, x, y), ()):
                    if (overlap := iou(box, other)) >= self._least:
                        matches.append((-overlap, number))
        return [number for _, number in sorted(matches)]

    def _places(self, start: float, size: float) -> Iterator[tuple[int, int]]:
        centre, reach = start + size / 2, size * self._reach
        middle = self._size_bin(size)
        for level in (middle - 1, middle, middle + 1):
            pitch = self._pitch(level)
            for place in range(
                math.floor((centre - reach) / pitch), math.floor((centre + reach) / pitch) + 1
            ):
                yield level, place

    def _size_bin(self, size: float) -> int:
        return math.floor(math.log(size) / self._step)

    def _pitch(self, size_bin: int) -> float:
        return math.exp(size_bin * self._step) * self._step
