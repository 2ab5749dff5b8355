"""What the window does with fields, readings and conflicts: its commands, and the questions they ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from annotation_store.images import IMAGE_SUFFIXES
from napari_lld import background
from napari_lld.commands import Command, has_field, has_project
from napari_lld.desk_import import LABEL_SUFFIXES
from napari_lld.field_commands import field_commands
from napari_lld.session import Session
from napari_lld.translate import tr, trn

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
        self._session.project_changed.connect(self._on_project)
        self._session.ranking_wanted.connect(self.rank)

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

        yield Command(
            "reading.add",
            "Add a reading …",
            self.add_reading,
            (),
            "Project",
            has_project,
            "Regions, cells and values of your own on the same fields; blind ones see no suggestion.",
        )
        yield Command(
            "conflicts.show",
            "Conflicts of imports …",
            self.show_conflicts,
            (),
            "Project",
            has_project,
            "Cells of which an imported file says something else than the project.",
        )

    def close(self) -> None:
        """Let go of the session."""
        self._session.project_changed.disconnect(self._on_project, missing_ok=True)
        self._session.ranking_wanted.disconnect(self.rank, missing_ok=True)

    def rank(self) -> None:
        """Work out where to look next, before any training has."""
        session, project = self._session, self._session.project
        if project is None:
            return
        place, reading_id, annotator = project.path, project.reading.id, project.annotator

        def done(_result: None) -> None:
            if session.project is project:
                session.refresh()
                session.take_ranking()

        self._desk.jobs.start(
            tr("Looking where to begin"),
            lambda tell: background.rank_fields(place, reading_id, tell, annotator=annotator),
            done,
            self._desk.fail,
        )

    def _on_project(self) -> None:
        project = self._session.project
        count = len(project.conflicts()) if project is not None else 0
        if count:
            self._session.tell(
                "info",
                trn(
                    "Of {count} cell an imported file says something else: ☰ › Conflicts of imports.",
                    "Of {count} cells an imported file says something else: ☰ › Conflicts of imports.",
                    count,
                ),
            )

    # ------------------------------------------------------------------ dropping files

    def wants(self, paths: Sequence[Path]) -> bool:
        """Whether dropped files and folders are for us: a project, or images and labels while one is open."""
        if any(is_project(path) for path in paths):
            return True
        known = IMAGE_SUFFIXES | LABEL_SUFFIXES
        images = (path.is_dir() or path.suffix.lower() in known for path in paths)
        return self._session.project is not None and any(images)

    def drop(self, paths: Sequence[Path]) -> None:
        """Open the project among what was dropped, else ask how to import the labels, else add the images."""
        project = next((path for path in paths if is_project(path)), None)
        labels = next((path for path in paths if path.suffix.lower() in LABEL_SUFFIXES), None)
        if project is None and labels is not None:
            self._desk.imports.ask(labels)
        elif project is None:
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

    def add_reading(self) -> None:
        """Ask for a reading of one's own, and work in it."""
        from napari_lld.widgets import field_dialogs

        project = self._session.project
        asked = field_dialogs.ask_reading(project.annotator, self._desk.window) if project else None
        if asked is not None:
            self._session.add_reading(asked[0], blind=asked[1])

    def show_conflicts(self) -> None:
        """List the conflicts beside the field."""
        from napari_lld.widgets.conflicts_dialog import ConflictsDialog

        ConflictsDialog(self._session, self._desk.window).show()
