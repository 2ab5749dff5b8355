"""Texts are read and signs are seen in both themes, by the colour-blind too (WCAG 2.2, level AA)."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QAction, QColor
from qtpy.QtWidgets import QMenu, QWidget

from annotation_store.records import Shape
from annotation_store.schema import load_schema
from napari_lld.commands.registry import class_like
from napari_lld.controllers.slide_map import CELL, SUGGESTION
from napari_lld.layers import outlines, palette
from napari_lld.layers.palette import class_colour, contrast
from napari_lld.widgets.base.theme import Colours, colours, contrasting, mix, stylesheet
from napari_lld.widgets.fields.slide_map_window import KINDS
from tests.napari_lld.colour_blind import SIMULATED, distances

THEMES = ("dark", "light")


def grounds(c: Colours) -> dict[str, QColor]:
    """Give what texts stand on: the dock, lists, buttons; pointed at, chosen."""
    return {
        "dock": c.window,
        "list": c.raised,
        "pointed row": mix(c.raised, c.text, 0.06),
        "chosen row": c.chosen(c.raised),
        "caret": c.chosen(c.window),
        "button": mix(c.window, c.text, 0.12),
    }


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_is_read_on_every_ground(theme: str) -> None:
    c = colours(theme)
    low = {
        (text, ground): round(ratio, 2)
        for text in ("text", "muted", "warning", "good", "accent")
        for ground, colour in grounds(c).items()
        if (ratio := contrast(getattr(c, text).name(), colour.name())) < 4.5
    }
    assert not low
    on_saving, hover = mix(c.window, c.warning, 0.15), mix(c.window, c.text, 0.22)
    for ink, ground in (
        (c.accent_text, c.accent),
        (c.accent_text, mix(c.accent, c.text, 0.15)),
        (mix(c.accent, c.accent_text, 0.8), c.accent),
        (c.text, on_saving),
        (c.text, hover),
        (mix(hover, c.text, 0.8), hover),
    ):
        assert contrast(ink.name(), ground.name()) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_an_entry_of_a_menu_that_cannot_be_chosen_is_paler(theme: str, qtbot: QtBot) -> None:
    c, desk = colours(theme), QWidget()
    qtbot.addWidget(desk)
    desk.setObjectName("lld_desk")
    desk.setStyleSheet(stylesheet(c))
    menu = QMenu(desk)
    entries = [menu.addAction("Undo"), menu.addAction("Undo")]
    entries[1].setEnabled(False)
    menu.ensurePolished()
    menu.adjustSize()
    drawn = menu.grab().toImage()

    def strongest(entry: QAction) -> float:
        place = menu.actionGeometry(entry)
        inks = {
            drawn.pixelColor(x, y).name()
            for x in range(place.left() + 2, place.right() - 2)
            for y in range(place.top() + 2, place.bottom() - 2)
        }
        return max(contrast(ink, c.window.name()) for ink in inks)

    enabled, disabled = map(strongest, entries)
    assert disabled < 0.5 * enabled


@pytest.mark.parametrize("theme", THEMES)
def test_edges_and_what_is_switched_on_are_seen(theme: str) -> None:
    c = colours(theme)
    off = mix(c.window, c.text, 0.12)
    for sign, ground in (
        (c.edge, c.window),
        (c.edge, c.raised),
        (c.edge, off),
        (c.accent, c.window),
        (c.accent, off),
        (c.text, off),
    ):
        assert contrast(sign.name(), ground.name()) >= 3
    for ground in (*grounds(c).values(), c.accent):
        assert max(contrast(ring, ground.name()) for ring in ("#ffffff", "#000000")) >= 3, "the focus"


@pytest.mark.parametrize("preset", ["lld", "wbcatt"])
def test_the_letter_on_every_class_is_read(preset: str) -> None:
    schema = load_schema(preset)
    shown = {class_colour(schema, item.name) for item in class_like(schema)}
    for colour in (*shown, palette.UNKNOWN, palette.MISSING, palette.UNSURE_COLOUR):
        assert contrast(contrasting(QColor(colour)).name(), colour) >= 4.5


def apart(names: dict[str, str], kind: str) -> dict[tuple[str, str], float]:
    """Give how different each two colours look to somebody who sees so."""
    raw = np.array([palette.rgba(colour)[:3] for colour in names.values()])
    found = distances(raw, SIMULATED[kind])
    numbered = list(enumerate(names))
    return {(a, b): float(found[i, j]) for (i, a), (j, b) in combinations(numbered, 2)}


@pytest.mark.parametrize("kind", SIMULATED)
def test_states_differ_to_colour_blind_eyes(kind: str) -> None:
    on_field = {
        "current": palette.CURRENT,
        "region": palette.REGION,
        "ignored": palette.IGNORED,
        "unknown": palette.UNKNOWN,
        "no class": palette.MISSING,
    }
    assert min(apart(on_field, kind).values()) >= 10
    assert min(apart({"cell": CELL.name(), "suggestion": SUGGESTION.name()}, kind).values()) >= 10
    kinds = {name: colour.name() for _kind, colour, name in KINDS}
    assert min(apart(kinds, kind).values()) >= 10
    for theme in THEMES:
        c = colours(theme)
        states = {name: getattr(c, name).name() for name in ("warning", "good", "accent", "muted")}
        assert min(apart(states, kind).values()) >= 10


def test_a_draft_region_is_told_without_its_colour() -> None:
    finished, draft = Shape.rectangle(0, 0, 40, 20), Shape.rectangle(0, 0, 40, 20)
    whole, dashes = outlines.shape_outlines([finished]), outlines.draft_outline(draft)
    lengths = np.hypot(*dashes[:, 1].T)
    assert len(whole) == 4
    assert 0.4 < lengths.sum() / 120 < 0.7, "gaps as long as the dashes"
