"""Undo and redo on the field that is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from annotation_store.records import Edit
from napari_lld.i18n.edit_texts import edit_in_words
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Kind, Selection


class History:
    """What the user did, taken back and brought back."""

    def __init__(
        self,
        opened: OpenProject,
        fields: Fields,
        marks: Marks,
        selection: Selection,
    ) -> None:
        self._opened = opened
        self._fields = fields
        self._marks = marks
        self._selection = selection
        self._together: list[tuple[int, ...]] = []

    def forget(self) -> None:
        """Forget which edits belong together; the project keeps the edits."""
        self._together.clear()

    @property
    def undoable(self) -> str | None:
        """What undo would take back."""
        project, field_id = self._opened.project, self._fields.skipped_last or self._fields.current_id
        return project.undoable(field_id) if project and field_id is not None else None

    @property
    def redoable(self) -> str | None:
        """What redo would bring back."""
        project, field_id = self._opened.project, self._fields.current_id
        return project.redoable(field_id) if project and field_id is not None else None

    def undo(self) -> None:
        """Undo the user's last edit on this field; directly after skipping a field, go back and unskip it."""
        if (skipped := self._fields.skipped_last) is not None:
            self._fields.show(skipped)
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return
        if not self._undo_together(field_id):
            self._travel(lambda: project.undo(field_id), tr("Nothing to undo on this field."))

    def redo(self) -> None:
        """Redo what was undone last on this field."""
        project, field_id = self._opened.project, self._fields.current_id
        if project is not None and field_id is not None:
            self._travel(lambda: project.redo(field_id), tr("Nothing to redo on this field."))

    def _travel(self, action: Callable[[], Edit | None], nothing: str) -> None:
        edit = self._opened.attempt(lambda: (action(),))
        if edit is None:
            return
        if edit[0] is None:
            self._opened.notify("hint", nothing)
            return
        self._opened.notify("hint", f"{edit_in_words(edit[0].command)}.")
        self._select_touched(edit[0])

    def _select_touched(self, edit: Edit) -> None:
        """Select a mark that an undo or redo changed."""
        present: Iterable[tuple[Kind, Sequence[Any]]] = (
            ("suggestion", self._marks.suggestions),
            ("cell", self._marks.cells),
            ("region", self._marks.regions),
            ("ignore_area", self._marks.ignore_areas),
        )
        for kind, marks in present:
            touched = edit.touched.get(kind, ())
            ids = {mark.id for mark in marks}.intersection(touched)
            if not ids and kind == "cell":  # of a slide only those in sight are listed
                ids = {cell_id for cell_id in sorted(touched)[:1] if self._marks.cell(cell_id) is not None}
            if ids:
                self._selection.select(kind, min(ids))
                return

    def join(self, ids: Sequence[int]) -> None:
        """Have undo take back edits of several fields together, as long as each is the last of its field."""
        if len(ids) > 1:
            self._together.append(tuple(ids))

    def _undo_together(self, field_id: int) -> bool:
        """Undo what was done to several fields at once, if it is the last thing done on this one."""
        project = self._opened.project
        if project is None or not self._together:
            return False
        last = project.undo_step(field_id)
        batch = next((ids for ids in self._together if last in ids), None)
        if batch is None:
            return False
        self._together.remove(batch)  # where it is refused, the next undo takes back this field's alone
        undone = self._opened.attempt(lambda: project.bulk_edits.undo(batch))
        if undone:
            self._opened.notify(
                "hint", trn("Undone on {count} field.", "Undone on {count} fields.", len(undone))
            )
        return True
