"""Keyboard focus: it moves from place to place, in reading order within a place, and is always visible.

Controls take the focus by Tab and never by a click, which leaves the keys to the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtpy.QtCore import QEvent, QObject, QRectF, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import (
    QApplication,
    QInputDialog,
    QLayout,
    QMessageBox,
    QScrollArea,
    QTabWidget,
    QWidget,
)

_OURS = "lld_shows_focus"
_LINE = 1.5


def go_on(places: Sequence[QWidget], field: QWidget | None) -> None:
    """Move the keyboard to the first control of the next place, after the last one to the field.

    Parameters
    ----------
    places
        Those that may be seen, in order.
    field
        What shows the field; ``None`` where nothing does.
    """
    focused = QApplication.focusWidget()
    visible = [place for place in places if place.isVisible()]
    current = [n for n, place in enumerate(visible) if focused is not None and holds(place, focused)]
    for place in visible[current[0] + 1 if current else 0 :]:
        control = next(controls(place), None)
        if control is not None:
            if not place.isActiveWindow():
                place.activateWindow()
            control.setFocus(Qt.FocusReason.TabFocusReason)
            return
    if field is not None:
        field.setFocus(Qt.FocusReason.OtherFocusReason)
    elif focused is not None:
        focused.clearFocus()


def holds(place: QWidget, widget: QWidget) -> bool:
    """Return whether a widget stands in a place."""
    return widget is place or place.isAncestorOf(widget)


def controls(place: QWidget) -> Iterator[QWidget]:
    """Yield what can be reached in a place by Tab, in that order."""
    current = place.nextInFocusChain()
    while current is not None and current is not place:
        if place.isAncestorOf(current) and _takes_focus(current):
            yield current
        current = current.nextInFocusChain()


def _takes_focus(widget: QWidget) -> bool:
    tabbed = widget.focusPolicy().value & Qt.FocusPolicy.TabFocus.value
    return bool(tabbed) and widget.isVisible() and widget.isEnabled() and widget.focusProxy() is None


def order_tabs(place: QWidget) -> None:
    """Let Tab go as one reads: in the order of the layouts, whenever each control was made."""
    before: QWidget | None = None
    for widget in _in_order(place):
        if widget.focusPolicy().value & Qt.FocusPolicy.TabFocus.value:
            if before is not None:
                QWidget.setTabOrder(before, widget)
            before = widget


def _in_order(widget: QWidget) -> Iterator[QWidget]:
    yield widget
    if isinstance(widget, QScrollArea):
        inner = widget.widget()
        if inner is not None:
            yield from _in_order(inner)
    elif isinstance(widget, QTabWidget):
        bar = widget.tabBar()
        if bar is not None:
            yield bar
        for number in range(widget.count()):
            page = widget.widget(number)
            if page is not None:
                yield from _in_order(page)
    elif (layout := widget.layout()) is not None:
        yield from _of_layout(layout)


def _of_layout(layout: QLayout) -> Iterator[QWidget]:
    for number in range(layout.count()):
        item = layout.itemAt(number)
        if item is None:
            continue
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            yield from _in_order(widget)
        elif inner is not None:
            yield from _of_layout(inner)


# ---------------------------------------------------------------------- seeing it


class _Ring(QWidget):
    """A ring in black and white on the edge of a control: one of both is seen in every theme."""

    def __init__(self, control: QWidget) -> None:
        super().__init__(control)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        self.setStyleSheet("background: transparent; border: none;")
        self.setGeometry(control.rect())
        control.installEventFilter(self)
        self.show()
        self.raise_()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the control."""
        if event is not None and event.type() == QEvent.Type.Resize and watched is self.parent():
            self.setGeometry(self.parentWidget().rect())
        return False

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        edge = QRectF(self.rect())
        for number, colour in enumerate((Qt.GlobalColor.white, Qt.GlobalColor.black)):
            inset = _LINE * (number + 0.5)
            painter.setPen(QPen(colour, _LINE))
            painter.drawRoundedRect(edge.adjusted(inset, inset, -inset, -inset), 3, 3)


class _Rings(QObject):
    """Follows the focus of the program."""

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        self.setObjectName(_OURS)
        application.focusChanged.connect(self._on_focus)

    def _on_focus(self, old: QWidget | None, new: QWidget | None) -> None:
        if old is not None:
            for ring in old.findChildren(_Ring, options=Qt.FindChildOption.FindDirectChildrenOnly):
                ring.hide()
                ring.deleteLater()
        if new is None:
            return
        current: QWidget | None = new
        while current is not None and not current.property(_OURS):
            # what drops down from a control is a window of its own, and shows itself where it is
            current = None if current.isWindow() else current.parentWidget()
        # napari's style shows no focus in the questions that Qt lays out either
        if current is not None or isinstance(new.window(), QInputDialog | QMessageBox):
            _Ring(new)


def show_focus(place: QWidget) -> None:
    """Order the controls of a place for Tab, and show from now on which one has the focus."""
    place.setProperty(_OURS, True)
    order_tabs(place)
    application = QApplication.instance()
    if isinstance(application, QApplication) and application.findChild(_Rings, _OURS) is None:
        _Rings(application)
