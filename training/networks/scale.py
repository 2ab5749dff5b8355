"""The working scale: the size of a white cell in a model's input (``docs/adr/0005``); no torch.

A field is resized so that its longer side is the model's `size`, as long as its cells then have sides that
the model was trained on; otherwise it is magnified or reduced until they do. The size of a white cell on a
field is known from the field's micrometres per pixel, or else from the boxed cells of its domain.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from annotation_store.records import Field

STARTER_SIDES = (1 / 12, 0.3)
"""Sides of cells, over `size`, at which the starter's recall is highest: 37 to 134 px of 448 (ADR 0005)."""

ORDINARY_SIDE = 1 / 8
"""Median side of a cell over the field's longer side in the starter's training data."""

MIN_ATTRIBUTE_SIDE = 30.0
"""Minimum side in field pixels for attributes: below it, macro-F1 falls from 0.90 to 0.79 (ADR 0005)."""

MAX_PIXELS = 4_000_000
"""Maximum number of working pixels of a magnified field: a larger one is magnified less."""

MAX_MAGNIFICATION = 4.0
"""Maximum magnification of a field of small cells."""

INSIDE = 1.4
"""Margin by which a field outside the range of sides is brought inside it, as a factor."""

SAME_SCALE = 1.25
"""Two scales within this factor are equal: the median of a few cells is no more precise."""

_SPREAD = 1.6
"""Range of sides of a model trained from random weights, as a factor around the median of its cells."""

WHITE_CELL_UM = 13.0
"""Default median side of a white cell's box in micrometres; a granulocyte has 12 to 15."""

VIEW = 1 / ORDINARY_SIDE
"""Side of a field of view on a slide, in cell sides."""

MARGIN = 1.25
"""Margin around a tile of a slide, in cell sides: a cell at its edge is seen whole."""

_SLIDE_UM = 0.25
"""Default micrometres per pixel of a slide without metadata and cells: a 40x objective."""

_MIN_CELLS = 5
"""Minimum number of cells to estimate a domain's scale."""


def domain_of(field_: Field) -> str:
    """Return a field's domain, or its size in pixels if it has none."""
    return field_.domain or domain_of_size(field_.width, field_.height)


def domain_of_size(width: int, height: int) -> str:
    """Return the domain name of fields without a domain, from their size."""
    return f"{width}×{height} px"


def field_side(width: int, height: int, cell_side: float | None) -> float:
    """Return the reference side of a field for `networks.describer.size_feature`.

    This is the field's longer side, or eight cell sides if these are known to differ from it: "large" then
    means the same under every objective and sensor.

    Parameters
    ----------
    width, height
        Size of the field in pixels.
    cell_side
        Median side of its white cells in pixels; ``None`` = unknown.
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
    """Return the scale factor from a field's pixels to working pixels, those of the detector's input.

    Parameters
    ----------
    size
        The longer side of a field of ordinary scale, in working pixels.
    cell_side
        See `field_side`.
    sides
        Minimum and maximum side of a cell, over `size`, that the model was trained on.
    """
    factor = size / max(width, height)
    if cell_side is None:
        return factor
    shown = cell_side * factor / size
    if shown < sides[0]:
        target = factor * sides[0] * _inside(sides) / shown
        return max(factor, min(target, MAX_MAGNIFICATION, math.sqrt(MAX_PIXELS / (width * height))))
    if shown > sides[1]:
        return factor * sides[1] / _inside(sides) / shown
    return factor


def _inside(sides: tuple[float, float]) -> float:
    """Return the margin to bring a field inside the range of sides, smaller for narrow ranges."""
    return min(INSIDE, math.sqrt(sides[1] / sides[0]))


def sides_around(shown: Sequence[float]) -> tuple[float, float]:
    """Return the range of sides of a model trained from scratch on cells of these sides, over `size`."""
    if not shown:
        return STARTER_SIDES
    median = float(np.median(shown))
    return median / _SPREAD, median * _SPREAD


def zooming_side(longer: float, zoom: float, sides: tuple[float, float]) -> float | None:
    """Return the cell side for which `working_factor` is `zoom` times that of an unknown cell side.

    Parameters
    ----------
    longer
        Longer side of the field.
    zoom
        1 = unchanged, for which ``None`` is returned; otherwise below 0.7 or above 1.4.
    sides
        See `working_factor`.
    """
    if zoom == 1:
        return None
    return longer * (sides[0] * _inside(sides) if zoom > 1 else sides[1] / _inside(sides)) / zoom


@dataclass(frozen=True)
class CellSides:
    """Size of the white cells in a project's fields.

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
        """Estimate from fields and the longer sides of the cells boxed on each, in its pixels."""
        domains: dict[str, list[float]] = defaultdict(list)
        measured: list[float] = []
        for field_, sides in seen:
            domains[domain_of(field_)] += sides
            if field_.pixel_size_um:
                measured += [side * field_.pixel_size_um for side in sides]
        um = float(np.median(measured)) if len(measured) >= _MIN_CELLS else WHITE_CELL_UM
        return cls(um, {name: float(np.median(s)) for name, s in domains.items() if len(s) >= _MIN_CELLS})

    def on(self, field_: Field) -> float | None:
        """Return the side in pixels on a field, from its pixel size or its domain's cells, or ``None``.

        The pixel size comes first, because a patient's cells may all be large.
        """
        if field_.pixel_size_um:
            side = self.um / field_.pixel_size_um
            if (
                4 <= side <= max(field_.width, field_.height)
            ):  # else the file's resolution is that of a printer
                return side
        return self.domains.get(domain_of(field_))

    def on_slide(self, field_: Field, own: Sequence[float] = ()) -> float:
        """Return the side in pixels on a whole slide: as `on`, else from its own cells, else a default.

        Parameters
        ----------
        own
            Longer sides of the cells boxed on it.
        """
        side = self.on(field_)
        if side is None:
            side = float(np.median(own)) if len(own) else self.um / _SLIDE_UM
        return min(max(side, 4.0), float(max(field_.width, field_.height)))
