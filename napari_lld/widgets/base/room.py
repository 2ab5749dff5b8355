"""Fit widgets into the available room: contents scroll, rows fold, dialogs stay on the screen."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QBoxLayout,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QLayout,
    QPlainTextEdit,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_lld.widgets.base.focus import show_focus

_FRAME = QSize(60, 110)
"""What title bar, frame, margins and buttons of a dialog take beside its contents."""


def available(widget: QWidget) -> QSize:
    """Return the size of the screen that windows may take."""
    screen = widget.screen()
    return screen.availableGeometry().size() if screen is not None else QSize(1280, 720)


class Scrolling(QScrollArea):
    """Contents as wide as the area, which scroll where they do not fit.

    Parameters
    ----------
    content
        What is shown. It is as large as it needs, where there is room.
    least
        The size the area can shrink to. By default that is the smallest size of the contents, as far as
        the screen allows.
    """

    def __init__(self, content: QWidget, least: QSize | None = None) -> None:
        super().__init__()
        self._least = least
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.setWidget(content)

    def sizeHint(self) -> QSize:
        """Return the size that the contents ask for, as far as the screen allows."""
        content = self.widget()
        size = content.sizeHint().expandedTo(content.minimumSizeHint())
        if content.hasHeightForWidth():
            size.setHeight(max(size.height(), content.heightForWidth(size.width())))
        return self._within_screen(size)

    def minimumSizeHint(self) -> QSize:
        """Return the size that the area can shrink to."""
        if self._least is not None:
            return self._least
        return self._within_screen(self.widget().minimumSizeHint())

    def _within_screen(self, size: QSize) -> QSize:
        """Add what the style draws around the contents; cut to the screen, with room for the bar."""
        self.ensurePolished()
        # a style's border takes its pixels from the contents, and one pixel too few brings both bars
        size = size + (self.size() - self.maximumViewportSize()).expandedTo(QSize(0, 0))
        most = available(self) - _FRAME
        if size.height() > most.height():
            size.setWidth(size.width() + self.verticalScrollBar().sizeHint().width())
        return size.boundedTo(most)

    def keep_wheel(self) -> None:
        """Let the wheel scroll over controls too: it must not change a value in passing."""
        for control in self.findChildren((QComboBox, QAbstractSlider)):
            if not isinstance(control, QScrollBar):
                control.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the contents; pass the wheel on from a control, where the area scrolls."""
        if event is not None and watched is self.widget():
            if event.type() == QEvent.Type.LayoutRequest:
                self.updateGeometry()
            elif event.type() == QEvent.Type.Show and (layout := self.widget().layout()) is not None:
                # a style that asks for more as the contents are shown makes them larger, and Qt tells no one
                layout.setGeometry(self.widget().rect())
        elif event is not None and event.type() == QEvent.Type.Wheel:
            scrolls = bool(self.verticalScrollBar().maximum() > 0)
            if scrolls:
                event.ignore()
            return scrolls
        return bool(super().eventFilter(watched, event))


class Pages(QStackedWidget):
    """Pages to scroll, which shrink as far as they can before they have to be scrolled."""

    def heightForWidth(self, width: int) -> int:
        """Return the least height of the current page."""
        page = self.currentWidget()
        layout = page.layout() if page is not None else None
        return int(layout.minimumHeightForWidth(width)) if layout is not None else -1


class FoldingRow(QWidget):
    """Two groups side by side, or one below the other where the row is too narrow.

    Parameters
    ----------
    left, right
        The groups, as `parts.row` makes them.
    stretch
        Which group takes the room that is left: 0 or 1, or ``None`` for a gap between them.
    """

    def __init__(
        self, left: QLayout, right: QLayout, *, spacing: int = 4, stretch: int | None = None
    ) -> None:
        super().__init__()
        self._groups = (left, right)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(spacing)
        self._layout.addLayout(left, int(stretch == 0))
        if stretch is None:
            self._layout.addStretch(1)
        self._layout.addLayout(right, int(stretch == 1))

    def minimumSizeHint(self) -> QSize:
        """Return the width of the wider group: the row can fold."""
        least = self._layout.minimumSize()
        return QSize(max(group.minimumSize().width() for group in self._groups), least.height())

    def resizeEvent(self, event: object) -> None:
        """Fold or unfold."""
        super().resizeEvent(event)
        self._fold()

    def event(self, event: QEvent | None) -> bool:
        """Fold or unfold when a group has grown or shrunk."""
        handled = bool(super().event(event))
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self._fold()
        return handled

    def _fold(self) -> None:
        wide = sum(group.minimumSize().width() for group in self._groups) + self._layout.spacing()
        folds = self.width() < wide
        direction = QBoxLayout.Direction.TopToBottom if folds else QBoxLayout.Direction.LeftToRight
        if direction != self._layout.direction():
            self._layout.setDirection(direction)
            self.updateGeometry()


def show_popup(popup: QWidget, at: QPoint) -> None:
    """Show a little window with its upper left corner at a point, or as near as the screen allows."""
    popup.show()  # its size is known only then
    screen = popup.screen()
    if screen is not None:
        edges = screen.availableGeometry()
        at = QPoint(
            max(edges.left(), min(at.x(), edges.right() - popup.width())),
            max(edges.top(), min(at.y(), edges.bottom() - popup.height())),
        )
    popup.move(at)


def keep_on_screen(dialog: QDialog) -> None:
    """Let the contents of a dialog scroll where the screen is too small; buttons and focus are always seen.

    The buttons are the last row of the dialog's layout: a button box, or a separate row.
    """
    show_focus(dialog)
    for text in dialog.findChildren(QPlainTextEdit):
        text.setTabChangesFocus(True)  # or nobody gets out of it by keyboard
    layout = dialog.layout()
    if layout is None or dialog.findChild(Scrolling, options=Qt.FindChildOption.FindDirectChildrenOnly):
        return
    margins = layout.contentsMargins()
    last = layout.itemAt(layout.count() - 1)
    foot: QWidget | QLayout | None = last.widget() or last.layout()
    if isinstance(foot, QDialogButtonBox | QLayout):
        layout.takeAt(layout.count() - 1)
    else:
        foot = None
    layout.setContentsMargins(0, 0, 0, 0)
    content = QWidget()
    content.setLayout(layout)  # takes the layout from the dialog, and its widgets with it
    outer = QVBoxLayout(dialog)
    outer.setContentsMargins(margins)
    outer.addWidget(Scrolling(content))
    if isinstance(foot, QLayout):
        foot.setParent(None)
        outer.addLayout(foot)
    elif foot is not None:
        outer.addWidget(foot)
    _Clamp(dialog)


class _Clamp(QObject):
    """Opens a dialog as large as its contents, lets it grow with them, and keeps it within its screen.

    Qt itself opens a window no larger than two thirds of the screen, and leaves it so when more is said.
    """

    def __init__(self, dialog: QDialog) -> None:
        super().__init__(dialog)
        self._size_hint = QSize(0, 0)
        dialog.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Fit the dialog as it is shown, and as its contents ask for more than they did."""
        if event is None or not isinstance(watched, QDialog):
            return False
        is_shown = event.type() == QEvent.Type.Show
        if is_shown or (event.type() == QEvent.Type.LayoutRequest and watched.isVisible()):
            wanted_size = watched.sizeHint()
            has_grown = (
                wanted_size.width() > self._size_hint.width()
                or wanted_size.height() > self._size_hint.height()
            )
            self._size_hint = wanted_size
            if is_shown or has_grown:
                room = available(watched) - QSize(8, 36)
                watched.resize(watched.size().expandedTo(wanted_size).boundedTo(room))
        return False
