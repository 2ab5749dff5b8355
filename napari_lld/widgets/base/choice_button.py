"""The button of one class or value to choose, and how its words are made to fit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QEvent, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QAbstractButton, QSizePolicy, QToolTip, QWidget

from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.swatch import SIDE, paint_swatch
from napari_lld.widgets.base.theme import colours, mix

_MARGIN = 5
"""Pixels between the frame and what is written in it."""
_GAP = 3
_NARROWEST = 70
"""Percent of their width that letters keep."""
_ROOM = 0.72
"""Share of a text's width that it needs at least beside a key or probability."""


def shorter(text: str, others: Sequence[str]) -> list[str]:
    """Return what can stand for a text among others: its last word, or its first, if no other has the same.

    "segmented-bilobed" is "…bilobed" beside "segmented-multilobed"; "light blue" is "light…" beside "blue".
    """
    words, found = _words(text), []
    if len(words) > 1:
        for at in (-1, 0):
            if all(_words(other)[at] != words[at] for other in others if other != text):
                found.append(f"…{words[-1]}" if at else f"{words[0]}…")
    return found


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[-,\s]+", text) if word] or [text]


def _width(font: QFont, text: str, widget: QWidget) -> float:
    return float(QFontMetricsF(font, widget).horizontalAdvance(text))


def _squeezed(font: QFont, text: str, space: float, widget: QWidget) -> QFont:
    """Return a font, smaller and narrower, a little, where a text would be cut."""
    font = QFont(font)
    if _width(font, text, widget) > space:
        font.setPointSizeF(font.pointSizeF() - 1)
    wide = _width(font, text, widget)
    if wide > space > 0:
        font.setStretch(max(round(100 * space / wide) - 3, _NARROWEST))
    return font


@dataclass(frozen=True)
class _Written:
    """What is written on a button, and from where to where.

    Attributes
    ----------
    aside
        The key or probability at the right; empty where it does not fit.
    """

    text: str
    font: QFont
    aside: str
    left: float
    right: float


class ChoiceButton(QAbstractButton):
    """One class or value to choose: swatch and letter, text, key; checked, suggested or neither.

    It is painted by hand, since three states that are told apart without colour alone (filled,
    dashed with its probability, plain) are more than a style sheet gives.
    """

    HEIGHT = 19

    def __init__(self, text: str, hint: str = "", colour: str = "", letter: str = "") -> None:
        super().__init__()
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.hint = hint
        self.beside: Sequence[str] = ()
        """Texts of the other buttons of the row: what is cut differs from what they can be cut to."""
        self.swatch = QColor(colour) if colour else None
        self.letter = letter
        self.probability: float | None = None
        self.suggested = False
        self.untaught = self.candidate = self.among = False
        self.colours = colours()

    def nextCheckState(self) -> None:
        """Keep the state: the session says what is checked, not the click."""

    def show_state(
        self,
        *,
        checked: bool,
        suggested: bool = False,
        probability: float | None = None,
        untaught: bool = False,
        candidate: bool = False,
        among: str = "",
    ) -> None:
        """Show whether it is the value, or the suggested one, and how probable it is.

        What a model was never taught is shown as a dash: that is not the same as improbable. A candidate for
        an unknown cell has a question mark behind its number. A value is `among` those of a set that is
        named so, as the suggested one is: both have a dashed frame.
        """
        state = (checked, suggested, probability, untaught, candidate, bool(among))
        was = (self.suggested, self.probability, self.untaught, self.candidate, self.among)
        if state != (self.isChecked(), *was):
            self.suggested, self.probability, self.untaught = suggested, probability, untaught
            self.candidate, self.among = candidate, bool(among)
            tooltip = tr("The model was never trained on this.") if untaught else among
            if suggested and not checked and probability is not None and not candidate:
                tooltip = "\n".join(filter(None, (tr("Suggested, {share:.0%}", share=probability), tooltip)))
            self.setAccessibleDescription(
                tr("Only a candidate: the cell is unknown.") if candidate else tooltip
            )
            self.setChecked(checked)
            self.update()

    @property
    def aside(self) -> str:
        """Small text at the right: probability, dash (not trained), or key."""
        if self.probability is not None:
            share = f"{self.probability:.0%}" if self.probability >= 0.005 else "<1%"
            return f"{share}?" if self.candidate else share
        return "–" if self.untaught else self.hint

    def sizeHint(self) -> QSize:
        """Width of all parts."""
        metrics = self.fontMetrics()
        width = metrics.horizontalAdvance(self.text()) + 14
        width += 20 if self.swatch is not None else 0
        width += metrics.horizontalAdvance(self.hint) + 6 if self.hint else 0
        return QSize(width, self.HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """May be squeezed: the text is then cut with an ellipsis, the tooltip has it whole."""
        return QSize(22, self.HEIGHT)

    def enterEvent(self, event: Any) -> None:
        """Repaint for the hover."""
        self.update()
        super().enterEvent(event)

    def leaveEvent(self, event: Any) -> None:
        """Repaint without the hover."""
        self.update()
        super().leaveEvent(event)

    def event(self, event: QEvent | None) -> bool:
        """Show in the tooltip what else is read aloud: there may be no room for a probability."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            told = "\n".join(filter(None, (self.toolTip(), self.accessibleDescription())))
            QToolTip.showText(event.globalPos(), told, self)
            return True
        return bool(super().event(event))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Treat a double click as a click."""
        self.mousePressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint frame, swatch, text and key."""
        c = self.colours
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        enabled = self.isEnabled()
        checked = self.isChecked() and enabled
        fill = mix(c.window, c.text, 0.1)
        if checked:
            fill = c.accent
        elif enabled and self.underMouse():
            fill = mix(c.window, c.text, 0.22)
        elif not enabled:
            fill = mix(c.window, c.text, 0.04)
        border = QPen(c.accent if checked or self.suggested else mix(c.window, c.text, 0.2), 1)
        if self.suggested and not checked:
            border = QPen(c.accent, 1.4, Qt.PenStyle.DashLine)
        elif self.among and not checked:
            border = QPen(c.accent, 1, Qt.PenStyle.DotLine)
        painter.setPen(border)
        painter.setBrush(fill)
        painter.drawRoundedRect(rect, 4, 4)
        ink = c.accent_text if checked else c.text
        if not enabled:
            ink = mix(c.window, c.text, 0.42)
        if self.swatch is not None:
            self._paint_swatch(painter, rect, enabled)
        written = self._written()
        between = QRectF(written.left, rect.top(), max(0.0, written.right - written.left), rect.height())
        middle = Qt.AlignmentFlag.AlignVCenter
        if written.aside:
            painter.setFont(self._aside_font())
            painter.setPen(mix(fill, ink, 0.8))
            painter.drawText(between, middle | Qt.AlignmentFlag.AlignRight, written.aside)
            between.setRight(between.right() - self._aside_width())
        painter.setFont(written.font)
        painter.setPen(ink)
        side = Qt.AlignmentFlag.AlignLeft if self.swatch is not None else Qt.AlignmentFlag.AlignHCenter
        painter.drawText(between, middle | side, written.text)

    @property
    def written(self) -> tuple[str, str]:
        """The text, as far as there is room for it, and what stands at the right of it."""
        written = self._written()
        return written.text, written.aside

    def _written(self) -> _Written:
        """Lay out the text and what stands aside.

        Where both do not fit, the whole text goes before. One of its words may stand for it where it does not
        fit by itself, and beside the probability of what is suggested.
        """
        left = _MARGIN + 0.5 if self.swatch is None else 4 + 3.5 + SIDE
        right = self.width() - 0.5 - _MARGIN
        font = QFont(self.font())
        font.setBold(self.isChecked() and self.isEnabled())
        texts = [self.text(), *shorter(self.text(), self.beside)]
        space = right - left
        room = space - self._aside_width() if self.aside else -1.0
        wide = self.fontMetrics().horizontalAdvance(self.text())
        both = self.suggested or room >= wide * _ROOM or not self._fitted(texts[:1], font, space)
        if room > 0 and both and (fitted := self._fitted(texts, font, room)) is not None:
            return _Written(*fitted, self.aside, left, right)
        return _Written(*(self._fitted(texts, font, space) or self._cut(font, space)), "", left, right)

    def _fitted(self, texts: Sequence[str], font: QFont, space: float) -> tuple[str, QFont] | None:
        """Return the first text that fits, and its font."""
        for text in texts:
            narrow = _squeezed(font, text, space, self)
            if _width(narrow, text, self) <= space + 1:
                return text, narrow
        return None

    def _cut(self, font: QFont, space: float) -> tuple[str, QFont]:
        """Return the word that counts with an ellipsis where it differs from what the others are cut to."""
        word = self._told_by(self.text())
        others = {self._told_by(text) for text in self.beside} - {word}
        narrow = _squeezed(font, word, space, self)
        metrics = QFontMetricsF(narrow, self)

        def elided(text: str, mode: Qt.TextElideMode) -> str:
            return str(metrics.elidedText(text, mode, space + 1))

        modes = (Qt.TextElideMode.ElideRight, Qt.TextElideMode.ElideMiddle, Qt.TextElideMode.ElideLeft)
        apart = (mode for mode in modes if elided(word, mode) not in {elided(o, mode) for o in others})
        return elided(word, next(apart, modes[0])), narrow

    def _told_by(self, text: str) -> str:
        """Return the word that tells a text from the others; where there is none, the text."""
        return next((word.strip("…") for word in shorter(text, self.beside)), text)

    def _aside_font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(max(font.pointSizeF() - 1.5, 6))
        return font

    def _aside_width(self) -> float:
        return _width(self._aside_font(), self.aside, self) + _GAP

    def _paint_swatch(self, painter: QPainter, rect: QRectF, enabled: bool) -> None:
        assert self.swatch is not None
        colour = self.swatch if enabled else mix(self.colours.window, self.swatch, 0.45)
        paint_swatch(
            painter,
            rect.left() + 3,
            rect.center().y() - 7.5,
            colour,
            self.letter,
            edge=mix(colour, self.colours.text, 0.4),
            points=max(painter.font().pointSizeF() - 1.5, 6),
        )
