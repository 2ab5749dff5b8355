"""What the window does with fields, readings and conflicts: its commands, and the questions they ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from annotation_store.images import IMAGE_SUFFIXES
from napari_lld.commands import Command, has_field, has_project
from napari_lld.field_commands import field_commands
from napari_lld.session import Session

if TYPE_CHECKING:
    from napari_lld.desk import Desk


def is_project(path: Path) -> bool:
    """Whether a folder is a project."""
    return (path / "project.db").is_file()


class FieldDesk:
    """The part of a desk that has to do with fields."""

    filter_asked = Signal()

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._session: Session = desk.session

    def commands(self) -> Iterator[Command]:
        """Make the commands, with those that need no window."""
        yield from field_commands(self._session)
        yield Command(
            "fields.filter",
            "Filter the fields …",
            self.filter_asked.emit,
            ("Ctrl+F",),
            "Fields",
            has_project,
            "By state, patient, quality, or words in name and comment. Next and previous follow the list.",
        )
        yield Command(
            "field.comment",
            "Comment on this field …",
            self.comment,
            (),
            "Fields",
            has_field,
            "A remark that is kept with the field.",
        )

    # ------------------------------------------------------------------ dropping files

    def wants(self, paths: Sequence[Path]) -> bool:
        """Whether dropped files and folders are for us: a project, or images while one is open."""
        if any(is_project(path) for path in paths):
            return True
        images = (path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES for path in paths)
        return self._session.project is not None and any(images)

    def drop(self, paths: Sequence[Path]) -> None:
        """Open the project among what was dropped, else add the images."""
        project = next((path for path in paths if is_project(path)), None)
        if project is None:
            self._desk.add_paths(list(paths))
        elif self._session.project is None or self._session.project.path.resolve() != project.resolve():
            self._session.open(project)

    # ------------------------------------------------------------------ asking

    def comment(self) -> None:
        """Ask for the comment on the field that is shown."""
        from napari_lld.widgets import field_dialogs

        field = self._session.field
        if field is None:
            return
        text = field_dialogs.ask_field_comment(field.name, field.note, self._desk.window)
        if text is not None:
            self._session.describe_field(field.id, note=text.strip())
