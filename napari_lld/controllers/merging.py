"""Merge another project: the command, the preview, and the merge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store.copies.report import MergeReport
from napari_lld.commands.registry import Command, has_project
from napari_lld.controllers.language import show_window
from napari_lld.i18n.translate import tr
from napari_lld.tasks import merging
from napari_lld.tasks.import_preview import ProjectPlace

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


class MergeController:
    """The part of a desk that brings other projects in."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk

    def commands(self) -> Iterator[Command]:
        """Make the command."""
        yield Command(
            "project.merge",
            "Merge another project …",
            self.ask,
            (),
            "Project",
            has_project,
            (
                "Readings, cells and models of another copy of this project, or of another "
                "project. You see a preview first; your labels are not overwritten."
            ),
        )

    def ask(self) -> None:
        """Ask for a project, and preview the merge."""
        from napari_lld.widgets.dialogs import dialogs

        project = self._desk.session.project
        if project is None or self._desk.still_busy():
            return
        other = dialogs.ask_project(self._desk.window)
        if other is not None:
            self.look(ProjectPlace.of_project(project), other)

    def look(self, place: ProjectPlace, other: Path) -> None:
        """Compare the projects in a thread, then ask."""
        self._desk.jobs.start(
            tr("Comparing projects"),
            lambda on_progress: merging.bring(place, other, on_progress, dry_run=True),
            None,
            self._desk.fail,
            in_project=lambda report: self._confirm(place, other, report),
            left=tr("Nothing was changed."),
            leads_on=True,
        )

    def _confirm(self, place: ProjectPlace, other: Path, report: MergeReport) -> None:
        from napari_lld.widgets.dialogs.merge_dialog import ask_merge

        session = self._desk.session
        if report.brought[0].nothing:
            session.notify("info", tr("{name} contains nothing new.", name=other.name))
        elif session.project is not None and ask_merge(
            other, report.brought[0], session.project.schema, self._desk.window
        ):
            self.run(place, other)

    def run(self, place: ProjectPlace, other: Path) -> None:
        """Merge in a thread."""
        self._desk.jobs.start(
            tr("Merging projects"),
            lambda on_progress: merging.bring(place, other, on_progress, dry_run=False),
            self._tell,
            self._desk.fail,
            in_project=self._show_conflicts,
            left=tr("Nothing was changed."),
        )

    def _tell(self, report: MergeReport) -> None:
        session = self._desk.session
        session.refresh()
        brought = report.brought[0]
        text = tr("Merged: {told}", told=merging.comes_in(brought).replace("\n", " "))
        if report.backup is not None:
            text += "\n" + tr("The previous state of the project is kept in {backup}.", backup=report.backup)
        session.notify("info", text)

    def _show_conflicts(self, report: MergeReport) -> None:
        from napari_lld.widgets.dialogs.conflicts_dialog import ConflictsDialog

        if report.brought[0].differences:
            session = self._desk.session
            show_window(lambda: ConflictsDialog(session, self._desk.window), session)
