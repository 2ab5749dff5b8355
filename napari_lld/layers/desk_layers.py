"""The layers of one viewer: the field, its finished regions, and its cells and suggestions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from napari.layers import Layer
from qtpy.QtCore import QTimer

from napari_lld.i18n.translate import tr
from napari_lld.layers import outlines
from napari_lld.layers.camera import camera_of, canvas_size
from napari_lld.layers.field_image import FieldImage
from napari_lld.layers.fitting import Fit
from napari_lld.layers.layer_set import CURRENT, LayerSet
from napari_lld.layers.letters import Letters
from napari_lld.layers.mark_drawing import MarkDrawing
from napari_lld.session.subscriptions import Subscriptions

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_lld.session.session import Session

_SETTLED_MS = 120
"""Milliseconds that the camera rests before the marks of a slide are read for what it shows."""

_QUIET_MS = 300
"""Milliseconds after the first field in which it is drawn."""


class DeskLayers:
    """Shows a session in a viewer; switching the field replaces data, never layers."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        self._session = session
        self._viewer = viewer
        self.view = Fit(viewer)
        self._layers = LayerSet(viewer, self._shows_marks, self._on_created)
        self._image = FieldImage(session, self._layers)
        self._letters = Letters(self._layers, viewer, lambda: self._image.backdrop, self._shows_marks)
        self._marks = MarkDrawing(session, self._layers, self._image, self._letters)
        self._closed = False
        self._listening = Subscriptions()
        self._listening.add(session.fields.current_changed, self._on_field)
        self._listening.add(session.marks.changed, self._on_marks)
        self._listening.add(session.selection.changed, self._marks.draw_proposed)
        self._listening.add(session.selection.proposed_box_changed, self._marks.draw_current)
        self._listening.add(session.region_proposal.changed, self._marks.draw_proposed)
        self._listening.add(session.label_errors.changed, self._marks.draw_proposed)
        self._listening.add(session.candidates.changed, self._marks.draw_proposed)
        self._listening.add(session.marks.threshold_changed, self._on_threshold)
        self._listening.add(session.marks.shown_changed, self._on_display)
        self._listening.add(session.display.look_changed, self._on_look)
        self._listening.add(session.words_changed, self._on_words)
        self._listening.add(session.display.measured, self._marks.draw_current)
        self._listening.add(camera_of(viewer).events.zoom, self._on_zoom)
        self._moved = QTimer()
        self._moved.setSingleShot(True)
        self._moved.setInterval(_SETTLED_MS)
        self._moved.timeout.connect(self._look)
        self._listening.add(camera_of(viewer).events.zoom, self._on_camera)
        self._listening.add(camera_of(viewer).events.center, self._on_camera)
        self._listening.add(viewer.events.theme, self._letters.ink_all)
        self._listening.add(viewer.layers.events.removed, self._on_removed)
        self._on_field()

    def _shows_marks(self) -> bool:
        return self._session.marks.shown

    def _on_created(self, name: str) -> None:
        self._marks.on_created(name)

    def close(self, *, remove: bool = True) -> None:
        """Disconnect from session and viewer, and take the layers away."""
        self._closed = True
        self._moved.stop()
        self._listening.close()
        self.view.close()
        if remove:
            self._remove()

    def owns(self, layer: Layer | None) -> bool:
        """Return whether a layer is one of ours."""
        return self._layers.owns(layer)

    @property
    def foreign(self) -> str | None:
        """The name of the layer that mouse and keys act on, where it is not one of ours."""
        active = self._viewer.layers.selection.active
        return None if active is None or self.owns(active) else str(active.name)

    def select(self) -> None:
        """Activate the layer that handles mouse and keys."""
        self._layers.select()

    def _on_removed(self) -> None:
        QTimer.singleShot(0, self._bring_back)  # the viewer is not done with the removal yet

    def _bring_back(self) -> None:
        """Create the plugin's layers again if one was deleted: a field must never be blank."""
        lost = self._layers.lost()
        if self._closed or not lost or self._session.fields.current is None:
            return
        self._remove()
        self._draw_field()
        self._session.notify(
            "info",
            tr(
                "The layer “{name}” belongs to the project and was restored. [view.marks] hides all marks.",
                name=lost[0],
            ),
        )

    def _remove(self) -> None:
        self._layers.remove()
        self._image.forget()
        self._marks.forget()

    def _keep(self) -> None:
        """Keep the layers for the project that is opened next: creating them takes napari a second."""
        self._image.forget()
        self._marks.leave()
        QTimer.singleShot(0, self._remove_unused)

    def _remove_unused(self) -> None:
        """Remove the layers if the next project was not opened after all."""
        if not self._closed and self._session.fields.current is None:
            self._remove()

    # ------------------------------------------------------------------ drawing

    def _on_field(self) -> None:
        if self._draw_field():
            self.view.fit()  # after the marks: those of a larger field would count in
            self._layers.fit_lines()
            self._marks.draw_current()
            self._letters.ink_all()

    def _draw_field(self) -> bool:
        """Show the field and all on it; false if there is none."""
        session = self._session
        field = session.fields.current
        if session.project is None or field is None:
            if session.replacing and not self._image.is_multiscale:
                self._keep()
            else:
                self._remove()
            return False
        pixels, scale = self._image.read(field)
        self._layers.laid_out = False
        self._image.show(pixels, scale)
        self._marks.draft = outlines.NO_SEGMENTS
        self._on_marks(frozenset({"region", "suggestion", "cell"}))
        self._layers.laid_out = True
        if CURRENT not in self._layers:
            self._prepare_later()
        return True

    def _prepare_later(self) -> None:
        # the time that passes until the field is painted does not count
        QTimer.singleShot(0, lambda: QTimer.singleShot(_QUIET_MS, self._prepare))

    def _prepare(self) -> None:
        """Create, in a quiet moment, what the first click would have to wait for."""
        if self._closed or self._session.fields.current is None:
            return
        # not before the list is read: both would take longer; and one at a time, so that a key waits for one
        if self._session.fields.being_read or not self._marks.prepare_current():
            self._prepare_later()

    def _on_marks(self, kinds: frozenset[str]) -> None:
        if self._session.fields.current_id is None:
            return
        if kinds & {"region", "ignore_area"}:
            self._marks.draw_regions()
        if "suggestion" in kinds or ("region" in kinds and self._session.marks.pending):
            self._marks.draw_suggestions()
        if "cell" in kinds:
            self._marks.draw_cells()
        if kinds & {"region", "ignore_area"}:
            self._letters.ink_all()
        self._marks.draw_current()

    def _on_words(self) -> None:
        self._on_marks(frozenset({"suggestion"}))
        self._marks.draw_proposed()

    def _on_threshold(self) -> None:
        if self._session.fields.current_id is not None:
            self._marks.draw_suggestions()

    def _on_look(self) -> None:
        if self._image.show_look():
            self._letters.ink_all()

    def pixels(self, area: tuple[int, int, int, int]) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a part of the field that is shown (left, top, right, bottom).

        They are in memory already, or of a slide a few tiles; ``None`` if only a stand-in is shown.
        """
        return self._image.part(area)

    def draw_draft(self, segments: outlines.Segments) -> None:
        """Draw the box or region that the mouse is drawing; nothing is stored before it is finished."""
        self._marks.draft = segments
        self._marks.draw_current()

    # ------------------------------------------------------------------ display

    def _on_display(self) -> None:
        self._layers.show_marks(self._session.marks.shown)

    def _on_camera(self) -> None:
        field = self._session.fields.current
        if field is not None and field.is_slide:
            self._moved.start()  # of a slide, what is in sight is read when the camera has come to rest

    def _look(self) -> None:
        """Report to the session which part of a slide is in sight."""
        if self._closed or self._session.fields.current is None:
            return
        camera = camera_of(self._viewer)
        height, width = canvas_size(self._viewer)
        row, column = camera.center[-2:]
        w, h = width / max(camera.zoom, 1e-6), height / max(camera.zoom, 1e-6)
        self._session.marks.look_at((column - w / 2, row - h / 2, w, h))

    def _on_zoom(self) -> None:
        # Lines keep their width on the screen, in steps: a Vectors layer is rebuilt for a new width.
        if CURRENT not in self._layers:
            return  # napari zooms while the first layer is being inserted
        zoom = camera_of(self._viewer).zoom
        if zoom > 0 and not 0.75 < zoom / self._layers.zoom < 1.33:
            self._layers.fit_lines()
            self._marks.draw_current()
            self._letters.ink_all()
