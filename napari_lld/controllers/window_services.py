"""Services around the annotation: log, work clock, unexpected errors, annotator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from annotation_store import formats
from napari_lld.commands.models import model_commands
from napari_lld.commands.registry import Command, has_project
from napari_lld.controllers.exception_hook import Catcher
from napari_lld.controllers.language import show_window
from napari_lld.i18n.translate import tr
from napari_lld.session.log import Log
from napari_lld.session.project_log import log_error
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.work_clock import WorkClock
from napari_lld.tasks import actions

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


_LOOK_MS = 2000


class WindowServices(QObject):
    """Belongs to one desk, and lives as long as it does."""

    def __init__(self, desk: DeskContext, parent: QObject) -> None:
        super().__init__(parent)
        self.desk = desk
        self.session = desk.session
        self.log = Log()
        self.clock = WorkClock(desk.session)
        self._catcher = Catcher(self.on_unexpected)
        self._last_trace = ""
        # Counting the new cells takes some statements: once after many edits, not at every key.
        self._looking = QTimer(self)
        self._looking.setSingleShot(True)
        self._looking.setInterval(_LOOK_MS)
        self._looking.timeout.connect(self._look)
        self._listening = Subscriptions()
        self._listening.add(self.session.notice, self._on_notice)
        self._listening.add(self.session.fields.summaries_changed, self._look_soon)
        self._listening.add(self.session.project_changed, self._look_soon)
        self._listening.add(self.session.preferences.events.ready, self._on_ready)
        self._listening.add(self.session.preferences.events.instant, self._on_instant)

    def close(self) -> None:
        """Disconnect from the session; counted time is kept."""
        self._looking.stop()
        self.session.training.rounds.close()
        self.clock.close()
        self._catcher.remove()
        self._listening.close()

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        yield from model_commands(self.session, lambda: self.desk.training_options(), self.show_curves)
        yield Command(
            "project.export",
            "Export …",
            self.export,
            ("Ctrl+Shift+E",),
            "Project",
            has_project,
            "Cells with their regions, or suggestions, in any of eight formats.",
        )
        yield Command(
            "project.report",
            "Report …",
            self.report,
            group="Project",
            when=has_project,
            help="Annotations, model performance and example cells, in one HTML file to print.",
        )
        yield Command(
            "job.stop",
            "Stop",
            self.desk.jobs.stop,
            group="Project",
            when=lambda _session: self.desk.jobs.busy,
            help="Stop the action that runs in the background.",
        )
        yield Command(
            "annotator.change",
            "Change annotator …",
            self.change_annotator,
            group="Project",
            when=lambda session: has_project(session) and not session.training.state.busy,
            help="Every edit is stored with a name, and you can undo only your own.",
        )
        yield Command(
            "help.log",
            "Log …",
            self.show_log,
            group="General",
            help="Messages of this session, and earlier errors.",
        )

    def _look_soon(self) -> None:
        self._looking.start()

    def _look(self) -> None:
        self.session.training.rounds.look()
        fields = self.session.fields
        if not fields.being_read and fields.annotated:
            self.warm_up()

    def warm_up(self) -> None:
        """Start the idle processes in advance."""
        project, preferences = self.session.project, self.session.preferences
        if project is not None and not project.read_only and preferences.ready:
            self.desk.process.warm_up()
            if preferences.instant:
                self.desk.assistant.warm_up()

    def _on_ready(self, keep_ready: bool) -> None:
        if keep_ready:
            self.warm_up()
        else:
            self.desk.process.cool_down()
            self.desk.assistant.cool_down()

    def _on_instant(self, instant: bool) -> None:
        if instant:
            self.warm_up()
        else:
            self.desk.assistant.cool_down()

    # ------------------------------------------------------------------ log and errors

    def catch_errors(self) -> None:
        """Catch unexpected errors once the window's loop runs: napari sets its own hook as it starts."""
        self._catcher.install()
        QTimer.singleShot(0, self._catcher.install)

    def on_unexpected(self, what: str, trace: str) -> None:
        """Show an unexpected error; one that repeats, as when painting fails, is shown once."""
        if trace == self._last_trace:
            return
        self._last_trace = trace
        self.log.add("trace", what, trace)
        if self.session.project is not None and not self.session.project.read_only:
            fields = [summary.field for summary in self.session.fields.by_id.values()]
            log_error(self.session.project.path, "window", what, trace, fields)
        self.session.notify(
            "error",
            tr(
                "An unexpected error occurred ({what}). Your annotations are saved. The log "
                "in the menu has the details.",
                what=what,
            ),
        )

    def show_log(self) -> None:
        """Open the log."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.dialogs.log_window import LogWindow

        def make() -> LogWindow:
            theme = colours(str(self.desk.viewer.theme))
            return LogWindow(self.log, self.session, theme, self.desk.window)

        show_window(make, self.session)

    def show_curves(self) -> None:
        """Open the window of curves and models."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.training.training_window import TrainingWindow

        def make() -> TrainingWindow:
            return TrainingWindow(self.session, colours(str(self.desk.viewer.theme)), self.desk.window)

        show_window(make, self.session)

    def _on_notice(self, level: str, sentence: str) -> None:
        self.log.add(level, self.desk.commands.spelled(sentence))

    # ------------------------------------------------------------------ export

    def export(self) -> None:
        """Count the contents, ask what to export, and export in a thread."""
        project = self.session.project
        if project is None:
            return
        place, reading = project.path, project.reading.id
        self.desk.jobs.start(
            tr("Counting"),
            lambda on_progress: actions.count_for_export(place, on_progress, reading=reading),
            None,
            self.desk.fail,
            in_project=lambda survey: self._ask_export(place, reading, survey),
            left=tr("Nothing was written."),
            leads_on=True,
        )

    def _ask_export(self, place: Path, reading: int, survey: formats.Survey) -> None:
        from napari_lld.widgets.dialogs import export_dialog

        answer = export_dialog.ask_export(survey, place.parent, self.desk.window)
        if answer is None:
            return
        self.desk.jobs.start(
            tr("Exporting"),
            lambda on_progress: actions.export(
                place, answer.out, on_progress, answer.options, reading=reading
            ),
            lambda message: self.session.notify("info", message),
            self.desk.fail,
            left=tr("Nothing was written."),
        )

    def report(self) -> None:
        """Ask for the place of the report, and write it in a thread."""
        from napari_lld.widgets.dialogs import report_dialog

        project = self.session.project
        if project is None or self.desk.still_busy():
            return
        place, reading = project.path, project.reading.id
        start = place.with_name(f"{place.name.removesuffix('.lld')}-report.html")
        answer = report_dialog.ask_report(start, self.desk.window)
        if answer is not None:
            self.desk.jobs.start(
                tr("Writing the report"),
                lambda on_progress: actions.report(
                    place, answer.out, on_progress, answer.options, reading=reading
                ),
                lambda message: self.session.notify("info", message),
                self.desk.fail,
            )

    # ------------------------------------------------------------------ who annotates

    def change_annotator(self) -> None:
        """Ask who annotates from now on."""
        from napari_lld.widgets.dialogs import dialogs

        project = self.session.project
        name = dialogs.ask_annotator(project.annotator, self.desk.window) if project is not None else None
        if name is not None:
            self.session.change_annotator(name)
