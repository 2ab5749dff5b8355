"""Display settings and measurements of the current field; evented, without Qt: a part of the session.

Nothing here is stored with the project: looks and switches are the user's, measures are gone with the tool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from annotation_store.records import Field
from napari_lld.imaging.display import DisplaySettings
from napari_lld.imaging.measure import RED_CELL_UM, Point, distance
from napari_lld.session import user_state
from napari_lld.session.fields import Fields
from napari_lld.session.open_project import OpenProject

if TYPE_CHECKING:
    from pathlib import Path


_SWITCHES = {"panel": True, "stains": False, "smooth": True, "scale_bar": True}


@dataclass(frozen=True)
class Ring:
    """A circle laid over a red cell.

    Attributes
    ----------
    fitted
        Whether it was drawn from edge to edge of a red cell, and so can say how large a pixel is.
    """

    centre: Point
    diameter: float
    fitted: bool


_CLOSER = (0.25, 4.0)


class FieldDisplay:
    """Looks by domain, switches of the zoom view, ruler and ring."""

    look_changed = Signal()
    switched = Signal()
    """A switch: zoom view, stains, smooth, scale bar."""
    measured = Signal()
    """The ruler or the ring."""

    def __init__(self, opened: OpenProject, fields: Fields) -> None:
        self._opened = opened
        self._fields = fields
        self._looks: dict[str, DisplaySettings] = {}
        self._looks_of: Path | None = None
        switches = user_state.recall("sight")
        switches = switches if isinstance(switches, dict) else {}
        self._switches = {name: bool(switches.get(name, usual)) for name, usual in _SWITCHES.items()}
        self.closer = 1.0
        """How much closer than usual the zoom view shows a cell."""
        self._ruler: tuple[Point, Point] | None = None
        self._ring: Ring | None = None

    # ------------------------------------------------------------------ looks

    @property
    def look(self) -> DisplaySettings:
        """How the current field is shown: one look for each domain of a project."""
        return self._of_project().get(self._domain(), DisplaySettings())

    @look.setter
    def look(self, look: DisplaySettings) -> None:
        project = self._opened.project
        if project is None or look == self.look:
            return
        looks = self._of_project()
        looks[self._domain()] = look
        changed = {name: settings.to_dict() for name, settings in looks.items() if not settings.plain}
        user_state.remember_project(project.path, looks=changed)
        self.look_changed.emit()

    def _domain(self) -> str:
        field = self._fields.current
        return (field.domain or "") if field is not None else ""

    def _of_project(self) -> dict[str, DisplaySettings]:
        project = self._opened.project
        path = project.path if project is not None else None
        if path != self._looks_of:
            stored: Any = user_state.recall_project(path).get("looks") if path is not None else None
            self._looks = (
                {str(name): DisplaySettings.from_dict(settings) for name, settings in stored.items()}
                if isinstance(stored, dict)
                else {}
            )
            self._looks_of = path
        return self._looks

    # ------------------------------------------------------------------ switches

    def __getitem__(self, switch: str) -> bool:
        return self._switches[switch]

    def switch(self, name: str, on: bool | None = None) -> None:
        """Turn a switch, or put it on or off: panel, stains, smooth, scale_bar."""
        state = not self._switches[name] if on is None else on
        if state != self._switches[name]:
            self._switches[name] = state
            user_state.remember("sight", self._switches)
            self.switched.emit()

    def come_closer(self, steps: int) -> None:
        """Show the current cell larger in the zoom view, or smaller by a negative number."""
        self.closer = min(max(self.closer * 1.25**steps, _CLOSER[0]), _CLOSER[1])
        self.switched.emit()

    # ------------------------------------------------------------------ measures

    @property
    def pixel_size_um(self) -> float | None:
        """Micrometres a pixel of the current field, where known."""
        field = self._fields.current
        return field.pixel_size_um if field is not None else None

    @property
    def ruler(self) -> tuple[Point, Point] | None:
        """The two ends of the ruler."""
        return self._ruler

    @property
    def ring(self) -> Ring | None:
        """The ring that lies on a red cell."""
        return self._ring

    def lay_ruler(self, start: Point, end: Point) -> None:
        """Measure from one point to another."""
        self._ruler = (start, end)
        self.measured.emit()

    def lay_ring(self, centre: Point) -> bool:
        """Lay a ring of 7.5 µm; False if the size of a pixel is not known."""
        size = self.pixel_size_um
        if size is None:
            return False
        self._ring = Ring(centre, RED_CELL_UM / size, fitted=False)
        self.measured.emit()
        return True

    def fit_ring(self, start: Point, end: Point) -> None:
        """Draw the ring from edge to edge of a red cell."""
        centre = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self._ring = Ring(centre, distance(start, end), fitted=True)
        self.measured.emit()

    @property
    def fitted_pixel_size(self) -> float | None:
        """Micrometres a pixel, were the cell under the fitted ring 7.5 µm wide."""
        ring = self._ring
        return RED_CELL_UM / ring.diameter if ring is not None and ring.fitted and ring.diameter else None

    def set_pixel_size(self, um: float | None) -> bool:
        """Describe how large a pixel of the current field is: an edit of the field, which undo takes back."""
        return self._fields.describe(pixel_size_um=um)

    def alike(self) -> list[int]:
        """List the other fields that were probably taken like this one: same size, microscope, camera, lens.

        Those whose pixel size is known otherwise are left out.
        """
        project, field = self._opened.project, self._fields.current
        if project is None or field is None:
            return []

        def properties(field: Field) -> tuple[object, ...]:
            return (
                field.width,
                field.height,
                field.microscope,
                field.camera,
                field.magnification,
                field.domain,
            )

        return [
            other.id
            for other in project.fields.all()
            if other.id != field.id
            and properties(other) == properties(field)
            and other.pixel_size_um in (None, field.pixel_size_um)
        ]

    def clear_measures(self) -> None:
        """Take ruler and ring away."""
        if self._ruler is not None or self._ring is not None:
            self._ruler = self._ring = None
            self.measured.emit()
