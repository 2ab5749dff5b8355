"""The best, the worst and the least certain cells, as small pictures with what was labelled and proposed."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.records import Box
from annotation_store.schema.reserved import UNSURE
from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.words import Words
from napari_lld.session.model_facts import number
from training.evaluation.cell_outcomes import read_outcomes

LABELLED, PROPOSED = "#0072b2", "#d55e00"
"""From the palette of Okabe and Ito; the lines differ too, for a print in grey."""

MOST_EACH = 12
SIDE = 176
"""Pixels of a picture: a dozen of them on a printed page."""
_AROUND = 1.7
_LONGEST = 2048.0
"""Of a side that is read: outcomes are a file, and a file may say anything."""

_TITLES = (
    ("best", "The best", ("Class and all labelled attributes are correct, with the highest confidence.")),
    ("worst", "The worst", "One example of each kind of error in turn, the most serious first."),
    (
        "unsure",
        "The least certain",
        "Found cells with the lowest confidence; the prediction may still be correct.",
    ),
)


@dataclass(frozen=True, slots=True)
class CellPicture:
    """One cell: its picture, where it is, and what was labelled and proposed, in words."""

    image: Markup
    place: str
    verdict: str
    labelled: str
    proposed: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Pictures of one kind."""

    title: str
    meaning: str
    pictures: Sequence[CellPicture]


@dataclass(frozen=True, slots=True)
class Pictures:
    """All of them, on what they were measured; `missing` says why there are none."""

    mark: Mark
    missing: str
    galleries: Sequence[Gallery] = ()
    lost: int = 0


def pictures(project: Project, facts: ReportFacts) -> Pictures:
    """Cut and draw the pictures."""
    if facts.model is None:
        return Pictures(Mark.HELD_OUT, "No model was trained yet.")
    outcomes = read_outcomes(project.models.folder(facts.model.id))
    if not outcomes:
        return Pictures(
            Mark.HELD_OUT,
            "The version that trained this model did not store these; the next training will.",
        )
    mark, rows = Mark.HELD_OUT, outcomes.get("held_out", [])
    if not rows:
        mark, rows = Mark.TRAINED_ON, outcomes.get("trained_on", [])
    galleries, lost = [], 0
    for kind, title, meaning in _TITLES:
        rows_of_kind = [row for row in rows if row.get("kind") == kind][:MOST_EACH]
        drawn = [picture for row in rows_of_kind if (picture := _picture(project, facts, row)) is not None]
        lost += len(rows_of_kind) - len(drawn)
        if drawn:
            galleries.append(Gallery(title, meaning, drawn))
    missing = "" if galleries else "No cells were stored that could be shown."
    return Pictures(mark, missing, galleries, lost)


def _picture(project: Project, facts: ReportFacts, row: dict[str, Any]) -> CellPicture | None:
    field_id = row.get("field")
    field = facts.fields.get(field_id) if isinstance(field_id, int) else None
    boxes = [(box, colour, dash) for box, colour, dash in _boxes(row) if box is not None]
    if field is None or not boxes:
        return None
    try:
        pixels, x, y = _crop(project, field.id, [box for box, _, _ in boxes])
    except (LLDError, OSError, ValueError):
        return None  # a slide that was moved, a damaged file: the report is not lost for it
    image = _draw(pixels, [((b[0] - x, b[1] - y, b[2], b[3]), c, d) for b, c, d in boxes])
    return CellPicture(
        image,
        facts.words.field(field),
        describe_verdict(row, facts.words),
        _labelled(row, facts.words),
        describe_prediction(row, facts.words),
    )


def _boxes(row: dict[str, Any]) -> list[tuple[Box | None, str, bool]]:
    return [(_box(row.get("box")), LABELLED, False), (_box(row.get("proposed")), PROPOSED, True)]


def _box(content: Any) -> Box | None:
    if not isinstance(content, list) or len(content) != 4:
        return None
    numbers = [number(value) for value in content]
    if any(value is None for value in numbers):
        return None
    x, y, w, h = (float(value or 0.0) for value in numbers)
    return (x, y, w, h) if 0 < w <= _LONGEST and 0 < h <= _LONGEST else None


def _crop(project: Project, field_id: int, boxes: Sequence[Box]) -> tuple[np.ndarray, float, float]:
    """Read a square around some boxes; what lies beyond the field's edge is left out."""
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[0] + b[2] for b in boxes), max(b[1] + b[3] for b in boxes)
    side = max(b for box in boxes for b in box[2:]) * _AROUND
    side = min(max(side, right - left, bottom - top, 8.0), _LONGEST)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    pixels = project.pixels.read_area(field_id, (x, y, side, side))
    return pixels, max(0.0, float(np.floor(x))), max(0.0, float(np.floor(y)))


def _draw(pixels: np.ndarray, boxes: Sequence[tuple[Box, str, bool]]) -> Markup:
    scale = SIDE / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    picture = Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)
    pen = ImageDraw.Draw(picture)
    for (x, y, w, h), colour, dashed in boxes:
        corners = [x * scale, y * scale, (x + w) * scale, (y + h) * scale]
        pen.rectangle(corners, outline="white", width=4)
        if dashed:
            _dash(pen, corners, colour)
        else:
            pen.rectangle(corners, outline=colour, width=2)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82, optimize=True)
    return Markup("data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii"))


def _dash(pen: ImageDraw.ImageDraw, corners: Sequence[float], colour: str) -> None:
    x0, y0, x1, y1 = corners
    for place in np.arange(x0, x1, 9):
        for y in (y0 + 1, y1 - 2):
            pen.line((place, y, min(place + 5, x1), y), fill=colour, width=2)
    for place in np.arange(y0, y1, 9):
        for x in (x0 + 1, x1 - 2):
            pen.line((x, place, x, min(place + 5, y1)), fill=colour, width=2)


# --- in words --------------------------------------------------------------------------------------------


def describe_verdict(row: dict[str, Any], words: Words) -> str:
    """Describe what became of a cell; one that is unknown to the model is neither correct nor wrong."""
    match row.get("what"):
        case "not found":
            return "Not found"
        case "no cell":
            return "Suggested where there is no cell"
        case "class" | "right" if row.get("unknown") is True:
            return "Unknown to the model"
        case "class":
            return "Another class"
        case "attribute":
            wrong = row.get("wrong")
            names = [words.attribute(str(name)) for name in wrong] if isinstance(wrong, list) else []
            return f"Wrong: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}"
        case _:
            return "Correct in everything labelled"


def _labelled(row: dict[str, Any], words: Words) -> str:
    if row.get("box") is None:
        return "no cell"
    label = row.get("class")
    text = words.cell_class(label if isinstance(label, str) else None)
    values = row.get("attributes")
    if not isinstance(values, dict):
        return text
    wrong = row.get("wrong")
    wrong_values = [
        f"{words.attribute(str(name))} {words.value(str(name), str(values[name]))}"
        for name in (wrong if isinstance(wrong, list) else [])
        if name in values and values[name] != UNSURE
    ]
    return "; ".join([text, *wrong_values[:3]])


def describe_prediction(row: dict[str, Any], words: Words) -> str:
    """Describe what the model predicted of a cell; of its attributes, the wrong ones."""
    confidence = number(row.get("confidence"))
    if confidence is None:
        return "nothing"
    predicted = row.get("said_class")
    parts = [f"a cell at {confidence:.0%}"]
    if (pair := _pair(predicted)) is not None:
        parts.insert(0, f"{words.cell_class(pair[0])} at {pair[1]:.0%}")
    if row.get("unknown") is True:
        similar = _pair(row.get("most_similar"))  # older versions stored none
        parts.insert(
            0,
            f"unknown (most similar: {words.cell_class(similar[0])})"
            if similar is not None
            else "unknown, unlike all training cells",
        )
    values, wrong = row.get("said_attributes"), row.get("wrong")
    if isinstance(values, dict) and isinstance(wrong, list):
        for name in wrong[:3]:
            if (pair := _pair(values.get(name))) is not None:
                value = words.value(str(name), pair[0])
                parts.append(f"{words.attribute(str(name))} {value} at {pair[1]:.0%}")
    return "; ".join(parts)


def _pair(content: Any) -> tuple[str, float] | None:
    if isinstance(content, list) and len(content) == 2 and isinstance(content[0], str):
        p = number(content[1])
        return None if p is None else (content[0], p)
    return None
