"""The working scale: how large a white cell is shown to a model (``docs/adr/0005``); no torch.

A field is shown with its longer side at the model's `size`, as long as its cells are then of sides that the
model has learnt; otherwise it is magnified or reduced until they are. How large a white cell is on a field
is known from the field's micrometres per pixel, or else from the cells that are boxed in its domain.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from annotation_store.records import Field

STARTER_SIDES = (1 / 12, 0.3)
"""Sides of cells, over `size`, at which the starter finds them best: 37 to 134 px of 448 (ADR 0005)."""

ORDINARY_SIDE = 1 / 8
"""Median side of a cell over the field's longer side where the starter's attributes were learnt."""

LEAST_ATTRIBUTE_SIDE = 30.0
"""Cells of fewer field pixels get no attributes: their macro-F1 has fallen from 0.90 to 0.79 (ADR 0005)."""

MOST_PIXELS = 4_000_000
"""Greatest number of working pixels of a field that was magnified: beyond it a field is magnified less."""

MOST_MAGNIFIED = 4.0
"""Most that a field of small cells is magnified."""

INSIDE = 1.4
"""How far inside the known sides a field is brought that was outside."""

SAME_SCALE = 1.25
"""Two scales this close are one: the median of a few cells is no surer."""

_SPREAD = 1.6
"""Sides that a model from random weights knows, over and under the median it was shown."""

WHITE_CELL_UM = 13.0
"""Median side of a white cell's box where a project's own cells do not say; a granulocyte is 12 to 15."""

VIEW = 1 / ORDINARY_SIDE
"""Cells that fit side by side into what is shown of a slide at once: an ordinary field of view."""

MARGIN = 1.25
"""Cells that are seen beyond the part of a slide that is judged: a cell at its edge is seen whole."""

_SLIDE_UM = 0.25
"""Micrometres per pixel of a slide that states none and shows no cell: an objective of 40."""

_FEWEST = 5
"""Minimum number of cells to estimate a domain's scale."""


def domain_of(one: Field) -> str:
    """Return what a field is grouped by: its domain, or its size in pixels if none is known."""
    return one.domain or domain_of_size(one.width, one.height)


def domain_of_size(width: int, height: int) -> str:
    """Return the name of the domain of fields of which only the size is known."""
    return f"{width}×{height} px"


def field_side(width: int, height: int, cell_side: float | None) -> float:
    """Return the side that a field's cells are measured against: see `networks.describer.size_feature`.

    The field's own longer side, or eight cells where these are known to be otherwise: so that "large" means
    the same under every objective and sensor.

    Parameters
    ----------
    width, height
        Of the field, in pixels.
    cell_side
        Median side of a white cell there, in the field's pixels; ``None`` = not known.
    """
    longer = float(max(width, height))
    if cell_side is None:
        return longer
    ordinary = cell_side / ORDINARY_SIDE
    return longer if 1 / SAME_SCALE <= ordinary / longer <= SAME_SCALE else ordinary


def working_factor(
    width: int,
    height: int,
    size: int,
    cell_side: float | None = None,
    sides: tuple[float, float] = STARTER_SIDES,
) -> float:
    """Return the factor from a field's pixels to those that the detector sees.

    Parameters
    ----------
    size
        The longer side of a field of ordinary scale, in working pixels.
    cell_side
        See `field_side`.
    sides
        Least and greatest side of a cell that the model knows, over `size`.
    """
    factor = size / max(width, height)
    if cell_side is None:
        return factor
    shown = cell_side * factor / size
    if shown < sides[0]:
        target = factor * sides[0] * _inside(sides) / shown
        return max(factor, min(target, MOST_MAGNIFIED, math.sqrt(MOST_PIXELS / (width * height))))
    if shown > sides[1]:
        return factor * sides[1] / _inside(sides) / shown
    return factor


def _inside(sides: tuple[float, float]) -> float:
    """Return how far inside the known sides a field is brought: narrow ones are not overshot."""
    return min(INSIDE, math.sqrt(sides[1] / sides[0]))


def sides_around(shown: Sequence[float]) -> tuple[float, float]:
    """Return the sides a model from random weights will know from those it is shown, both over `size`."""
    if not shown:
        return STARTER_SIDES
    median = float(np.median(shown))
    return median / _SPREAD, median * _SPREAD


def zooming_side(longer: float, zoom: float, sides: tuple[float, float]) -> float | None:
    """Return the side of a cell for which `working_factor` shows a field `zoom` times as large as usual.

    Parameters
    ----------
    longer
        Longer side of the field.
    zoom
        1 = as usual, which needs no side; else under 0.7, or over 1.4.
    sides
        See `working_factor`.
    """
    if zoom == 1:
        return None
    return longer * (sides[0] * _inside(sides) if zoom > 1 else sides[1] / _inside(sides)) / zoom


@dataclass(frozen=True)
class CellSides:
    """How large a white cell is, in a project's fields.

    Attributes
    ----------
    um
        Median side of a cell in micrometres.
    domains
        Domain to the median side of its cells in pixels.
    """

    um: float = WHITE_CELL_UM
    domains: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def learn(cls, seen: Iterable[tuple[Field, Sequence[float]]]) -> CellSides:
        """Learn from fields and the longer sides of the cells boxed on each, in its pixels."""
        domains: dict[str, list[float]] = defaultdict(list)
        measured: list[float] = []
        for one, sides in seen:
            domains[domain_of(one)] += sides
            if one.pixel_size_um:
                measured += [side * one.pixel_size_um for side in sides]
        um = float(np.median(measured)) if len(measured) >= _FEWEST else WHITE_CELL_UM
        return cls(um, {name: float(np.median(s)) for name, s in domains.items() if len(s) >= _FEWEST})

    def on(self, one: Field) -> float | None:
        """Return the side in pixels on a field: from its micrometres, its domain's cells, or ``None``.

        Micrometres come first, because a patient's cells may all be large.
        """
        if one.pixel_size_um:
            side = self.um / one.pixel_size_um
            if 4 <= side <= max(one.width, one.height):  # else the file's resolution is that of a printer
                return side
        return self.domains.get(domain_of(one))

    def on_slide(self, one: Field, own: Sequence[float] = ()) -> float:
        """Return the side in pixels on a whole slide: as `on`, else from its own few cells, else a guess.

        Parameters
        ----------
        own
            Longer sides of the cells boxed on it.
        """
        side = self.on(one)
        if side is None:
            side = float(np.median(own)) if len(own) else self.um / _SLIDE_UM
        return min(max(side, 4.0), float(max(one.width, one.height)))
