"""Which cells a differential on a whole slide counts, and under what; no torch.

The worker counts while it searches, and the window again while one reviews what was counted: by one rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from annotation_store import ClassCount
from annotation_store.records import Box, Cell, Suggestion
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

LIKELY = 0.5
"""Least confidence of a suggestion that is counted."""

_BUCKET = 2048
"""Places are found again by squares of so many pixels."""


@dataclass(frozen=True)
class SlideCount:
    """White cells of a slide, counted in the places that were read.

    Attributes
    ----------
    found
        Cells, and suggestions that are likely, by class and kind.
    unknown
        Likely suggestions unlike anything that was taught; of no class.
    cells, suggestions
        Ids of all that was counted, whatever it is counted as; the suggestions wait for review.
    """

    found: tuple[ClassCount, ...]
    unknown: int
    cells: tuple[int, ...]
    suggestions: tuple[int, ...]

    def white(self, schema: Schema) -> Counter[str]:
        """Count the white cells with a class or class group."""
        counts: Counter[str] = Counter()
        for one in self.found:
            if one.cell_class is not None and not _is_apart(schema, one.cell_class):
                counts[one.cell_class] += one.count
        return counts

    def unclassified(self) -> int:
        """Count those whose class is missing or unsure."""
        return sum(one.count for one in self.found if one.cell_class in (None, UNSURE))

    def artefacts(self, schema: Schema) -> int:
        """Count what is no white cell."""
        return sum(one.count for one in self.found if _is_artefact(schema, one.cell_class))


def _is_artefact(schema: Schema, name: str | None) -> bool:
    return name is not None and schema.is_class(name) and schema.class_named(name).artefact


def _is_apart(schema: Schema, name: str) -> bool:
    return name == UNSURE or _is_artefact(schema, name)


def count(
    cells: Iterable[Cell], suggestions: Iterable[Suggestion], holds: Callable[[Box], bool]
) -> SlideCount:
    """Count cells, and the likely of pending suggestions.

    Parameters
    ----------
    holds
        Whether a box is centred where one counts.
    """
    found: Counter[tuple[str | None, str | None]] = Counter()
    unknown = 0
    of_cells, of_suggestions = [], []
    for cell in cells:
        if holds(cell.box):
            found[cell.cell_class, cell.kind] += 1
            of_cells.append(cell.id)
    for one in suggestions:
        if one.confidence >= LIKELY and holds(one.box):
            of_suggestions.append(one.id)
            if one.is_unknown:
                unknown += 1
            else:
                found[one.stated_class, None] += 1
    counts = tuple(ClassCount(name, kind, number) for (name, kind), number in found.items())
    return SlideCount(counts, unknown, tuple(of_cells), tuple(of_suggestions))


class Places:
    """Areas of a slide in which one counts: rectangles that do not overlap.

    Parameters
    ----------
    boxes
        In pixels of the slide; left and upper edges belong to an area, right and lower ones do not.
    """

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = tuple(boxes)
        self._by_bucket: dict[tuple[int, int], list[Box]] = {}
        for box in self.boxes:
            x, y, w, h = box
            for row in range(int(y // _BUCKET), int((y + h) // _BUCKET) + 1):
                for column in range(int(x // _BUCKET), int((x + w) // _BUCKET) + 1):
                    self._by_bucket.setdefault((row, column), []).append(box)

    def holds(self, box: Box) -> bool:
        """Return whether a box is centred in one of them."""
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        near = self._by_bucket.get((int(y // _BUCKET), int(x // _BUCKET)), ())
        return any(a <= x < a + w and b <= y < b + h for a, b, w, h in near)

    @property
    def pixels(self) -> int:
        """How many pixels they cover."""
        return int(sum(w * h for _, _, w, h in self.boxes))
