"""Text on the field: the prediction beside a cell that it contradicts, or that has no class yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import class_letter, proposal_word

if TYPE_CHECKING:
    from napari_lld.session.session import Session

_BESIDE = "\u2003" * 3
"""Keeps the place of the letter that the cell itself has."""


def model_says(session: Session) -> str:
    """Return the prediction for the current possible label error; empty if there is none."""
    item, schema = session.label_errors.current, session.schema
    if item is None or schema is None:
        return ""
    predicted, contradicted = item.prediction, session.label_errors.contradicted
    if predicted is None:
        word = tr("no cell")
    elif item.id is None:
        return f"→ {proposal_word(schema, predicted)}"
    elif contradicted.cell_class is not None:
        share = predicted.class_probabilities[contradicted.cell_class]
        word = f"{class_letter(schema, contradicted.cell_class)} {share:.0%}" + (
            " …" if contradicted.attributes else ""
        )
    elif contradicted.attributes:
        name, value = next(iter(contradicted.attributes.items()))
        title = schema.value_title(name, value)
        share = predicted.attribute_probabilities[name][value]
        word = f"{title} {share:.0%}" + (" …" if len(contradicted.attributes) > 1 else "")
    else:
        word = tr("here")
    return f"{_BESIDE}→ {word}"


def candidates(session: Session) -> str:
    """Return the likely classes of the current cell, the most probable first; empty if it has one."""
    schema, likely = session.schema, session.candidates.classes
    if schema is None or not likely:
        return ""
    words = (f"{class_letter(schema, name)} {share:.0%}" for name, share in likely)
    return f"{_BESIDE}→ {' · '.join(words)}"
