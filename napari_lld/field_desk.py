"""What the window does with fields, readings and conflicts: its commands, and the questions they ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_lld.commands import Command, has_field, has_project
from napari_lld.field_commands import field_commands
from napari_lld.session import Session

if TYPE_CHECKING:
    from napari_lld.desk import Desk


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

    def comment(self) -> None:
        """Ask for the comment on the field that is shown."""
        from napari_lld.widgets import field_dialogs

        field = self._session.field
        if field is None:
            return
        text = field_dialogs.ask_field_comment(field.name, field.note, self._desk.window)
        if text is not None:
            self._session.describe_field(field.id, note=text.strip())
