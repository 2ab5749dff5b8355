"""Popup with a line that goes to a field by its number or name."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QFrame, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from annotation_store.records import Field
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.session import Session
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.parts import label
from napari_lld.widgets.base.whole_text import HintedLine

_ROWS = 12
_STEPS = {
    Qt.Key.Key_Down: 1,
    Qt.Key.Key_Up: -1,
    Qt.Key.Key_PageDown: _ROWS,
    Qt.Key.Key_PageUp: -_ROWS,
}


class FieldJumpPopup(QFrame):
    """Typing narrows the list, the arrows choose, Return or a click goes there, Esc leaves."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("lld_jump")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet("#lld_jump { border: 1px solid palette(mid); }")
        self.setMinimumWidth(260)
        self._session = session
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(4)
        self.line = HintedLine()
        self.line.setPlaceholderText(tr("number, or words of name, patient or slide"))
        self.line.setAccessibleName(tr("Go to a field"))
        self.line.setClearButtonEnabled(True)
        self.line.textChanged.connect(self._find)
        self.line.returnPressed.connect(self._go)
        self.line.installEventFilter(self)
        layout.addWidget(self.line)
        self.list = QListWidget()
        self.list.setAccessibleName(tr("Fields"))
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.setFocusProxy(self.line)  # its keys act here
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setFixedHeight(_ROWS * (self.list.fontMetrics().height() + 4))
        self.list.itemClicked.connect(lambda *_: self._go())
        layout.addWidget(self.list)
        self.about = label(role="muted", wrap=True)
        layout.addWidget(self.about)
        show_focus(self)
        self._find()
        self.line.setFocus()

    def _find(self) -> None:
        """List the matching fields; without text all, in the order of the list."""
        fields, text = self._session.fields, self.line.text()
        matches = fields.find(text)
        self.list.clear()
        for field in matches[:_MOST]:
            item = QListWidgetItem(_title(field))
            item.setData(Qt.ItemDataRole.UserRole, field.id)
            self.list.addItem(item)
        current_rows = [i for i, field in enumerate(matches[:_MOST]) if field.id == fields.current_id]
        self.list.setCurrentRow(current_rows[0] if current_rows and not text.strip() else 0)
        if matches:
            self.about.setText(trn("{count} field", "{count} fields", len(matches)))
        else:
            self.about.setText(
                tr(
                    "No field has this number, and none has “{words}” in its name, patient or slide.",
                    words=text.strip()[:60],
                )
            )

    def _go(self) -> None:
        """Show the chosen field; without one the line stays."""
        item = self.list.currentItem()
        if item is not None:
            field_id = int(item.data(Qt.ItemDataRole.UserRole))
            self.close()
            self._session.fields.show(field_id)

    def eventFilter(self, watched: QObject | None, event: Any) -> bool:
        """Choose in the list by the arrows while the line has the focus."""
        step = _STEPS.get(event.key()) if event is not None and event.type() == QEvent.Type.KeyPress else None
        if step is None or not self.list.count():
            return bool(super().eventFilter(watched, event))
        self.list.setCurrentRow(min(max(self.list.currentRow() + step, 0), self.list.count() - 1))
        return True


_MOST = 500
"""So many fields are listed; more words narrow them."""


def _title(field: Field) -> str:
    where = " · ".join(filter(None, (field.patient, field.slide)))
    return f"{field.id}   {field.name}" + (f"   ({where})" if where else "")
