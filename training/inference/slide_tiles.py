"""Divide a whole slide into overlapping tiles, and assign detections to tiles; no torch."""

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
"""Side of a tile in fields of view: its cells are within the maximum number of suggestions of a field."""

_SEAM = 0.25
"""Margin of a core in cell sides: the centre of a cell differs a little between two tiles."""

_KIND_FIRST = (SlideMap.MONOLAYER, SlideMap.SPARSE, SlideMap.THICK)


@dataclass(frozen=True)
class Tiling:
    """A division of a slide into tiles.

    Each tile has a core; the cores cover the slide and do not overlap. The area that is read is the core and
    a margin on all sides, within the slide.

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
        """Divide a slide.

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
        """Read what `stored` returned; ``None`` if it is invalid."""
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
        """Return the area that is read for a tile, of constant size if the slide is large enough."""
        x, y, _, _ = self.core_of(tile)
        spans = []
        for start, end in ((x, self.width), (y, self.height)):
            size = min(self.core + 2 * self.margin, end)
            spans.append((float(min(max(0, start - self.margin), end - size)), float(size)))
        return spans[0][0], spans[1][0], spans[0][1], spans[1][1]

    def around(self, tile: int) -> list[int]:
        """Return the neighbours of a tile."""
        row, column = divmod(tile, self.columns)
        return [
            r * self.columns + c
            for r in range(max(0, row - 1), min(self.rows, row + 2))
            for c in range(max(0, column - 1), min(self.columns, column + 2))
            if (r, c) != (row, column)
        ]

    def at(self, x: float, y: float) -> int:
        """Return the tile whose core contains a point."""
        column = min(max(0, int(x // self.core)), self.columns - 1)
        row = min(max(0, int(y // self.core)), self.rows - 1)
        return row * self.columns + column

    def within(self, area: Shape | None) -> list[int]:
        """Return the tiles whose cores an area touches, row by row; all without an area."""
        if area is None:
            return list(range(len(self)))
        x, y, w, h = area.bounds
        first, last = self.at(x, y), self.at(x + w - 1e-6, y + h - 1e-6)
        columns = range(first % self.columns, last % self.columns + 1)
        rows = range(first // self.columns, last // self.columns + 1)
        return [row * self.columns + column for row in rows for column in columns]


def tile_kinds(tiling: Tiling, slide_map: SlideMap) -> dict[int, tuple[int, float]]:
    """Return, for each tile, the most common kind of its core except glass, and its number of nuclei.

    A tile is `SlideMap.GLASS` only if all of it is.
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
    """Order tiles for a complete search: the monolayer first; within each kind row by row."""
    return sorted(tiles, key=lambda tile: (_KIND_FIRST.index(kinds[tile][0]), tile))


def own_proposals(
    tiling: Tiling, tile: int, proposals: Sequence[Proposal], occupied: Sequence[Box]
) -> list[Proposal]:
    """Return the proposals that belong to a tile, in pixels of the slide.

    They are centred in the core, or within a quarter of a cell of it, and lie entirely in the area that was
    read; duplicates of proposals of neighbouring tiles are dropped.

    Parameters
    ----------
    proposals
        In pixels of the area that was read (`Tiling.box`).
    occupied
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
    """Drop proposals that overlap an occupied box by more than `SAME_CELL`."""
    if not proposals or not occupied:
        return list(proposals)
    boxes, others = np.array([p.box for p in proposals]), np.array(occupied, float).reshape(-1, 4)
    duplicate = np.asarray(iou_matrix(boxes, others).max(1) > SAME_CELL)
    return [p for p, is_duplicate in zip(proposals, duplicate, strict=True) if not is_duplicate]
