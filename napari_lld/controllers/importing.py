"""Importing labels at the desk: its command, the question before, the report afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store.records import ImportReport
from napari_lld.commands.registry import Command, has_project
from napari_lld.controllers.language import show_window
from napari_lld.i18n.translate import tr
from napari_lld.tasks.import_preview import Import, ProjectPlace, carry_out, comes_in

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext

LABEL_SUFFIXES = frozenset({".json", ".geojson"})
"""Files that are taken for labels when they are dropped."""


class ImportController:
    """The part of a desk that brings labels in."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk

    def commands(self) -> Iterator[Command]:
        """Make the command."""
        yield Command(
            "project.import",
            "Import labels …",
            self.ask,
            ("Ctrl+Shift+I",),
            "Project",
            has_project,
            "COCO, YOLO, LLD, Pascal VOC, CSV, GeoJSON or Label Studio. Your labels are not overwritten.",
        )

    def ask(self, start: Path | None = None) -> None:
        """Ask what to import, and import it beside the window."""
        from napari_lld.widgets.dialogs import import_dialog

        project = self._desk.session.project
        if project is None or self._desk.still_busy():
            return
        place = ProjectPlace.of_project(project)
        answer = import_dialog.ask_import(place, project.reading, start, self._desk.window)
        if answer is not None:
            self.run(place, answer)

    def run(self, place: ProjectPlace, options: Import) -> None:
        """Import in a thread."""
        self._desk.jobs.start(
            tr("Importing"),
            lambda on_progress: carry_out(place, options, on_progress),
            self._tell,
            self._desk.fail,
            in_project=self._list_skipped,
            left=tr("Nothing was imported."),
        )

    def _tell(self, report: ImportReport) -> None:
        session = self._desk.session
        session.refresh()
        session.notify("info", tr("Imported: {told}", told=comes_in(report).replace("\n", " ")))

    def _list_skipped(self, report: ImportReport) -> None:
        from napari_lld.widgets.dialogs.import_dialog import ImportedDialog

        if report.skipped:
            message, skipped = comes_in(report), list(report.skipped)
            show_window(lambda: ImportedDialog(message, skipped, self._desk.window), self._desk.session)
