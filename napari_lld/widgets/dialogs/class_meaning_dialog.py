"""Dialog on classes that the schema lacks: which of its classes each is."""

from __future__ import annotations

import difflib
from collections import Counter

from qtpy.QtWidgets import QComboBox, QDialog, QFormLayout, QVBoxLayout, QWidget

from annotation_store.schema import Schema
from napari_lld.commands.registry import class_like
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import tr
from napari_lld.session.layer_cells import LEAVE_OUT
from napari_lld.widgets.base.parts import confirm_buttons, label, run_dialog

_ASKED = 12
"""Words that are asked about, the most frequent; what else there is gets no class."""
_ALIKE = 0.75


class ClassMeaningDialog(QDialog):
    """One row for each word: no class yet, a class or a group of the schema, or leave such cells out."""

    def __init__(self, unknown: Counter[str], schema: Schema, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_class_meaning")
        self.setWindowTitle(tr("Classes that the project lacks"))
        self.setMinimumWidth(440)
        layout = QVBoxLayout(self)
        layout.addWidget(
            label(tr("The project does not know these classes. Import such cells as:"), wrap=True)
        )
        form = QFormLayout()
        words = shown(schema)
        titles = {item.name: item.title for item in class_like(words)}
        self.choices: dict[str, QComboBox] = {}
        for word, count in unknown.most_common(_ASKED):
            choice = QComboBox()
            choice.addItem(tr("No class yet"), None)
            for name, title in titles.items():
                choice.addItem(title, name)
            choice.addItem(tr("Leave out"), LEAVE_OUT)
            near = difflib.get_close_matches(word.lower(), [t.lower() for t in titles.values()], 1, _ALIKE)
            if near:
                choice.setCurrentIndex(1 + [t.lower() for t in titles.values()].index(near[0]))
            choice.setAccessibleName(word)
            self.choices[word] = choice
            form.addRow(label(f"{word[:40]} ({count})"), choice)
        layout.addLayout(form)
        if len(unknown) > _ASKED:
            rest = tr("{count} more classes: no class yet.", count=len(unknown) - _ASKED)
            layout.addWidget(label(rest, "muted", wrap=True))
        buttons, self.ok = confirm_buttons(self, tr("Apply"))
        layout.addWidget(buttons)

    @property
    def meaning(self) -> dict[str, str | None]:
        """What was chosen."""
        return {word: choice.currentData() for word, choice in self.choices.items()}


def ask_meaning(
    unknown: Counter[str], schema: Schema, parent: QWidget | None
) -> dict[str, str | None] | None:
    """Ask; ``None`` if nothing shall be taken."""
    dialog = ClassMeaningDialog(unknown, schema, parent)
    return run_dialog(dialog, lambda: dialog.meaning)
