"""Choose the rule that reads the patient from names, with a preview."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QLineEdit, QVBoxLayout, QWidget

from napari_lld.i18n.translate import tr
from napari_lld.session.patient_rule import RULES, preview
from napari_lld.widgets.base.parts import label

_OWN = "*"
"""Stands for a pattern of the user's own."""


class PatientChooser(QWidget):
    """Rules in words, a pattern of one's own under *Advanced*, and what the rule reads.

    Parameters
    ----------
    expression
        The rule to begin with.
    names
        Gives the files whose names are shown as examples, a bounded number; ``None`` = no examples.
    """

    changed = Signal()

    def __init__(
        self,
        expression: str | None,
        names: Callable[[], Sequence[Path]] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._names = names
        self.sound = True
        """Whether the rule can be read."""
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.rule = QComboBox()
        self.rule.setAccessibleName(tr("Patient from name"))
        for pattern, title in RULES:
            self.rule.addItem(tr(title), pattern)
        self.rule.addItem(tr("Advanced: your own pattern"), _OWN)
        self.own = QLineEdit()
        self.own.setPlaceholderText(r"^(P\d+)_")
        self.own.setAccessibleName(tr("Pattern"))
        self.own.setToolTip(tr("A regular expression; its first group is the patient."))
        self.preview = label(role="muted", wrap=True)
        self.preview.setObjectName("lld_patients")
        self.preview.setMinimumHeight(5 * self.preview.fontMetrics().lineSpacing())
        self.preview.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        for widget in (self.rule, self.own, self.preview):
            layout.addWidget(widget)
        self.use(expression)
        self.rule.currentIndexChanged.connect(self._on_rule)
        self.own.textChanged.connect(lambda *_: self.refresh())
        self.refresh()

    def use(self, expression: str | None) -> None:
        """Set the rule: a predefined one, or a pattern."""
        row = self.rule.findData(expression or "")
        self.rule.setCurrentIndex(row if row >= 0 else self.rule.findData(_OWN))
        if row < 0:
            self.own.setText(expression or "")
        self.own.setVisible(row < 0)

    @property
    def expression(self) -> str:
        """The rule as it stands; empty: none."""
        rule = str(self.rule.currentData())
        return self.own.text().strip() if rule == _OWN else rule

    def _on_rule(self) -> None:
        is_custom = self.rule.currentData() == _OWN
        self.own.setVisible(is_custom)
        if is_custom:
            self.own.setFocus()
        self.refresh()

    def refresh(self) -> None:
        """Show what the rule reads."""
        text, self.sound = preview(self.expression, self._names() if self._names is not None else [])
        self.preview.setText(text)
        self.preview.setVisible(self._names is not None or not self.sound)
        self.changed.emit()
