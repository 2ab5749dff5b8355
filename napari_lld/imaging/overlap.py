"""Find the offset of two fields that show the same part of the film; no Qt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from annotation_store.records import Box

Pixels = npt.NDArray[np.uint8]
_SIDE = 320
"""Longer side at which they are compared: a cell is some pixels wide there, and that is near enough."""
_LEAST = 0.1
"""Share of a field that must be common, or chance finds something anywhere."""
_ALIKE = 0.6
"""Correlation of the common part from which it is taken to be the same cells."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Where the second field's top left corner lies in the first, and how alike the common part is."""

    dx: float
    dy: float
    alike: float


def find_overlap(first: Pixels, second: Pixels) -> Overlap | None:
    """Register one field on the other; ``None`` if the match is not convincing.

    Fields of one film and one magnification: neither is turned nor scaled.
    """
    from skimage.registration import phase_cross_correlation

    down = max(1.0, max(*first.shape[:2], *second.shape[:2]) / _SIDE)
    first_small, second_small = _small(first, down), _small(second, down)
    if min(*first_small.shape, *second_small.shape) < 16:
        return None
    # of images of two sizes it reports the offset wrongly (scikit-image 0.26): both get the same
    size = np.maximum(first_small.shape, second_small.shape)
    (padded, first_mask), (second_padded, other_known) = (
        _padded(first_small, size),
        _padded(second_small, size),
    )
    # with masks it is the normalised correlation at every offset, for which a small common part is enough
    shift, _error, _phase = phase_cross_correlation(
        padded, second_padded, reference_mask=first_mask, moving_mask=other_known, overlap_ratio=_LEAST
    )
    rows, columns = round(float(shift[0])), round(float(shift[1]))
    alike = _alike(first_small, second_small, rows, columns)
    return Overlap(columns * down, rows * down, alike) if alike >= _ALIKE else None


def offset_of_same_cell(first: Box, second: Box) -> tuple[float, float]:
    """Return where the second field lies in the first, from the boxes of one cell in both."""
    (x1, y1, w1, h1), (x2, y2, w2, h2) = first, second
    return x1 + w1 / 2 - x2 - w2 / 2, y1 + h1 / 2 - y2 - h2 / 2


def _small(pixels: Pixels, down: float) -> npt.NDArray[np.float64]:
    height, width = pixels.shape[:2]
    size = (max(1, round(width / down)), max(1, round(height / down)))
    # green: red cells and nuclei are darkest there
    return np.asarray(Image.fromarray(pixels[:, :, 1]).resize(size, Image.Resampling.BOX), np.float64)


def _padded(
    pixels: npt.NDArray[np.float64], size: npt.NDArray[np.int_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Pad pixels at the right and below; also return a mask of the known ones."""
    margins = [(0, int(more)) for more in size - np.array(pixels.shape)]
    return np.pad(pixels, margins), np.pad(np.ones(pixels.shape, bool), margins)


def _alike(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64], rows: int, columns: int) -> float:
    """Correlate the common part of two fields, the second at an offset."""
    top, left = max(0, rows), max(0, columns)
    bottom, right = (
        min(first.shape[0], rows + second.shape[0]),
        min(first.shape[1], columns + second.shape[1]),
    )
    if bottom - top < 8 or right - left < 8:
        return 0.0
    a = first[top:bottom, left:right]
    b = second[top - rows : bottom - rows, left - columns : right - columns]
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 0.0
