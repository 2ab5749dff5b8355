"""The box of the cell under a click, from the stain around it: numpy and scipy only, some milliseconds.

`training.inference.stain` looks at whole fields with scikit-image, whose import alone would make the window
wait; here one window around the click is enough, since the user has said that there is a cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from annotation_store.records import Box

_SIDE = 128
"""Pixels to which the window around a click is reduced at most."""
_CYTOPLASM = 1.25
"""Side of a cell over that of its nucleus: a compromise between lymphocytes and granulocytes."""
_FAINTEST = 0.1
"""Least difference of stain, in optical density, between nuclei and the rest."""

Pixels = npt.NDArray[np.uint8]


def usual_side(boxes: Sequence[Box], width: float, height: float) -> float:
    """Return the usual side of a cell: the median of those that are boxed, else a fifth of a small field."""
    if boxes:
        return float(median(max(w, h) for _x, _y, w, h in boxes))
    return float(np.clip(min(width, height) / 5, 24, 120))


def search_window(x: float, y: float, side: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the part of a field to look at around a click, as ``(left, top, right, bottom)``."""
    half = 1.3 * side
    return (
        max(0, int(x - half)),
        max(0, int(y - half)),
        min(width, int(x + half) + 1),
        min(height, int(y + half) + 1),
    )


def box_at(pixels: Pixels, x: float, y: float, side: float) -> Box | None:
    """Propose the box of the cell at a point.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8: the `search_window` around the point.
    x, y
        The point, in pixels of that window.
    side
        The usual side of a cell, in pixels.

    Returns
    -------
    tuple or None
        ``(x, y, width, height)`` within the window, or ``None`` if nothing is stained like a nucleus.
    """
    from scipy import ndimage  # a third of the time to open the window; the prefetching thread imports it

    height, width = pixels.shape[:2]
    step = max(1, -(-max(height, width) // _SIDE))
    stain = ndimage.gaussian_filter(_stain(pixels[::step, ::step]), max(1.0, 0.02 * side / step))
    if stain.max() - stain.min() < _FAINTEST:
        return None
    threshold = _otsu(stain)
    # Lobes of one nucleus lie nearer to each other than two cells do.
    reach = max(1, round(0.06 * side / step))
    nuclei = ndimage.binary_opening(stain > threshold, iterations=max(1, reach // 3))
    joined = ndimage.binary_closing(np.pad(nuclei, reach), iterations=reach)[reach:-reach, reach:-reach]
    labels, count = ndimage.label(joined)
    if not count:
        return None
    near, distance = _nearest(labels, x / step, y / step)
    if distance * step > 0.5 * side:
        return None
    rows, columns = ndimage.find_objects(labels)[near - 1]
    top, bottom = rows.start * step, rows.stop * step
    left, right = columns.start * step, columns.stop * step
    grow_x, grow_y = ((b - a) * (_CYTOPLASM - 1) / 2 for a, b in ((left, right), (top, bottom)))
    left, right = max(0.0, left - grow_x), min(float(width), right + grow_x)
    top, bottom = max(0.0, top - grow_y), min(float(height), bottom + grow_y)
    return (left, top, right - left, bottom - top)


def _stain(pixels: Pixels) -> npt.NDArray[np.float32]:
    """Return how purple and how dark each pixel is: green is what purple absorbs, and pink hardly does."""
    rgb = np.clip(pixels.astype(np.float32) / 255, 1 / 255, 1)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    purple = -np.log10(green) + 0.5 * np.log10(blue)
    # Hues from blue to purple count in full, red and orange (red cells, eosin) by a third.
    bluish = (blue > green) & ((blue >= red) | (blue - green > 0.42 * (red - green)))
    return np.asarray(np.clip(purple * np.where(bluish, 1.0, 0.35), 0, None), dtype=np.float32)


def _otsu(values: npt.NDArray[np.float32]) -> float:
    counts, edges = np.histogram(values, bins=128)
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[int(np.nanargmax(between[:-1])) + 1])


def _nearest(labels: npt.NDArray[np.int32], x: float, y: float) -> tuple[int, float]:
    """Return the label at a point or nearest to it, and how far off it is."""
    rows, columns = np.nonzero(labels)
    distances = np.hypot(columns - x, rows - y)
    at = int(np.argmin(distances))
    return int(labels[rows[at], columns[at]]), float(distances[at])
