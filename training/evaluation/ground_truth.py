"""Ground truth of fields: their cells, and the area in which predictions are evaluated; no torch.

A true cell counts if its centre lies in the evaluated area (finished regions, or a whole field, without the
ignore areas). Boxes whose centre is within a quarter of their own side of the area's border are ignored,
neither hit nor miss: the cell of an unmatched proposal may be centred outside, and counting only the hits
there would bias precision.

If several readings label a cell, the majority value is the truth. If votes tie, a prediction of any of the
tied values is correct: the predicted value is then the truth, and the first of the tied values if another one
was predicted or the cell was not found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import shapely

from annotation_store.records import Box, Proposal, Shape
from annotation_store.splits import field_unit

BORDER = 0.25
"""Width of the border over the side of a box centred there: few matched boxes are centred farther from the
cell's own centre, and regions are small, so that a wide border would leave few cells."""


@dataclass(frozen=True)
class TrueCell:
    """A ground-truth cell; see `annotation_store.records.Cell`.

    Attributes
    ----------
    ties
        If votes of several readings tie: ``"class"`` or an attribute's name to the tied values, the first of
        which is also `cell_class` or in `attributes`.
    """

    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    ties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve_ties(self, proposal: Proposal) -> TrueCell:
        """Return the cell with ties resolved in favour of the proposal that found it."""
        if not self.ties:
            return self
        predicted = {"class": proposal.best_class, **proposal.best_attributes}
        correct = {name: value for name, tied in self.ties.items() if (value := predicted.get(name)) in tied}
        cell_class = correct.pop("class", self.cell_class)
        return replace(self, cell_class=cell_class, attributes={**self.attributes, **correct})


@dataclass(frozen=True)
class FieldTruth:
    """Ground truth of a field.

    Attributes
    ----------
    cells
        All annotated cells; those centred outside the evaluated area do not count.
    inside
        The evaluated area: finished regions; ``None`` = the whole field.
    outside
        Areas excluded from it: ignore areas, or training regions.
    patient
        The unit of splits and intervals (see `annotation_store.splits.units`); the field's name if unknown.
    domain
        Microscope, camera and stain, if known: see `training.networks.scale.domain_of`.
    """

    name: str
    width: int
    height: int
    cells: tuple[TrueCell, ...]
    inside: tuple[Shape, ...] | None = None
    outside: tuple[Shape, ...] = ()
    patient: str = ""
    domain: str = ""

    @property
    def unit(self) -> str:
        """The unit that is never split, and resampled as a whole in bootstraps."""
        return self.patient or field_unit(self.name)

    def covers(self, box: Box) -> bool:
        """Return whether a box's centre lies in the evaluated area."""
        if self.inside is not None and not any(shape.contains_centre(box) for shape in self.inside):
            return False
        return not any(shape.contains_centre(box) for shape in self.outside)

    @property
    def counted(self) -> int:
        """Number of cells that count: centred in the evaluated area, and not at its border."""
        inside = [cell.box for cell in self.cells if self.covers(cell.box)]
        return int((~self.at_border(inside)).sum())

    def at_border(self, boxes: Sequence[Box]) -> np.ndarray:
        """Return, for each box ``(n,)``, whether its centre is within `BORDER` sides of the area's border.

        The edge of the field does not count as border: nothing is centred beyond it.
        """
        if not boxes or (border := self._border()).is_empty:  # an area without boxes may have none
            return np.zeros(len(boxes), bool)
        x, y, w, h = np.array(boxes, np.float64).reshape(-1, 4).T
        distances = shapely.distance(border, shapely.points(x + w / 2, y + h / 2))
        return np.asarray(distances < BORDER * np.maximum(w, h))

    def _border(self) -> Any:
        whole = shapely.box(0, 0, self.width, self.height)
        area = whole
        if self.inside is not None:
            area = whole & shapely.union_all([shape.geometry for shape in self.inside])
        if self.outside:
            area = area - shapely.union_all([shape.geometry for shape in self.outside])
        return area.boundary - whole.boundary.buffer(1)
