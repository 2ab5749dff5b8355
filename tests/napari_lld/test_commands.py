"""The registry of commands and its keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import load_schema, schema_from_coco
from napari_lld.commands.registry import Command, Commands, class_keys, pretty_key, session_commands
from napari_lld.session.session import Session


@pytest.fixture
def commands() -> Commands:
    commands = Commands(Session())
    commands.add(session_commands(commands.session))
    return commands


def window_commands(viewer: object) -> Commands:
    from napari_lld.controllers.desk import Desk

    desk = Desk(viewer)  # type: ignore[arg-type]
    desk.commands.use_schema(load_schema("lld"))
    return desk.commands


@pytest.mark.parametrize("name", ["lld", "wbcatt"])
def test_every_class_has_a_key_of_its_own_and_none_is_a_commands(commands: Commands, name: str) -> None:
    schema = load_schema(name)
    commands.use_schema(schema)  # raises where a key is taken
    keys = class_keys(schema)
    assert len(keys) == len(schema.classes) + len(schema.groups)
    assert len(set(keys.values())) == len(keys)
    assert all(key.startswith("Shift+") for key in keys.values())


def test_the_key_of_a_class_is_the_letter_drawn_on_it() -> None:
    schema = load_schema("lld")
    keys = class_keys(schema)
    for cell_class in schema.classes:
        assert keys[cell_class.name] == f"Shift+{cell_class.letter}"


def test_a_schema_without_keys_gets_free_letters() -> None:
    schema = schema_from_coco(
        {"categories": [{"id": i, "name": name} for i, name in enumerate(("Anna", "Abel", "Adam", "Quinn"))]}
    )
    keys = class_keys(schema)
    assert len(set(keys.values())) == 4
    assert "Shift+Q" not in keys.values()  # that one is unsure


def test_another_schema_takes_the_old_classes_away(commands: Commands) -> None:
    commands.use_schema(load_schema("lld"))
    commands.use_schema(load_schema("wbcatt"))
    assert "class.Myeloblast" not in commands
    assert commands.for_key("Shift+Y") is None
    commands.use_schema(None)
    assert not [c for c in commands if c.id.startswith("class.")]


def test_two_commands_on_one_key_are_refused(commands: Commands) -> None:
    with pytest.raises(ValueError, match="is taken by"):
        commands.add([Command("mine", "Mine", lambda: None, ("N",))])


def test_what_cannot_be_done_now_is_not_done(commands: Commands) -> None:
    assert not commands.run("field.next")
    assert not commands.run("suggestion.accept")


def test_tooltips_tell_the_key(commands: Commands) -> None:
    assert commands["suggestion.accept"].tooltip.startswith("Accept (A)")
    assert pretty_key("Shift+N") == "⇧N"
    assert pretty_key("Ctrl+Shift+Z") == "Ctrl+Shift+Z"


def test_a_command_without_a_key_stands_in_the_quotes_of_the_language(
    german: None, commands: Commands
) -> None:
    commands.add([Command("mine.own", "Undo", lambda: None)])
    assert commands.spelled("[mine.own]: …") == "„Rückgängig“: …"


def test_keys_are_called_as_on_a_german_keyboard_in_german(german: None) -> None:
    assert [pretty_key(key) for key in ("Ctrl+Z", "Ctrl+Shift+Z", "PgDown", "Return", "Alt+Right", "F2")] == [
        "Strg+Z",
        "Strg+Umschalt+Z",
        "Bild↓",
        "Enter",
        "Alt+→",
        "F2",
    ]


def test_no_key_is_one_of_napari_itself(qapp: object) -> None:
    """Of the viewer and its menus, that is: layers' own keys are taken only while ours are active.

    Ctrl+Y is redo on Windows; in napari it draws in three dimensions, which our layers are not made for.
    """
    from napari.components import ViewerModel
    from napari.utils.shortcuts import default_shortcuts

    layer_words = ("labels", "points", "shapes", "vectors", "tracks", "surface", "image", "polygon", "label")
    theirs = set()
    for name, bindings in default_shortcuts.items():
        viewer_wide = name.split(":")[1] in {
            "toggle_console_visibility",
            "toggle_ndisplay",
            "toggle_theme",
            "reset_view",
            "delete_selected_layers",
            "show_shortcuts",
            "increment_dims_left",
            "increment_dims_right",
            "focus_axes_up",
            "focus_axes_down",
            "roll_axes",
            "transpose_axes",
            "rotate_layers",
            "toggle_grid",
            "toggle_selected_visibility",
            "toggle_unselected_visibility",
            "select_layer_above",
            "select_layer_below",
            "show_only_layer_above",
            "show_only_layer_below",
            "hold_for_pan_zoom",
        }
        assert viewer_wide or any(w in name for w in layer_words) or ":" in name
        if viewer_wide:
            theirs |= {str(binding) for binding in bindings}
    ours = {key for command in window_commands(ViewerModel()) for key in command.keys}
    assert ours & theirs == {"Ctrl+Y"}


def test_help_lists_every_key(qapp: object, tmp_path: Path) -> None:
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QLabel

    from napari_lld.widgets.base.theme import colours
    from napari_lld.widgets.dialogs.help_overlay import HelpOverlay

    commands = window_commands(ViewerModel())
    overlay = HelpOverlay(commands, colours())
    shown = {label.text() for label in overlay.findChildren(QLabel)}
    assert {command.title for command in commands if command.keys and command.listed} <= shown
    overlay.deleteLater()


def test_keys_are_written_as_qt_names_them(qapp: object) -> None:
    """Else a press would not be found in the registry."""
    from napari.components import ViewerModel
    from qtpy.QtGui import QKeySequence

    portable = QKeySequence.SequenceFormat.PortableText
    for command in window_commands(ViewerModel()):
        for key in command.keys:
            assert QKeySequence(key).toString(portable) == key
