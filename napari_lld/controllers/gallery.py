"""The gallery of one desk: made when it is first opened, gone with the desk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_lld.commands.registry import Command, has_project

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext
    from napari_lld.widgets.gallery.gallery_window import GalleryWindow


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
            "Cells and suggestions of many fields side by side: sort, choose many, settle them at once.",
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

    def close(self) -> None:
        """Close it for good."""
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
