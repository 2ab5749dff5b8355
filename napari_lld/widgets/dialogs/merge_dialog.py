"""Dialog before a merge: its contents and conflicts."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QDialog, QPlainTextEdit, QVBoxLayout, QWidget

from annotation_store.copies.report import Brought
from annotation_store.schema import Schema
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import tr, trn
from napari_lld.tasks.merging import comes_in
from napari_lld.widgets.base.parts import confirm_buttons, label, run_dialog
from napari_lld.widgets.dialogs.conflicts_dialog import in_words

_SHOWN = 500
"""Conflicts that are listed; the list is read, not counted."""


class MergeDialog(QDialog):
    """Shows what would come in, and asks."""

    def __init__(self, other: Path, brought: Brought, schema: Schema, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_merge")
        self.setWindowTitle(tr("Merge another project"))
        self.resize(640, 340)
        layout = QVBoxLayout(self)
        layout.addWidget(label(tr("To merge from {name}:", name=other.name), "title", wrap=True))
        self.summary = label(comes_in(brought), wrap=True)
        layout.addWidget(self.summary)
        self.conflicts = QPlainTextEdit()
        self.conflicts.setReadOnly(True)
        self.conflicts.setAccessibleName(tr("Conflicts"))
        count = len(brought.differences)
        if count:
            text = trn(
                "{count} conflict: you decide afterwards, your labels are not overwritten.",
                "{count} conflicts: you decide afterwards, your labels are not overwritten.",
                count,
            )
            layout.addWidget(label(text, wrap=True))
            words = shown(schema)
            lines = [
                tr(
                    "{field}: used {here}; {reader}: {there}",
                    field=difference.field,
                    here=in_words(difference.here, words),
                    reader=difference.reader,
                    there=in_words(difference.there, words),
                )
                for difference in brought.differences[:_SHOWN]
            ]
            if count > _SHOWN:
                lines.append("…")
            self.conflicts.setPlainText("\n".join(lines))
            layout.addWidget(self.conflicts, 1)
        else:
            layout.addStretch(1)
        note = tr("The current state of the project is kept as a backup. The other project is not changed.")
        layout.addWidget(label(note, "muted", wrap=True))
        buttons, self.ok = confirm_buttons(self, tr("Merge"))
        layout.addWidget(buttons)


def ask_merge(other: Path, brought: Brought, schema: Schema, parent: QWidget | None) -> bool:
    """Ask whether to merge."""
    return bool(run_dialog(MergeDialog(other, brought, schema, parent), lambda: True))
