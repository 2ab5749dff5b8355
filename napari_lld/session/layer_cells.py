"""Compare the marks of a layer with the cells of the field: new, changed, existing; no Qt, no napari."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation_store import validation
from annotation_store.errors import EditError
from annotation_store.formats import Marked
from annotation_store.geometry import SAME_CELL, BoxIndex
from annotation_store.records import Cell, Field
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr, trn

LEAVE_OUT = ""
"""In place of a class: cells of that word are not taken."""

_MOVED = 0.01
"""Pixels by which a side must differ for a box to be another."""
_NAMED = 5

Meaning = Mapping[str, str | None]
"""A layer's word for a class to a class of the schema, ``None`` (missing) or `LEAVE_OUT`."""


@dataclass
class Taking:
    """What would be written, and what not."""

    new: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[int, dict[str, Any]] = field(default_factory=dict)
    same: int = 0
    outside: int = 0
    left_out: int = 0
    values: Counter[str] = field(default_factory=Counter)

    def sentence(self, layer: str) -> str:
        """Describe the result of taking a layer."""
        parts = []
        if self.new:
            parts.append(trn("{count} new cell", "{count} new cells", len(self.new)))
        if self.changed:
            parts.append(trn("{count} changed", "{count} changed", len(self.changed)))
        if self.same:
            parts.append(tr("{count} here already", count=self.same))
        if self.outside:
            parts.append(tr("{count} outside the field or without an area: left out", count=self.outside))
        if self.left_out:
            parts.append(tr("{count} left out", count=self.left_out))
        if not parts:
            return tr("The layer “{name}” is empty: there are no cells to take.", name=layer)
        sentence = tr("From the layer “{name}”: {parts}.", name=layer, parts=", ".join(parts))
        if self.values:
            words = [f"“{word}”" for word, _ in self.values.most_common(_NAMED)]
            words += ["…"] if len(self.values) > _NAMED else []
            sentence += " " + tr("Not in the schema, left out: {words}.", words=", ".join(words))
        if self.new or self.changed:
            sentence += " " + tr("[edit.undo] undoes all of it.")
        return sentence


def unknown_classes(marks: Iterable[Marked], schema: Schema) -> Counter[str]:
    """Count the words that are given for a class and that the schema does not know."""
    return Counter(m.cell_class for m in marks if m.cell_class and _class(m.cell_class, schema) is None)


def _class(word: str, schema: Schema) -> str | None:
    """Return the class of a word, UNSURE, or ``None`` if the schema does not know it."""
    return UNSURE if word.strip().lower() == UNSURE else schema.find_class(word)


def take(
    marks: Sequence[Marked],
    field: Field,
    cells: Sequence[Cell],
    schema: Schema,
    meaning: Meaning,
    as_sent: Mapping[int, tuple[float, ...]],
) -> Taking:
    """Sort the marks of a layer into new cells and changes of existing ones.

    A mark that bears the number of a cell is that cell; what it does not state (no class, no value) stays.
    Any other mark is a new cell, unless one is boxed there already. No cell is deleted.

    Parameters
    ----------
    cells
        The cells of the field.
    meaning
        What the words of `unknown_classes` mean; one that is not in it means a missing class.
    as_sent
        The box that each cell would have in such a layer: a mark with that box was not moved.
    """
    result = Taking()
    remaining = {cell.id: cell for cell in cells}
    boxed = BoxIndex(SAME_CELL)
    for existing in cells:
        boxed.add(existing.id, existing.box)
    for number, mark in enumerate(marks, start=1):
        word = mark.cell_class
        schema_class = _class(word, schema) if word else None
        cell_class = schema_class if schema_class is not None or not word else meaning.get(word)
        if cell_class == LEAVE_OUT:
            result.left_out += 1
            continue
        values = _values(mark, schema, result)
        cell = remaining.pop(mark.cell_id, None)
        if cell is not None:
            moved = _differs(mark.box, as_sent.get(cell.id, cell.box))
            change = _change(cell, mark, cell_class, values, moved=moved)
            try:
                if moved:
                    validation.box_in_field(field, mark.box)
            except EditError:
                result.outside += 1
                continue
            if change:
                result.changed[cell.id] = change
            else:
                result.same += 1
            continue
        try:
            box, _ = validation.box_in_field(field, mark.box)
        except EditError:
            result.outside += 1
            continue
        if boxed.find(box):
            result.same += 1
            continue
        boxed.add(-number, box)
        of_class = cell_class is not None and schema.is_class(cell_class)
        kinds = schema.class_named(str(cell_class)).kinds if of_class else ()
        result.new.append(
            {
                "box": mark.box,
                "cell_class": cell_class,
                "attributes": values,
                "kind": mark.kind if mark.kind in kinds else None,
                "comment": mark.comment,
            }
        )
    return result


def _change(
    cell: Cell, mark: Marked, cell_class: str | None, values: Mapping[str, str], *, moved: bool
) -> dict[str, Any]:
    change: dict[str, Any] = {"box": mark.box} if moved else {}
    if cell_class is not None and cell_class != cell.cell_class:
        change["cell_class"] = cell_class
    changed_values = {name: value for name, value in values.items() if cell.attributes.get(name) != value}
    return change | ({"attributes": changed_values} if changed_values else {})


def _differs(first: Sequence[float], second: Sequence[float]) -> bool:
    return any(abs(a - b) > _MOVED for a, b in zip(first, second, strict=True))


def _values(mark: Marked, schema: Schema, result: Taking) -> dict[str, str]:
    """Return the values that the schema knows, and count the others."""
    values: dict[str, str] = {}
    for name, word in mark.attributes.items():
        attribute = schema.find_attribute(name)
        if attribute is None:
            continue  # a column of somebody else's: what it means nobody here knows
        pair = schema.find_value(name, word)
        if word.strip().lower() == UNSURE:
            values[attribute] = UNSURE
        elif pair is not None:
            values[attribute] = pair[1]
        else:
            result.values[word] += 1
    return values
