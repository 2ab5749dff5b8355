"""Boxes of classes that the schema lacks: what they mean inside a finished region.

A finished region promises that every white cell in it is boxed. A file's box of an unknown class may well be
a white cell, so what lies there must not be learnt as background: it becomes an *ignore area*. Only what is
surely no white cell (red cells, platelets) stays background.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from annotation_store.boxes import iou
from annotation_store.records import Box, Cell, Shape
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
    """Whether a class that the schema lacks names something that is no white cell."""
    plain = normalise(label)
    return plain in _NOT_WHITE or plain.removesuffix("s") in _NOT_WHITE


def unreadable(
    strangers: Iterable[tuple[str, Box]], finished: Sequence[Shape], cells: Sequence[Cell]
) -> list[Box]:
    """Choose the boxes that must become ignore areas.

    Parameters
    ----------
    strangers
        Label and box of each.
    finished
        The finished regions of the field: elsewhere nothing is known, so nothing is lost.
    cells
        What is boxed there already; whoever boxed the same place has judged it.
    """
    return [
        box
        for label, box in strangers
        if not is_surely_not_white(label)
        and any(shape.contains_centre(box) for shape in finished)
        and not any(iou(box, cell.box) >= _SAME_PLACE for cell in cells)
    ]
