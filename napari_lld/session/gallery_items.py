"""The crops of the gallery: a cell or suggestion with the numbers it is sorted by; no Qt."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from annotation_store import Entry, Project
from annotation_store.geometry import SAME_CELL, BoxIndex
from annotation_store.records import Box, SuggestionState
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.schema_texts import shown
from napari_lld.session.predictions import Disagreement, best, disagreement, doubt, label_probability

Key = tuple[str, int]
"""``"cell"`` or ``"suggestion"``, and its id."""


@dataclass(frozen=True, slots=True)
class Item:
    """One crop of the gallery.

    Attributes
    ----------
    word
        The cell's class, or the one that a suggestion states.
    doubt
        How much one would learn from it (`predictions.doubt`).
    probability
        Of what it states (`predictions.label_probability`).
    disagreement
        What the model predicts of a cell's label (`predictions.disagreement`).
    key
        Kind and id.
    unknown
        Whether it is a suggestion of a cell unlike anything taught.
    pending
        Whether it is a suggestion that waits.
    stands
        Whether it is a cell, or a suggestion that waits.
    """

    entry: Entry
    word: str | None
    doubt: float | None
    probability: float | None
    disagreement: Disagreement | None
    # worked out once, by the thread that reads: 10,000 items are filtered and sorted in the window's
    key: Key = field(init=False, repr=False)
    unknown: bool = field(init=False, repr=False)
    pending: bool = field(init=False, repr=False)
    stands: bool = field(init=False, repr=False)

    @property
    def contradicted(self) -> bool:
        """Whether a model predicts another label than a person gave."""
        return self.disagreement is not None and bool(self.disagreement.instead)

    def __post_init__(self) -> None:
        entry, predicted = self.entry, self.entry.proposal
        cell, pending = entry.kind == "cell", entry.state is SuggestionState.PENDING
        object.__setattr__(self, "key", (entry.kind, entry.id))
        object.__setattr__(self, "unknown", not cell and predicted is not None and predicted.is_unknown)
        object.__setattr__(self, "pending", pending)
        object.__setattr__(self, "stands", cell or pending)

    def value(self, attribute: str) -> str | None:
        """Return the value of an attribute: the cell's, or the most probable one of a suggestion."""
        if self.entry.kind == "cell":
            return self.entry.attributes.get(attribute)
        return best(self.entry.attribute_probabilities.get(attribute, {}))

    @property
    def unchecked(self) -> bool:
        """Whether it is a suggestion of a known cell on a film where nothing was checked."""
        return self.entry.kind == "suggestion" and self.entry.unchecked and not self.unknown

    @property
    def labelled(self) -> bool:
        """Whether a person has given it a class."""
        return self.entry.cell_class not in (None, UNSURE)

    def done_by_hand(self, before: Item) -> bool:
        """Return whether a person has changed it since: what only a model has changed is not."""
        old, new = before.entry, self.entry
        return (
            (old.kind, old.cell_class, old.state, old.bookmark, old.second_opinion)
            != (new.kind, new.cell_class, new.state, new.bookmark, new.second_opinion)
        ) or old.attributes != new.attributes


def read_items(project: Project, field_ids: Collection[int] | None) -> list[Item]:
    """List cells and suggestions with the numbers they are sorted by; for a thread beside the window."""
    schema, model = shown(project.schema), project.models.active()
    in_use = None if model is None else model.id
    return [_item(entry, schema, in_use) for entry in project.bulk_edits.entries(field_ids)]


def _item(entry: Entry, schema: Schema, in_use: int | None) -> Item:
    predicted = entry.proposal
    stated = None if predicted is None else predicted.stated_class
    return Item(
        entry,
        entry.cell_class if entry.kind == "cell" else stated,
        None if predicted is None else doubt(predicted, schema),
        label_probability(entry, schema, in_use),
        disagreement(entry, schema),
    )


def successors(before: Iterable[Item], now: Iterable[Item]) -> dict[Key, Key]:
    """Find the successors of items: the cell that a suggestion became, or a newer suggestion.

    Parameters
    ----------
    before, now
        All items of the same fields, then and now.
    """
    old_items, new_items = {item.key: item for item in before}, {item.key: item for item in now}
    gone = [item for key, item in old_items.items() if key not in new_items]
    new = [item for key, item in new_items.items() if key not in old_items and _has_area(item)]
    if not gone or not new:
        return {}
    by_field: dict[int, BoxIndex] = {}
    for number, item in enumerate(new):
        index = by_field.setdefault(item.entry.field_id, BoxIndex(SAME_CELL))
        index.add(number, item.entry.box)
    taken: set[int] = set()
    result: dict[Key, Key] = {}
    for item in filter(_has_area, gone):
        index_of_field = by_field.get(item.entry.field_id)
        free = (
            (n for n in index_of_field.find(item.entry.box) if n not in taken) if index_of_field else iter(())
        )
        if (nearest := next(free, None)) is not None:
            taken.add(nearest)
            result[item.key] = new[nearest].key
    return result


def _has_area(item: Item) -> bool:
    return item.entry.box[2] > 0 and item.entry.box[3] > 0


def crop_window(
    box: Box, width: int, height: int, side: float | None = None
) -> tuple[Box, tuple[int, int, int, int]]:
    """Return the part of a field that shows a cell with its surroundings, and where it lies in the crop.

    Parameters
    ----------
    side
        Of the part in pixels of the field; ``None`` = so that the cell fills it.

    Returns
    -------
    tuple
        The part as a box inside the field, and left, top, right, bottom margins in pixels where a square
        about the cell passes the field's edge.
    """
    x, y, w, h = box
    side = max(round(1.4 * max(w, h) if side is None else side), 8)
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    margins = (x0 - left, y0 - top, left + side - x1, top + side - y1)
    return (float(x0), float(y0), float(x1 - x0), float(y1 - y0)), margins
