"""The layers of one viewer: the field, its finished regions, and its cells and suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from napari.layers import Image, Layer, Points, Vectors
from napari.utils.colormaps import Colormap
from qtpy.QtCore import QTimer

from annotation_store.errors import LLDError
from annotation_store.records import Box, Field, Proposal
from napari_lld.i18n.translate import tr
from napari_lld.imaging.display import ShownLevel
from napari_lld.layers import outlines, palette
from napari_lld.layers.backdrop import Backdrop
from napari_lld.layers.camera import camera_of, canvas_size
from napari_lld.layers.fitting import Fit
from napari_lld.layers.measuring import measure_marks
from napari_lld.layers.model_texts import candidates, model_says
from napari_lld.session.subscriptions import Subscriptions

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_lld.session.session import Session

FIELD, UNKNOWN, REGIONS = "Field", "Unknown area", "Regions"
SUGGESTIONS, CELLS, CURRENT = "Suggestions", "Cells", "Current"
PROPOSED_LETTERS = "Proposed: letters"
SUGGESTION_LETTERS, CELL_LETTERS = "Suggestions: letters", "Cells: letters"
SIZES = "Sizes"
CASINGS = {name: f"{name}: casing" for name in (REGIONS, SUGGESTIONS, CELLS, CURRENT)}
"""Layers of dark lines below those of coloured ones."""
_MARKS = (
    *CASINGS.values(),
    UNKNOWN,
    REGIONS,
    SUGGESTIONS,
    SUGGESTION_LETTERS,
    CELLS,
    CELL_LETTERS,
    PROPOSED_LETTERS,
    CURRENT,
    SIZES,
)
_LINE = {REGIONS: 2.0, SUGGESTIONS: 2.4, CELLS: 2.2, CURRENT: 2.6}
_LINE |= {CASINGS[name]: width + 2.4 for name, width in _LINE.items()}
"""Line widths in pixels of the screen."""
_DIM = 0.42
_DASH = 9.0
"""Length of a dash in pixels of the screen."""
_LETTER = (8.0, 14.0)
"""About how wide and high a letter above a box is, in pixels of the screen."""

_SETTLED_MS = 120
"""Milliseconds that the camera rests before the marks of a slide are read for what it shows."""

_MARGIN = 8.0
"""Pixels around the field that marks may reach into, such as the handles of a box at its edge."""


class _Marks(Vectors):
    """Vectors without a thumbnail: drawing that one costs more than drawing the marks."""

    _type_string = "vectors"

    def _update_thumbnail(self) -> None:
        pass


class DeskLayers:
    """Shows a session in a viewer; switching the field replaces data, never layers."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        self._session = session
        self._viewer = viewer
        self.view = Fit(viewer)
        self._layers: dict[str, Any] = {}
        self._zoom = 1.0
        self._laid_out = False
        self._created = False
        self._cell_boxes: tuple[Box, ...] | None = ()
        self._slots: dict[int, int] = {}
        self._unknown: set[int] = set()
        self._draft: outlines.Segments = outlines.NO_SEGMENTS
        self._source: npt.NDArray[np.uint8] | Sequence[Any] | None = None
        self._backdrop: Backdrop | None = None
        self._closed = False
        self._listening = Subscriptions()
        self._listening.add(session.fields.current_changed, self._on_field)
        self._listening.add(session.marks.changed, self._on_marks)
        self._listening.add(session.selection.changed, self._draw_proposed)
        self._listening.add(session.selection.proposed_box_changed, self._draw_current)
        self._listening.add(session.region_proposal.changed, self._draw_proposed)
        self._listening.add(session.label_errors.changed, self._draw_proposed)
        self._listening.add(session.candidates.changed, self._draw_proposed)
        self._listening.add(session.marks.threshold_changed, self._on_threshold)
        self._listening.add(session.marks.shown_changed, self._on_display)
        self._listening.add(session.display.look_changed, self._on_look)
        self._listening.add(session.words_changed, self._on_words)
        self._listening.add(session.display.measured, self._draw_current)
        self._listening.add(camera_of(viewer).events.zoom, self._on_zoom)
        self._moved = QTimer()
        self._moved.setSingleShot(True)
        self._moved.setInterval(_SETTLED_MS)
        self._moved.timeout.connect(self._look)
        self._listening.add(camera_of(viewer).events.zoom, self._on_camera)
        self._listening.add(camera_of(viewer).events.center, self._on_camera)
        self._listening.add(viewer.events.theme, self._ink_letters)
        self._listening.add(viewer.layers.events.removed, self._on_removed)
        self._on_field()

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
        return any(layer is own for own in self._layers.values())

    @property
    def foreign(self) -> str | None:
        """The name of the layer that mouse and keys act on, where it is not one of ours."""
        active = self._viewer.layers.selection.active
        return None if active is None or self.owns(active) else str(active.name)

    def select(self) -> None:
        """Activate the layer that handles mouse and keys."""
        if FIELD in self._layers:
            self._viewer.layers.selection.active = self._layers[FIELD]

    def _on_removed(self) -> None:
        QTimer.singleShot(0, self._bring_back)  # the viewer is not done with the removal yet

    def _bring_back(self) -> None:
        """Create the plugin's layers again if one was deleted: a field must never be blank."""
        lost = [name for name, layer in self._layers.items() if layer not in self._viewer.layers]
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

    # ------------------------------------------------------------------ layers

    def _remove(self) -> None:
        with self._at_once() if self._layers else nullcontext():
            for layer in self._layers.values():
                with suppress(ValueError):
                    self._viewer.layers.remove(layer)
        self._layers.clear()
        self._source = None
        self._cell_boxes, self._slots = (), {}

    def _keep(self) -> None:
        """Keep the layers for the project that is opened next: creating them takes napari a second."""
        self._source = None
        self._cell_boxes, self._slots = None, {}  # drawn anew, whatever they are
        if PROPOSED_LETTERS in self._layers:
            self._draw_letters(PROPOSED_LETTERS, (), ())
        QTimer.singleShot(0, self._remove_unused)

    def _remove_unused(self) -> None:
        """Remove the layers if the next project was not opened after all."""
        if not self._closed and self._session.fields.current is None:
            self._remove()

    def _shows_levels(self) -> bool:
        """Return whether napari reads what it shows from a slide, which is closed with its project."""
        image = self._layers.get(FIELD)
        return image is not None and bool(image.multiscale)

    def _at_once(self) -> AbstractContextManager[None]:
        """Have the canvas rebuild its scene once for all layers that go, where napari can (0.9).

        It takes a tenth of a second, mostly for collecting garbage: 12 layers would freeze the window.
        Layers that come so would never be drawn, only the field.
        """
        batched = getattr(self._viewer.layers, "batched_update", nullcontext)
        return cast("AbstractContextManager[None]", batched())

    def _layer(self, name: str, make: Callable[[], Layer]) -> Any:
        """Return a layer, created again where the user deleted it."""
        layer = self._layers.get(name)
        if layer is None or layer not in self._viewer.layers:
            layer = make()
            self._layers[name] = layer
            self._viewer.layers.append(layer)
            if name == CELLS:
                self._cell_boxes = ()
            elif name == SUGGESTIONS:
                self._slots = {}
            self._created = True
            if self._laid_out:
                self._activate_field()
        return layer

    def _activate_field(self) -> None:
        """Activate the field again after napari has activated a layer that was created."""
        field = self._layers.get(FIELD)
        if self._created and field is not None:
            self._viewer.layers.selection.active = field
        self._created = False

    def _vectors(self, name: str) -> Vectors:
        if name in CASINGS:
            self._vectors(CASINGS[name])  # first, so that it lies below
        return self._layer(
            name,
            lambda: _Marks(
                None,
                ndim=2,
                name=name,
                vector_style="line",
                edge_width=_LINE[name] / self._zoom,
                edge_color=palette.CURRENT,
                visible=self._session.marks.shown,
            ),
        )

    # ------------------------------------------------------------------ drawing

    def _on_field(self) -> None:
        if self._draw_field():
            self.view.fit()  # after the marks: those of a larger field would count in
            self._fit_lines()
            self._draw_current()
            self._ink_letters()

    def _draw_field(self) -> bool:
        """Show the field and all on it; false if there is none."""
        session = self._session
        field = session.fields.current
        if session.project is None or field is None:
            if session.replacing and not self._shows_levels():
                self._keep()
            else:
                self._remove()
            return False
        pixels: npt.NDArray[np.uint8] | Sequence[Any]
        scale = 1.0
        try:
            # Of a slide its levels, which napari reads as far as they are seen.
            pixels = (
                session.project.slides.open(field.id).levels
                if field.is_slide
                else session.fields.pixels(field.id)
            )
        except LLDError as error:
            session.notify("error", str(error))
            pixels, scale = self._stand_in(field)
        self._laid_out = False
        self._show_pixels(pixels, scale)
        self._draft = outlines.NO_SEGMENTS
        self._on_marks(frozenset({"region", "suggestion", "cell"}))
        self._laid_out = True
        self._activate_field()  # once for all layers: each time napari exchanges its controls
        return True

    def _stand_in(self, field: Field) -> tuple[npt.NDArray[np.uint8], float]:
        """Return a placeholder for a field whose pixels cannot be read, and its pixel size."""
        project = self._session.project
        with suppress(LLDError):
            if project is not None:
                small = project.pixels.thumbnail(field.id, side=1024)
                return small, field.width / small.shape[1]
        scale = max(1.0, max(field.width, field.height) / 64)
        size = (max(1, round(field.height / scale)), max(1, round(field.width / scale)), 3)
        return np.full(size, 128, dtype=np.uint8), scale

    def _show_pixels(self, pixels: npt.NDArray[np.uint8] | Sequence[Any], scale: float) -> None:
        self._source = pixels  # as stored; what is shown of it may be a copy
        levels = not isinstance(pixels, np.ndarray)
        shown = self._as_shown(pixels)
        image = self._layers.get(FIELD)
        if image is not None and (image not in self._viewer.layers or levels or image.multiscale):
            with suppress(ValueError):
                self._viewer.layers.remove(image)
            image = None
        if image is None:
            image = Image(shown, rgb=True, multiscale=levels, name=FIELD, interpolation2d="linear")
            self._layers[FIELD] = image
            self._viewer.layers.insert(0, image)
            self._viewer.layers.selection.active = image
        else:
            image.data = shown
        _lay(image, scale)
        image.help = ""  # napari would name keys that are ours here
        self._measure(image.data)

    def _measure(self, shown: Any) -> None:
        """Store how bright the field is behind the letters."""
        field = self._session.fields.current
        if field is not None:
            pixels = shown if isinstance(shown, np.ndarray) else None
            self._backdrop = Backdrop(pixels, field.width, field.height)
            if UNKNOWN in self._layers:
                unknown = self._layers[UNKNOWN]
                self._backdrop.dim(unknown.data, float(unknown.scale[-1]), _DIM)

    def _as_shown(self, pixels: npt.NDArray[np.uint8] | Sequence[Any]) -> Any:
        look = self._session.display.look
        if isinstance(pixels, np.ndarray):
            return look.shown(pixels)
        return [level if look.plain else ShownLevel(level, look) for level in pixels]

    def _on_look(self) -> None:
        image = self._layers.get(FIELD)
        if image is not None and self._source is not None and image in self._viewer.layers:
            image.data = self._as_shown(self._source)
            self._measure(image.data)
            self._ink_letters()

    def _on_marks(self, kinds: frozenset[str]) -> None:
        if self._session.fields.current_id is None:
            return
        if kinds & {"region", "ignore_area"}:
            self._draw_regions()
        if "suggestion" in kinds or ("region" in kinds and self._session.marks.pending):
            self._draw_suggestions()
        if "cell" in kinds:
            self._draw_cells()
        if kinds & {"region", "ignore_area"}:
            self._ink_letters()
        self._draw_current()

    def _on_words(self) -> None:
        self._on_marks(frozenset({"suggestion"}))
        self._draw_proposed()

    def _on_threshold(self) -> None:
        if self._session.fields.current_id is not None:
            self._draw_suggestions()

    def _draw_regions(self) -> None:
        session, field = self._session, self._session.fields.current
        if field is None:
            return
        finished = [region.shape for region in session.marks.regions if region.finished]
        mask, scale = outlines.unknown_mask(finished, field.width, field.height)
        if not finished:
            mask = np.zeros((1, 1), dtype=np.uint8)  # all is unknown: nothing to tell apart, so dim nothing
        unknown = self._layer(
            UNKNOWN,
            lambda: Image(
                mask,
                name=UNKNOWN,
                colormap=Colormap([[0, 0, 0, 0], [0, 0, 0, 1]], name="unknown area"),
                contrast_limits=(0, 1),
                opacity=_DIM,
                blending="translucent",
                visible=session.marks.shown,
            ),
        )
        if not np.array_equal(unknown.data, mask):
            unknown.data = mask
        _lay(unknown, scale)
        if self._backdrop is not None:
            self._backdrop.dim(mask, scale, _DIM)
        parts, colours = [], []
        for region in session.marks.regions:
            outline = outlines.shape_outlines([region.shape])
            parts.append(outline if region.finished else outlines.draft_outline(region.shape))
            colours.append(palette.rgba(palette.REGION))
        for area in session.marks.ignore_areas:
            parts.append(outlines.crossed_outline(area.shape))
            colours.append(palette.rgba(palette.IGNORED))
        # Two unseen points hold the extent of all layers: were it to change with the marks, napari
        # would lay out every layer anew for each box near the edge.
        anchors = np.array(
            [[[-_MARGIN, -_MARGIN], [0, 0.01]], [[field.height + _MARGIN, field.width + _MARGIN], [0, 0.01]]],
            dtype=np.float32,
        )
        parts.append(anchors)
        colours.append((0, 0, 0, 0))
        shades = np.repeat(np.array(colours), [len(part) for part in parts], axis=0)
        self._draw_lines(REGIONS, np.concatenate(parts), shades)

    def _draw_lines(
        self, name: str, segments: outlines.Segments | None, colours: npt.NDArray[np.float64] | None
    ) -> None:
        """Draw coloured lines on dark ones; ``None`` = as they are."""
        casing, lines = self._vectors(CASINGS[name]), self._vectors(name)
        if segments is not None:
            for layer in (casing, lines):
                if not np.array_equal(layer.data, segments):
                    self._put(layer, segments)
        if colours is None or not len(lines.data):
            return
        shades = np.tile(palette.rgba(palette.CASING), (len(colours), 1))
        shades[:, 3] = colours[:, 3]
        for layer, shown in ((lines, colours), (casing, shades)):
            if not np.array_equal(layer.edge_color, shown.astype(layer.edge_color.dtype)):
                layer.edge_color = shown

    def _put(self, layer: Any, data: npt.NDArray[Any]) -> None:
        """Set a layer's data; the extent of all layers is that of the field, and stays.

        So napari, which would lay them all out anew for two milliseconds each time, does not hear of it.
        """
        with layer.events.data.blocker() if self._laid_out else nullcontext():
            layer.data = data

    def _draw_cells(self) -> None:
        session, schema = self._session, self._session.schema
        if schema is None:
            return
        cells = session.marks.cells
        boxes = tuple(cell.box for cell in cells)
        self._vectors(CELLS)  # where it has to be created again, its boxes are too
        segments = outlines.box_outlines(boxes) if boxes != self._cell_boxes else None
        self._cell_boxes = boxes
        colours = np.array([palette.rgba(palette.class_colour(schema, c.cell_class)) for c in cells])
        shades = np.repeat(colours, outlines.BOX_SEGMENTS, axis=0) if cells else None
        self._draw_lines(CELLS, segments, shades)
        texts = []
        for cell in cells:
            unfinished = cell.cell_class is not None and session.is_incomplete(cell)
            noted = ("*" if cell.bookmark else "") + ("!" if cell.second_opinion else "")
            texts.append(
                palette.class_letter(schema, cell.cell_class)
                + ("…" if unfinished else "")
                + (f" {noted}" if noted else "")
            )
        self._draw_letters(CELL_LETTERS, boxes, texts)

    def _draw_suggestions(self) -> None:
        """Draw all that wait, those below the threshold in no colour.

        So the slider, an accept or a reject recolours; boxes are laid out anew only when new ones come.
        """
        session, schema = self._session, self._session.schema
        if schema is None:
            return
        waiting = session.marks.waiting
        layer = self._vectors(SUGGESTIONS)
        segments = None
        unknown_now = {suggestion.id for suggestion in waiting if suggestion.is_unknown}
        if (
            not waiting
            or any(suggestion.id not in self._slots for suggestion in waiting)
            or unknown_now != self._unknown & {suggestion.id for suggestion in waiting}
        ):
            boxes = tuple(suggestion.box for suggestion in waiting)
            self._slots = {suggestion.id: slot for slot, suggestion in enumerate(waiting)}
            self._unknown = unknown_now
            if boxes or len(layer.data):
                segments = outlines.box_brackets(boxes)
                unknown = [slot for slot, suggestion in enumerate(waiting) if suggestion.is_unknown]
                by_box = segments.reshape(-1, outlines.BRACKET_SEGMENTS, 2, 2)
                spikes = outlines.box_spikes([boxes[slot] for slot in unknown])
                by_box[unknown] = spikes.reshape(-1, outlines.BRACKET_SEGMENTS, 2, 2)
        else:
            boxes = None
        colours = np.zeros((len(self._slots), 4))
        texts = [""] * len(self._slots)
        for suggestion in session.suggestions.shown:
            slot = self._slots[suggestion.id]
            texts[slot] = palette.proposal_word(schema, suggestion.proposal)
            colours[slot] = palette.rgba(palette.proposal_colour(schema, suggestion.proposal))
        shades = np.repeat(colours, outlines.BRACKET_SEGMENTS, axis=0) if self._slots else None
        self._draw_lines(SUGGESTIONS, segments, shades)
        self._draw_letters(SUGGESTION_LETTERS, boxes, texts)

    def _draw_letters(self, name: str, boxes: Sequence[Box] | None, texts: Sequence[str]) -> None:
        """Write letters above boxes; ``None`` = the boxes are those of the last time."""
        layer: Points = self._layer(
            name,
            lambda: Points(
                np.zeros((0, 2)),
                ndim=2,
                name=name,
                size=0.01,
                face_color="transparent",
                border_color="transparent",
                border_width=0,
                features={"text": np.zeros(0, dtype=object)},
                text={"string": "{text}", "size": 10, "color": "white", "anchor": "upper_left"},
                visible=self._session.marks.shown,
            ),
        )
        if boxes is not None:
            positions = np.array([(y, x) for x, y, _w, _h in boxes]).reshape(-1, 2)
            if not np.array_equal(layer.data, positions):
                if len(layer.data) != len(positions):
                    # One colour for all, before napari meets as many colours as there were texts.
                    layer.text.color = palette.MISSING
                self._put(layer, positions)
                layer.selected_data = set()
        if layer.features["text"].tolist() != list(texts):
            layer.features = {"text": np.array(texts, dtype=object)}
        self._ink(layer)
        layer.refresh_text()

    def _ink(self, layer: Points) -> None:
        """Write in black or white, whichever is read on what lies behind each letter."""
        if self._backdrop is None or not len(layer.data):
            return
        width, height = (side / self._zoom for side in _LETTER)
        lengths = np.array([max(len(text), 1) for text in layer.features["text"]])
        rows, columns = layer.data[:, 0], layer.data[:, 1]
        areas = np.stack([rows - height, columns, rows, columns + lengths * width], 1)
        canvas = 1.0 if self._viewer.theme == "light" else 0.0
        inks = palette.ink(self._backdrop.behind(areas, canvas))
        layer.text.color = inks

    def _ink_letters(self) -> None:
        for layer in self._layers.values():
            if isinstance(layer, Points):
                self._ink(layer)
                layer.refresh_text()

    def _draw_proposed(self) -> None:
        """Draw what is undecided: a proposed region, and what the model predicts instead of a label."""
        session = self._session
        boxes: list[Box] = []
        texts = []
        if session.region_proposal.current is not None:
            boxes.append(session.region_proposal.current.box)
            texts.append(tr("proposed"))
        if (label_error := session.label_errors.current) is not None and label_error.box is not None:
            boxes.append(label_error.box)
            texts.append(model_says(session))
        elif (cell := session.selection.cell) is not None and (likely := candidates(session)):
            boxes.append(cell.box)
            texts.append(likely)
        if session.fields.current_id is not None and (boxes or PROPOSED_LETTERS in self._layers):
            self._draw_letters(PROPOSED_LETTERS, boxes, texts)
        self._draw_current()

    def _draw_current(self) -> None:
        session = self._session
        if session.fields.current_id is None:
            return
        parts = [self._draft]
        if session.selection.proposed_box is not None:
            parts.append(outlines.box_outlines([session.selection.proposed_box]))
        proposed = session.region_proposal.current
        if proposed is not None:
            parts.append(outlines.dashed_box(proposed.box, _DASH / self._zoom))
            if session.selection.current is None:
                parts.append(self._handles(proposed.box, centre=True))
        mark = session.selection.cell or session.selection.proposal
        if mark is not None:
            draw = outlines.box_outlines
            if isinstance(mark, Proposal):
                draw = outlines.box_spikes if mark.is_unknown else outlines.box_brackets
            parts.append(draw([self._grown(mark.box)]))
            parts.append(self._handles(mark.box))
        label_error = session.label_errors.current
        if label_error is not None and label_error.id is not None and label_error.prediction is not None:
            parts.append(outlines.box_brackets([label_error.prediction.box]))
        region = session.selection.region
        if region is not None:
            parts.append(outlines.path_outline(region.shape.points, closed=True))
            parts.append(self._handles(region.shape.bounds, centre=True))
        area = session.selection.ignore_area
        if area is not None:
            parts.append(outlines.crossed_outline(area.shape))
        lines, places, texts = measure_marks(session.display, self._zoom)
        if texts or (SIZES in self._layers and len(self._layers[SIZES].data)):
            boxes = [(x, y, 0.0, 0.0) for x, y in places]
            self._draw_letters(SIZES, boxes, texts)
        segments = np.concatenate([*parts, lines])
        layer = self._vectors(CURRENT)
        if not np.array_equal(layer.data, segments):
            shades = np.tile(palette.rgba(palette.CURRENT), (len(segments), 1))
            self._draw_lines(CURRENT, segments, shades)

    def pixels(self, area: tuple[int, int, int, int]) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a part of the field that is shown (left, top, right, bottom).

        They are in memory already, or of a slide a few tiles; ``None`` if only a stand-in is shown.
        """
        image, source = self._layers.get(FIELD), self._source
        if image is None or source is None or tuple(image.scale[-2:]) != (1.0, 1.0):
            return None
        left, top, right, bottom = (max(0, edge) for edge in area)
        data = source if isinstance(source, np.ndarray) else source[0]
        try:
            return np.asarray(data[top:bottom, left:right])[..., :3]
        except LLDError:  # a damaged tile of a slide; napari tells of it when it is shown
            return None

    def draw_draft(self, segments: outlines.Segments) -> None:
        """Draw the box or region that the mouse is drawing; nothing is stored before it is finished."""
        self._draft = segments
        self._draw_current()

    def _grown(self, box: Box) -> Box:
        pad = 2.5 / self._zoom  # beside the class-coloured outline, not over it
        x, y, w, h = box
        return (x - pad, y - pad, w + 2 * pad, h + 2 * pad)

    def _handles(self, box: Box, *, centre: bool = False) -> outlines.Segments:
        x, y, w, h = self._grown(box)
        half = 3.0 / self._zoom
        points = [
            (x + fx * w, y + fy * h)
            for fx in (0, 0.5, 1)
            for fy in (0, 0.5, 1)
            if centre or (fx, fy) != (0.5, 0.5)
        ]
        return outlines.box_outlines([(px - half, py - half, 2 * half, 2 * half) for px, py in points])

    # ------------------------------------------------------------------ display

    def _on_display(self) -> None:
        for name in _MARKS:
            if name in self._layers:
                self._layers[name].visible = self._session.marks.shown

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
        if zoom > 0 and not 0.75 < zoom / self._zoom < 1.33:
            self._fit_lines()
            self._draw_current()
            self._ink_letters()

    def _fit_lines(self) -> None:
        self._zoom = max(float(camera_of(self._viewer).zoom), 1e-3)
        for name, width in _LINE.items():
            layer = self._layers.get(name)
            # napari builds all lines of a layer anew for a width, be it the one that they have
            if layer is not None and layer.edge_width != width / self._zoom:
                layer.edge_width = width / self._zoom


def _lay(image: Image, scale: float) -> None:
    """Lay pixels out so that world coordinates are those of the store, (0, 0) a corner: half a pixel further.

    Only what differs is set: for each of both, napari lays out all layers anew.
    """
    if tuple(image.scale) != (scale, scale):
        image.scale = (scale, scale)
    if tuple(image.translate) != (scale / 2, scale / 2):
        image.translate = (scale / 2, scale / 2)
