"""Boxes of cells on the current field: drawn, or proposed after a click."""

from __future__ import annotations

from annotation_store.geometry import iou
from annotation_store.records import Box
from napari_lld.i18n.translate import later, tr
from napari_lld.imaging.click_box import Pixels, box_at, search_window, usual_side
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection

TAKES_BOX = later("Enter accepts this box; drag to draw another.")
"""Holds as long as the proposed box is there."""

_TWIN = 0.5
"""Intersection over union from which two boxes are likely of one cell."""

_AT_EDGE = 0.5
"""Pixels from the field's edge at which a box ends there."""


class Boxes:
    """Where the cells of the current field are."""

    def __init__(self, opened: OpenProject, fields: Fields, marks: Marks, selection: Selection) -> None:
        self._opened = opened
        self._fields = fields
        self._marks = marks
        self._selection = selection

    def add(self, box: Box) -> int | None:
        """Box a cell on the current field and make it current; a likely duplicate is told."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return None
        twin = max(self._marks.cells, key=lambda cell: iou(cell.box, box), default=None)
        cut = True if self._touches_edge(box) else None
        cell = self._opened.attempt(lambda: project.cells.add(field_id, box, cut=cut))
        if cell is None and self._opened.unsaved.why:
            self._selection.proposed_box = box  # it stays in sight until it can be saved
        elif cell is not None:
            self._selection.proposed_box = None
            self._selection.select("cell", cell)
            if twin is not None and iou(twin.box, box) >= _TWIN:
                self._opened.notify(
                    "warning",
                    tr(
                        "Cell {id} has nearly the same box. If it is the same cell, "
                        "[edit.undo] removes this one.",
                        id=twin.id,
                    ),
                )
        return cell

    def _touches_edge(self, box: Box) -> bool:
        """Return whether a box ends at the field's edge: the cell goes on beyond it."""
        field = self._fields.current
        if field is None:
            return False
        x, y, w, h = box
        return min(x, y, field.width - x - w, field.height - y - h) < _AT_EDGE

    def propose(self, pixels: Pixels, origin: tuple[int, int], x: float, y: float) -> Box | None:
        """Propose the box of the cell at a point of the field, from the pixels around it.

        Parameters
        ----------
        pixels
            What `search_around` asked for.
        origin
            x and y of their top left corner on the field.
        """
        left, top = origin
        box = box_at(pixels, x - left, y - top, self.usual_side())
        self._selection.proposed_box = None if box is None else (box[0] + left, box[1] + top, box[2], box[3])
        self._opened.notify(
            "hint",
            tr(TAKES_BOX)
            if box is not None
            else tr("Nothing here is stained like a nucleus: drag a box instead."),
        )
        return self._selection.proposed_box

    def search_around(self, x: float, y: float) -> tuple[int, int, int, int] | None:
        """Return the part of the field that `propose` wants, as left, top, right, bottom."""
        field = self._fields.current
        return search_window(x, y, self.usual_side(), field.width, field.height) if field else None

    def usual_side(self) -> float:
        """Return how large the cells of the field usually are, in pixels."""
        field = self._fields.current
        boxes = [cell.box for cell in self._marks.cells] or [s.box for s in self._marks.suggestions]
        return usual_side(boxes, field.width, field.height) if field else 1.0

    def take_proposed(self) -> int | None:
        """Make the box that a click proposed a cell."""
        return self.add(self._selection.proposed_box) if self._selection.proposed_box is not None else None
