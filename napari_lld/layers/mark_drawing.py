"""The marks of a field on their layers: regions, cells, suggestions, and what is current."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import Colormap

from annotation_store.records import Box, Proposal
from napari_lld.i18n.translate import tr
from napari_lld.layers import outlines, palette
from napari_lld.layers.field_image import DIM, FieldImage, lay
from napari_lld.layers.layer_set import (
    CASINGS,
    CELL_LETTERS,
    CELLS,
    CURRENT,
    PROPOSED_LETTERS,
    REGIONS,
    SIZES,
    SUGGESTION_LETTERS,
    SUGGESTIONS,
    UNKNOWN,
    LayerSet,
)
from napari_lld.layers.letters import Letters
from napari_lld.layers.measuring import measure_marks
from napari_lld.layers.model_texts import candidates, model_says

if TYPE_CHECKING:
    from napari_lld.session.session import Session

_DASH = 9.0
"""Length of a dash in pixels of the screen."""

_MARGIN = 8.0
"""Pixels around the field that marks may reach into, such as the handles of a box at its edge."""


class MarkDrawing:
    """Draws what a session knows of its field.

    Attributes
    ----------
    draft
        The box or region that the mouse is drawing.
    """

    def __init__(self, session: Session, layers: LayerSet, image: FieldImage, letters: Letters) -> None:
        self._session, self._layers = session, layers
        self._image, self._letters = image, letters
        self.draft: outlines.Segments = outlines.NO_SEGMENTS
        self._cell_boxes: tuple[Box, ...] | None = ()
        self._slots: dict[int, int] = {}
        self._unknown: set[int] = set()

    def forget(self) -> None:
        """Forget what was drawn: the layers are gone."""
        self._cell_boxes, self._slots = (), {}

    def leave(self) -> None:
        """Have all drawn anew, whatever it is: the next marks are another project's."""
        self._cell_boxes, self._slots = None, {}
        if PROPOSED_LETTERS in self._layers:
            self._letters.draw(PROPOSED_LETTERS, (), ())

    def on_created(self, name: str) -> None:
        """Take note that nothing is drawn on a layer yet."""
        if name == CELLS:
            self._cell_boxes = ()
        elif name == SUGGESTIONS:
            self._slots = {}

    def draw_regions(self) -> None:
        """Draw regions and ignore areas, and darken what lies outside of the finished ones."""
        session, field = self._session, self._session.fields.current
        if field is None:
            return
        finished = [region.shape for region in session.marks.regions if region.finished]
        mask, scale = outlines.unknown_mask(finished, field.width, field.height)
        if not finished:
            mask = np.zeros((1, 1), dtype=np.uint8)  # all is unknown: nothing to tell apart, so dim nothing
        unknown = self._layers.layer(
            UNKNOWN,
            lambda: Image(
                mask,
                name=UNKNOWN,
                colormap=Colormap([[0, 0, 0, 0], [0, 0, 0, 1]], name="unknown area"),
                contrast_limits=(0, 1),
                opacity=DIM,
                blending="translucent",
                visible=session.marks.shown,
            ),
        )
        if not np.array_equal(unknown.data, mask):
            unknown.data = mask
        lay(unknown, scale)
        if self._image.backdrop is not None:
            self._image.backdrop.dim(mask, scale, DIM)
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
        self._layers.draw_lines(REGIONS, np.concatenate(parts), shades)

    def draw_cells(self) -> None:
        """Draw the boxes of cells in the colours of their classes, and their letters."""
        session, schema = self._session, self._session.schema
        if schema is None:
            return
        cells = session.marks.cells
        boxes = tuple(cell.box for cell in cells)
        self._layers.vectors(CELLS)  # where it has to be created again, its boxes are too
        segments = outlines.box_outlines(boxes) if boxes != self._cell_boxes else None
        self._cell_boxes = boxes
        colours = np.array([palette.rgba(palette.class_colour(schema, c.cell_class)) for c in cells])
        shades = np.repeat(colours, outlines.BOX_SEGMENTS, axis=0) if cells else None
        self._layers.draw_lines(CELLS, segments, shades)
        texts = []
        for cell in cells:
            unfinished = cell.cell_class is not None and session.is_incomplete(cell)
            noted = ("*" if cell.bookmark else "") + ("!" if cell.second_opinion else "")
            texts.append(
                palette.class_letter(schema, cell.cell_class)
                + ("…" if unfinished else "")
                + (f" {noted}" if noted else "")
            )
        self._letters.draw(CELL_LETTERS, boxes, texts)

    def draw_suggestions(self) -> None:
        """Draw all that wait, those below the threshold in no colour.

        So the slider, an accept or a reject recolours; boxes are laid out anew only when new ones come.
        """
        session, schema = self._session, self._session.schema
        if schema is None:
            return
        waiting = session.marks.waiting
        layer = self._layers.vectors(SUGGESTIONS)
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
        self._layers.draw_lines(SUGGESTIONS, segments, shades)
        self._letters.draw(SUGGESTION_LETTERS, boxes, texts)

    def draw_proposed(self) -> None:
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
            self._letters.draw(PROPOSED_LETTERS, boxes, texts)
        self.draw_current()

    def draw_current(self) -> None:
        """Draw what is selected, proposed, measured or being drawn."""
        session = self._session
        if session.fields.current_id is None:
            return
        parts = [self.draft]
        if session.selection.proposed_box is not None:
            parts.append(outlines.box_outlines([session.selection.proposed_box]))
        proposed = session.region_proposal.current
        if proposed is not None:
            parts.append(outlines.dashed_box(proposed.box, _DASH / self._layers.zoom))
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
        lines, places, texts = measure_marks(session.display, self._layers.zoom)
        if texts or (SIZES in self._layers and len(self._layers.get(SIZES).data)):
            boxes = [(x, y, 0.0, 0.0) for x, y in places]
            self._letters.draw(SIZES, boxes, texts)
        segments = np.concatenate([*parts, lines])
        if not len(segments) and CURRENT not in self._layers:
            return
        layer = self._layers.vectors(CURRENT)
        if not np.array_equal(layer.data, segments):
            shades = np.tile(palette.rgba(palette.CURRENT), (len(segments), 1))
            self._layers.draw_lines(CURRENT, segments, shades)

    def prepare_current(self) -> bool:
        """Create one of the layers of what is current; return whether both are there."""
        self._layers.vectors(CURRENT if CASINGS[CURRENT] in self._layers else CASINGS[CURRENT])
        return CURRENT in self._layers

    def _grown(self, box: Box) -> Box:
        pad = 2.5 / self._layers.zoom  # beside the class-coloured outline, not over it
        x, y, w, h = box
        return (x - pad, y - pad, w + 2 * pad, h + 2 * pad)

    def _handles(self, box: Box, *, centre: bool = False) -> outlines.Segments:
        x, y, w, h = self._grown(box)
        half = 3.0 / self._layers.zoom
        points = [
            (x + fx * w, y + fy * h)
            for fx in (0, 0.5, 1)
            for fy in (0, 0.5, 1)
            if centre or (fx, fy) != (0.5, 0.5)
        ]
        return outlines.box_outlines([(px - half, py - half, 2 * half, 2 * half) for px, py in points])
