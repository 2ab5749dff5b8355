"""Additions to the main window, once for all its docks: keys, work clock, zoom view, drops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_lld.i18n.translate import tr
from napari_lld.layers.camera import camera_of
from napari_lld.session import user_state
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.widgets.base.activity import Activity
from napari_lld.widgets.base.dropping import CanvasDrops
from napari_lld.widgets.base.focus import go_on, holds
from napari_lld.widgets.base.keys import KeyRouter
from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.dialogs.close_question import may_close, what_would_end
from napari_lld.widgets.display.display_panel import DisplayDock
from napari_lld.widgets.review.proposed_bar import ProposedBar
from napari_lld.widgets.review.reference_panel import ReferencePanel

if TYPE_CHECKING:
    from napari_lld.controllers.desk import Desk


class WindowBinding(QObject):
    """Belongs to one main window, whichever of its docks float, are hidden or are closed.

    Parameters
    ----------
    desk
        The desk whose docks are in the window.
    window
        The main window, never a dock that floats.
    """

    def __init__(self, desk: Desk, window: QWidget) -> None:
        super().__init__()
        self._desk = desk
        self._window: Any = window
        self._closing = self._agreed = False
        self._canvas: QWidget | None = None
        self._close = window.close
        # napari's menus and keys call it, and it asks a question that says nothing of what is at work
        window.close = self._ask_and_close
        window.installEventFilter(self)
        self._router = KeyRouter(window, desk.commands, self._takes_keys)
        self._activity = Activity(window, desk.services.clock)
        desk.services.catch_errors()
        self.display = DisplayDock(desk, window) if isinstance(window, QMainWindow) else None
        self.proposed: ProposedBar | None = None
        self.references: ReferencePanel | None = None
        self._listening = Subscriptions()
        self._drops: CanvasDrops | None = None
        napari_window = getattr(desk.viewer, "window", None)
        if napari_window is not None:
            qt_viewer = napari_window._qt_viewer
            self._drops = CanvasDrops(qt_viewer, desk.fields.wants, desk.fields.drop)
            if not hasattr(desk.viewer, "canvas"):  # napari before 0.9 does not say how large its canvas is
                self._canvas = qt_viewer.canvas.native
                self._canvas.installEventFilter(self)
            self._lay_over(qt_viewer.canvas.native)
            self._listening.add(camera_of(desk.viewer).events, self._on_camera)
        self._listening.add(desk.session.words_changed, self._on_words)
        self._listening.add(desk.session.project_changed, self._on_project)
        desk.viewer.events.theme.connect(self._on_theme)
        self._on_theme()

    def _lay_over(self, canvas: QWidget) -> None:
        """Put over the canvas what lies there, and name it for screen readers."""
        canvas.setAccessibleName(tr("The field, with its marks"))
        self.proposed = ProposedBar(self._desk.session, self._desk.commands)
        self.proposed.attach(canvas)
        self.references = ReferencePanel(self._desk.session, self._desk.commands)
        self.references.lie_over(canvas, self._cell_on_canvas)

    def _on_camera(self, *_args: object) -> None:
        if self.references is not None:
            self.references.place_soon()

    def _on_words(self) -> None:
        """Make what lies over the canvas again, in another language."""
        old = (self.proposed, self.references)
        napari_window = getattr(self._desk.viewer, "window", None)
        if napari_window is not None:
            self._lay_over(napari_window._qt_viewer.canvas.native)
            for over in old:
                if over is not None:
                    over.release()
        self._on_theme()

    def release(self) -> None:
        """Remove everything from the window."""
        self._desk.viewer.events.theme.disconnect(self._on_theme)
        self._window.removeEventFilter(self)
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)
        del self._window.close  # the class's own again
        for watcher in (self._router, self._activity):
            watcher.close()
            watcher.deleteLater()
        if self._drops is not None:
            self._drops.close()
        self._listening.close()
        for over in (self.proposed, self.references):
            if over is not None:
                over.release()
        if self.display is not None:
            self.display.release()
        self.deleteLater()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Close the desk when its window has closed (napari closes docks without a word)."""
        if event is not None and watched is self._canvas and event.type() == QEvent.Type.Resize:
            QTimer.singleShot(0, self._desk.layers.view.on_size)
        if event is None or watched is None or watched is not self._window:
            return False
        if event.type() == QEvent.Type.Close and not self._agreed and what_would_end(self._desk):
            event.ignore()  # the title bar's ×, or Qt itself, which does not call our `close`
            QTimer.singleShot(0, self._window.close)
            return True
        if event.type() == QEvent.Type.Close:
            self._closing = True  # it may yet be refused; then no Hide follows
        elif event.type() == QEvent.Type.Show:
            self._closing = False
        elif event.type() == QEvent.Type.Hide and self._closing and not event.spontaneous():
            user_state.remember("window_size", [self._window.width(), self._window.height()])
            self._desk.window_closed()
        return False

    def _ask_and_close(self, **how: Any) -> Any:
        """Close as napari does, with our question instead of its own where something is at work."""
        if what_would_end(self._desk):
            if not self._torn_down() and not may_close(self._desk, self._window):
                return False
            how = {**how, "confirm_need": False} if "confirm_need" in how else how
        self._agreed = True
        try:
            return self._close(**how)
        finally:
            self._agreed = False

    def _torn_down(self) -> bool:
        """Return whether a program, not the user, closes the viewer: its canvas is already gone."""
        napari_window = getattr(self._desk.viewer, "window", None)
        return napari_window is not None and napari_window._qt_viewer.isHidden()

    def go_on(self) -> None:
        """Move the keyboard to the next place: dock, zoom view, what lies over the field, the field."""
        go_on([*self._desk.docks, *self._beside()], self._field())

    def to_field(self) -> None:
        """Move the keyboard to the field."""
        field = self._field()
        if field is not None:
            field.setFocus(Qt.FocusReason.OtherFocusReason)

    def _beside(self) -> list[QWidget]:
        panel = self.display.panel if self.display is not None else None
        return [place for place in (panel, self.proposed, self.references) if place is not None]

    def _field(self) -> QWidget | None:
        napari_window = getattr(self._desk.viewer, "window", None)
        return None if napari_window is None else napari_window._qt_viewer.canvas.native

    def _on_project(self) -> None:
        """Leave the keys to the field that came, unless the user is elsewhere."""
        focus = QApplication.focusWidget()
        ours = [*self._desk.docks, *self._beside()]
        if self._desk.session.project is not None and (
            focus is None or any(holds(place, focus) for place in ours)
        ):
            self.to_field()

    def _takes_keys(self, focus: QWidget) -> bool:
        """Our keys act on the docks, and on the canvas while none but our layers is active."""
        desk = self._desk
        if desk.session.project is None:
            return False
        ours: list[Any] = [*desk.docks, *([self.display.panel] if self.display is not None else [])]
        if any(focus is widget or widget.isAncestorOf(focus) for widget in ours):
            return True
        active = desk.viewer.layers.selection.active
        return active is None or desk.layers.owns(active)

    def _on_theme(self, *_args: object) -> None:
        new = colours(str(self._desk.viewer.theme))
        if self.display is not None:
            self.display.panel.use_colours(new)
        for over in (self.proposed, self.references):
            if over is not None:
                over.use_colours(new)

    def _cell_on_canvas(self) -> tuple[float, float] | None:
        """Return where the current cell begins and ends on the canvas, from its top."""
        box = self._desk.session.selection.box
        napari_window = getattr(self._desk.viewer, "window", None)
        if box is None or napari_window is None:
            return None
        camera = camera_of(self._desk.viewer)
        middle = napari_window._qt_viewer.canvas.native.height() / 2
        top, bottom = ((y - camera.center[-2]) * camera.zoom + middle for y in (box[1], box[1] + box[3]))
        return (top, bottom)
