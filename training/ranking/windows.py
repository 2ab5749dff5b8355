"""The region of a field that is worth most: the window with the highest sum, off what is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely

from annotation_store.records import Box, Shape

GRID = 48
"""A window's corner stands on one of so many steps along the field's longer side."""


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
    """Find windows that overlap neither what is known nor each other, the highest sums first.

    Parameters
    ----------
    size, window
        Width and height of the field, and of the window; a window larger than the field is the field.
    centres, weights
        ``(n, 2)`` x, y of the candidates, and ``(n,)`` what each is worth.
    known
        Finished regions and ignore areas.
    grid
        Steps along the field's longer side on which a window's corner may stand.

    Returns
    -------
    list
        ``(box, sum)``; where sums are equal, the window nearest to the field's middle. A smaller window
        where none of that size is free, down to a quarter of its side; empty if the field is known.
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
    taken = _covered(known, rows, columns, step_x, step_y)
    found: list[tuple[Box, float]] = []
    side = 1.0
    while len(found) < count and side >= 0.25:
        w = min(columns, max(1, round(side * window[0] / step_x)))
        h = min(rows, max(1, round(side * window[1] / step_y)))
        place = _best(value, taken, w, h)
        if place is None:
            side /= 2**0.5
            continue
        row, column, score = place
        taken[row : row + h, column : column + w] = True
        found.append(((column * step_x, row * step_y, w * step_x, h * step_y), score))
    return found


def _best(value: np.ndarray, taken: np.ndarray, w: int, h: int) -> tuple[int, int, float] | None:
    free = _sums(taken.astype(float), w, h) < 0.5
    if not free.any():
        return None
    sums = np.where(free, _sums(value, w, h), -np.inf).round(9)
    best = float(sums.max())
    rows, columns = np.nonzero(sums == best)
    middle = (rows - (sums.shape[0] - 1) / 2) ** 2 + (columns - (sums.shape[1] - 1) / 2) ** 2
    i = int(middle.argmin())
    return int(rows[i]), int(columns[i]), best


def _sums(values: np.ndarray, w: int, h: int) -> np.ndarray:
    """Sum up every window of ``h`` × ``w`` at once."""
    padded = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    padded[1:, 1:] = values.cumsum(0).cumsum(1)
    return np.asarray(padded[h:, w:] - padded[:-h, w:] - padded[h:, :-w] + padded[:-h, :-w])


def _covered(known: Sequence[Shape], rows: int, columns: int, step_x: float, step_y: float) -> np.ndarray:
    """Return which squares of the grid an area touches."""
    taken = np.zeros((rows, columns), bool)
    polygons = []
    for shape in known:
        if shape.is_rectangle:
            x, y, w, h = shape.coords
            left, right = np.floor(x / step_x + 1e-6), np.ceil((x + w) / step_x - 1e-6)
            top, bottom = np.floor(y / step_y + 1e-6), np.ceil((y + h) / step_y - 1e-6)
            taken[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))] = True
        else:
            polygons.append(shape.geometry)
    if polygons:
        x, y = np.meshgrid(np.arange(columns) * step_x, np.arange(rows) * step_y)
        squares = shapely.box(x, y, x + step_x, y + step_y)
        for polygon in polygons:
            shapely.prepare(polygon)
            taken |= shapely.intersects(polygon, squares)
    return taken
