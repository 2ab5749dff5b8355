"""Counting rules of the differential on a whole slide; no torch.

The worker counts during the search, and the window again during the review, by the same rules.
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
"""Minimum confidence of a counted suggestion."""

_BUCKET = 2048
"""Side in pixels of the squares that index the areas."""


@dataclass(frozen=True)
class SlideCount:
    """Count of the white cells of a slide in the searched areas.

    Attributes
    ----------
    found
        Cells and likely suggestions, by class and kind.
    unknown
        Number of likely suggestions of unknown cells, which have no class.
    cells, suggestions
        Ids of all counted cells and (pending) suggestions.
    """

    found: tuple[ClassCount, ...]
    unknown: int
    cells: tuple[int, ...]
    suggestions: tuple[int, ...]

    def white(self, schema: Schema) -> Counter[str]:
        """Count the white cells with a class or class group."""
        counts: Counter[str] = Counter()
        for item in self.found:
            if item.cell_class is not None and not _is_not_counted(schema, item.cell_class):
                counts[item.cell_class] += item.count
        return counts

    def unclassified(self) -> int:
        """Count those whose class is missing or unsure."""
        return sum(item.count for item in self.found if item.cell_class in (None, UNSURE))

    def artefacts(self, schema: Schema) -> int:
        """Count the artefacts, which are not white cells."""
        return sum(item.count for item in self.found if _is_artefact(schema, item.cell_class))


def _is_artefact(schema: Schema, name: str | None) -> bool:
    return name is not None and schema.is_class(name) and schema.class_named(name).artefact


def _is_not_counted(schema: Schema, name: str) -> bool:
    return name == UNSURE or _is_artefact(schema, name)


def count(
    cells: Iterable[Cell], suggestions: Iterable[Suggestion], holds: Callable[[Box], bool]
) -> SlideCount:
    """Count cells and likely pending suggestions.

    Parameters
    ----------
    holds
        Returns whether a box is centred in the counted areas.
    """
    counted: Counter[tuple[str | None, str | None]] = Counter()
    unknown = 0
    cell_ids, suggestion_ids = [], []
    for cell in cells:
        if holds(cell.box):
            counted[cell.cell_class, cell.kind] += 1
            cell_ids.append(cell.id)
    for suggestion in suggestions:
        if suggestion.confidence >= LIKELY and holds(suggestion.box):
            suggestion_ids.append(suggestion.id)
            if suggestion.is_unknown:
                unknown += 1
            else:
                counted[suggestion.stated_class, None] += 1
    counts = tuple(ClassCount(name, kind, number) for (name, kind), number in counted.items())
    return SlideCount(counts, unknown, tuple(cell_ids), tuple(suggestion_ids))


class Areas:
    """The counted areas of a slide: rectangles that do not overlap.

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
        nearby = self._by_bucket.get((int(y // _BUCKET), int(x // _BUCKET)), ())
        return any(a <= x < a + w and b <= y < b + h for a, b, w, h in nearby)

    @property
    def pixels(self) -> int:
        """Number of pixels that they cover."""
        return int(sum(w * h for _, _, w, h in self.boxes))
