"""Projects at the desk: made, opened, closed, saved, and images added to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from napari_lld.commands.registry import Command, has_project
from napari_lld.i18n.translate import tr
from napari_lld.session import user_state
from napari_lld.session.session import Session
from napari_lld.tasks import actions

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


def _idle(session: Session) -> bool:
    return session.project is not None and not session.training.state.busy


class ProjectController:
    """The part of a desk that makes, opens and closes projects."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        yield Command(
            "project.new",
            "New project …",
            self.new,
            group="Project",
            help="A schema, a folder of images, your name.",
        )
        yield Command("project.open", "Open project …", self.open, group="Project")
        yield Command(
            "project.sample",
            "Open the sample project",
            self.open_sample,
            group="Project",
            help="18 bundled fields, each with one annotated corner: train in minutes.",
        )
        yield Command(
            "project.save",
            "Save",
            self.save,
            ("Ctrl+S",),
            "Project",
            has_project,
            "Every change is saved immediately; if the folder is missing, search for it again.",
        )
        yield Command("project.close", "Close project", self.close, group="Project", when=_idle)
        yield Command("fields.add", "Add fields …", self.add_fields, group="Project", when=has_project)

    def new(self) -> None:
        """Prompt for a new project, which the dialog makes, and add its images."""
        from napari_lld.widgets.dialogs import dialogs

        if self._desk.still_busy():
            return
        answer = dialogs.ask_new_project(self._desk.window, self._desk.session.preferences.annotator)
        if answer is None:
            return
        if answer.annotator:
            self._desk.session.preferences.annotator = answer.annotator
        images = answer.images
        if images is None:
            self._open_made(answer.folder, "", answer.annotator)
            return

        def open_without(sentence: str) -> None:
            self._open_made(answer.folder, "", answer.annotator)
            self._desk.fail(sentence)

        self._desk.jobs.start(
            tr("Adding fields"),
            lambda on_progress: actions.add_fields(
                answer.folder,
                [images],
                on_progress,
                annotator=answer.annotator,
                patient_from=answer.patient_from,
            ),
            lambda message: self._open_made(answer.folder, message, answer.annotator),
            open_without,
        )

    def _open_made(self, folder: Path, message: str, annotator: str | None = None) -> None:
        if self._desk.session.open(folder, annotator=annotator) and message:
            self._desk.session.notify("info", message)

    def open(self) -> None:
        """Prompt for a project and open it."""
        from napari_lld.widgets.dialogs import dialogs

        folder = dialogs.ask_project(self._desk.window)
        if folder is not None:
            self._desk.session.open(folder)

    def open_sample(self) -> None:
        """Make the sample project where it is not made yet, and open it."""
        folder = user_state.sample_project_folder()
        annotator = self._desk.session.preferences.annotator or None
        self._desk.jobs.start(
            tr("Preparing the sample"),
            lambda on_progress: actions.make_sample_project(folder, on_progress, annotator=annotator),
            lambda message: self._open_made(folder, message),
            self._desk.fail,
        )

    def save(self) -> None:
        """Show that everything is saved; if it is not, try again."""
        session = self._desk.session
        if not session.unsaved.why:
            session.notify("hint", tr("Every change is saved immediately."))
        elif not session.try_to_save():
            session.notify("hint", tr("The folder is not back yet. Your last change is kept."))

    def close(self) -> None:
        """Close the project; ask first if there are unsaved changes."""
        from napari_lld.widgets.dialogs.close_question import may_close

        desk = self._desk
        if not (desk.session.unsaved.count or desk.unclosed) or may_close(desk, desk.window):
            desk.session.close()

    def add_fields(self) -> None:
        """Prompt for images and add them."""
        from napari_lld.widgets.dialogs import dialogs

        if self._desk.still_busy():
            return
        self.add_paths(dialogs.ask_images(self._desk.window))

    def add_paths(self, paths: list[Path]) -> None:
        """Add images and folders of images."""
        project = self._desk.session.project
        if project is None or not paths:
            return
        place, annotator = project.path, project.annotator

        def on_done(message: str) -> None:
            self._desk.session.refresh()
            self._desk.session.notify("info", message)

        self._desk.jobs.start(
            tr("Adding fields"),
            lambda on_progress: actions.add_fields(place, paths, on_progress, annotator=annotator),
            on_done,
            self._desk.fail,
        )
