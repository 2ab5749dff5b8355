"""Fields drawn with their region, cells and suggestions, as JPEG bytes.

The colours are from the palette of Okabe and Ito, which people with any kind of colour blindness can tell
apart; and each kind has a line of its own too, for a print in grey.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from annotation_store.records import Box, Shape

REGION = "#f0e442"
ROPE = "#1a1a1a"
CELL = "#0072b2"
ADDED = "#007a59"
SUGGESTION = "#d55e00"
MISSED = "#1a1a1a"

LONGER_SIDE = 760
"""Pixels of a drawing's longer side: sharp in print at half a page's width."""

_DASHES = {"solid": None, "dashed": (9, 5), "dotted": (3, 4)}


@dataclass(frozen=True, slots=True)
class Mark:
    """One box to draw."""

    box: Box
    colour: str
    style: str = "solid"
    text: str = ""


def draw(
    pixels: np.ndarray,
    regions: Sequence[Shape],
    marks: Sequence[Mark],
    *,
    veil: bool = False,
    longer_side: int = LONGER_SIDE,
) -> bytes:
    """Draw a field and give it as JPEG.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8.
    regions
        Finished regions, outlined.
    marks
        Boxes in pixels of the field.
    veil
        Whether to fade what lies outside the regions: the unknown area.
    longer_side
        Pixels of the drawing's longer side; a field is enlarged at most twofold.
    """
    height, width = pixels.shape[:2]
    scale = min(longer_side / max(width, height), 2.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    outlines = [[(x * scale, y * scale) for x, y in region.points] for region in regions]
    if veil:
        picture = _veiled(picture, outlines)
    pen = ImageDraw.Draw(picture)
    for outline in outlines:
        ring = [*outline, outline[0]]
        pen.line(ring, fill=ROPE, width=5)  # light dashes on a dark rope: no cell is drawn so
        for start, end in pairwise(ring):
            for piece in _pieces(start, end, 10, 7):
                pen.line(piece, fill=REGION, width=3)
    font = ImageFont.load_default(size=17)
    for mark in marks:
        x, y, w, h = (value * scale for value in mark.box)
        corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)]
        _line(pen, corners, mark.colour, 3, mark.style)
    for mark in marks:  # over all the lines, so that no line crosses a word
        if mark.text:
            _tag(pen, mark, scale, size, font)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85, optimize=True)
    return out.getvalue()


def _veiled(picture: Image.Image, outlines: Sequence[Sequence[tuple[float, float]]]) -> Image.Image:
    mask = Image.new("L", picture.size, 0)
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        pen.polygon(list(outline), fill=255)
    return Image.composite(picture, Image.blend(picture, Image.new("RGB", picture.size, "white"), 0.6), mask)


def _line(
    pen: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: str, width: int, style: str
) -> None:
    """Draw a line with a light edge beneath it, which keeps it readable on dark nuclei."""
    dash = _DASHES[style]
    for start, end in pairwise(points):
        if dash is None:
            pen.line((*start, *end), fill="white", width=width + 2)
        else:
            for piece in _pieces(start, end, *dash):
                pen.line(piece, fill="white", width=width + 2)
    for start, end in pairwise(points):
        for piece in [(*start, *end)] if dash is None else _pieces(start, end, *dash):
            pen.line(piece, fill=colour, width=width)


def _pieces(
    start: tuple[float, float], end: tuple[float, float], on: int, off: int
) -> list[tuple[float, float, float, float]]:
    length = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1e-6)
    places = np.arange(0.0, length, on + off)

    def at(place: float) -> tuple[float, float]:
        share = min(place / length, 1.0)
        return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)

    return [(*at(float(place)), *at(float(place) + on)) for place in places]


def _tag(
    pen: ImageDraw.ImageDraw,
    mark: Mark,
    scale: float,
    size: tuple[int, int],
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    """Write a mark's words on a tag: above the box, or inside it at the picture's upper edge."""
    x, y, _, _ = (value * scale for value in mark.box)
    left, top, right, bottom = pen.textbbox((0, 0), mark.text, font=font)
    width, height = right - left + 8, bottom - top + 6
    x = min(max(x - 1, 0), max(size[0] - width, 0))
    y = y - height if y - height >= 0 else y + 2
    pen.rectangle((x, y, x + width, y + height), fill=mark.colour)
    pen.text((x + 4 - left, y + 3 - top), mark.text, fill="white", font=font)
