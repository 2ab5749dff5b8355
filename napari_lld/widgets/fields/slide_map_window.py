"""The map of a slide: overview, kinds of area, and marks; a click goes there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QCheckBox, QDialog, QLabel, QPushButton, QVBoxLayout, QWidget

from annotation_store.records import Box
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.widgets.base.parts import label, row
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, stylesheet
from training.inference.slide_map import SlideMap

KINDS = (
    (SlideMap.SPARSE, QColor("#3b7dd8"), later("Sparse")),
    (SlideMap.MONOLAYER, QColor("#5fd35f"), later("Monolayer")),
    (SlideMap.THICK, QColor("#a83800"), later("Thick")),
)
_VEIL, _THIN_VEIL = 105, 45
"""Opacity of the colours over the overview, of 255."""
_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}

Pixels = npt.NDArray[np.uint8]


class SlideMapView(QWidget):
    """The picture: overview, kinds, marks, what the canvas shows, the place of the keyboard."""

    chosen = Signal(float, float)
    """A point of the slide, in pixels of its full resolution."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(320, 240)
        self.setAccessibleName(tr("Map of the slide"))
        self.map: SlideMap | None = None
        self.place: tuple[int, int] | None = None
        self.veiled = True
        self._size = (1, 1)
        self._overview: QPixmap | None = None
        self._veil: QImage | None = None
        self._marks: list[tuple[QColor, npt.NDArray[np.float64]]] = []
        self._areas: list[Box] = []
        self._sight: Box | None = None

    def sizeHint(self) -> QSize:
        """Ask for room for the overview."""
        return QSize(560, 480)

    def show_overview(self, pixels: Pixels, width: int, height: int) -> None:
        """Show the overview of a slide of that size."""
        pixels = np.ascontiguousarray(pixels)
        image = QImage(
            pixels.tobytes(),
            pixels.shape[1],
            pixels.shape[0],
            3 * pixels.shape[1],
            QImage.Format.Format_RGB888,
        )
        self._overview = QPixmap.fromImage(image.copy())
        self._size = (width, height)
        self.map = self.place = self._veil = None
        self.update()

    def show_map(self, slide_map: SlideMap) -> None:
        """Overlay the kinds of area."""
        self.map = slide_map
        table = np.zeros((4, 4), np.uint8)
        for kind, colour, _ in KINDS:
            table[kind] = (colour.red(), colour.green(), colour.blue(), _VEIL)
        veil = np.ascontiguousarray(table[slide_map.kinds])
        rows, columns = slide_map.kinds.shape
        odd = np.indices((rows, columns)).sum(axis=0) % 2 == 1
        veil[odd & (slide_map.kinds == SlideMap.THICK), 3] = (
            _THIN_VEIL  # chequered: told without its colour too
        )
        self._veil = QImage(veil.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()
        order = slide_map.order()
        self.place = order[0] if order else None
        self.update()

    def show_marks(self, marks: Sequence[tuple[QColor, Sequence[Box]]], areas: Sequence[Box]) -> None:
        """Show points for boxes, and outlines for areas."""
        self._marks = []
        for colour, boxes in marks:
            values = np.array(boxes, dtype=np.float64).reshape(-1, 4)
            self._marks.append((colour, values[:, :2] + values[:, 2:] / 2))
        self._areas = list(areas)
        self.update()

    def show_sight(self, box: Box) -> None:
        """Show what of the slide the canvas shows."""
        if box != self._sight:
            self._sight = box
            self.update()

    def _frame(self) -> QRectF:
        """Return where the slide lies in the widget."""
        width, height = self._size
        scale = min(self.width() / width, self.height() / height)
        w, h = width * scale, height * scale
        return QRectF((self.width() - w) / 2, (self.height() - h) / 2, w, h)

    def _to_widget(self, box: Box) -> QRectF:
        frame = self._frame()
        scale = frame.width() / self._size[0]
        x, y, w, h = box
        return QRectF(frame.x() + x * scale, frame.y() + y * scale, w * scale, h * scale)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint it."""
        if self._overview is None:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        frame = self._frame()
        painter.drawPixmap(frame, self._overview, QRectF(self._overview.rect()))
        if self._veil is not None and self.map is not None and self.veiled:
            rows, columns = self.map.kinds.shape
            whole = self._to_widget((0, 0, columns * self.map.side, rows * self.map.side))
            painter.setClipRect(frame)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
            painter.drawImage(whole, self._veil)
            painter.setClipping(False)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for area in self._areas:
            self._outline(painter, self._to_widget(area), QColor("white"))
        scale = frame.width() / self._size[0]
        for number, (colour, centres) in enumerate(self._marks):
            # suggestions come first, and are smaller
            painter.setPen(QPen(colour, 3 + number, cap=Qt.PenCapStyle.RoundCap))
            places = [QPointF(frame.x() + x * scale, frame.y() + y * scale) for x, y in centres.tolist()]
            painter.drawPoints(QPolygonF(places))
        if self._sight is not None:
            self._outline(painter, self._to_widget(self._sight).intersected(frame), QColor("#ffd400"))
        if self.map is not None and self.place is not None and self.hasFocus():
            cell = self._to_widget(self.map.box(*self.place))
            self._outline(painter, cell.adjusted(-2, -2, 2, 2), QColor("#ff3ea5"))
        painter.end()

    @staticmethod
    def _outline(painter: QPainter, area: QRectF, colour: QColor) -> None:
        """Draw an outline that is seen on bright and on dark ground."""
        painter.setPen(QPen(QColor("black"), 3))
        painter.drawRect(area)
        painter.setPen(QPen(colour, 1.5))
        painter.drawRect(area)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go where the click is."""
        frame = self._frame()
        if event is None or self._overview is None or not frame.contains(event.position()):
            return
        scale = self._size[0] / frame.width()
        x, y = (event.position().x() - frame.x()) * scale, (event.position().y() - frame.y()) * scale
        if self.map is not None:
            rows, columns = self.map.kinds.shape
            self.place = (
                min(rows - 1, int(y // self.map.side)),
                min(columns - 1, int(x // self.map.side)),
            )
        self.chosen.emit(x, y)
        self.update()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Move with the arrows; Enter goes there."""
        if event is None or self.map is None or self.place is None:
            super().keyPressEvent(event)
            return
        step = _STEPS.get(Qt.Key(event.key()))
        if step is not None:
            rows, columns = self.map.kinds.shape
            self.place = (
                min(rows - 1, max(0, self.place[0] + step[0])),
                min(columns - 1, max(0, self.place[1] + step[1])),
            )
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.go()
        else:
            super().keyPressEvent(event)

    def go(self) -> None:
        """Go to the place of the keyboard."""
        if self.map is not None and self.place is not None:
            x, y, w, h = self.map.box(*self.place)
            self.chosen.emit(x + w / 2, y + h / 2)

    def focusInEvent(self, event: object) -> None:
        """Show the place of the keyboard."""
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: object) -> None:
        """Hide the place of the keyboard."""
        super().focusOutEvent(event)
        self.update()


class SlideMapWindow(QDialog):
    """The picture, what its colours mean, and the way to the next place."""

    went = Signal(float, float)

    def __init__(self, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_desk")
        self.setWindowTitle(tr("Map of the slide"))
        self.view = SlideMapView(self)
        self.note = label("", "muted", wrap=True)
        self.kinds = QCheckBox(tr("Show kinds"))
        self.kinds.setChecked(True)
        self.next = QPushButton(tr("Next place"))
        self.next.setToolTip(
            tr("The area of the monolayer with the most nuclei that you have not viewed yet")
        )
        self.next.setAutoDefault(False)
        self.next.setEnabled(False)
        self._seen: set[tuple[int, int]] = set()
        legend: list[QWidget | int] = [self.kinds]
        for _, colour, name in KINDS:
            swatch = QLabel()
            swatch.setFixedSize(12, 12)
            swatch.setStyleSheet(f"background: {colour.name()}; border-radius: 2px")
            legend += [swatch, label(tr(name))]
        layout = QVBoxLayout(self)
        layout.addWidget(self.view, 1)
        layout.addLayout(row(*legend, 1, self.next))
        layout.addWidget(self.note)
        self.view.chosen.connect(self.went)
        self.kinds.toggled.connect(self._on_kinds)
        self.next.clicked.connect(lambda *_: self.go_on())
        self.use_colours(colours)
        keep_on_screen(self)

    def use_colours(self, colours: Colours) -> None:
        """Take the colours of a theme."""
        self.setStyleSheet(stylesheet(colours))

    def begin(self, name: str, overview: Pixels, width: int, height: int) -> None:
        """Show the overview of a slide while its map is made."""
        self.setWindowTitle(tr("Map of {slide}", slide=name))
        self._seen.clear()
        self.next.setEnabled(False)
        self.view.show_overview(overview, width, height)
        self.note.setText(tr("The slide is being read …"))

    def show_map(self, slide_map: SlideMap) -> None:
        """Show the map, and its numbers."""
        self.view.show_map(slide_map)
        shares = [float((slide_map.kinds == kind).mean()) for kind, *_ in KINDS]
        nuclei = round(float(slide_map.nuclei[slide_map.kinds == SlideMap.MONOLAYER].sum()))
        parts = ", ".join(
            f"{tr(name)} {share:.0%}" for (_, _, name), share in zip(KINDS, shares, strict=True)
        )
        counted = trn(
            "About {count} nucleus in the monolayer.", "About {count} nuclei in the monolayer.", nuclei
        )
        self.note.setText(f"{parts}. {counted}")
        self.next.setEnabled(bool(slide_map.order()))

    def fail(self, sentence: str) -> None:
        """Show why there is no map."""
        self.note.setText(sentence)

    def go_on(self) -> None:
        """Go to the best place that was not shown yet; after the last one from the start."""
        slide_map = self.view.map
        order = slide_map.order() if slide_map is not None else []
        if not order:
            return
        place = next((tile for tile in order if tile not in self._seen), None)
        if place is None:
            self._seen.clear()
            place = order[0]
        self._seen.add(place)
        self.view.place = place
        self.view.go()

    def _on_kinds(self, shown: bool) -> None:
        self.view.veiled = shown
        self.view.update()
