"""Questions about fields and readings. Each gives the answer or ``None``."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QDialog, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from napari_lld.translate import tr
from napari_lld.widgets.dialogs import ask_lines
from napari_lld.widgets.parts import answered, confirm_buttons, label


def ask_field_comment(name: str, text: str, parent: QWidget | None) -> str | None:
    """Ask for the comment on a field, beginning with the one that is there."""
    return ask_lines(tr("On the field {name}:", name=name), text, parent)


class ReadingDialog(QDialog):
    """Asks what a new reading is called, and whether it is blind."""

    def __init__(self, annotator: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Add a reading"))
        self.setMinimumWidth(380)
        layout = QVBoxLayout(self)
        layout.addWidget(
            label(tr("Regions, cells and values of your own on the same fields, empty at first."), wrap=True)
        )
        form = QFormLayout()
        self.name = QLineEdit(annotator)
        self.blind = QCheckBox(tr("Blind: no suggestion before a region of the field is finished"))
        form.addRow(tr("Name"), self.name)
        form.addRow("", self.blind)
        layout.addLayout(form)
        buttons, ok = confirm_buttons(self)
        self.name.textChanged.connect(lambda text: ok.setEnabled(bool(text.strip())))
        layout.addWidget(buttons)


def ask_reading(annotator: str, parent: QWidget | None) -> tuple[str, bool] | None:
    """Ask for a new reading: its name, and whether it is blind."""
    dialog = ReadingDialog(annotator, parent)
    return answered(dialog, lambda: (dialog.name.text().strip(), dialog.blind.isChecked()))
