"""Questions about fields and readings. Each gives the answer or ``None``."""

from __future__ import annotations

from qtpy.QtWidgets import QInputDialog, QWidget

from napari_lld.translate import tr


def ask_field_comment(name: str, text: str, parent: QWidget | None) -> str | None:
    """Ask for the comment on a field, beginning with the one that is there."""
    written, accepted = QInputDialog.getMultiLineText(
        parent, tr("Comment"), tr("On the field {name}:", name=name), text
    )
    return written if accepted else None
