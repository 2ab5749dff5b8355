"""List and cut the reference cells of the current cell; called in a thread, no Qt."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.geometry import SAME_CELL, iou
from annotation_store.records import Box, Cell
from annotation_store.schema import Schema
from napari_lld import sample
from napari_lld.session.gallery_items import crop_window
from napari_lld.session.references import CLASS, PER_VALUE, Comparison, Question, Reference

SIDE = 192
"""Pixels of a picture."""
_PAPER = 128
"""Grey beyond the edge of a field."""
_AIR = 1.4
"""Side of a picture over that of the largest cell, where all are as wide as it."""

Crop = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _Found:
    """A cell to be cut, and what is known of it.

    Attributes
    ----------
    pixel_size_um
        Micrometres a pixel; ``None`` if not known, as of bundled examples.
    cut
        Cuts a square about it, of which the side in pixels of the field is given, or ``None``.
    """

    box: Box
    cell_id: int | None
    where: str
    likeness: float | None
    pixel_size_um: float | None
    cut: Callable[[float | None], Crop]


def compare(path: Path, reading_id: int, question: Question) -> Comparison:
    """List the labelled cells of each value and bundled examples, and cut all at one scale.

    The nearest come first, then the newest, then bundled ones. What cannot be read is left out.

    Raises
    ------
    LLDError
        The project cannot be opened.
    """
    with Project.open(path, reading=reading_id, read_only=True) as project:
        current = _of_project(project, question.field_id, question.box, None, None)
        in_project = {value: _own(project, question, value) for value in question.values}
        cells_known = [current, *(cell for found_cells in in_project.values() for cell in found_cells)]
        bundled = {value: _bundled(project.schema, question, value, cells_known) for value in question.values}
        needed = any(bundled[value] and not cells_of_value for value, cells_of_value in in_project.items())
        measured = all(cell.pixel_size_um for cell in cells_known) and not needed
        listed = (
            in_project
            if measured
            else {
                value: _filled(cells_of_value, bundled[value]) for value, cells_of_value in in_project.items()
            }
        )
        side_um = None
        if measured:
            side_um = _AIR * max(max(cell.box[2:]) * (cell.pixel_size_um or 0.0) for cell in cells_known)
        cells = {
            value: tuple(_references(cells_of_value, side_um))
            for value, cells_of_value in listed.items()
            if cells_of_value or question.what != CLASS
        }
        if question.what == CLASS:
            cells = dict(sorted(cells.items(), key=lambda item: -_most_alike(item[1])))
        return Comparison(question, _cut(current, side_um), cells, side_um)


def _most_alike(references: tuple[Reference, ...]) -> float:
    return max(
        (reference.likeness for reference in references if reference.likeness is not None), default=0.0
    )


def _references(cells: list[_Found], side_um: float | None) -> Iterator[Reference]:
    for cell in cells:
        crop = _cut(cell, side_um)
        if crop is not None:
            yield Reference(crop, cell.cell_id, cell.where, cell.likeness)


def _cut(cell: _Found, side_um: float | None) -> Crop | None:
    try:
        return cell.cut(side_um / cell.pixel_size_um if side_um and cell.pixel_size_um else None)
    except (LLDError, OSError, ValueError, MemoryError) as error:
        logging.getLogger(__name__).warning("reference %s, %s: %s", cell.where, cell.box, error)
        return None


# ---------------------------------------------------------------------- of the project


def _own(project: Project, question: Question, value: str) -> list[_Found]:
    """List the labelled cells of a value: the most alike, then the newest; never the current one."""
    by_id: dict[int, tuple[Cell, float | None]] = {}
    for (kind, cell_id), likeness in question.near.get(value, ()):
        if kind == "cell":
            try:
                cell = project.cells.get(cell_id)
            except LLDError:
                continue  # deleted meanwhile
            if _has(cell, question.what, value):  # not labelled anew meanwhile
                by_id[cell_id] = (cell, likeness)
    if len(by_id) <= PER_VALUE:
        named: dict[str, Any] = (
            {"cell_class": value} if question.what == CLASS else {"value": (question.what, value)}
        )
        for cell in project.cells.newest(2 * PER_VALUE + 1, **named):
            by_id.setdefault(cell.id, (cell, None))
    if question.of[0] == "cell":
        by_id.pop(question.of[1], None)
    return [
        _of_project(project, cell.field_id, cell.box, cell.id, likeness)
        for cell, likeness in list(by_id.values())[:PER_VALUE]
    ]


def _has(cell: Cell, what: str, value: str) -> bool:
    return (cell.cell_class if what == CLASS else cell.attributes.get(what)) == value


def _of_project(
    project: Project, field_id: int, box: Box, cell_id: int | None, likeness: float | None
) -> _Found:
    field = project.fields.get(field_id)

    def cut(side: float | None) -> Crop:
        part, margins = crop_window(box, field.width, field.height, side)
        return _square(project.pixels.read_area(field_id, part), margins)

    return _Found(box, cell_id, field.name, likeness, field.pixel_size_um, cut)


def _square(part: Crop, margins: tuple[int, int, int, int]) -> Crop:
    left, top, right, bottom = margins
    square = np.pad(part, ((top, bottom), (left, right), (0, 0)), constant_values=_PAPER)
    scaled = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(scaled, dtype=np.uint8)


# ---------------------------------------------------------------------- bundled


@dataclass(frozen=True)
class Example:
    """A labelled cell of the bundled fields."""

    path: Path
    box: Box
    cell_class: str
    attributes: Mapping[str, str]


@cache
def bundled_examples() -> tuple[Example, ...]:
    """Return the cells of the bundled fields that have a class."""
    document = json.loads(sample.truth().read_text("utf-8"))
    classes = {category["id"]: category["name"] for category in document["categories"]}
    files = {image["id"]: image["file_name"] for image in document["images"]}
    paths = {path.name: path for path in sample.fields()}
    return tuple(
        Example(
            paths[files[annotation["image_id"]]],
            tuple(annotation["bbox"]),
            classes[annotation["category_id"]],
            annotation.get("attributes", {}),
        )
        for annotation in document["annotations"]
        if annotation.get("category_id") in classes
    )


def _bundled(schema: Schema, question: Question, value: str, cells_known: list[_Found]) -> list[_Found]:
    """List bundled examples of a value, first those of the same class; none of a cell that is known here.

    The sample project is made of the bundled fields: their labels must not answer what is asked.
    """

    def is_here(example: Example) -> bool:
        return any(
            cell.where == example.path.name and iou(cell.box, example.box) >= SAME_CELL
            for cell in cells_known
        )

    examples = [
        example for example in bundled_examples() if _is_example(schema, question.what, value, example)
    ]
    examples.sort(key=lambda example: schema.find_class(example.cell_class) != question.cell_class)
    few = islice((example for example in examples if not is_here(example)), PER_VALUE)
    return [_of_sample(example) for example in few]


def _filled(in_project: list[_Found], bundled: list[_Found]) -> list[_Found]:
    """Fill up with bundled examples: at least one if there is any."""
    first = in_project[: PER_VALUE - 1] if bundled else in_project
    return [*first, *bundled[: PER_VALUE - len(first)]]


def _is_example(schema: Schema, what: str, value: str, example: Example) -> bool:
    if what == CLASS:
        return schema.find_class(example.cell_class) == value
    return any(schema.find_value(name, word) == (what, value) for name, word in example.attributes.items())


def _of_sample(example: Example) -> _Found:
    def cut(side: float | None) -> Crop:
        with Image.open(example.path) as picture:
            part, margins = crop_window(example.box, picture.width, picture.height, side)
            x, y, w, h = (round(v) for v in part)
            pixels = np.asarray(picture.convert("RGB").crop((x, y, x + w, y + h)), dtype=np.uint8)
        return _square(pixels, margins)

    return _Found(example.box, None, example.path.name, None, None, cut)
