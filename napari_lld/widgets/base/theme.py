"""The dock's colours, taken from napari's theme, and its style sheet.

Text is read on each ground that it stands on with a contrast of 4.5 (WCAG 2.2, AA); signs, edges of fields to
write in and the focus have 3. A test goes through the pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtGui import QColor

from napari_lld.i18n.translate import later
from napari_lld.layers.palette import contrast

HINT_PADDING = 6
"""Pixels left and right of a hint."""
RESEARCH_USE = later("Research use only, not for diagnosis")


@dataclass(frozen=True)
class Colours:
    """Colours of the dock in one theme.

    Attributes
    ----------
    line, edge
        Of lines that only part; and of the edges by which one sees where to write or choose.
    """

    dark: bool
    window: QColor
    raised: QColor
    line: QColor
    edge: QColor
    text: QColor
    muted: QColor
    accent: QColor
    accent_text: QColor
    warning: QColor
    good: QColor

    def chosen(self, ground: QColor) -> QColor:
        """Return a ground where something on it is chosen: all texts are still read there."""
        return mix(ground, self.accent, 0.14)


def colours(theme_id: str = "dark") -> Colours:
    """Return the colours that go with a napari theme."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_id)

    def colour(value: object) -> QColor:
        red, green, blue = value.as_rgb_tuple()[:3]  # type: ignore[attr-defined]
        return QColor(red, green, blue)

    text = colour(theme.text)
    window = colour(theme.background)
    dark = window.lightnessF() < text.lightnessF()
    return Colours(
        dark=dark,
        window=window,
        raised=colour(theme.foreground) if dark else mix(window, QColor("white"), 0.55),
        line=mix(window, text, 0.22),
        edge=mix(window, text, 0.5 if dark else 0.6),
        text=text,
        muted=mix(window, text, 0.76 if dark else 0.78),
        accent=QColor("#6db6f8") if dark else QColor("#1550b4"),
        accent_text=QColor("#0b0f14") if dark else QColor("white"),
        warning=QColor("#f5ae4a") if dark else QColor("#874400"),
        good=QColor("#86efac") if dark else QColor("#0e6440"),
    )


def mix(a: QColor, b: QColor, share: float) -> QColor:
    """Mix two colours; `share` is that of the second."""
    return QColor(
        round(a.red() + (b.red() - a.red()) * share),
        round(a.green() + (b.green() - a.green()) * share),
        round(a.blue() + (b.blue() - a.blue()) * share),
    )


def contrasting(background: QColor) -> QColor:
    """Return black or white, whichever is read better on a colour."""
    name = background.name()
    return QColor(max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, name)))


def stylesheet(c: Colours) -> str:
    """Return the style sheet of the dock (children of ``#lld_desk``)."""
    soft = mix(c.window, c.text, 0.12).name()
    hover = mix(c.window, c.text, 0.2).name()
    disabled = mix(c.window, c.text, 0.35).name()
    return f"""
    #lld_desk, #lld_desk QWidget {{ background: {c.window.name()}; color: {c.text.name()}; font-size: 9pt; }}
    #lld_desk QLabel {{ background: transparent; padding: 0; }}
    #lld_desk QLabel:disabled, #lld_desk QMenu::item:disabled {{ color: {disabled}; }}
    #lld_desk QLabel[role="title"] {{ font-size: 12pt; font-weight: 600; }}
    #lld_desk QLabel[role="big"] {{ font-size: 16pt; font-weight: 600; }}
    #lld_desk QLabel[role="heading"] {{ font-weight: 600; }}
    #lld_desk QLabel[role="muted"] {{ color: {c.muted.name()}; font-size: 8pt; }}
    #lld_desk QLabel[role="notice"] {{ color: {c.warning.name()}; font-size: 8pt; }}
    #lld_desk #lld_saving {{ background: {mix(c.window, c.warning, 0.15).name()};
        border: 1px solid {c.warning.name()}; border-radius: 4px; }}
    #lld_desk QLabel[role="hint"] {{ background: {c.raised.name()}; color: {c.text.name()};
        border-radius: 3px; padding: 2px {HINT_PADDING}px; font-size: 8pt; }}
    #lld_desk #lld_message {{ background: {c.raised.name()}; border: 1px solid {c.line.name()};
        border-left: 4px solid {c.accent.name()}; border-radius: 4px; }}
    #lld_desk #lld_message[level="warning"], #lld_desk #lld_message[level="error"] {{
        border-color: {c.warning.name()}; border-left: 4px solid {c.warning.name()}; }}
    #lld_desk QFrame[role="rule"] {{ background: {c.line.name()}; padding: 0; margin: 0; max-height: 1px; }}
    #lld_desk QPushButton, #lld_desk QToolButton {{ background: {soft}; border: 1px solid {c.line.name()};
        border-radius: 4px; padding: 1px 6px; min-height: 18px; font-size: 9pt; }}
    #lld_desk QToolButton {{ padding: 1px 4px; max-height: 18px; }}
    #lld_desk QToolButton[role="sign"] {{ padding: 0 4px; min-height: 12px; max-height: 14px; }}
    #lld_desk QToolButton[others="true"] {{ color: {c.warning.name()}; border-color: {c.warning.name()};
        font-weight: 600; }}
    #lld_desk QPushButton:hover, #lld_desk QToolButton:hover {{ background: {hover}; }}
    #lld_desk QPushButton:disabled, #lld_desk QToolButton:disabled {{ color: {disabled};
        background: transparent; }}
    #lld_desk QPushButton:checked, #lld_desk QToolButton:checked {{ background: {c.accent.name()};
        color: {c.accent_text.name()}; border-color: {c.accent.name()}; }}
    #lld_desk QPushButton[role="primary"] {{ background: {c.accent.name()}; color: {c.accent_text.name()};
        border-color: {c.accent.name()}; font-weight: 600; }}
    #lld_desk QPushButton[role="primary"]:hover {{ background: {mix(c.accent, c.text, 0.15).name()}; }}
    #lld_desk QPushButton[role="primary"]:disabled {{ background: transparent; color: {disabled};
        border-color: {c.line.name()}; font-weight: 400; }}
    #lld_desk QToolButton::menu-indicator {{ width: 0; image: none; }}
    #lld_desk QToolButton[popupMode="1"] {{ padding-right: 18px; }}
    #lld_desk QToolButton::menu-button {{ width: 15px; border: none; background: transparent; }}
    #lld_desk QTabWidget::pane {{ border: none; border-top: 1px solid {c.line.name()}; top: -1px; }}
    #lld_desk QTabBar {{ background: transparent; }}
    #lld_desk QTabBar::tab {{ background: transparent; border: none; border-bottom: 2px solid transparent;
        padding: 2px 10px; margin: 0; color: {c.muted.name()}; font-size: 9pt; }}
    #lld_desk QTabBar::tab:selected {{ color: {c.text.name()}; border-bottom-color: {c.accent.name()}; }}
    #lld_desk QPlainTextEdit {{ background: {c.raised.name()}; border: 1px solid {c.edge.name()};
        border-radius: 4px; font-size: 8pt; }}
    #lld_desk QListView, #lld_desk QTableView {{ background: {c.raised.name()};
        border: 1px solid {c.line.name()}; border-radius: 4px; padding: 1px; outline: 0; }}
    #lld_desk QTreeWidget, #lld_desk QLineEdit {{ background: {c.raised.name()};
        border: 1px solid {c.edge.name()}; border-radius: 4px; }}
    #lld_desk QLineEdit {{ padding: 3px 6px; }}
    #lld_desk QTreeWidget::item:selected {{ background: {c.accent.name()}; color: {c.accent_text.name()}; }}
    #lld_desk QHeaderView::section {{ background: {c.window.name()}; color: {c.muted.name()};
        border: none; padding: 3px 6px; }}
    #lld_desk QComboBox {{ background: {soft}; border: 1px solid {c.edge.name()}; border-radius: 4px;
        padding: 1px 6px; min-height: 18px; font-size: 9pt; }}
    #lld_desk QProgressBar {{ background: {soft}; border: none; border-radius: 3px; max-height: 8px;
        min-height: 8px; }}
    #lld_desk QProgressBar[role="thin"] {{ max-height: 4px; min-height: 4px; background: transparent; }}
    #lld_desk QProgressBar::chunk {{ background: {c.accent.name()}; border-radius: 3px; }}
    #lld_desk QSlider {{ background: transparent; }}
    #lld_desk QSlider::groove:horizontal {{ background: {soft}; height: 4px; border-radius: 2px; }}
    #lld_desk QSlider::sub-page:horizontal {{ background: {c.line.name()}; height: 4px; border-radius: 2px; }}
    #lld_desk QSlider::add-page:horizontal {{ background: {c.accent.name()}; height: 4px;
        border-radius: 2px; }}
    #lld_desk QSlider::handle:horizontal {{ background: {c.text.name()}; width: 12px; height: 12px;
        margin: -4px 0; border-radius: 6px; }}
    """
