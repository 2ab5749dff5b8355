"""Regions and ignore areas of the current field: drawn, finished, changed."""

from __future__ import annotations

from annotation_store.records import Box, Region, RegionState, Shape, Suggestion, SuggestionState
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection


class Regions:
    """What is done with the areas of the current field."""

    def __init__(self, opened: OpenProject, fields: Fields, marks: Marks, selection: Selection) -> None:
        self._opened = opened
        self._fields = fields
        self._marks = marks
        self._selection = selection

    def add(self, shape: Shape, *, draft: bool = False) -> int | None:
        """Add a region to the current field: finished, or a draft."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return None
        state = RegionState.DRAFT if draft else RegionState.FINISHED
        region = self._opened.attempt(lambda: project.regions.add(field_id, shape, state=state))
        if region is not None:
            self._selection.select("region", region)
            self._opened.notify(
                "hint",
                tr("Draft: box its white cells, then finish it ([region.finish]).")
                if draft
                else tr("Region finished: every white cell in it must be boxed."),
            )
        return region

    def to_finish(self) -> Region | None:
        """Return the current region if it is a draft, else the field's only draft."""
        if self._selection.region is not None:
            return self._selection.region if self._selection.region.state is RegionState.DRAFT else None
        drafts = [region for region in self._marks.regions if region.state is RegionState.DRAFT]
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

        inside = self._marks.cells_in(shape)
        outline = shape.geometry
        across = sum(
            not outline.covers(rectangle(x, y, x + w, y + h)) for x, y, w, h in (c.box for c in inside)
        )
        least = self._marks.threshold  # also those that an unclear class hides
        waiting = sum(suggestion.confidence >= least for suggestion in self._marks.waiting_in(shape))
        classless = sum(cell.cell_class is None for cell in inside)
        incomplete = sum(self._opened.is_incomplete(cell) for cell in inside) - classless
        doubts = (
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
        return [sentence for count, sentence in doubts if count]

    def finish(self) -> bool:
        """Finish the draft: from now on, what is not boxed in it is background."""
        region = self.to_finish()
        if region is None:
            self._opened.notify(
                "hint", tr("Select a draft region first: click on its edge, or draw one ([tool.draft]).")
            )
            return False
        return self._set_state(region, RegionState.FINISHED, tr("Region finished."))

    def reopen(self) -> bool:
        """Make the current region a draft again: it no longer counts as finished."""
        if self._selection.region is None:
            self._opened.notify("hint", tr("Select a region first: click on its edge."))
            return False
        return self._set_state(self._selection.region, RegionState.DRAFT, tr("The region is a draft again."))

    def _set_state(self, region: Region, state: RegionState, message: str) -> bool:
        project = self._opened.project
        if project is None or not self._opened.done(lambda: project.regions.change(region.id, state=state)):
            return False
        self._selection.select("region", region.id)
        self._opened.notify("hint", message)
        return True

    def make_field(self) -> int | None:
        """Make a field of the current region of a slide, and show it."""
        project, field_id, region = self._opened.project, self._fields.current_id, self._selection.region
        if project is None or field_id is None or region is None:
            self._opened.notify(
                "hint", tr("Select a region first: draw one ([tool.region]), or click on its edge.")
            )
            return None
        new_field_id = self._opened.attempt(lambda: project.fields.add_area(field_id, region.shape.bounds))
        if new_field_id is not None:
            self._opened.done(project.refresh)
            self._fields.show(new_field_id)
            self._opened.notify(
                "info", tr("{name} is now a separate field.", name=project.fields.get(new_field_id).name)
            )
        return new_field_id

    def known_places(self) -> list[Box]:
        """List the boxes of the current field that are judged, or that a suggestion asks about."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return []
        rejected = (
            self._opened.attempt(
                lambda: project.suggestions.find(field_id, states=(SuggestionState.REJECTED,))
            )
            or []
        )
        # a bounding box of an area: what lies in its corners is not warned of
        areas = [area.shape.bounds for area in self._marks.ignore_areas]
        return [
            *(cell.box for cell in self._marks.cells),
            *areas,
            *(s.box for s in (*rejected, *self._unreviewed())),
        ]

    def _unreviewed(self) -> list[Suggestion]:
        """List the suggestions that may be cells, also those that an unclear class hides."""
        return [
            suggestion for suggestion in self._marks.waiting if suggestion.confidence >= self._marks.threshold
        ]

    def add_whole_field(self) -> int | None:
        """Record that every white cell of this field is boxed."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return None
        region = self._opened.attempt(lambda: project.regions.add_whole_field(field_id))
        if region is not None:
            self._opened.notify(
                "info",
                tr("The whole field now counts as reviewed: everything outside its cells is background."),
            )
        return region

    def change(self, region_id: int, shape: Shape) -> None:
        """Change the shape of a region."""
        project = self._opened.project
        if project is not None:
            self._opened.done(lambda: project.regions.change(region_id, shape=shape))

    def add_ignore_area(self, shape: Shape) -> int | None:
        """Record that nobody can read an area of the current field."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return None
        area = self._opened.attempt(lambda: project.ignore_areas.add(field_id, shape))
        if area is not None:
            self._selection.select("ignore_area", area)
            self._opened.notify(
                "hint", tr("Ignored: neither learned from nor measured here. Del deletes it.")
            )
        return area
