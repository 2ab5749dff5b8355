"""Keys that the user chooses: profiles for each hand, other keys, conflicts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QLabel, QWidget

from annotation_store.schema import load_schema
from napari_lld.commands import keymap
from napari_lld.commands.keymap import LEFT, LEFT_HANDED, RIGHT, KeyMap
from napari_lld.commands.registry import Commands
from napari_lld.controllers.desk import Desk
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session import user_state
from napari_lld.widgets.base.keys import french_digit, key_name
from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.dialogs.help_overlay import HelpOverlay
from napari_lld.widgets.dialogs.key_editor import KeyEditor

from .conftest import button

FREQUENT = (
    "suggestion.accept",
    "suggestion.next",
    "suggestion.previous",
    "suggestion.not_a_cell",
    "suggestion.duplicate",
    "suggestion.bad_box",
    "value.unsure",
    "value.1",
    "value.2",
    "value.3",
    "tool.region",
    "tool.box",
    "region.finish",
)

# What is printed on the keys of each half, letters and digits, by layout.
HALVES = {
    "us": ("123456qwertasdfgzxcvb", "7890yuiophjklnm"),
    "german": ("123456qwertasdfgyxcvb", "7890zuiophjklnm"),
    "french": ("123456azertqsdfgwxcvb", "7890yuiophjklmn"),
}


@pytest.fixture
def desk(qapp: object) -> Iterator[Desk]:
    desk = Desk(ViewerModel())
    desk.commands.use_schema(load_schema("lld"))
    yield desk
    desk.close()


@pytest.mark.parametrize("layout", HALVES)
@pytest.mark.parametrize("profile", [RIGHT, LEFT])
def test_frequent_commands_lie_under_the_hand_that_does_not_hold_the_mouse(
    desk: Desk, layout: str, profile: str
) -> None:
    desk.commands.key_map = KeyMap(profile)
    half = HALVES[layout][0 if profile == RIGHT else 1].upper()
    for command_id in FREQUENT:
        assert desk.commands[command_id].keys[0] in half, command_id


def test_no_command_loses_its_keys_in_the_left_handed_profile(desk: Desk) -> None:
    """A new command whose key is one of the profile's needs another one there: see LEFT_HANDED."""
    with_keys = {command.id for command in desk.commands if command.keys}
    assert set(LEFT_HANDED) <= with_keys
    desk.commands.key_map = KeyMap(LEFT)
    assert with_keys == {command.id for command in desk.commands if command.keys}


def test_the_left_handed_digits_are_digits_without_shift_on_french_keyboards() -> None:
    for digit, sign, key in (("7", "è", 0xC8), ("9", "ç", 0xC7), ("0", "à", 0xC0)):
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key(key), Qt.KeyboardModifier.NoModifier, sign)
        assert french_digit(event) == digit
    for digit in "7890":
        event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key(ord(digit)), Qt.KeyboardModifier.NoModifier, digit)
        assert key_name(event) == digit


def test_no_key_is_ever_two_commands(desk: Desk) -> None:
    for chosen in (KeyMap(LEFT), KeyMap(RIGHT, {"field.next": ("A",), "tool.box": ("A", "Shift+N")})):
        desk.commands.key_map = chosen
        keys = [key for command in desk.commands for key in command.keys]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "kept", [None, [], "x", {"profile": 3, "changed": 5}, {"changed": {"field.next": "N", "a": [1]}}]
)
def test_a_damaged_memory_of_keys_counts_for_nothing(kept: object) -> None:
    user_state.remember("keys", kept)
    assert keymap.load() == KeyMap()


def test_chosen_keys_are_there_the_next_time(qapp: object) -> None:
    keymap.save(KeyMap(LEFT, {"view.cell": ("F5",), "edit.redo": ()}))
    desk = Desk(ViewerModel())
    assert desk.commands.for_key("F5") is desk.commands["view.cell"]
    assert desk.commands["edit.redo"].keys == ()
    assert desk.commands["suggestion.accept"].key == "L"
    desk.close()


@pytest.fixture
def dock(qtbot: QtBot, small_project: Path, no_leaks: None) -> Iterator[AnnotateDock]:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.show()
    assert dock.desk.session.open(small_project)
    qtbot.wait(120)
    yield dock
    dock.release()


def _editor(commands: Commands, qtbot: QtBot) -> KeyEditor:
    editor = KeyEditor(commands, colours())
    qtbot.addWidget(editor)
    editor.show()
    return editor


def test_a_key_is_changed_by_pressing_it_and_all_that_names_it_follows(
    dock: AnnotateDock, qtbot: QtBot
) -> None:
    commands = dock.desk.commands
    editor = _editor(commands, qtbot)
    editor.choose("tool.box")
    field = editor.findChild(QWidget, "lld_new_key")
    QTest.keyClick(field, Qt.Key.Key_F8)
    assert commands.for_key("F8") is commands["tool.box"]
    assert commands.for_key("B") is None
    assert button(dock, "tool.box").text() == "Box  F8"
    assert "(F8)" in button(dock, "tool.box").toolTip()
    overlay = HelpOverlay(commands, colours())
    assert "F8" in {label.text() for label in overlay.findChildren(QLabel)}
    overlay.deleteLater()
    assert keymap.load().changed == {"tool.box": ("F8",)}
    editor.choose("value.2")
    editor.give_key("F7")
    assert button(dock, "value_nucleolus_prominent").hint == "F7"  # type: ignore[attr-defined]
    editor.choose("class.Neutrophil")
    editor.give_key("Ctrl+N")
    assert button(dock, "class_Neutrophil").hint == "Ctrl+N"  # type: ignore[attr-defined]


def test_a_key_of_another_command_is_refused_with_a_sentence(dock: AnnotateDock, qtbot: QtBot) -> None:
    commands = dock.desk.commands
    editor = _editor(commands, qtbot)
    editor.choose("tool.box")
    editor.give_key("A")
    assert editor.message == "A is the key of “Accept”. Give that another key first."
    assert commands["tool.box"].key == "B"
    assert not keymap.load().changed


def test_a_key_of_napari_is_given_and_told(dock: AnnotateDock, qtbot: QtBot) -> None:
    editor = _editor(dock.desk.commands, qtbot)
    editor.choose("view.cell")
    editor.give_key("Ctrl+R")
    assert (
        editor.message == "Ctrl+R also belongs to napari (reset view): "
        "on the field and in the dock, it now runs this command."
    )
    assert dock.desk.commands["view.cell"].keys == ("Ctrl+R",)


def test_the_profile_brings_all_its_keys_back(dock: AnnotateDock, qtbot: QtBot) -> None:
    commands = dock.desk.commands
    editor = _editor(commands, qtbot)
    editor.choose("tool.box")
    editor.give_key("F8")
    profile = editor.findChild(QComboBox, "lld_profile")
    profile.setCurrentIndex(profile.findData(LEFT))
    assert commands["tool.box"].key == "F8"  # what was changed stays
    assert commands["suggestion.accept"].key == "L"
    assert button(dock, "suggestion.accept").text() == "Accept  L"
    editor._reset.click()
    assert commands["tool.box"].key == "N"
    assert keymap.load() == KeyMap(LEFT)


def test_sentences_name_the_keys_there_are(desk: Desk) -> None:
    told: list[str] = []
    desk.hinted.connect(told.append)
    desk.commands.key_map = KeyMap(RIGHT, {"tool.box": ("F8",), "tool.region": ()})
    desk.session.labels.set_comment("x")
    assert told == ["Select a cell first: click on one, or draw a box (F8)."]
    spelled = desk.commands.spelled("[tool.region] or [no.command] or [1] · a_file.png")
    assert spelled == "“Region” or [no.command] or [1] · a_file.png"
