"""The current cell beside labelled ones of each value or class, over the field where the cell is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QAbstractButton, QComboBox, QGridLayout, QScrollArea, QVBoxLayout, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.session.references import CLASS, Comparison, Reference
from napari_lld.session.session import Session
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.over_canvas import OverCanvas
from napari_lld.widgets.base.parts import column, label, row
from napari_lld.widgets.base.theme import Colours, colours, stylesheet

_MARGIN = 8
_LARGE, _SMALL = 156, 72
_HEIGHT = 262
_SCALE_BAR = 46
"""What the scale bar takes at the foot of the canvas."""
_WIDEST = 1000


class PictureButton(QAbstractButton):
    """A picture of one cell; the one that stands beside the current cell has a frame."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.colours: Colours = colours()
        self._pixmap: QPixmap | None = None
        self._bundled = False
        self.setFixedSize(side, side)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def show_picture(self, crop: npt.NDArray[np.uint8] | None, about: str, *, bundled: bool = False) -> None:
        """Show pixels, and what they are in words."""
        self._pixmap, self._bundled = None, bundled
        if crop is not None:
            data = np.ascontiguousarray(crop)
            height, width = data.shape[:2]
            image = QImage(data.data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._pixmap = QPixmap.fromImage(image.copy())
        self.setToolTip(about)
        self.setAccessibleName(about)
        self.update()

    def sizeHint(self) -> QSize:
        """Square."""
        return self.minimumSize()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint the cell, a frame where it is chosen, a sign where it is bundled."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        rect = QRectF(self.rect())
        painter.fillRect(rect, self.colours.raised)
        if self._pixmap is not None:
            painter.drawPixmap(rect, self._pixmap, QRectF(self._pixmap.rect()))
        if self._bundled:
            corner = QRectF(rect.right() - 15, rect.top() + 1, 14, 14)
            painter.fillRect(corner, Qt.GlobalColor.black)
            painter.setPen(Qt.GlobalColor.white)
            painter.drawText(corner, Qt.AlignmentFlag.AlignCenter, "◆")
        if self.isChecked():
            painter.setPen(QPen(self.colours.accent, 3))
            painter.drawRect(rect.adjusted(1.5, 1.5, -1.5, -1.5))


class ReferencePanel(OverCanvas):
    """Lies over the canvas, above or below the current cell; without a canvas it is never seen."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_references")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.where: Callable[[], tuple[float, float] | None] = lambda: None
        self._shown: Comparison | None = None
        self._in_sight: tuple[tuple[str, int], Comparison | None] | None = None
        self.pictures: dict[tuple[str, int], PictureButton] = {}
        layout = column(self, 4, (10, 6, 10, 6))
        self.topic = QComboBox()
        self.topic.setObjectName("lld_references_topic")
        self.topic.setAccessibleName(tr("What cells are compared by"))
        self.topic.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.topic.activated.connect(lambda *_: session.references.show(str(self.topic.currentData())))
        self.waiting = label(role="muted")
        # the key that opened it closes it
        self._close_values = self.tool_button("references.show", tr("Close"))
        self._close_classes = self.tool_button("references.classes", tr("Close"))
        turn = [self.tool_button("references.previous", "‹", hint=False)]
        turn.append(self.tool_button("references.next", "›", hint=False))
        layout.addLayout(row(self.topic, self.waiting, 1, *turn, self._close_values, self._close_classes))
        self.current, self.beside = PictureButton(_LARGE), PictureButton(_LARGE)
        for picture in (self.current, self.beside):
            picture.setEnabled(False)  # to look at, and not to press
        self.current_words, self.beside_words = (label(role="muted", wrap=True) for _ in range(2))
        large = [_add_caption(self.current, self.current_words), _add_caption(self.beside, self.beside_words)]
        self.groups = QWidget()
        self.groups.setObjectName("lld_reference_groups")
        self._grid = QGridLayout(self.groups)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(3)
        self._scroll = QScrollArea()
        self._scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidgetResizable(True)
        self._scroll.setWidget(self.groups)
        body = row(*large, self._scroll, spacing=6)
        body.setStretch(2, 1)
        layout.addLayout(body)
        self.scale_words = label(role="muted", wrap=True)
        layout.addWidget(self.scale_words)
        self.hide()
        self.bind(session.references.changed, self.refresh)
        self.bind(session.project_changed, self._fill_topics)
        self._fill_topics()

    # ------------------------------------------------------------------ where

    def lie_over(self, canvas: QWidget, where: Callable[[], tuple[float, float] | None]) -> None:
        """Lie over a canvas.

        Parameters
        ----------
        where
            Gives where the current cell begins and ends on the canvas, from its top.
        """
        self.where = where
        self.attach(canvas)

    def _place(self) -> None:
        """Lie at the head or the foot of the canvas, whichever covers less of the current cell."""
        canvas, cell = self._canvas, self.where()
        if canvas is None:
            return
        width = min(_WIDEST, canvas.width() - 2 * _MARGIN)
        height = min(_HEIGHT, canvas.height() - _MARGIN - _SCALE_BAR)
        at_foot = canvas.height() - height - _SCALE_BAR
        if cell is None:
            top = at_foot
        else:
            covered_below = max(0.0, cell[1] - at_foot)
            covered_above = max(0.0, _MARGIN + height - cell[0])
            top = at_foot if covered_below <= covered_above else _MARGIN
        self.setGeometry((canvas.width() - width) // 2, top, width, height)

    # ------------------------------------------------------------------ what

    def _fill_topics(self) -> None:
        self.topic.clear()
        self.topic.addItem(tr("Class"), CLASS)
        for attribute in self.session.attributes:
            self.topic.addItem(attribute.title or attribute.name, attribute.name)

    def refresh(self) -> None:
        """Show the current cell and those to compare it with."""
        super().refresh()
        references = self.session.references
        if not references.is_open or self._canvas is None:
            self._shown = None
            self.hide()
            return
        comparison = references.comparison
        self._close_values.setHidden(references.by_class)
        self._close_classes.setHidden(not references.by_class)
        self.topic.setCurrentIndex(max(self.topic.findData(references.what), 0))
        if comparison is not self._shown:
            self._shown = comparison
            self._show_groups(comparison)
        if comparison is None:
            self.waiting.setText(
                tr("Select a cell.") if self.session.selection.box is None else tr("Reading …")
            )
            self.current.show_picture(None, "")
        else:
            self.waiting.setText(
                "" if any(comparison.cells.values()) else tr("No cell has such a label yet.")
            )
            self.current.show_picture(comparison.current, tr("This cell"))
        self.current_words.setText(tr("This cell"))
        self._show_beside(comparison, references.beside)
        self.scale_words.setText(_describe_scale(comparison))
        self._place()
        self.show()
        self.raise_()

    def _show_beside(self, comparison: Comparison | None, beside: Reference | None) -> None:
        chosen = self.session.references.chosen
        for key, picture in self.pictures.items():
            picture.setChecked(key == chosen)
            if key == chosen and (key, comparison) != self._in_sight:
                self._in_sight = (key, comparison)
                QTimer.singleShot(0, lambda at=picture: self._bring_into_sight(at))
        if comparison is None or beside is None or chosen is None:
            self.beside.show_picture(None, "")
            self.beside_words.setText("")
            return
        words = self._words(comparison, chosen[0], beside)
        self.beside.show_picture(beside.crop, words, bundled=beside.cell_id is None)
        self.beside_words.setText(words)
        self.beside_words.setToolTip(words)

    def _bring_into_sight(self, picture: PictureButton) -> None:
        """Scroll to a picture once it has its place."""
        if picture in self.pictures.values():
            self._scroll.ensureWidgetVisible(picture, _MARGIN, 0)

    def _show_groups(self, comparison: Comparison | None) -> None:
        """Rebuild the pictures: a block of two rows for each value."""
        for child in self.groups.findChildren(QWidget):
            child.setParent(None)
            child.deleteLater()
        self.pictures = {}
        column_number = 0
        for value, cells in comparison.cells.items() if comparison is not None else ():
            title = label(self._title(comparison, value), "heading") if comparison is not None else label()
            width = max(1, -(-len(cells) // 2))
            self._grid.addWidget(title, 0, column_number, 1, width)
            if not cells:
                none = label(tr("none yet"), "muted")
                self._grid.addWidget(none, 1, column_number)
            for number, example in enumerate(cells):
                picture = PictureButton(_SMALL)
                picture.colours = self.colours
                picture.setCheckable(True)
                assert comparison is not None
                picture.show_picture(
                    example.crop, self._words(comparison, value, example), bundled=example.cell_id is None
                )
                picture.clicked.connect(
                    lambda *_, value=value, number=number: self.session.references.choose(value, number)
                )
                self.pictures[value, number] = picture
                self._grid.addWidget(picture, 1 + number % 2, column_number + number // 2)
            column_number += width
            self._grid.setColumnMinimumWidth(column_number, 8)
            column_number += 1
        for number in range(self._grid.columnCount()):
            self._grid.setColumnStretch(number, 0)
        self._grid.setColumnStretch(column_number, 1)
        self._grid.setRowStretch(3, 1)
        show_focus(self)

    def _title(self, comparison: Comparison, value: str) -> str:
        """Return the title of a value with the digit that gives it, of a class with its key."""
        schema, what = self.session.schema, comparison.question.what
        if schema is None:
            return value
        if what == CLASS:
            command = f"class.{value}"
            key = self.commands[command].key if command in self.commands else ""
            return f"{schema.class_title(value)}  {key}".rstrip()
        number = comparison.question.values.index(value) + 1
        command = f"value.{number}"
        key = self.commands[command].key if command in self.commands else ""
        return f"{schema.value_title(what, value)}  {key}".rstrip()

    def _words(self, comparison: Comparison, value: str, example: Reference) -> str:
        """Describe a reference: label, origin, likeness."""
        schema, what = self.session.schema, comparison.question.what
        title = value
        if schema is not None:
            title = schema.class_title(value) if what == CLASS else schema.value_title(what, value)
        parts = [title]
        parts.append(
            tr("bundled example") if example.cell_id is None else tr("cell {id}", id=example.cell_id)
        )
        if example.likeness is not None:
            parts.append(tr("{likeness:.0%} similar", likeness=example.likeness))
        parts.append(example.where)
        return " · ".join(parts)

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self.setStyleSheet(
            stylesheet(new).replace("#lld_desk", "#lld_references")  # it lies outside the dock
            + f"#lld_references {{ border: 1px solid {new.line.name()}; border-radius: 6px; }}"
            "#lld_reference_groups { background: transparent; }"
        )
        for picture in self.findChildren(PictureButton):
            picture.colours = new
            picture.update()


def _add_caption(picture: PictureButton, words: QWidget) -> QWidget:
    holder = QWidget()
    holder.setFixedWidth(_LARGE)
    layout = QVBoxLayout(holder)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    layout.addWidget(picture)
    layout.addWidget(words)
    layout.addStretch(1)
    return holder


def _describe_scale(comparison: Comparison | None) -> str:
    """Describe the scale of the pictures, and the origin of bundled ones."""
    if comparison is None:
        return ""
    parts = [
        tr("Each cell fills its picture: sizes cannot be compared.")
        if comparison.side_um is None
        else tr("All pictures are {side:.1f} µm wide: sizes can be compared.", side=comparison.side_um)
    ]
    if comparison.bundled:
        parts.append(
            tr(
                "◆ Bundled: PBC data set, Acevedo et al. 2020, CC BY 4.0, cut and scaled; "
                "labels after WBCAtt, MIT."
            )
        )
    return " ".join(parts)
