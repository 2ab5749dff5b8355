"""Where to look on a whole slide: glass, monolayer, thick areas and nuclei, from a coarse level of it.

Everything is relative to the slide itself, so that stains and lamps do not matter: optical density is counted
from the slide's own glass, the density of one layer of red cells is that of its thin areas, and the size of a
nucleus is that of its larger dark spots. A coarse level is enough: it is read once, which takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from annotation_store.images import Slide

_TARGET_UM = 1.0
"""Size of a pixel at which nuclei (6 to 10 µm) are still spots of their own."""
_ASSUMED_UM = 0.25
"""Size of a pixel of slides that do not state it: a 40x scan."""
_COARSER = 1.3
"""A level that is so much coarser will do: the next finer one is four times the pixels, or sixteen times."""
_CELL_UM = 50.0
_MAX_PIXELS = 40_000_000
"""Of the coarse image that is held: 120 MB."""
_STRIP = 512

_STAINED = 0.05
"""Optical density from which a pixel is not glass: three times what noise and vignetting reach."""
_BARE = 0.03
"""Stained share of an area below which it is glass: debris and platelets alone."""
_SPARSE, _THICK = 0.3, 0.92
"""Layers of red cells: below, they are far apart; above, they lie on each other."""
_NUCLEAR = 2.0
"""Nuclear stain of a nucleus over that of one layer of red cells, or of what surrounds it."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

Counts = npt.NDArray[np.float32]
Kinds = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SlideMap:
    """A grid over a slide.

    Attributes
    ----------
    side
        Pixels of the full resolution that an area of the grid spans; the last row and column may be cut off.
    kinds
        ``(rows, columns)`` uint8: `GLASS`, `SPARSE`, `MONOLAYER` or `THICK`.
    nuclei
        ``(rows, columns)`` float32: about how many white cells have their nucleus there.
    layers
        ``(rows, columns)`` float32: how much stain there is, in layers of red cells.
    read_share
        What part of the slide's pixels, counted at full resolution, was read for the map.
    """

    GLASS: ClassVar[int] = 0
    SPARSE: ClassVar[int] = 1
    MONOLAYER: ClassVar[int] = 2
    THICK: ClassVar[int] = 3

    side: int
    width: int
    height: int
    kinds: Kinds
    nuclei: Counts
    layers: Counts = field(repr=False)
    read_share: float = 0.0

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Return an area as ``x, y, width, height`` in pixels of the full resolution."""
        x, y = column * self.side, row * self.side
        return x, y, min(self.side, self.width - x), min(self.side, self.height - y)

    def order(self) -> list[tuple[int, int]]:
        """List rows and columns in the order in which to look there; glass is left out.

        The monolayer comes first, then sparse areas, then thick ones; in each, areas with most nuclei. Of the
        monolayer, areas with nothing else around them come before those at its edge, where the border of
        thick parts and glass may look like it.
        """
        rank = np.array([4, 2, 1, 3])[self.kinds]
        rank[ndimage.binary_erosion(self.kinds == self.MONOLAYER, np.ones((3, 3)))] = 0
        rows, columns = np.nonzero(rank < 4)
        best = np.lexsort((columns, rows, -self.nuclei[rows, columns], rank[rows, columns]))
        return [(int(rows[k]), int(columns[k])) for k in best]


def map_slide(
    slide: Slide,
    *,
    cell_side: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> SlideMap:
    """Map a slide.

    Parameters
    ----------
    slide
        Open.
    cell_side
        Side of an area of the grid in pixels of the full resolution; without it 50 µm, or 512 pixels where
        the size of a pixel is not known.
    progress
        Called with the share done, 0 to 1; what it raises ends the mapping.

    Raises
    ------
    ImageError
        The slide is damaged.
    """
    stated = slide.facts.pixel_size_um
    side = cell_side or (64 * round(_CELL_UM / stated / 64) if stated else 512)
    side = max(32, min(4096, round(side)))
    tick = progress or (lambda _share: None)
    pixels, scale, read_share = _coarse(slide, stated or _ASSUMED_UM, lambda share: tick(0.7 * share))
    shape = (math.ceil(slide.height / side), math.ceil(slide.width / side))
    densities = _densities(pixels)
    stained, mean, purple = _measure_tiles(pixels, densities, shape, side / scale)
    inked = stained > 0.05
    # thin areas have the least stain where they are stained at all
    layer = float(np.percentile(mean[inked] / stained[inked], 30)) if inked.any() else 1.0
    layers = (mean / max(layer, _STAINED)).astype(np.float32)
    kinds = np.full(shape, SlideMap.THICK, np.uint8)
    kinds[(layers <= _THICK) & (stained <= 0.9)] = SlideMap.MONOLAYER
    kinds[layers <= _SPARSE] = SlideMap.SPARSE
    kinds[stained <= _BARE] = SlideMap.GLASS
    tick(0.8)
    red = float(np.percentile(purple[inked] / stained[inked], 30)) if inked.any() else 1.0
    nuclei = _nuclei(pixels, densities, max(red, _STAINED / 2), (stated or _ASSUMED_UM) * scale, tick)
    counts = np.zeros(shape, np.float32)
    if len(nuclei):
        rows = np.minimum((nuclei[:, 0] * scale / side).astype(int), shape[0] - 1)
        columns = np.minimum((nuclei[:, 1] * scale / side).astype(int), shape[1] - 1)
        np.add.at(counts, (rows, columns), nuclei[:, 2].astype(np.float32))
    kinds[(kinds == SlideMap.GLASS) & (counts > 0)] = SlideMap.SPARSE
    tick(1.0)
    return SlideMap(side, slide.width, slide.height, kinds, counts, layers, read_share)


def _coarse(slide: Slide, um: float, tick: Callable[[float], None]) -> tuple[Pixels, float, float]:
    """Read a level whole, by strips; return its pixels, how many full ones each spans, the share read."""
    target = max(1.0, _TARGET_UM / um, math.sqrt(slide.width * slide.height / _MAX_PIXELS))
    level = slide.level_for(_COARSER * target)
    shrink = max(1, int(target / slide.scale(level) + 1e-6))
    scale = slide.scale(level) * shrink
    width, height = math.ceil(slide.width / scale), math.ceil(slide.height / scale)
    pixels = np.empty((height, width, 3), np.uint8)
    step = max(1, _STRIP // shrink)
    # a strip of a very wide slide is read in parts: what is read at once is bounded
    part = max(1, 20_000_000 // (step * shrink * shrink))
    for top in range(0, height, step):
        bottom = min(height, top + step)
        for left in range(0, width, part):
            right = min(width, left + part)
            box = (left * scale, top * scale, (right - left) * scale, (bottom - top) * scale)
            read = slide.read(box, level)
            if shrink > 1:
                size = (right - left, bottom - top)
                read = np.asarray(Image.fromarray(read).resize(size, Image.Resampling.BOX))
            h, w = min(bottom - top, read.shape[0]), min(right - left, read.shape[1])
            pixels[top : top + h, left : left + w] = read[:h, :w]
            pixels[top + h : bottom, left:right] = pixels[top + h - 1, left:right]
            pixels[top:bottom, left + w : right] = pixels[top:bottom, left + w - 1 : left + w]
        tick(bottom / height)
    chosen = slide.levels[level]
    return pixels, scale, chosen.width * chosen.height / (slide.width * slide.height)


def _densities(pixels: Pixels) -> Counts:
    """Return optical density by channel and value, ``(3, 256)``, counted from the slide's own glass."""
    step = max(1, math.isqrt(pixels.shape[0] * pixels.shape[1] // 400_000))
    samples = pixels[::step, ::step].reshape(-1, 3).astype(np.float32)
    scanned = samples[
        (samples < 255).any(1) & (samples > 0).any(1)
    ]  # what a scanner passed over is white or black
    samples = scanned if len(scanned) > 0.01 * len(samples) else samples
    bright = samples.sum(1)
    glass = np.median(samples[bright >= np.percentile(bright, 85)], axis=0)
    values = np.arange(256, dtype=np.float32)
    table = -np.log10(np.clip(values[None] / np.maximum(glass[:, None], 40), 1 / 255, 1))
    return np.asarray(table, np.float32)


def _stain(pixels: Pixels, densities: Counts) -> tuple[Counts, Counts]:
    """Return density, and what nuclei have more of than red cells, of ``(H, W, 3)`` pixels."""
    import cv2

    red, green, blue = cv2.split(cv2.LUT(pixels, np.ascontiguousarray(densities.T)[None]))
    return green, np.clip(green + 0.5 * red - 0.5 * blue, 0, None)


def _measure_tiles(
    pixels: Pixels, densities: Counts, shape: tuple[int, int], pitch: float
) -> tuple[Counts, Counts, Counts]:
    """Return, per area: stained share, mean density, mean nuclear stain of what is stained."""
    height, width = pixels.shape[:2]
    ys = np.minimum(np.rint(np.arange(shape[0]) * pitch).astype(int), height - 1)
    xs = np.minimum(np.rint(np.arange(shape[1]) * pitch).astype(int), width - 1)
    measures = np.zeros((3, *shape), np.float32)
    for row, top in enumerate(ys):
        bottom = max(top + 1, ys[row + 1] if row + 1 < len(ys) else height)
        density, purple = _stain(pixels[top:bottom], densities)
        stained = density > _STAINED
        # a nucleus counts as what is stained round it would
        dense = np.minimum(density, 0.6) * stained
        for k, values in enumerate((stained, dense, purple * stained)):
            measures[k, row] = np.add.reduceat(values.sum(0, dtype=np.float32), xs)
        ends = np.append(xs[1:], width)
        measures[:, row] /= np.maximum(1, ends - xs) * (bottom - top)
    return measures[0], measures[1], measures[2]


def _nuclei(
    pixels: Pixels, densities: Counts, red: float, um: float, tick: Callable[[float], None]
) -> npt.NDArray[np.float64]:
    """List dark spots of the size of nuclei: row, column, about how many lie in one."""
    import cv2  # several times as fast as scipy's filters

    height = pixels.shape[0]
    blur, reach, around = max(0.5, 0.8 / um), max(1, round(1.5 / um)), max(5, round(30 / um))
    halo = around + 4 * reach
    centres: list[npt.NDArray[np.float64]] = []
    for top in range(0, height, _STRIP):
        begin, end = max(0, top - halo), min(height, top + _STRIP + halo)
        _, purple = _stain(pixels[begin:end], densities)
        purple = cv2.GaussianBlur(purple, (0, 0), blur)
        nearby = cv2.blur(np.minimum(purple, 3 * red), (around, around))
        spots = (purple > _NUCLEAR * np.maximum(nearby, red)).astype(np.uint8)
        spots = cv2.morphologyEx(spots, cv2.MORPH_CLOSE, _CROSS, iterations=reach)  # lobes of one nucleus
        _, _, stats, centroids = cv2.connectedComponentsWithStats(spots, connectivity=4)
        rows = centroids[1:, 1] + begin
        own = (rows >= top) & (rows < top + _STRIP)
        areas = stats[1:, cv2.CC_STAT_AREA]
        centres.append(np.column_stack([rows, centroids[1:, 0], areas])[own])
        tick(0.8 + 0.2 * min(1.0, (top + _STRIP) / height))
    spots_found = np.concatenate(centres)
    if not len(spots_found):
        return spots_found
    areas = np.sort(spots_found[:, 2])
    # half of the dark area lies in spots at least as large: platelets and specks, however many, do not count
    typical = areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)]
    large = spots_found[spots_found[:, 2] >= max(0.3 * typical, 12 / um**2)]
    large[:, 2] = np.maximum(1, np.rint(large[:, 2] / (1.6 * typical)))
    return np.asarray(large, np.float64)
