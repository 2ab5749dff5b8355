"""A napari window of our own, with the dock in it."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, QTimer
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from annotation_store.errors import LLDError
from napari_lld.controllers.desk import DOCK_NAME
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import tr
from napari_lld.session import user_state
from napari_lld.widgets.base.room import Scrolling

_FRAMED_MS = 500
"""Milliseconds of the window's loop after which a window manager has put its frame round the window."""


def build_window(project_path: Path | None = None, *, show: bool = True) -> tuple[Any, Any]:
    """Make a napari window with the dock, and open a project in it.

    Returns
    -------
    tuple
        The ``napari.Viewer`` and the ``AnnotateDock``.

    Raises
    ------
    LLDError
        If the project cannot be opened, or there is no OpenGL; no window is left behind.
    """
    from annotation_store import NotWritableError, Project

    if project_path is not None:
        # says why it cannot be opened before a window is made; one that can only be read is asked about
        with suppress(NotWritableError), Project.open(project_path):
            pass
    import napari
    import napari.qt

    if not gc.get_freeze_count():
        gc.freeze()  # modules, mostly: each full collection would go through them, a fifth of a second
    viewer = napari.Viewer(title="napari-lld", show=False)
    if not can_draw():
        viewer.close()
        sentence = tr(
            "The window needs OpenGL, and this computer offers none; install a driver for the graphics card, "
            "or one that needs no card (on Debian and Ubuntu: sudo apt install libgl1-mesa-dri). Over a "
            "remote desktop, set LIBGL_ALWAYS_SOFTWARE=1."
        )
        raise LLDError(sentence)
    dock = AnnotateDock(viewer)
    viewer.window.add_dock_widget(dock, name=DOCK_NAME)  # on the side where it was left
    for name in ("layer list", "layer controls"):
        _put_away(viewer, name)
    if show:
        _show(viewer)
    if project_path is not None:
        dock.desk.session.open(project_path)
    return viewer, dock


def can_draw() -> bool:
    """Return whether Qt gets an OpenGL context, without which napari draws nothing or ends the process."""
    from qtpy.QtGui import QOpenGLContext

    return bool(QOpenGLContext().create())


def _put_away(viewer: Any, name: str) -> None:
    """Hide a dock of napari: room for the field. Its Window menu brings it back, as high as there is room."""
    dock = viewer.window._qt_window.findChild(QDockWidget, name)
    if dock is not None:
        dock.setWidget(Scrolling(dock.widget(), QSize(180, 90)))
        dock.setMinimumSize(50, 50)  # as napari sets it; Qt has raised it for the contents
        dock.hide()


def _show(viewer: Any) -> None:
    """Show the window in the size it was left in, at first as large as the screen, and never larger."""
    window = viewer.window._qt_window
    screen = window.screen().availableGeometry()
    stored = user_state.recall("window_size")
    sides = stored if isinstance(stored, list) and len(stored) == 2 else (None, None)
    width = user_state.within(sides[0], 1, screen.width()) or screen.width()
    height = user_state.within(sides[1], 1, screen.height()) or screen.height()
    size = QSize(int(width), int(height))
    viewer.window.show()  # napari puts its own size here, from another kind of work
    window.resize(size.expandedTo(QSize(640, 400)).boundedTo(screen.size()))
    window.move(screen.topLeft())
    keep_frame_on_screen(window)
    # a window manager puts its frame round a window once the loop of that goes on
    looping, framed = QTimer(window), QTimer(window)
    for timer in (looping, framed):
        timer.setSingleShot(True)
    framed.setInterval(_FRAMED_MS)
    looping.timeout.connect(framed.start)
    framed.timeout.connect(lambda: keep_frame_on_screen(window))
    looping.start(0)
    viewer.window.activate()


def keep_frame_on_screen(window: QWidget) -> None:
    """Make a window smaller where its title bar and edges leave it less of the screen than it takes."""
    excess = window.frameGeometry().size() - window.screen().availableGeometry().size()
    window.resize(window.size() - excess.expandedTo(QSize(0, 0)))


class FileOpener(QObject):
    """Open what macOS hands over as an event: a folder that is opened with the program in the Finder."""

    def __init__(self, dock: AnnotateDock) -> None:
        super().__init__(dock)
        self._dock = dock

    def eventFilter(self, _watched: Any, event: Any) -> bool:
        """Take the event, as Qt calls it for each event of the program."""
        if event.type() != QEvent.Type.FileOpen:
            return False
        self._dock.desk.fields.drop([Path(event.file())])
        return True


def run_window(project_path: Path | None = None) -> None:
    """Open the window on a project, or on the start page, and run until it is closed.

    Raises
    ------
    LLDError
        If the project cannot be opened.
    """
    import napari

    viewer, dock = build_window(project_path)
    if sys.platform == "darwin":
        QApplication.instance().installEventFilter(FileOpener(dock))
    napari.run()
    del viewer
    sys.stdout.flush()
