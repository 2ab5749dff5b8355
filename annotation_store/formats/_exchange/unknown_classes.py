"""Marks that cannot come in: what they mean inside a finished region.

A finished region promises that every white cell in it is boxed. A file's box of an unknown class, or one that
breaks a rule, may well be a white cell, so what lies there must not be learnt as background: it becomes an
*ignore area*. Only what is surely no white cell (red cells, platelets) stays background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely

from annotation_store import validation
from annotation_store.errors import EditError
from annotation_store.formats._exchange.document import FieldIn
from annotation_store.geometry import iou_matrix, upright
from annotation_store.records import Box, Field, Shape
from annotation_store.schema.model import normalise

_NOT_WHITE = frozenset(
    normalise(word)
    for word in (
        "red cell",
        "red blood cell",
        "RBC",
        "erythrocyte",
        "normocyte",
        "reticulocyte",
        "infected red cell",
        "infected RBC",
        "platelet",
        "giant platelet",
        "PLT",
        "thrombocyte",
        "background",
    )
)
"""Without their plural s. Nucleated red cells and clumps of platelets are missing on purpose: they are boxed
as artefacts, since they are taken for white cells."""

_SAME_PLACE = 0.5


def is_surely_not_white(label: str) -> bool:
    """Return whether a class that the schema lacks names something that is not a white cell."""
    plain = normalise(label)
    return plain in _NOT_WHITE or plain.removesuffix("s") in _NOT_WHITE


class UnknownMarks(NamedTuple):
    """Marks that cannot be imported into a field.

    Attributes
    ----------
    boxes
        Where they lie: ignore areas, if in a finished region.
    unplaced
        How many have no place that can be read: no region of the field is finished then.
    """

    boxes: list[Box]
    unplaced: int


def sort_unknown(field: Field, field_in: FieldIn) -> UnknownMarks:
    """Sort the marks of a field that cannot be imported; a box outside the field has no known place."""
    marks: list[Box | None] = [box for label, box in field_in.unknown_boxes if not is_surely_not_white(label)]
    boxes: dict[Box, None] = {}
    unplaced = 0
    for mark in [*marks, *field_in.lost]:
        box = None if mark is None else upright(mark)
        if box is None or not all(map(math.isfinite, box)) or min(box[2:]) < validation.MIN_SIDE:
            unplaced += 1
            continue
        try:
            boxes.setdefault(validation.box_in_field(field, box)[0])
        except EditError:  # it lies outside: its coordinates are of another kind
            unplaced += 1
    return UnknownMarks(list(boxes), unplaced)


def boxes_to_ignore(boxes: Sequence[Box], finished: Sequence[Shape], cells: Sequence[Box]) -> list[Box]:
    """Choose the boxes that must become ignore areas.

    Parameters
    ----------
    finished
        The finished regions of the field: elsewhere nothing is known, so nothing is lost.
    cells
        The boxes of its cells: what overlaps one of them was judged already.
    """
    judged = np.asarray(cells, np.float64).reshape(-1, 4)
    tree = shapely.STRtree(shapely.box(*judged[:, :2].T, *(judged[:, :2] + judged[:, 2:]).T))
    result = []
    for box in boxes:
        if not any(shape.contains_centre(box) for shape in finished):
            continue
        x, y, w, h = box
        near = tree.query(shapely.box(x, y, x + w, y + h))
        if not len(near) or iou_matrix([box], judged[near]).max() < _SAME_PLACE:
            result.append(box)
    return result
