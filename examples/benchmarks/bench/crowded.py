"""Augment fields with touching cells: copies of their own cells, pasted next to others."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from annotation_store.geometry import iou_matrix
from annotation_store.records import Box
from bench.data import Field

_SHARE = 0.4
"""Share of the cells that get a neighbour."""

_FEATHER = 3.0
"""Width in pixels over which the edge of a pasted cell is blended."""

_MOST_COVERED = 0.3
"""Maximum overlap (IoU) of a pasted cell with any other."""


def crowded(field: Field) -> Field:
    """Return a fully annotated field with cells pasted so that they touch or overlap a little.

    A copy is a cell of the field, rotated by multiples of 90° and flipped, cut to the ellipse in its box.
    """
    seed = int(hashlib.sha256(field.name.encode()).hexdigest()[:8], 16)
    rng = np.random.default_rng(seed)
    seen, cells = field.pixels(), list(field.cells)
    pixels = seen.copy()
    for host in field.cells:
        if rng.random() > _SHARE and len(field.cells) > 2:
            continue
        donor = field.cells[rng.integers(len(field.cells))]
        copy = _turned(_cut(seen, donor.box), rng)
        place = _beside(host.box, copy.shape[1], copy.shape[0], rng)
        x, y, w, h = (round(v) for v in place)
        outside = min(x, y) < 0 or x + w > field.width or y + h > field.height
        taken = np.array([cell.box for cell in cells])
        if outside or not copy.size or iou_matrix(np.array([place]), taken).max() > _MOST_COVERED:
            continue
        mask = _ellipse(w, h)[..., None]
        under = pixels[y : y + h, x : x + w]
        pixels[y : y + h, x : x + w] = (mask * copy + (1 - mask) * under).round().astype(np.uint8)
        cells.append(replace(donor, box=(float(x), float(y), float(w), float(h)), attributes={}))
    return replace(field, cells=tuple(cells), drawn=pixels)


def _cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    x, y, w, h = (round(v) for v in box)
    return pixels[max(0, y) : y + h, max(0, x) : x + w]


def _turned(copy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    turned = np.rot90(copy, int(rng.integers(4)))
    return turned[:, ::-1] if rng.random() < 0.5 else turned


def _beside(host: Box, width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a box whose ellipse touches that of another, or overlaps it by up to a quarter."""
    x, y, w, h = host
    angle = rng.uniform(0, 2 * np.pi)
    along = rng.uniform(0.75, 1.02)
    cx = x + w / 2 + along * (w + width) / 2 * np.cos(angle)
    cy = y + h / 2 + along * (h + height) / 2 * np.sin(angle)
    return (float(cx - width / 2), float(cy - height / 2), float(width), float(height))


def _ellipse(width: int, height: int) -> np.ndarray:
    """Return a mask ``(height, width)``: 1 inside the ellipse in the box, falling to 0 at its edge."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    reach = np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2))
    return np.asarray(((1 - reach) * min(width, height) / 2 / _FEATHER).clip(0, 1))
