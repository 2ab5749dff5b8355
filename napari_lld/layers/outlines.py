"""Boxes and polygons as line segments: what napari's Vectors layer draws fast.

All give arrays of shape (n, 2, 2): start and direction of each segment, as (row, column).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from annotation_store.records import Box, Shape

Segments = npt.NDArray[np.float32]

NO_SEGMENTS: Segments = np.zeros((0, 2, 2), dtype=np.float32)
BOX_SEGMENTS = 4
"""Segments of one box."""
_DASHES = 24
"""Dashes and gaps along the longer side of a draft region."""
BRACKET_SEGMENTS = 8
"""Segments of one box drawn as four corner brackets."""


def _corners(boxes: Sequence[Box]) -> npt.NDArray[np.float32]:
    """Return (n, 4, 2) corners as (row, column), clockwise from the top left."""
    x, y, w, h = np.asarray(boxes, dtype=np.float32).reshape(-1, 4).T
    return np.stack(
        [
            np.stack([y, x], axis=-1),
            np.stack([y, x + w], axis=-1),
            np.stack([y + h, x + w], axis=-1),
            np.stack([y + h, x], axis=-1),
        ],
        axis=1,
    )


def box_outlines(boxes: Sequence[Box]) -> Segments:
    """Draw boxes as closed outlines, `BOX_SEGMENTS` each."""
    if not len(boxes):
        return NO_SEGMENTS
    corners = _corners(boxes)
    directions = np.roll(corners, -1, axis=1) - corners
    return np.stack([corners, directions], axis=2).reshape(-1, 2, 2)


def box_brackets(boxes: Sequence[Box], share: float = 0.25) -> Segments:
    """Draw boxes as corner brackets, `BRACKET_SEGMENTS` each: told from a closed box at a glance."""
    if not len(boxes):
        return NO_SEGMENTS
    corners = _corners(boxes)
    onwards = (np.roll(corners, -1, axis=1) - corners) * share
    backwards = (np.roll(corners, 1, axis=1) - corners) * share
    starts = np.repeat(corners, 2, axis=1)
    directions = np.stack([onwards, backwards], axis=2).reshape(len(corners), 8, 2)
    return np.stack([starts, directions], axis=2).reshape(-1, 2, 2)


def box_spikes(boxes: Sequence[Box], share: float = 0.25) -> Segments:
    """Draw boxes with cut corners and a spike on each side, `BRACKET_SEGMENTS` each: told from brackets."""
    if not len(boxes):
        return NO_SEGMENTS
    corners = _corners(boxes)
    sides = np.roll(corners, -1, axis=1) - corners
    starts = corners - share * np.roll(sides, 1, axis=1)
    cuts = corners + share * sides - starts
    middles = corners + sides / 2
    spikes = share * (middles - middles.mean(axis=1, keepdims=True))
    return np.concatenate(
        [np.stack([starts, cuts], axis=2), np.stack([middles, spikes], axis=2)], axis=1
    ).reshape(-1, 2, 2)


def path_outline(points: Sequence[Sequence[float]], *, closed: bool) -> Segments:
    """Draw a path of (x, y) points."""
    if len(points) < 2:
        return NO_SEGMENTS
    corners = np.asarray(points, dtype=np.float32)[:, ::-1]
    following = np.roll(corners, -1, axis=0)
    if not closed:
        corners, following = corners[:-1], following[:-1]
    return np.stack([corners, following - corners], axis=1)


def dashed_box(box: Box, dash: float) -> Segments:
    """Draw a box as a dashed outline: proposed, not there. Dashes and gaps are about as long as `dash`."""
    return dashed(box_outlines([box]), dash)


def dashed(segments: Segments, dash: float) -> Segments:
    """Break segments into dashes about as long as `dash`, with gaps of the same length."""
    dashes = []
    for start, direction in segments:
        # an odd number of pieces, so that each side begins and ends with a dash
        pieces = 2 * max(1, round(float(np.hypot(*direction)) / dash / 2)) + 1
        steps = np.arange(0, pieces, 2)[:, None] / pieces
        dashes.append(
            np.stack(
                [start + steps * direction, np.broadcast_to(direction / pieces, (len(steps), 2))], axis=1
            )
        )
    return np.concatenate(dashes).astype(np.float32)


def shape_outlines(shapes: Sequence[Shape]) -> Segments:
    """Draw rectangles and polygons as closed outlines."""
    if not shapes:
        return NO_SEGMENTS
    return np.concatenate([path_outline(shape.points, closed=True) for shape in shapes])


def draft_outline(shape: Shape) -> Segments:
    """Draw a draft region dashed, so that it differs from a finished one not only by its colour."""
    _x, _y, w, h = shape.bounds
    return dashed(path_outline(shape.points, closed=True), max(w, h) / _DASHES)


def crossed_outline(shape: Shape) -> Segments:
    """Draw an ignore area crossed out."""
    x, y, w, h = shape.bounds
    cross = [[[y, x], [h, w]], [[y + h, x], [-h, w]]]
    return np.concatenate([path_outline(shape.points, closed=True), np.array(cross, dtype=np.float32)])


def unknown_mask(
    shapes: Sequence[Shape], width: int, height: int, longest: int = 1024
) -> tuple[npt.NDArray[np.uint8], float]:
    """Return 1 where a field is unknown, 0 inside its finished regions, and the mask's pixel size.

    Large fields get a coarser mask: it only dims, the outlines are exact.
    """
    from PIL import Image, ImageDraw

    scale = max(1.0, max(width, height) / longest)
    mask = Image.new("L", (max(1, round(width / scale)), max(1, round(height / scale))), 1)
    draw = ImageDraw.Draw(mask)
    for shape in shapes:
        # The polygon's edge is drawn too, hence half a pixel inwards at the far sides.
        draw.polygon([(x / scale - 0.5, y / scale - 0.5) for x, y in shape.points], fill=0)
    return np.asarray(mask), scale
