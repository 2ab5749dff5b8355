"""One dataclass per action holds its options: the command, the dialog and the Python function agree."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest
import typer
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit, QWidget

from napari_lld.cli._app import app
from napari_lld.cli._faces import asks
from napari_lld.i18n.translate import use_language
from napari_lld.options import About, ReportOptions, options_of
from napari_lld.report import write_report
from napari_lld.widgets.base.form import OptionsForm
from napari_lld.widgets.dialogs.report_dialog import ReportDialog, Wanted

NOT_OF_THE_ACTION = {"project", "out", "overwrite", "reading", "help"}
"""What says where from, where to, and in whose reading."""


def test_the_command_has_the_options_of_the_action_with_their_defaults_and_help() -> None:
    command = typer.main.get_command(app).commands["report"]  # type: ignore[attr-defined]
    asked = {one.name: one for one in command.params if one.name not in NOT_OF_THE_ACTION}
    wanted = {one.name: one for one in options_of(ReportOptions)}
    assert list(asked) == list(wanted)
    for name, option in wanted.items():
        assert asked[name].opts == [f"--{name}"]
        assert asked[name].secondary_opts == []
        assert (asked[name].default, asked[name].help) == (option.default, option.about.help)


def test_the_dialog_has_the_options_of_the_action_and_no_controls_besides(
    tmp_path: Path, qtbot: QtBot
) -> None:
    dialog = ReportDialog(tmp_path / "r.html")
    qtbot.addWidget(dialog)
    controls = dialog.options.controls
    assert list(controls) == [one.name for one in options_of(ReportOptions)]
    for option in options_of(ReportOptions):
        assert controls[option.name].native.toolTip() == option.about.help
    native = {one.native for one in controls.values()}
    assert {*dialog.findChildren(QLineEdit), *dialog.findChildren(QCheckBox)} == {dialog.place, *native}
    assert dialog.answer() == Wanted(tmp_path / "r.html", ReportOptions())


def test_the_python_function_takes_the_options_of_the_action() -> None:
    taken = inspect.signature(write_report).parameters
    assert set(taken) == {"project", "out", "options", "overwrite"}
    assert get_type_hints(write_report)["options"] == ReportOptions | None
    assert {one.name for one in fields(ReportOptions)} == {one.name for one in options_of(ReportOptions)}


def test_a_form_is_translated_and_can_be_reached_by_keyboard_and_screen_reader(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    use_language("de")
    try:
        form = OptionsForm(ReportOptions, QFormLayout(holder))
    finally:
        use_language("en")
    names = form.controls["names"].native
    assert names.text() == names.accessibleName() == "Mit den Namen von Patienten, Dateien und Projekt"
    assert form.controls["title"].native.accessibleName() == "Titel"
    for control in form.controls.values():
        assert control.native.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert control.native.toolTip()


def test_a_form_tells_each_change_and_gives_the_options(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    form = OptionsForm(ReportOptions, QFormLayout(holder))
    told: list[ReportOptions] = []
    form.changed.connect(lambda: told.append(form.value()))
    form.controls["names"].native.click()
    form.controls["title"].native.setText(" Ward 4 ")
    assert told == [ReportOptions(names=True), ReportOptions(names=True, title="Ward 4")]


def test_an_option_without_help_or_default_is_refused() -> None:
    @dataclass(frozen=True)
    class Unsaid:
        names: bool = False

    @dataclass(frozen=True)
    class Undecided:
        names: Annotated[bool, About("Names", "Call them by name.")]

    for action in (Unsaid, Undecided):
        with pytest.raises(TypeError, match=r"names: give it a default"):
            list(options_of(action))


def test_a_command_must_say_where_the_options_go() -> None:
    with pytest.raises(ValueError, match="options"):
        asks(ReportOptions)(lambda: None)
