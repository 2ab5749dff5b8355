"""Keys on American, German and French keyboards, as the systems send them."""

from __future__ import annotations

import sys

import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent

from annotation_store.schema import load_schema
from napari_lld.commands.registry import Commands, session_commands
from napari_lld.session.session import Session
from napari_lld.widgets.base.keys import french_digit, key_name

NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
FRENCH = "&é\"'(-è_ç"


def press(key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE, text: str = "", scan: int = 0) -> QKeyEvent:
    return QKeyEvent(QEvent.Type.KeyPress, key, modifiers, scan, 0, 0, text)


@pytest.mark.parametrize(("digit", "sign"), list(enumerate(FRENCH, 1)))
def test_the_french_digit_row_needs_no_shift(digit: int, sign: str) -> None:
    key = Qt.Key(ord(sign.upper()))
    assert french_digit(press(key, text=sign)) == str(digit)
    on_linux = press(key, text=sign, scan=9 + digit)
    if sys.platform == "linux":
        assert french_digit(on_linux) == str(digit)


@pytest.mark.skipif(sys.platform != "linux", reason="scan codes of X11")
def test_the_same_signs_elsewhere_on_other_layouts_are_no_digits() -> None:
    assert french_digit(press(Qt.Key.Key_Apostrophe, text="'", scan=48)) == ""  # American, right of ;
    assert french_digit(press(Qt.Key.Key_Minus, text="-", scan=61)) == ""  # German, left of right Shift
    assert french_digit(press(Qt.Key.Key_Ampersand, SHIFT, "&", scan=15)) == ""  # German Shift+6


@pytest.mark.parametrize("digit", range(1, 10))
def test_digits_are_digits_on_american_and_german_layouts(digit: int) -> None:
    assert key_name(press(Qt.Key(ord(str(digit))), text=str(digit), scan=9 + digit)) == str(digit)


def test_letters_go_by_what_is_printed_on_the_key() -> None:
    """Y and Z change places on German keyboards, A and Q on French ones: the letter counts, not the place."""
    assert key_name(press(Qt.Key.Key_Z, text="z", scan=29)) == "Z"
    assert key_name(press(Qt.Key.Key_A, SHIFT, "A", scan=24)) == "Shift+A"


def test_no_command_stands_on_a_sign_of_the_french_row() -> None:
    session = Session()
    commands = Commands(session)
    commands.add(session_commands(session))
    commands.use_schema(load_schema("lld"))
    assert not [sign for sign in FRENCH if commands.for_key(sign.upper()) is not None]
