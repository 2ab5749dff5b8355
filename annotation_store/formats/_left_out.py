"""What is left out of an import, so that it is told and never becomes background."""

from __future__ import annotations

from annotation_store.errors import FormatError
from annotation_store.formats._document import Document, FieldIn
from annotation_store.records import Box


def leave_out(field: FieldIn, box: Box | None = None, label: str = "") -> None:
    """Note a mark that is not read: its box becomes an ignore area where the field is finished.

    Where nobody knows its place, the field does not count as annotated as a whole.
    """
    if label and box is not None:
        field.strangers.append((label, box))
    else:
        field.left_out(box)


def refuse_empty(document: Document) -> None:
    """Refuse a document of which every record was left out.

    Raises
    ------
    FormatError
        With the first reason.
    """
    reasons = document.skipped.sentences()
    if not document.fields and reasons:
        raise FormatError(f"Nothing in {document.source} can be read. {reasons[0]}")
