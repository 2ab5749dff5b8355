"""Messages of the window: wrapped, over the list of fields, with details on request."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLabel,
    QPlainTextEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.parts import column, row
from napari_lld.widgets.base.room import keep_on_screen

_INFO_MS = 15_000
"""How long an information stays; a warning or error stays until it is closed or another follows."""
_EDGE = 6
_SIGN = 14
_LINES = 5
"""Lines that are shown; *Details* has the rest."""


class MessageBar(QFrame):
    """Lies over a widget, so that nothing moves when it comes and goes.

    Parameters
    ----------
    over
        What it lies over.
    bottom
        Gives where its lower edge lies at most.
    """

    def __init__(self, over: QWidget, bottom: Callable[[], int]) -> None:
        super().__init__(over)
        self.setObjectName("lld_message")
        self.setProperty("level", "info")
        self._over = over
        self._bottom = bottom
        self._message = ""
        self.text = QLabel()
        self.text.setObjectName("lld_message_text")
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.sign = QLabel()  # tells a warning where its colour does not
        self.sign.setFixedWidth(_SIGN)
        self.details = QToolButton()
        self.details.setObjectName("lld_message_details")
        self.close_ = QToolButton()
        self.close_.setObjectName("lld_message_close")
        self.close_.setText("✕")
        self.use_words()
        for button in (self.details, self.close_):
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.details.clicked.connect(lambda *_: self._show_details())
        self.close_.clicked.connect(lambda *_: self.hide())
        layout = column(self, 4, (8, 6, 8, 6))
        message_row = row(self.sign, self.text, self.close_)
        for widget in (self.sign, self.close_):
            message_row.setAlignment(widget, Qt.AlignmentFlag.AlignTop)
        message_row.setStretch(1, 1)
        layout.addLayout(message_row)
        layout.addLayout(row(1, self.details))
        self._fading = QTimer(self)
        self._fading.setSingleShot(True)
        self._fading.setInterval(_INFO_MS)
        self._fading.timeout.connect(self.hide)
        over.installEventFilter(self)
        self.hide()

    def use_words(self) -> None:
        """Write on the buttons what they do; a message stays in the language in which it came."""
        self.details.setText(tr("Details"))
        self.close_.setToolTip(tr("Close"))
        self.close_.setAccessibleName(tr("Close"))

    def show_message(self, level: str, message: str) -> None:
        """Show a message; its first line is the message, the rest are details."""
        self._message = message
        self.setProperty("level", level)
        style = self.style()
        if style is not None:
            style.unpolish(self)
            style.polish(self)
        self.sign.setText("i" if level == "info" else "⚠")
        self.text.setText(message.split("\n", 1)[0])
        self.setAccessibleName(self.text.text())  # a screen reader is told of it
        self.show()
        self._place()
        self.raise_()
        if level == "info":
            self._fading.start()
        else:
            self._fading.stop()

    def forget(self) -> None:
        """Hide a warning or error of the project that is closed; information fades by itself."""
        if self.property("level") != "info":
            self.hide()

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of what it lies over, and of what else it was told to watch."""
        if event is not None and event.type() in (QEvent.Type.Resize, QEvent.Type.Move):
            self._place()
        return False

    def _place(self) -> None:
        if self.isHidden():
            return
        width = max(self._over.width() - 2 * _EDGE, 80)
        most = _LINES * self.text.fontMetrics().lineSpacing() + 2
        needed = self.text.heightForWidth(width - 18 - _SIGN - self.close_.sizeHint().width() - 2 * 4)
        self.text.setFixedHeight(min(needed, most))
        self.details.setVisible(needed > most or "\n" in self._message)
        self.setFixedWidth(width)
        self.adjustSize()
        lowest = min(self._bottom(), self._over.height() - _EDGE)
        self.move(_EDGE, max(lowest - self.height(), 0))

    def _show_details(self) -> None:
        dialog = MessageDetails(self._message, self.window())
        dialog.show()


class MessageDetails(QDialog):
    """All of a message, to read and to copy."""

    def __init__(self, message: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Details"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(560, 260)
        self.text = QPlainTextEdit(message)
        self.text.setReadOnly(True)
        self.text.setAccessibleName(tr("Details"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        copy = buttons.addButton(tr("Copy all"), QDialogButtonBox.ButtonRole.ActionRole)
        assert copy is not None
        copy.clicked.connect(lambda *_: self._copy())
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text, 1)
        layout.addWidget(buttons)
        keep_on_screen(self)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.text.toPlainText())
