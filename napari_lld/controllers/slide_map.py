"""The map of the slide that is shown: made beside the window, kept while the project is open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtGui import QColor

from annotation_store.images import Slide
from annotation_store.records import Field
from napari_lld.commands.registry import Command
from napari_lld.layers.camera import camera_of, canvas_size
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.tasks.slide_reading import Marked, marked

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext
    from napari_lld.widgets.fields.slide_map_window import SlideMapWindow
    from training.inference.slide_map import SlideMap

_KEPT = 8
_SOON_MS = 200
"""Many changes in a row are read as one."""
_ACROSS = 700.0
"""Pixels of the slide that the canvas shows across at least after going somewhere."""
CELL, SUGGESTION = QColor("#00e5ff"), QColor("#ffd400")


def _on_slide(session: Session) -> bool:
    return session.fields.current is not None and session.fields.current.is_slide


class SlideMapController:
    """Opens the map, fills it, and moves the canvas where it is clicked."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self.window: SlideMapWindow | None = None
        self._task = LatestTask("slide-map")
        self._marks = LatestTask("slide-marks")
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._read_marks)
        self._shown: int | None = None
        self._maps: dict[int, SlideMap] = {}
        self._listening = Subscriptions()
        session = desk.session
        self._listening.add(session.project_changed, self._on_project)
        self._listening.add(session.fields.current_changed, self._on_field)
        self._listening.add(session.marks.changed, self._on_marks)
        self._listening.add(session.words_changed, self._on_words)

    def commands(self) -> Iterator[Command]:
        """Make the command that opens it."""
        yield Command(
            "slide.map",
            "Map of the slide",
            self.open,
            ("Ctrl+Shift+M",),
            "Fields",
            _on_slide,
            "Where the slide is monolayer, sparse or thick, and what is annotated; click to go there.",
        )

    def open(self) -> None:
        """Show the map, or bring it to the front."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.fields.slide_map_window import SlideMapWindow

        desk = self._desk
        if self.window is None:
            self.window = SlideMapWindow(colours(str(desk.viewer.theme)), desk.window)
            self.window.went.connect(self.go)
            desk.viewer.events.theme.connect(self._on_theme)
            camera_of(desk.viewer).events.connect(self._on_camera)
        self.window.show()
        self.window.raise_()
        self.window.view.setFocus()
        self._fill()

    def close(self) -> None:
        """Close the window permanently."""
        self._listening.close()
        self._soon.stop()
        self._marks.close()
        self._task.close()
        self._drop_window()

    def _on_words(self) -> None:
        """Rebuild the window if it is open."""
        was_visible, place = self.window is not None and self.window.isVisible(), None
        if self.window is not None:
            place = self.window.geometry()
        self._drop_window()
        if was_visible and self.window is None:
            self.open()
        if self.window is not None and place is not None:
            self.window.setGeometry(place)

    def _drop_window(self) -> None:
        window, self.window = self.window, None
        self._shown = None
        if window is not None:
            self._desk.viewer.events.theme.disconnect(self._on_theme)
            camera_of(self._desk.viewer).events.disconnect(self._on_camera)
            window.close()
            window.deleteLater()

    def go(self, x: float, y: float) -> None:
        """Show a point of the slide, large enough to see cells."""
        camera = camera_of(self._desk.viewer)
        camera.center = (0.0, y, x)
        camera.zoom = max(camera.zoom, self._canvas()[1] / (2 * _ACROSS))

    def _fill(self) -> None:
        session, window = self._desk.session, self.window
        project, field = session.project, session.fields.current
        if window is None or project is None or field is None or not field.is_slide:
            return
        if self._shown != field.id:
            self._shown = field.id
            overview = project.pixels.thumbnail(field.id, side=1024)
            window.begin(field.name, overview, field.width, field.height)
            slide_map = self._maps.get(field.id)
            if slide_map is not None:
                window.show_map(slide_map)
            else:
                self._begin(field, project.slides.open(field.id))
        self._on_marks()
        self._on_camera()

    def _begin(self, field: Field, slide: Slide) -> None:
        def work() -> SlideMap:
            from training.inference.slide_map import map_slide

            return map_slide(slide)

        def on_done(slide_map: SlideMap) -> None:
            while len(self._maps) >= _KEPT:
                self._maps.pop(next(iter(self._maps)))
            self._maps[field.id] = slide_map
            if self.window is not None and self._shown == field.id:
                self.window.show_map(slide_map)

        def failed(sentence: str) -> None:
            if self.window is not None:
                self.window.fail(sentence)

        self._task.start(work, on_done, failed)

    def _on_project(self) -> None:
        self._task.drop()
        self._marks.drop()
        self._maps.clear()
        self._shown = None
        if self.window is not None:
            self.window.hide()

    def _on_field(self) -> None:
        if self.window is None or not self.window.isVisible():
            return
        if _on_slide(self._desk.session):
            self._fill()
        else:
            self.window.hide()

    def _on_marks(self, _kinds: frozenset[str] = frozenset()) -> None:
        if self.window is not None and self.window.isVisible():
            self._soon.start()

    def _read_marks(self) -> None:
        """Read the positions of all cells and suggestions of the slide in a thread."""
        window, session = self.window, self._desk.session
        project, slide = session.project, session.marks.slide
        if window is None or not window.isVisible() or project is None or slide is None:
            return
        path, reading, least = project.path, project.reading.id, session.marks.threshold

        def on_done(marks: Marked) -> None:
            if self.window is not None and session.marks.slide == slide:
                cells, suggestions = marks
                areas = [region.shape.bounds for region in session.marks.regions]
                self.window.view.show_marks([(SUGGESTION, suggestions), (CELL, cells)], areas)

        self._marks.start(lambda: marked(path, reading, slide, least), on_done, window.fail)

    def _canvas(self) -> tuple[float, float]:
        viewer = self._desk.viewer
        height, width = canvas_size(viewer)
        return float(height), float(width)

    def _on_camera(self, _event: object = None) -> None:
        if self.window is None or not self.window.isVisible():
            return
        camera = camera_of(self._desk.viewer)
        y, x = camera.center[-2:]
        height, width = (side / max(camera.zoom, 1e-9) for side in self._canvas())
        if np.isfinite([x, y, width, height]).all():
            self.window.view.show_sight((x - width / 2, y - height / 2, width, height))

    def _on_theme(self, *_args: object) -> None:
        from napari_lld.widgets.base.theme import colours

        if self.window is not None:
            self.window.use_colours(colours(str(self._desk.viewer.theme)))
