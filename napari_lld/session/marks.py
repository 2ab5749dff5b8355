"""Regions, ignore areas, boxes, and the notes on a cell: what is drawn and what is kept beside the values."""

from __future__ import annotations

from typing import Any

from annotation_store.errors import LLDError, ProjectGoneError
from annotation_store.geometry import iou
from annotation_store.records import Box, Region, RegionState, Shape, Suggestion, SuggestionState
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.imaging.click_box import Pixels, box_at, search_window, usual_side
from napari_lld.session.state import SessionState

TAKES_BOX = later("Enter takes this box; a drag draws another.")
"""Holds as long as the proposed box is there."""

_TWIN = 0.5
"""Intersection over union from which two boxes are likely of one cell."""


_AT_EDGE = 0.5
"""Pixels from the field's edge at which a box ends there."""


class MarkActions(SessionState):
    """The state with the actions on marks; those on values come with `Session`."""

    # ------------------------------------------------------------------ regions

    def add_region(self, shape: Shape, *, draft: bool = False) -> int | None:
        """Add a region to the current field: finished, or a draft that promises nothing yet."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return None
        state = RegionState.DRAFT if draft else RegionState.FINISHED
        region = self._try(lambda: project.regions.add(field_id, shape, state=state))
        if region is not None:
            self.select("region", region)
            self.tell(
                "hint",
                tr("Draft: box its white cells, then finish it ([region.finish]).")
                if draft
                else tr("Region finished: every white cell in it must be boxed."),
            )
        return region

    def region_to_finish(self) -> Region | None:
        """Return the current region if it is a draft, else the field's only draft."""
        if self.region is not None:
            return self.region if self.region.state is RegionState.DRAFT else None
        drafts = [region for region in self.regions if region.state is RegionState.DRAFT]
        return drafts[0] if len(drafts) == 1 else None

    def doubts(self, shape: Shape, nuclei: int = 0) -> list[str]:
        """Describe what may not be right about an area that is to be finished.

        Parameters
        ----------
        shape
            The area.
        nuclei
            How many dark nuclei without a box were found in it (`training.inference.stain.unboxed_nuclei`).
        """
        from shapely import box as rectangle

        inside = [cell for cell in self.cells if shape.contains_centre(cell.box)]
        outline = shape.geometry
        across = sum(
            not outline.covers(rectangle(x, y, x + w, y + h)) for x, y, w, h in (c.box for c in inside)
        )
        waiting = sum(shape.contains_centre(one.box) for one in self._unreviewed())
        classless = sum(cell.cell_class is None for cell in inside)
        incomplete = sum(self.is_incomplete(cell) for cell in inside) - classless
        found = (
            (nuclei, trn("{count} dark nucleus has no box", "{count} dark nuclei have no box", nuclei)),
            (across, trn("{count} cell touches the edge", "{count} cells touch the edge", across)),
            (classless, trn("{count} cell has no class", "{count} cells have no class", classless)),
            (
                incomplete,
                trn("{count} cell lacks an attribute", "{count} cells lack an attribute", incomplete),
            ),
            (
                waiting,
                trn("{count} suggestion not yet reviewed", "{count} suggestions not yet reviewed", waiting),
            ),
        )
        return [sentence for count, sentence in found if count]

    def finish_region(self) -> bool:
        """Finish the draft: from now on, what is not boxed in it is background."""
        region = self.region_to_finish()
        if region is None:
            self.tell(
                "hint", tr("Choose a draft region first: click on its edge, or draw one ([tool.draft]).")
            )
            return False
        return self._set_state(region, RegionState.FINISHED, tr("Region finished."))

    def reopen_region(self) -> bool:
        """Make the current region a draft again: it promises nothing any more."""
        if self.region is None:
            self.tell("hint", tr("Choose a region first: click on its edge."))
            return False
        return self._set_state(self.region, RegionState.DRAFT, tr("The region is a draft again."))

    def _set_state(self, region: Region, state: RegionState, message: str) -> bool:
        project = self.project
        if project is None or not self._done(lambda: project.regions.change(region.id, state=state)):
            return False
        self.select("region", region.id)
        self.tell("hint", message)
        return True

    def field_from_region(self) -> int | None:
        """Make a field of the current region of a slide, and show it."""
        project, field_id, region = self.project, self._field_id, self.region
        if project is None or field_id is None or region is None:
            self.tell("hint", tr("Choose a region first: draw one ([tool.region]), or click on its edge."))
            return None
        made = self._try(lambda: project.fields.add_area(field_id, region.shape.bounds))
        if made is not None:
            self.refresh()
            self.show_field(made)
            self.tell("info", tr("{name} is a field of its own now.", name=project.fields.get(made).name))
        return made

    def known_places(self) -> list[Box]:
        """List the boxes of the current field that are judged, or that a suggestion asks about."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return []
        rejected = (
            self._try(lambda: project.suggestions.find(field_id, states=(SuggestionState.REJECTED,))) or []
        )
        # a bounding box of an area: what lies in its corners is not warned of
        areas = [area.shape.bounds for area in self.ignore_areas]
        return [
            *(cell.box for cell in self.cells),
            *areas,
            *(s.box for s in (*rejected, *self._unreviewed())),
        ]

    def _unreviewed(self) -> list[Suggestion]:
        """List the suggestions that may be cells, also those that an unclear class hides."""
        return [one for one in self.waiting if one.confidence >= self._threshold]

    def mark_whole_field(self) -> int | None:
        """Record that every white cell of this field is boxed."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return None
        region = self._try(lambda: project.regions.add_whole_field(field_id))
        if region is not None:
            self.tell(
                "info", tr("The whole field counts as reviewed now: all outside its cells is background.")
            )
        return region

    def change_region(self, region_id: int, shape: Shape) -> None:
        """Change the shape of a region."""
        project = self.project
        if project is not None:
            self._done(lambda: project.regions.change(region_id, shape=shape))

    def add_ignore_area(self, shape: Shape) -> int | None:
        """Record that nobody can read an area of the current field."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return None
        area = self._try(lambda: project.ignore_areas.add(field_id, shape))
        if area is not None:
            self.select("ignore_area", area)
            self.tell("hint", tr("Ignored: neither learned from nor measured here. Del deletes it."))
        return area

    # ------------------------------------------------------------------ boxes

    def add_box(self, box: Box) -> int | None:
        """Box a cell on the current field and make it current; a likely duplicate is told."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return None
        twin = max(self.cells, key=lambda cell: iou(cell.box, box), default=None)
        cut = True if self._touches_edge(box) else None
        cell = self._try(lambda: project.cells.add(field_id, box, cut=cut))
        if cell is None and self.unsaved.why:
            self.proposed_box = box  # it stays in sight until it can be saved
        elif cell is not None:
            self.proposed_box = None
            self.select("cell", cell)
            if twin is not None and iou(twin.box, box) >= _TWIN:
                self.tell(
                    "warning",
                    tr(
                        "Cell {id} has nearly the same box. "
                        "If it is the same cell, [edit.undo] takes this one back.",
                        id=twin.id,
                    ),
                )
        return cell

    def _touches_edge(self, box: Box) -> bool:
        """Return whether a box ends at the field's edge: the cell goes on beyond it."""
        field = self.field
        if field is None:
            return False
        x, y, w, h = box
        return min(x, y, field.width - x - w, field.height - y - h) < _AT_EDGE

    def propose_box(self, pixels: Pixels, origin: tuple[int, int], x: float, y: float) -> Box | None:
        """Propose the box of the cell at a point of the field, from the pixels around it.

        Parameters
        ----------
        pixels
            What `search_around` asked for.
        origin
            Where they begin, as x and y.
        """
        left, top = origin
        found = box_at(pixels, x - left, y - top, self._usual_side())
        self.proposed_box = None if found is None else (found[0] + left, found[1] + top, found[2], found[3])
        self.tell(
            "hint",
            tr(TAKES_BOX)
            if found is not None
            else tr("Nothing here is stained like a nucleus: drag a box instead."),
        )
        return self.proposed_box

    def search_around(self, x: float, y: float) -> tuple[int, int, int, int] | None:
        """Return the part of the field that `propose_box` wants, as left, top, right, bottom."""
        field = self.field
        return search_window(x, y, self._usual_side(), field.width, field.height) if field else None

    def _usual_side(self) -> float:
        field = self.field
        boxes = [cell.box for cell in self.cells] or [s.box for s in self.suggestions]
        return usual_side(boxes, field.width, field.height) if field else 1.0

    def take_proposed_box(self) -> int | None:
        """Make the box that a click proposed a cell."""
        return self.add_box(self._proposed_box) if self._proposed_box is not None else None

    def delete_current(self) -> None:
        """Delete the current cell, region or ignore area."""
        project, selection = self.project, self._selection
        if project is None or selection is None:
            return
        if selection.kind == "cell":
            self._done(lambda: project.cells.delete(selection.id))
        elif selection.kind == "region":
            self._done(lambda: project.regions.delete(selection.id))
        elif selection.kind == "ignore_area":
            self._done(lambda: project.ignore_areas.delete(selection.id))
        else:
            self.tell("hint", tr("A suggestion is not deleted but rejected."))

    # ------------------------------------------------------------------ notes on a cell

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of artefact that the current cell's class knows."""
        cell, schema = self.cell, self.schema
        if cell is None or schema is None or cell.cell_class not in schema.class_names:
            return ()
        return tuple(schema.class_named(cell.cell_class).kinds)

    def set_kind(self, kind: str | None) -> None:
        """Set the kind of artefact of the current cell; the same once more clears it."""
        cell = self.cell
        self._note(kind=None if cell is not None and cell.kind == kind else kind)

    def set_comment(self, text: str) -> None:
        """Write a comment on the current cell."""
        self._note(comment=text.strip())

    def toggle_bookmark(self) -> None:
        """Bookmark the current cell, or take the bookmark away."""
        self._note(bookmark=not (self.cell is not None and self.cell.bookmark))

    def toggle_second_opinion(self) -> None:
        """Ask for a second opinion on the current cell, or stop asking."""
        self._note(second_opinion=not (self.cell is not None and self.cell.second_opinion))

    def _note(self, **changes: Any) -> None:
        project, cell, caret = self.project, self.cell, self._caret
        if project is None or cell is None:
            self.tell("hint", tr("Choose a cell first: click on one, or draw a box ([tool.box])."))
        elif self._done(lambda: project.cells.change(cell.id, **changes)):
            self.set_caret(caret)

    # ------------------------------------------------------------------ other writers

    def refresh(self) -> None:
        """Take in what another process or thread wrote into the project."""
        project = self.project
        if project is None:
            return
        if self.unsaved.why:
            self.try_to_save()
            return
        try:
            project.check_present()
        except ProjectGoneError as error:
            self.unsaved.keep(str(error))
        else:
            self._done(project.refresh)

    def try_to_save(self) -> bool:
        """Open the project anew if its folder is back, and do again what could not be saved."""
        project = self.project
        if project is None or not self.unsaved.why:
            return False
        try:
            missing = project.reconnect()
        except LLDError as error:
            self.unsaved.keep(str(error))
            return False
        kept = self.unsaved.take()
        self._take_anew()
        for number, action in enumerate(kept):
            if self.unsaved.why:  # gone again
                self.unsaved.keep(self.unsaved.why, *kept[number:])
                return False
            self._done(action)
        self.proposed_box = None
        message = tr("The project is back.")
        if kept:
            message += " " + trn("{count} change was saved.", "{count} changes were saved.", len(kept))
        self.tell("info", message)
        if missing:
            self.tell(
                "warning",
                trn(
                    "An older state of the project came back: the last {count} edit is not in it. "
                    "Look for a newer copy before you go on.",
                    "An older state of the project came back: the last {count} edits are not in it. "
                    "Look for a newer copy before you go on.",
                    missing,
                ),
            )
        return True
