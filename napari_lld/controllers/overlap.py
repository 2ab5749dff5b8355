"""Record which fields overlap, so that their common cells count once: by their pixels, or by one cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from annotation_store.errors import LLDError
from annotation_store.records import Box
from napari_lld.commands.registry import Command, has_cell, has_field
from napari_lld.i18n.translate import tr, trn
from napari_lld.imaging.overlap import Overlap, find_overlap, offset_of_same_cell
from napari_lld.session.subscriptions import Subscriptions

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


class OverlapController:
    """The commands, and the cell that was pointed at in the first field."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self._pointed: tuple[int, Box] | None = None
        self._listening = Subscriptions()
        self._listening.add(desk.session.project_changed, self._forget)

    def close(self) -> None:
        """Disconnect from the session."""
        self._listening.close()

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        yield Command(
            "overlap.find",
            "This field overlaps another …",
            self.find,
            group="Fields",
            when=has_field,
            help="The place is found by comparing pixels; cells in both fields count once.",
        )
        yield Command(
            "overlap.same_cell",
            "Same cell in two fields",
            self.same_cell,
            group="Fields",
            when=has_cell,
            help=("If comparing pixels fails: select a cell here, then the same one in the other field."),
        )
        yield Command(
            "overlap.remove",
            "This field overlaps no other",
            self.remove,
            group="Fields",
            when=has_field,
            help="Forget the overlaps of this field: all its cells count again.",
        )

    def _forget(self) -> None:
        self._pointed = None

    def find(self) -> None:
        """Prompt for the other field, and find its offset."""
        from napari_lld.widgets.dialogs import dialogs

        session = self._desk.session
        project, field = session.project, session.fields.current
        if project is None or field is None:
            return
        others = [other for other in project.fields.all() if other.id != field.id]
        others.sort(
            key=lambda other: ((other.patient, other.slide) != (field.patient, field.slide), other.id)
        )
        name = dialogs.ask_overlapping_field(field.name, [other.name for other in others], self._desk.window)
        other = next((candidate for candidate in others if candidate.name == name), None)
        if other is None:
            return
        field_id, other_id = field.id, other.id

        def on_done(overlap: Overlap | None) -> None:
            if overlap is None:
                session.notify(
                    "warning",
                    tr(
                        (
                            "{here} and {there} do not seem to show the same place. If they do, "
                            "select a cell in one, then “Same cell in two fields”, and the same "
                            "cell in the other."
                        ),
                        here=field.name,
                        there=other.name,
                    ),
                )
            else:
                self._say(field_id, other_id, overlap.dx, overlap.dy)

        self._desk.jobs.start(
            tr("Aligning {there} with {here}", there=other.name, here=field.name),
            lambda _tell: find_overlap(project.pixels.read(field_id), project.pixels.read(other_id)),
            None,
            lambda sentence: session.notify("error", sentence),
            in_project=on_done,
            leads_on=True,
        )

    def same_cell(self) -> None:
        """Select a cell, then the same one in another field."""
        session = self._desk.session
        cell, field_id = session.selection.cell, session.fields.current_id
        if cell is None or field_id is None:
            return
        if self._pointed is None or self._pointed[0] == field_id:
            self._pointed = (field_id, cell.box)
            session.notify(
                "info", tr("Now select the same cell in the other field, and run this command again.")
            )
            return
        other_id, box = self._pointed
        self._pointed = None
        self._say(field_id, other_id, *offset_of_same_cell(cell.box, box))

    def _say(self, field_id: int, other_id: int, dx: float, dy: float) -> None:
        """Store an overlap, and show how it changes the count."""
        session = self._desk.session
        project = session.project
        if project is None:
            return
        try:
            before = sum(count.count for count in project.cells.count_by_class([field_id, other_id]))
            project.overlaps.add(field_id, other_id, dx, dy)
            once = before - sum(count.count for count in project.cells.count_by_class([field_id, other_id]))
        except LLDError as error:
            session.refused(error, lambda: project.overlaps.add(field_id, other_id, dx, dy))
            return
        session.notify(
            "info",
            tr("The fields overlap. ")
            + trn(
                "{count} cell is in both and counts once.",
                "{count} cells are in both and count once.",
                once,
            )
            + tr(" [edit.undo] undoes it."),
        )

    def remove(self) -> None:
        """Delete the overlaps of the field that is shown."""
        session = self._desk.session
        project, field_id = session.project, session.fields.current_id
        if project is None or field_id is None:
            return
        overlaps = project.overlaps.all(field_id)
        if not overlaps:
            session.notify("hint", tr("No overlap is recorded for this field."))
            return
        try:
            for overlap in overlaps:
                project.overlaps.remove(field_id, overlap.other_id)
        except LLDError as error:
            session.refused(error, self.remove)
            return
        session.notify("info", tr("All cells of this field count again. [edit.undo] undoes it."))
