"""How far boxes overlap: intersection over union, of two or of many at once.

A box is ``x, y, width, height``. What has no area overlaps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotation_store.records import Box


def iou(a: Box, b: Box) -> float:
    """Give the intersection of two boxes over their union, 0 to 1."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)


def iou_matrix(
    a: npt.NDArray[np.floating] | Sequence[Box], b: npt.NDArray[np.floating] | Sequence[Box]
) -> npt.NDArray[np.float64]:
    """Give the intersection over union of every pair: ``(n, m)`` from ``(n, 4)`` and ``(m, 4)``."""
    first = np.asarray(a, np.float64).reshape(-1, 4)
    second = np.asarray(b, np.float64).reshape(-1, 4)
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, :2] + first[:, None, 2:], second[None, :, :2] + second[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    union = first[:, 2:].prod(1)[:, None] + second[:, 2:].prod(1)[None] - common
    return np.asarray(np.divide(common, union, out=np.zeros_like(common), where=union > 0))
