"""Controls that ask for as much room as the text in them needs."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QLineEdit,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStyleOptionFrame,
    QWidget,
)

_CURSOR = 8
"""Pixels that Qt leaves beside the text of a line, for the cursor."""


class ChosenText(QComboBox):
    """A choice that is as wide as what is chosen: what could be chosen may be wider."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.currentTextChanged.connect(lambda *_: self.updateGeometry())

    def minimumSizeHint(self) -> QSize:
        """Return the size of the chosen text, with what the style draws around it."""
        self.ensurePolished()
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        metrics, style = self.fontMetrics(), self.style()
        text = QSize(metrics.horizontalAdvance(self.currentText()), metrics.height())
        assert style is not None
        size = style.sizeFromContents(QStyle.ContentsType.CT_ComboBox, option, text, self)
        return QSize(size.width(), super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """Return the same: more room is shared out by the layout."""
        return self.minimumSizeHint()


class HintedLine(QLineEdit):
    """A line that shows the whole of what is written in it while it is empty."""

    def minimumSizeHint(self) -> QSize:
        """Return the size of the placeholder, with frame and margins."""
        self.ensurePolished()
        option = QStyleOptionFrame()
        self.initStyleOption(option)
        usual, style = super().minimumSizeHint(), self.style()
        wide = self.fontMetrics().horizontalAdvance(self.placeholderText()) + _CURSOR
        assert style is not None
        size = style.sizeFromContents(
            QStyle.ContentsType.CT_LineEdit, option, QSize(wide, usual.height()), self
        )
        return QSize(max(size.width(), usual.width()), usual.height())

    def sizeHint(self) -> QSize:
        """Return the usual size, or that of the placeholder if it is longer."""
        return super().sizeHint().expandedTo(self.minimumSizeHint())
