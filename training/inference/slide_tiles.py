"""A whole slide cut into tiles that overlap, and the detections of a tile that are its own; no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import Box, Proposal, Shape
from training.inference.slide_map import SlideMap
from training.networks.scale import MARGIN, VIEW

TIMES = 2
"""Ordinary fields of view along the side of a tile: what fits in is within a field's most suggestions."""

_SEAM = 0.25
"""Part of a cell by which a core is widened: two tiles see the centre of a cell a little apart."""

_KIND_FIRST = (SlideMap.MONOLAYER, SlideMap.SPARSE, SlideMap.THICK)


@dataclass(frozen=True)
class Tiling:
    """How a slide is cut.

    Each tile has a core; the cores cover the slide and do not overlap. What is read of a tile is its core and
    a margin on all sides, less where the slide ends.

    Attributes
    ----------
    side
        Median side of a white cell in the slide's pixels.
    core, margin
        Pixels.
    """

    width: int
    height: int
    side: float
    core: int
    margin: int

    @classmethod
    def of(cls, width: int, height: int, side: float, largest: float = 0.0) -> Self:
        """Cut a slide.

        Parameters
        ----------
        largest
            Side of the largest cells, if known.
        """
        margin = math.ceil(min(max(MARGIN * side, 0.65 * largest), 2.5 * side))
        whole = TIMES * VIEW * side
        return cls(width, height, side, max(8, math.floor(whole - 2 * margin)), margin)

    def stored(self) -> dict[str, Any]:
        """Return the form for JSON."""
        return {"side": self.side, "core": self.core, "margin": self.margin}

    @classmethod
    def read(cls, width: int, height: int, content: Any) -> Self | None:
        """Read what was stored; ``None`` where it is not that."""
        try:
            side, core, margin = float(content["side"]), int(content["core"]), int(content["margin"])
        except (KeyError, TypeError, ValueError):
            return None
        return cls(width, height, side, core, margin) if side > 0 and core >= 8 and margin >= 0 else None

    @property
    def columns(self) -> int:
        """Tiles from left to right."""
        return math.ceil(self.width / self.core)

    @property
    def rows(self) -> int:
        """Tiles from top to bottom."""
        return math.ceil(self.height / self.core)

    def __len__(self) -> int:
        return self.columns * self.rows

    def core_of(self, tile: int) -> Box:
        """Return a tile's core."""
        row, column = divmod(tile, self.columns)
        x, y = column * self.core, row * self.core
        return (
            float(x),
            float(y),
            float(min(self.core, self.width - x)),
            float(min(self.core, self.height - y)),
        )

    def box(self, tile: int) -> Box:
        """Return what is read of a tile: of one size wherever the slide is large enough."""
        x, y, _, _ = self.core_of(tile)
        spans = []
        for start, end in ((x, self.width), (y, self.height)):
            size = min(self.core + 2 * self.margin, end)
            spans.append((float(min(max(0, start - self.margin), end - size)), float(size)))
        return spans[0][0], spans[1][0], spans[0][1], spans[1][1]

    def around(self, tile: int) -> list[int]:
        """Return the tiles that touch one."""
        row, column = divmod(tile, self.columns)
        return [
            r * self.columns + c
            for r in range(max(0, row - 1), min(self.rows, row + 2))
            for c in range(max(0, column - 1), min(self.columns, column + 2))
            if (r, c) != (row, column)
        ]

    def at(self, x: float, y: float) -> int:
        """Return the tile whose core holds a point."""
        column = min(max(0, int(x // self.core)), self.columns - 1)
        row = min(max(0, int(y // self.core)), self.rows - 1)
        return row * self.columns + column

    def within(self, area: Shape | None) -> list[int]:
        """Return the tiles whose cores an area touches, row by row; all, where there is no area."""
        if area is None:
            return list(range(len(self)))
        x, y, w, h = area.bounds
        first, last = self.at(x, y), self.at(x + w - 1e-6, y + h - 1e-6)
        columns = range(first % self.columns, last % self.columns + 1)
        rows = range(first // self.columns, last // self.columns + 1)
        return [row * self.columns + column for row in rows for column in columns]


def tile_kinds(tiling: Tiling, slide_map: SlideMap) -> dict[int, tuple[int, float]]:
    """Return, for each tile, the kind of most of its core that is not glass, and how many nuclei are there.

    A tile is `SlideMap.GLASS` only where all of it is.
    """
    return {tile: _kind(tiling.core_of(tile), slide_map) for tile in range(len(tiling))}


def _kind(core: Box, slide_map: SlideMap) -> tuple[int, float]:
    x, y, w, h = core
    rows = slice(int(y // slide_map.side), math.ceil((y + h) / slide_map.side))
    columns = slice(int(x // slide_map.side), math.ceil((x + w) / slide_map.side))
    kinds, nuclei = slide_map.kinds[rows, columns].ravel(), slide_map.nuclei[rows, columns]
    covered = kinds[kinds != SlideMap.GLASS]
    if not len(covered):
        return SlideMap.GLASS, 0.0
    counts = np.bincount(covered, minlength=4)
    return max(_KIND_FIRST, key=lambda kind: int(counts[kind])), float(nuclei.sum())


def search_order(tiles: Sequence[int], kinds: Mapping[int, tuple[int, float]]) -> list[int]:
    """Order tiles for a search of all of them: the monolayer first; in each kind row by row, as they lie."""
    return sorted(tiles, key=lambda tile: (_KIND_FIRST.index(kinds[tile][0]), tile))


def own_proposals(
    tiling: Tiling, tile: int, proposals: Sequence[Proposal], occupied: Sequence[Box]
) -> list[Proposal]:
    """Return the detections of a tile that are its own, in pixels of the slide.

    Kept is what is centred in the core, or a quarter of a cell beyond, and lies wholly in what was read; of
    those at a seam, what a neighbour found already is left out.

    Parameters
    ----------
    proposals
        In pixels of what was read (`Tiling.box`).
    taken
        Boxes that were found in neighbouring tiles, in pixels of the slide.
    """
    left, top, width, height = tiling.box(tile)
    x, y, w, h = tiling.core_of(tile)
    margin = _SEAM * tiling.side
    inside = []
    for proposal in proposals:
        bx, by, bw, bh = proposal.box
        cut = (
            (bx <= 0.5 and left > 0)
            or (by <= 0.5 and top > 0)
            or (bx + bw >= width - 0.5 and left + width < tiling.width)
            or (by + bh >= height - 0.5 and top + height < tiling.height)
        )
        cx, cy = bx + bw / 2 + left, by + bh / 2 + top
        if not cut and x - margin <= cx < x + w + margin and y - margin <= cy < y + h + margin:
            inside.append(replace(proposal, box=(bx + left, by + top, bw, bh)))
    return _without_duplicates(inside, occupied)


def _without_duplicates(proposals: Sequence[Proposal], occupied: Sequence[Box]) -> list[Proposal]:
    """Leave out what shows a cell that was found already: most of the smaller box is in the other."""
    if not proposals or not occupied:
        return list(proposals)
    boxes, others = np.array([p.box for p in proposals]), np.array(occupied, float).reshape(-1, 4)
    duplicate = np.asarray(iou_matrix(boxes, others).max(1) > SAME_CELL)
    return [p for p, is_duplicate in zip(proposals, duplicate, strict=True) if not is_duplicate]
