"""Propose regions of a field: the windows with the highest sum of acquisition values, outside known areas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from annotation_store.records import Box, Shape

GRID = 48
"""Number of grid steps along the field's longer side on which the corner of a window may lie."""


def best_windows(
    size: tuple[int, int],
    window: tuple[float, float],
    centres: np.ndarray,
    weights: np.ndarray,
    known: Sequence[Shape] = (),
    *,
    count: int = 1,
    grid: int = GRID,
) -> list[tuple[Box, float]]:
    """Find windows that overlap neither known areas nor each other, the highest sums first.

    Parameters
    ----------
    size, window
        Width and height of the field, and of the window; a window larger than the field is the field.
    centres, weights
        ``(n, 2)`` x, y of the candidates, and ``(n,)`` their acquisition values.
    known
        Finished regions and ignore areas.
    grid
        Number of grid steps along the field's longer side.

    Returns
    -------
    list
        ``(box, sum)``; of equal sums, the window nearest to the field's centre. If no window of that size is
        free, a smaller one, down to a quarter of its side; empty if the field is known.
    """
    width, height = size
    step = max(width, height) / grid
    columns, rows = max(1, round(width / step)), max(1, round(height / step))
    step_x, step_y = width / columns, height / rows
    value = np.zeros((rows, columns))
    if len(centres):
        inside = np.isfinite(centres).all(1) & np.isfinite(weights)
        x = (centres[inside, 0] / step_x).astype(int).clip(0, columns - 1)
        y = (centres[inside, 1] / step_y).astype(int).clip(0, rows - 1)
        np.add.at(value, (y, x), weights[inside])
    blocked = _covered(known, rows, columns, step_x, step_y)
    windows: list[tuple[Box, float]] = []
    side = 1.0
    while len(windows) < count and side >= 0.25:
        w = min(columns, max(1, round(side * window[0] / step_x)))
        h = min(rows, max(1, round(side * window[1] / step_y)))
        best = _best(value, blocked, w, h)
        if best is None:
            side /= 2**0.5
            continue
        row, column, score = best
        blocked[row : row + h, column : column + w] = True
        windows.append(((column * step_x, row * step_y, w * step_x, h * step_y), score))
    return windows


def _best(value: np.ndarray, blocked: np.ndarray, w: int, h: int) -> tuple[int, int, float] | None:
    free = _sums(blocked.astype(float), w, h) < 0.5
    if not free.any():
        return None
    sums = np.where(free, _sums(value, w, h), -np.inf).round(9)
    best = float(sums.max())
    rows, columns = np.nonzero(sums == best)
    from_centre = (rows - (sums.shape[0] - 1) / 2) ** 2 + (columns - (sums.shape[1] - 1) / 2) ** 2
    i = int(from_centre.argmin())
    return int(rows[i]), int(columns[i]), best


def _sums(values: np.ndarray, w: int, h: int) -> np.ndarray:
    """Sum all windows of ``h`` × ``w`` by an integral image."""
    padded = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    padded[1:, 1:] = values.cumsum(0).cumsum(1)
    return np.asarray(padded[h:, w:] - padded[:-h, w:] - padded[h:, :-w] + padded[:-h, :-w])


def _covered(known: Sequence[Shape], rows: int, columns: int, step_x: float, step_y: float) -> np.ndarray:
    """Return which squares of the grid the known areas touch."""
    covered = np.zeros((rows, columns), bool)
    polygons = []
    for shape in known:
        if shape.is_rectangle:
            x, y, w, h = shape.coords
            left, right = np.floor(x / step_x + 1e-6), np.ceil((x + w) / step_x - 1e-6)
            top, bottom = np.floor(y / step_y + 1e-6), np.ceil((y + h) / step_y - 1e-6)
            covered[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))] = True
        else:
            polygons.append(shape.geometry)
    if polygons:
        x, y = np.meshgrid(np.arange(columns) * step_x, np.arange(rows) * step_y)
        squares = shapely.box(x, y, x + step_x, y + step_y)
        for polygon in polygons:
            shapely.prepare(polygon)
            covered |= shapely.intersects(polygon, squares)
    return covered
