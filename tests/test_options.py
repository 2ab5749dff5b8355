"""One dataclass per action holds its options: the command, the dialog and the Python function agree."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import pytest
import typer
from pydantic import BaseModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QDialog, QFormLayout, QLineEdit, QWidget

from annotation_store import formats
from annotation_store.records import Reading
from napari_lld.cli._app import app
from napari_lld.cli._faces import with_options
from napari_lld.i18n.translate import tr, use_language
from napari_lld.options import (
    About,
    ExportOptions,
    ImportOptions,
    Option,
    PredictOptions,
    ReportOptions,
    TrainOptions,
    option_of,
    options_of,
)
from napari_lld.report import write_report
from napari_lld.session.preferences import Preferences
from napari_lld.tasks.import_preview import ProjectPlace
from napari_lld.widgets.base.form import OptionsForm, control
from napari_lld.widgets.dialogs.export_dialog import ExportDialog
from napari_lld.widgets.dialogs.import_dialog import ImportDialog
from napari_lld.widgets.dialogs.report_dialog import ReportChoice, ReportDialog
from training.networks.architectures import TITLES
from training.protocol import PredictRequest, TrainRequest

ACTIONS: dict[str, type] = {
    "export": ExportOptions,
    "import": ImportOptions,
    "predict": PredictOptions,
    "report": ReportOptions,
    "train": TrainOptions,
}
EACH = [
    pytest.param(name, option, id=f"{name}-{option.name}")
    for name in ACTIONS
    for option in options_of(ACTIONS[name])
]
NOT_OF_THE_ACTION = {
    *("project", "file", "out", "annotator", "overwrite", "reading", "help", "as_json", "field", "area"),
    "search_slides",
}
"""What says where from, where to, on which fields, in whose reading, what follows, and how the answer is
printed."""


def _parameters(command: str) -> dict[str, Any]:
    made = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    other = NOT_OF_THE_ACTION | ({"images"} if command == "predict" else set())
    return {one.name: one for one in made.params if one.name not in other}


def _export(folder: Path) -> tuple[QDialog, OptionsForm[Any]]:
    survey = formats.Survey(**dict.fromkeys(inspect.signature(formats.Survey).parameters, 2))
    dialog = ExportDialog(survey, folder)
    return dialog, dialog.options


def _import(folder: Path) -> tuple[QDialog, OptionsForm[Any]]:
    place = ProjectPlace(folder, 1, "Ada")
    dialog = ImportDialog(place, Reading(1, "first", "Ada", blind=False))
    return dialog, dialog.options


def _report(folder: Path) -> tuple[QDialog, OptionsForm[Any]]:
    dialog = ReportDialog(folder / "r.html")
    return dialog, dialog.options


DIALOGS: dict[str, Callable[[Path], tuple[QDialog, OptionsForm[Any]]]] = {
    "export": _export,
    "import": _import,
    "report": _report,
}


@pytest.mark.parametrize("action", ACTIONS)
def test_the_command_has_the_options_of_the_action_and_none_besides(action: str) -> None:
    assert list(_parameters(action)) == [one.name for one in options_of(ACTIONS[action])]


@pytest.mark.parametrize(("action", "option"), EACH)
def test_an_option_of_the_command_has_the_name_default_and_help_of_its_field(
    action: str, option: Option
) -> None:
    asked = _parameters(action)[option.name]
    assert asked.opts == [option.flag]
    off = [f"--no-{option.flag.removeprefix('--')}"] if option.default is True else []
    assert asked.secondary_opts == off
    assert asked.required == option.required
    assert asked.help == option.about.help
    if not option.required:
        assert (asked.default or None) == (option.default or None)


@pytest.mark.parametrize("action", DIALOGS)
def test_the_dialog_has_the_options_of_the_action_with_their_defaults_and_help(
    action: str, tmp_path: Path, qtbot: QtBot
) -> None:
    dialog, form = DIALOGS[action](tmp_path)
    qtbot.addWidget(dialog)
    wanted = [one for one in options_of(ACTIONS[action]) if one.about.window == "form"]
    assert list(form.controls) == [one.name for one in wanted]
    chosen = form.value()
    for option in wanted:
        native = form.controls[option.name].native
        assert dialog.isAncestorOf(native)
        assert native.toolTip() == option.about.help
        if not option.required:
            assert getattr(chosen, option.name) == (option.about.starts or option.default)


@pytest.mark.parametrize(("action", "option"), EACH)
def test_an_option_is_described_in_the_language_of_the_window(action: str, option: Option) -> None:
    use_language("de")
    try:
        for text in (option.about.title, option.about.help):
            assert tr(text) != text or text in SAME_IN_GERMAN
    finally:
        use_language("en")


SAME_IN_GERMAN = {"Format"}


def test_the_report_asks_nothing_besides_its_options(tmp_path: Path, qtbot: QtBot) -> None:
    dialog = ReportDialog(tmp_path / "r.html")
    qtbot.addWidget(dialog)
    native = {one.native for one in dialog.options.controls.values()}
    assert {*dialog.findChildren(QLineEdit), *dialog.findChildren(QCheckBox)} == {dialog.place, *native}
    assert dialog.answer() == ReportChoice(tmp_path / "r.html", ReportOptions())


def test_the_python_function_takes_the_options_of_the_action() -> None:
    taken = inspect.signature(write_report).parameters
    assert set(taken) == {"project", "out", "options", "overwrite"}
    assert get_type_hints(write_report)["options"] == ReportOptions | None


def test_what_no_form_asks_has_its_place_in_the_window() -> None:
    for name, action in ACTIONS.items():
        asked = {option.about.window for option in options_of(action)}
        assert ("form" in asked) == (name in DIALOGS)
        for option in options_of(action):
            assert option.about.window != "preferences" or hasattr(Preferences, option.name)


@pytest.mark.parametrize(
    ("action", "request_"), [(PredictOptions, PredictRequest), (TrainOptions, TrainRequest)]
)
def test_the_worker_has_the_defaults_and_bounds_of_the_action(
    action: type, request_: type[BaseModel]
) -> None:
    for option in options_of(action):
        field = request_.model_fields[option.name]
        # a command that is not told to wait fails at once, a request waits
        assert field.default == (True if option.name == "wait" else option.default)
        least = [one.ge for one in field.metadata if hasattr(one, "ge")]
        most = [one.le for one in field.metadata if hasattr(one, "le")]
        assert (least, most) == tuple(
            [] if b is None else [b] for b in (option.about.least, option.about.most)
        )


@pytest.mark.parametrize(("action", "run"), [(ExportOptions, formats.write), (ImportOptions, formats.read)])
def test_the_store_reads_and_writes_with_the_defaults_of_the_action(
    action: type, run: Callable[..., Any]
) -> None:
    taken = inspect.signature(run).parameters
    for option in options_of(action):
        if not option.required and option.name != "skip_unknown":  # without it nothing is read
            assert (taken[option.name].default or None) == (option.default or None)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_the_options_of_a_format_are_described_once_and_translated(name: str) -> None:
    use_language("de")
    try:
        for option in formats.FORMATS[name].options:
            assert tr(option.title) != option.title
            assert tr(option.help) != option.help
            assert not option.values or option.default in option.values
            assert option.read({}) == option.default == option.read({option.name: f"{option.default}"})
    finally:
        use_language("en")


def test_a_form_is_translated_and_can_be_reached_by_keyboard_and_screen_reader(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    use_language("de")
    try:
        form = OptionsForm(ReportOptions, QFormLayout(holder))
    finally:
        use_language("en")
    names = form.controls["names"].native
    assert isinstance(names, QCheckBox)
    assert names.text() == names.accessibleName() == "Mit den Namen von Patienten, Dateien und Projekt"
    assert form.controls["title"].native.accessibleName() == "Titel"
    for made in form.controls.values():
        assert made.native.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert made.native.toolTip()


def test_a_form_tells_each_change_and_gives_the_options(qtbot: QtBot) -> None:
    holder = QWidget()
    qtbot.addWidget(holder)
    form = OptionsForm(ReportOptions, QFormLayout(holder))
    told: list[ReportOptions] = []
    form.changed.connect(lambda: told.append(form.value()))
    names, title = form.controls["names"].native, form.controls["title"].native
    assert isinstance(names, QCheckBox)
    assert isinstance(title, QLineEdit)
    names.click()
    title.setText(" Ward 4 ")
    assert told == [ReportOptions(names=True), ReportOptions(names=True, title="Ward 4")]


def test_the_help_names_every_architecture_that_a_training_starts_from() -> None:
    assert TITLES in option_of(TrainOptions, "init").about.help


def test_choosing_none_is_a_change_too(qtbot: QtBot) -> None:
    made = control(option_of(TrainOptions, "budget"), {120.0: "2 minutes", None: "no limit"})
    qtbot.addWidget(made.native)
    assert isinstance(made.native, QComboBox)
    assert [made.native.itemText(i) for i in range(made.native.count())] == ["2 minutes", "no limit"]
    assert made.value is None
    told: list[float | None] = []
    made.changed.connect(lambda *_: told.append(made.value))
    for index in (0, 1):
        made.native.setCurrentIndex(index)
    assert made.value is None
    assert told == [120.0, None]


def test_an_option_without_help_is_refused() -> None:
    @dataclass(frozen=True)
    class Unsaid:
        names: bool = False

    with pytest.raises(TypeError, match=r"names: give it Annotated"):
        list(options_of(Unsaid))


def test_an_option_without_a_default_is_required() -> None:
    @dataclass(frozen=True)
    class Undecided:
        names: Annotated[bool, About("Names", "Call them by name.")]

    (option,) = options_of(Undecided)
    assert option.required
    assert option.default is MISSING


def test_a_command_must_say_where_the_options_go() -> None:
    with pytest.raises(ValueError, match="options"):
        with_options(ReportOptions)(lambda: None)
