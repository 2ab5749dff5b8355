"""The log: messages of this session, and errors stored by the project."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lld.i18n.translate import tr
from napari_lld.session.log import Entry, Log, kept_logs, read_log
from napari_lld.session.session import Session
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, stylesheet


class LogWindow(QDialog):
    """Shows the log while one works; more than one may be open."""

    def __init__(self, log: Log, session: Session, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_desk")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet(stylesheet(colours))
        self.setWindowTitle(tr("Log"))
        self.resize(720, 420)
        self._log = log
        self.which = QComboBox()
        self.which.setAccessibleName(tr("Which log"))
        self.which.addItem(tr("This session"), None)
        for path in kept_logs(session.project.path if session.project is not None else None):
            self.which.addItem(path.name, path)
        self.text = QPlainTextEdit()
        self.text.setObjectName("lld_log")
        self.text.setReadOnly(True)
        self.text.setAccessibleName(tr("Log"))
        self.text.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.copy = QPushButton(tr("Copy all"))
        close = QPushButton(tr("Close"))
        layout = QVBoxLayout(self)
        layout.addWidget(self.which)
        layout.addWidget(self.text, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.copy)
        foot.addWidget(close)
        layout.addLayout(foot)
        keep_on_screen(self)
        self.which.currentIndexChanged.connect(lambda *_: self._show())
        self.copy.clicked.connect(lambda *_: self._copy())
        close.clicked.connect(lambda *_: self.close())
        log.added.connect(self._on_added)
        self.finished.connect(lambda *_: log.added.disconnect(self._on_added, missing_ok=True))
        self._show()

    def _show(self) -> None:
        path = self.which.currentData()
        text = self._log.text() or tr("No messages yet.") if path is None else read_log(path)
        self.text.setPlainText(text)
        bar = self.text.verticalScrollBar()
        if bar is not None:
            bar.setValue(bar.maximum())

    def _on_added(self, _entry: Entry) -> None:
        if self.which.currentData() is None:
            self._show()

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.text.toPlainText())
