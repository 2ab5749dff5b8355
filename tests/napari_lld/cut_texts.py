"""What a window shows only in part: texts wider or higher than their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QCheckBox,
    QComboBox,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QStyle,
    QStyleOptionButton,
    QStyleOptionComboBox,
    QTabBar,
    QWidget,
)
from superqt import QElidingLabel

from napari_lld.widgets.base.choice_button import ChoiceButton


def cut_texts(window: QWidget) -> set[str]:
    """Give the texts of a window that are cut, each with the kind of what shows it and the pixels lacking.

    Texts that give way by design, with an ellipsis and all of it in the tooltip, are not among them.
    """
    return {
        f"{type(widget).__name__} {text!r}: {lacking} px"
        for widget in (window, *window.findChildren(QWidget))
        if widget.isVisible() and not isinstance(widget, ChoiceButton | QElidingLabel)
        for text, lacking in (*_of(widget), *_hidden(widget))
        if lacking > 0 and text.strip()
    }


def _of(widget: Any) -> Iterator[tuple[str, int]]:
    """Give the texts of a widget, each with the pixels that it lacks."""
    if isinstance(widget, QLabel):
        text = QLabel.text(widget)
        if ("…" in text[-2:] and widget.toolTip()) or not text:
            return
        if widget.wordWrap():
            yield text, widget.heightForWidth(widget.width()) - widget.height()
        else:
            hint = widget.sizeHint()
            yield text, max(hint.width() - widget.width(), hint.height() - widget.height())
    elif isinstance(widget, QComboBox):
        option = QStyleOptionComboBox()
        option.initFrom(widget)
        room = _style(widget).subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option, QStyle.SubControl.SC_ComboBoxEditField, widget
        )
        wide = widget.fontMetrics().horizontalAdvance(widget.currentText())
        yield widget.currentText(), wide - room.width()
    elif isinstance(widget, QPushButton | QCheckBox | QRadioButton):
        yield widget.text(), _of_button(widget)
    elif isinstance(widget, QAbstractButton):
        yield widget.text(), widget.minimumSizeHint().width() - widget.width()
    elif isinstance(widget, QTabBar):
        for number in range(widget.count()):
            wide = widget.fontMetrics().horizontalAdvance(widget.tabText(number))
            yield widget.tabText(number), wide - widget.tabRect(number).width()
    elif isinstance(widget, QHeaderView):
        for number in range(widget.count()):
            text = str(widget.model().headerData(number, widget.orientation()) or "")
            if not widget.isSectionHidden(number):
                yield text, widget.fontMetrics().horizontalAdvance(text) - widget.sectionSize(number)
    elif isinstance(widget, QLineEdit) and not widget.text():
        wide = widget.fontMetrics().horizontalAdvance(widget.placeholderText())
        yield widget.placeholderText(), wide - widget.contentsRect().width()


def _of_button(widget: Any) -> int:
    option = QStyleOptionButton()
    option.initFrom(widget)
    element = {
        QPushButton: QStyle.SubElement.SE_PushButtonContents,
        QCheckBox: QStyle.SubElement.SE_CheckBoxContents,
        QRadioButton: QStyle.SubElement.SE_RadioButtonContents,
    }[next(kind for kind in (QPushButton, QCheckBox, QRadioButton) if isinstance(widget, kind))]
    room = _style(widget).subElementRect(element, option, widget)
    wide = widget.fontMetrics().size(0x0800, widget.text())  # with mnemonics
    return int(max(wide.width() - room.width(), wide.height() - widget.height()))


def _hidden(widget: QWidget) -> Iterator[tuple[str, int]]:
    """Give the text of a widget that reaches out of what holds it."""
    if not isinstance(widget, QLabel | QAbstractButton | QComboBox | QLineEdit):
        return
    text = getattr(widget, "text", getattr(widget, "currentText", str))()
    inner: QWidget = widget
    while not inner.isWindow() and (outer := inner.parentWidget()) is not None:
        if isinstance(outer.parentWidget(), QAbstractScrollArea):
            area = outer.parentWidget()
            if not area.horizontalScrollBar().maximum():
                place = QRect(widget.mapTo(outer, QPoint(0, 0)), widget.size())
                yield f"{text} (outside at the side)", place.right() - outer.rect().right()
            return
        place = QRect(widget.mapTo(outer, QPoint(0, 0)), widget.size())
        inside = place.intersected(outer.rect())
        yield f"{text} (outside)", max(place.width() - inside.width(), place.height() - inside.height())
        inner = outer


def _style(widget: QWidget) -> QStyle:
    style = widget.style()
    assert style is not None
    return style
