"""The gallery of one desk: made when it is first opened, gone with the desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_lld.commands.registry import Command, has_project
from napari_lld.session.gallery_items import Key
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.session.session import Session

if TYPE_CHECKING:
    from napari_lld.session.slide_differential import Counted
    from napari_lld.widgets.base.context import DeskContext
    from napari_lld.widgets.gallery.gallery_window import GalleryWindow


def _current(session: Session) -> Key | None:
    """Return the current cell or suggestion."""
    current = session.selection.current
    if current is None or current.kind not in ("cell", "suggestion"):
        return None
    return (current.kind, current.id)


class GalleryController:
    """Opens the gallery, keeps its colours napari's, and closes it."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self.window: GalleryWindow | None = None

    def commands(self) -> Iterator[Command]:
        """Make the command that opens it."""
        yield Command(
            "gallery.open",
            "Gallery",
            self.open,
            ("G",),
            "General",
            has_project,
            "Cells and suggestions of many fields side by side: sort, select and decide many at once.",
        )
        yield Command(
            "gallery.similar",
            "Similar cells",
            self.open_similar,
            ("Alt+G",),
            "General",
            lambda session: _current(session) is not None,
            "Show the cells most similar to this one first, in the gallery.",
        )

    def open(self) -> None:
        """Show the gallery, or bring it to the front."""
        from napari_lld.widgets.gallery.gallery_window import GalleryWindow

        desk = self._desk
        if self.window is None:
            self.window = GalleryWindow(desk.session, desk.commands, desk.window)
            self.window.went_to.connect(self._on_went)
            desk.viewer.events.theme.connect(self._on_theme)
            self._on_theme()
        self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    def open_similar(self) -> None:
        """Show the gallery, sorted by likeness to the current cell or suggestion."""
        key = _current(self._desk.session)
        self.open()
        if self.window is not None and key is not None:
            self.window.gallery.sort_by(GalleryOrder.SIMILAR, key)

    def open_counted(self, counted: Counted) -> None:
        """Show what a differential on a slide has counted and nobody has reviewed."""
        self.open()
        if self.window is not None:
            self.window.show_counted(counted)

    def close(self) -> None:
        """Close the window permanently."""
        window, self.window = self.window, None
        if window is not None:
            self._desk.viewer.events.theme.disconnect(self._on_theme)
            window.release()

    def _on_theme(self, *_args: object) -> None:
        from napari_lld.widgets.base.theme import colours

        if self.window is not None:
            self.window.use_colours(colours(str(self._desk.viewer.theme)))

    def _on_went(self) -> None:
        if self._desk.window is not None:
            self._desk.window.raise_()
            self._desk.window.activateWindow()
