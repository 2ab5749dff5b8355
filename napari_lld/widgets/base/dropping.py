"""Files and folders dropped on napari's canvas: images become fields, a project is opened.

napari would open them as layers, which know nothing of the project. What is not ours (no project is open,
files of other kinds, Alt or Shift held for napari's own questions) is left to napari.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

_OURS = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
_NAPARI = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier


def dropped_paths(event: QDropEvent) -> list[Path]:
    """List the local files and folders that are dragged."""
    mime = event.mimeData()
    return [Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()] if mime is not None else []


class CanvasDrops(QObject):
    """Takes what is dropped on a viewer's canvas before napari does."""

    def __init__(
        self,
        viewer: QWidget,
        accepts: Callable[[Sequence[Path]], bool],
        take: Callable[[Sequence[Path]], None],
    ) -> None:
        super().__init__(viewer)
        self._accepts, self._take = accepts, take
        # napari's welcome page lies over the canvas and takes drops of its own
        self._watched = [viewer, *(w for w in viewer.findChildren(QWidget) if w.acceptDrops())]
        for widget in self._watched:
            widget.installEventFilter(self)

    def close(self) -> None:
        """Leave all drops to napari again."""
        for widget in self._watched:
            widget.removeEventFilter(self)
        self._watched = []
        self.deleteLater()

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Accept drops of images and projects."""
        if not isinstance(event, QDropEvent) or event.type() not in _OURS:
            return False
        paths = dropped_paths(event)
        if event.modifiers() & _NAPARI or not paths or not self._accepts(paths):
            return False
        event.acceptProposedAction()
        if event.type() == QEvent.Type.Drop:
            self._take(paths)
        return True
