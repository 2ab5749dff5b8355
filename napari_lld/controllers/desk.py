"""The desk of one viewer: session, commands, layers, mouse and worker, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from qtpy.QtCore import QObject, QTimer, Signal

from napari_lld.commands import keymap
from napari_lld.commands.registry import Command, Commands, has_cell, has_field, session_commands
from napari_lld.controllers.cluster import ClusterController
from napari_lld.controllers.display import display_commands, take_ring
from napari_lld.controllers.fields import FieldController
from napari_lld.controllers.finishing import FinishController
from napari_lld.controllers.gallery import GalleryController
from napari_lld.controllers.importing import ImportController
from napari_lld.controllers.key_drawing import KeyDrawing
from napari_lld.controllers.language import choose_language
from napari_lld.controllers.layer_cells import LayerCellsController
from napari_lld.controllers.looking import CameraController
from napari_lld.controllers.merging import MergeController
from napari_lld.controllers.napari_preferences import bind
from napari_lld.controllers.overlap import OverlapController
from napari_lld.controllers.projects import ProjectController
from napari_lld.controllers.references import ReferenceController
from napari_lld.controllers.slide_differential import SlideDifferentialController
from napari_lld.controllers.slide_map import SlideMapController
from napari_lld.controllers.window_services import WindowServices
from napari_lld.i18n.translate import tr
from napari_lld.layers import DeskLayers, Pointer
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.tool import Tool
from napari_lld.tasks.assistant_process import AssistantProcess
from napari_lld.tasks.import_ahead import import_ahead
from napari_lld.tasks.jobs import Jobs
from napari_lld.tasks.label_error_reader import LabelErrorThread
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.tasks.training_process import TrainingProcess
from napari_lld.widgets.base.windows import busy_cursor

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QWidget


DOCK_NAME = "Annotate (LLD)"
"""What napari's Plugins menu calls the dock: its entry shows and hides the one that is there."""
_WATCH_MS = 2000
_JOB_SECONDS = 15
"""How long a closing window waits for a long action to stop where it leaves nothing half done."""


class Dock(Protocol):
    """A dock on a desk."""

    def release(self) -> None:
        """Release the desk."""

    def show_message(self, level: str, message: str) -> bool:
        """Show a message; False if the dock cannot be seen."""


class Binding(Protocol):
    """What a desk puts into a main window."""

    def release(self) -> None:
        """Remove it again."""

    def go_on(self) -> None:
        """Move the keyboard to the next place."""

    def to_field(self) -> None:
        """Move the keyboard to the field."""


class Desk(QObject):
    """Everything that belongs to one viewer; docks come and go on it."""

    hinted = Signal(str)
    """A sentence for the line at the foot of the dock."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.viewer = viewer
        self.session = Session()
        preferences = self.session.preferences
        self._unbind = bind(preferences) if hasattr(viewer, "window") else lambda: None
        choose_language(preferences.language)  # before the first text is made
        self.commands = Commands(self.session)
        self.commands.key_map = keymap.load()
        self.jobs = Jobs(self)
        self.training_options: Callable[[], dict[str, Any]] = lambda: {"budget": preferences.seconds_to_train}
        self.docks: list[Dock] = []
        self.window: QWidget | None = None
        self.binding: Binding | None = None
        self._closed = self._window_gone = False
        self._help: QWidget | None = None
        self._listening = Subscriptions()
        self._listening.add(preferences.events.language, self._on_language)
        # before whoever shows them hears of it
        self._listening.add(self.session.words_changed, self._make_commands)
        self.process = TrainingProcess(self.session, self)
        self.session.training.process = self.process
        self.assistant = AssistantProcess(self)
        self.session.assistant.process = self.assistant
        self.label_errors = LabelErrorThread(self)
        self.session.label_errors.reader = self.label_errors
        self._summaries = LatestTask("summaries", self)
        self.session.fields.read_in(self._summaries)
        self.session.fields.busy_sign = busy_cursor
        self.layers = DeskLayers(self.session, viewer)
        self.pointer = Pointer(self.session, viewer, self.layers)
        self.projects = ProjectController(self)
        self.finishing = FinishController(self, self)
        self.looking = CameraController(self)
        self.fields = FieldController(self)
        self.imports = ImportController(self)
        self.merging = MergeController(self)
        self.services = WindowServices(self, self)
        self.cluster = ClusterController(self, self)
        self.layer_cells = LayerCellsController(self)
        self.overlap = OverlapController(self)
        self.references = ReferenceController(self)
        self.gallery = GalleryController(self)
        self.slide_map = SlideMapController(self)
        self.slide_differential = SlideDifferentialController(self, self.gallery.open_counted)
        self.key_drawing = KeyDrawing(self, self.pointer)
        self._make_commands()
        # Another process may write too (the command line, a colleague's window): asking costs nothing.
        self._watch = QTimer(self)
        self._watch.setInterval(_WATCH_MS)
        self._watch.timeout.connect(self.session.refresh)
        self.jobs.stopped.connect(self._on_stopped)
        self._listening.add(self.session.leaving, self.jobs.leave)
        self._listening.add(self.session.project_changed, self._on_project)
        self._listening.add(self.session.notice, self._on_notice)
        QTimer.singleShot(0, import_ahead)  # once the window is there

    # ------------------------------------------------------------------ life

    def take_dock(self, dock: Dock) -> None:
        """Count one more dock that shows this desk."""
        self.docks.append(dock)

    def drop_dock(self, dock: Dock) -> None:
        """Count one dock less; close with the last one."""
        self.docks.remove(dock)
        if not self.docks and not self._closed:
            if self.session.project is not None and not self._window_gone:
                _left[self.viewer] = self.session.project.path
            self.close()

    def ends_with(self, dock: Dock) -> bool:
        """Return whether the desk closes when this dock goes."""
        return self.docks == [dock] and not self._closed

    def show_again(self, dock: QWidget) -> None:
        """Put a dock back into the window that it was taken out of."""
        self.viewer.window.add_dock_widget(dock, name=DOCK_NAME)

    def bind_window(self, window: QWidget, make: Callable[[Desk, QWidget], Binding]) -> None:
        """Attach to a main window."""
        if window is not self.window and not self._closed:
            self._leave_window()
            self.window = window
            self.binding = make(self, window)

    def _leave_window(self) -> None:
        if self.binding is not None:
            self.binding.release()
        self.binding = self.window = None

    def window_closed(self) -> None:
        """Close with the window: its docks go with it."""
        self._window_gone = True
        for dock in list(self.docks):
            dock.release()

    def close(self) -> None:
        """Stop the worker, close the project, let go of the viewer."""
        if self._closed:
            return
        self._closed = True
        self._watch.stop()
        self._leave_window()
        _desks.pop(self.viewer, None)
        self.session.remember_place()
        self.gallery.close()
        self.slide_map.close()
        self.slide_differential.close()
        self.process.close()
        self.assistant.close()
        self.jobs.wait(_JOB_SECONDS)
        self.pointer.close()
        self.layers.close(remove=not self._window_gone)
        self.session.project_changed.disconnect(self._on_project, missing_ok=True)
        self.session.close()
        self.services.close()
        self.cluster.close()
        self.finishing.close()
        self.looking.close()
        self.fields.close()
        self.overlap.close()
        self.references.close()
        self._unbind()
        self._listening.close()
        self.session.assistant.process = None
        self.session.training.process = self.session.label_errors.reader = None
        self.label_errors.close()
        self._summaries.close()

    def _on_project(self) -> None:
        self.commands.use_schema(self.session.schema)
        project = self.session.project
        if project is None:
            self._watch.stop()
        else:
            self._watch.start()
        name = project.path.name.removesuffix(".lld") if project else ""
        if hasattr(self.viewer, "title"):
            self.viewer.title = f"{name} – napari-lld" if name else "napari-lld"

    # ------------------------------------------------------------------ telling

    def _on_notice(self, level: str, sentence: str) -> None:
        sentence = self.commands.spelled(sentence)
        self.hinted.emit(sentence.split("\n", 1)[0])
        if level == "hint" or any(dock.show_message(level, sentence) for dock in self.docks):
            return
        from napari.utils import notifications

        show = {
            "info": notifications.show_info,
            "warning": notifications.show_warning,
            "error": notifications.show_error,
        }
        show[level](sentence)

    # ------------------------------------------------------------------ commands of the window

    def _on_language(self, preference: str) -> None:
        choose_language(preference)
        self.session.use_words()

    def _make_commands(self) -> None:
        """Make all commands, or make them again in another language."""
        for commands in (
            session_commands(self.session),
            self.fields.commands(),
            self._window_commands(),
            self.projects.commands(),
            self.finishing.commands(),
            self.looking.commands(),
            self.services.commands(),
            self.cluster.commands(),
            self.imports.commands(),
            self.merging.commands(),
            self.layer_cells.commands(),
            display_commands(self),
            self.overlap.commands(),
            self.references.commands(),
            self.gallery.commands(),
            self.slide_map.commands(),
            self.slide_differential.commands(),
            self.key_drawing.commands(),
        ):
            self.commands.add(commands)
        self.commands.use_schema(self.session.schema)

    def _window_commands(self) -> Iterator[Command]:
        yield Command(
            "tool.select",
            "Stop drawing, choose nothing",
            self.escape,
            ("Esc",),
            "Draw",
            has_field,
        )
        yield Command(
            "draw.finish",
            "Close the area, accept the proposal",
            self.finish_drawing,
            ("Return",),
            "Draw",
            self._can_finish_drawing,
        )
        yield Command(
            "cell.comment",
            "Comment …",
            self.comment,
            ("C",),
            "Describe",
            has_cell,
            "A comment that is stored with the cell.",
        )
        yield Command(
            "view.controls",
            "Move focus to the controls",
            lambda: self.binding.go_on() if self.binding is not None else None,
            ("F6",),
            "General",
            help="Tab moves on, Space presses, arrows select. Press again for the zoom view, then the field.",
        )
        yield Command(
            "view.field",
            "Move focus to the field",
            lambda: self.binding.to_field() if self.binding is not None else None,
            ("Shift+F6",),
            "General",
        )
        yield Command("help.keys", "Keys", self.show_help, ("F1",), "General")
        yield Command(
            "keys.edit",
            "Change keys …",
            self.edit_keys,
            (),
            "General",
            help="Assign another key to a command, or rearrange all keys for a left-handed mouse.",
        )

    def escape(self) -> None:
        """Drop what is being drawn, else leave the tool, else choose nothing."""
        if self.pointer.drawing:
            self.pointer.cancel()
        elif self.session.selection.proposed_box is not None:
            self.session.selection.proposed_box = None
        elif self.session.region_proposal.current is not None and self.session.selection.current is None:
            self.session.region_proposal.leave()
        elif self.session.tool is not Tool.SELECT:
            self.session.tool = Tool.SELECT
        else:
            self.session.selection.select(None)

    @property
    def unclosed(self) -> bool:
        """Whether a polygon is being drawn that would be lost."""
        return self.pointer.unclosed

    def _can_finish_drawing(self, session: Session) -> bool:
        fitted = session.display.fitted_pixel_size is not None
        return bool(
            self.pointer.drawing
            or fitted
            or session.selection.proposed_box
            or session.region_proposal.current
        )

    def finish_drawing(self) -> None:
        """Close the polygon, take the ring for a red cell, or take the box or region that is proposed."""
        if self.pointer.drawing:
            self.pointer.finish()
        elif self.session.display.fitted_pixel_size is not None:
            take_ring(self)
        elif self.session.boxes.take_proposed() is None:
            self.session.region_proposal.take()

    def comment(self) -> None:
        """Prompt for the comment on the current cell."""
        from napari_lld.widgets.dialogs import dialogs

        cell = self.session.selection.cell
        text = dialogs.ask_comment(cell.comment, self.window) if cell is not None else None
        if text is not None:
            self.session.labels.set_comment(text)

    def show_help(self) -> None:
        """Show all keys."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.dialogs.help_overlay import HelpOverlay

        overlay = HelpOverlay(self.commands, colours(str(self.viewer.theme)), self.window)
        overlay.open()

    def edit_keys(self) -> None:
        """Open the dialog for profile and keys."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.dialogs.key_editor import KeyEditor

        editor = KeyEditor(self.commands, colours(str(self.viewer.theme)), self.window)
        editor.open()

    def still_busy(self) -> bool:
        """Return whether a long action is running, and show a message if so."""
        if self.jobs.busy:
            self.fail(tr("{title} is still running.", title=self.jobs.title))
        return self.jobs.busy

    def _on_stopped(self, title: str) -> None:
        self.session.refresh()
        left = self.jobs.left or tr("Earlier results are kept.")
        self.session.notify("info", tr("{title}: stopped. {left}", title=title, left=left))

    def add_paths(self, paths: list[Path]) -> None:
        """Add images and folders of images to the project."""
        self.projects.add_paths(paths)

    def import_labels(self, path: Path | None = None) -> None:
        """Ask how labels are to be imported, then import them."""
        self.imports.ask(path)

    def fail(self, sentence: str) -> None:
        """Show why an action failed."""
        self.session.notify("error", sentence)


_desks: WeakKeyDictionary[Any, Desk] = WeakKeyDictionary()
_left: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
"""The project that was open when the last dock of a viewer was closed: the next one goes on with it."""


def desk_for(viewer: Any) -> Desk:
    """Return the one desk of a viewer: two docks on it show the same session."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    desk = _desks.get(viewer)
    if desk is None:
        desk = _desks[viewer] = Desk(viewer)
        left = _left.pop(viewer, None)
        if left is not None:
            desk.session.open(left)
    return desk
