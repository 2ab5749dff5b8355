"""The log, and errors that nobody foresaw."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from annotation_store import Project
from napari_lld.controllers.desk import Desk, desk_for
from napari_lld.controllers.exception_hook import Catcher, concerns_us
from napari_lld.session.error_reports import write_error_report
from napari_lld.session.log import Log
from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.dialogs.log_window import LogWindow


@pytest.fixture
def desk(qtbot: QtBot, small_project: Path) -> Iterator[Desk]:
    desk = desk_for(ViewerModel())
    desk.session.open(small_project)
    yield desk
    desk.close()


def raise_as_ours(text: str = "nobody foresaw this") -> None:
    """Raise from a module of ours, as a slot would."""
    exec("def slot():\n    raise KeyError(text)\nslot()", {"__name__": "napari_lld.widgets.x", "text": text})


def caught(text: str) -> tuple[type[BaseException], BaseException, object]:
    try:
        raise_as_ours(text)
    except KeyError as error:
        return type(error), error, error.__traceback__
    raise AssertionError


def test_an_unforeseen_error_is_a_sentence_a_log_entry_and_a_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda *args: others.append(args))
    before = sys.excepthook
    told: list[str] = []
    desk.session.notice.connect(lambda level, sentence: told.append(f"{level}: {sentence}"))
    catcher = Catcher(desk.around.on_unexpected)
    catcher.install()
    for _ in range(2):
        sys.excepthook(*caught("the same"))  # type: ignore[arg-type]
    assert len(told) == 1
    assert told[0].startswith("error: Something went wrong")
    assert "Traceback" not in told[0]
    assert "Traceback" in desk.around.log.text()
    project = desk.session.project
    assert project is not None
    (kept,) = (project.path / "logs").glob("error-*.txt")
    assert "raise KeyError" in kept.read_text() or "KeyError" in kept.read_text()
    assert not others
    stranger = ValueError("of another plugin")
    sys.excepthook(ValueError, stranger, None)
    assert len(others) == 1  # napari's to show
    catcher.remove()
    assert sys.excepthook is before


def test_what_a_listener_raises_is_ours_though_psygnal_wraps_it() -> None:
    from psygnal import EmitLoopError, Signal

    class Emitter:
        happened = Signal()

    def listen() -> None:
        raise_as_ours()

    emitter = Emitter()
    emitter.happened.connect(listen)
    with pytest.raises(EmitLoopError) as raised:
        emitter.happened.emit()
    assert concerns_us(raised.value)
    assert not concerns_us(ValueError())


def test_what_the_window_says_is_in_the_log_newest_last(desk: Desk) -> None:
    desk.session.tell("hint", "first")
    desk.session.tell("hint", "second")
    lines = desk.around.log.text().splitlines()
    assert [line.split()[-1] for line in lines[-2:]] == ["first", "second"]


def test_the_log_window_follows_copies_and_shows_kept_files(desk: Desk, qtbot: QtBot) -> None:
    project = desk.session.project
    assert project is not None
    (project.path / "logs").mkdir(exist_ok=True)
    (project.path / "logs" / "training-1.txt").write_text("the driver said no")
    log = Log()
    window = LogWindow(log, desk.session, colours())
    window.show()
    log.add("info", "18 fields added.")
    assert "18 fields added." in window.text.toPlainText()
    qtbot.mouseClick(window.copy, Qt.MouseButton.LeftButton)
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert "18 fields added." in clipboard.text()
    window.which.setCurrentIndex(window.which.findText("training-1.txt"))
    assert window.text.toPlainText() == "the driver said no"
    window.close()
    log.add("info", "later")  # nobody listens any more


def test_a_kept_failure_names_no_patient_and_no_path(small_project: Path) -> None:
    with Project.open(small_project) as project:
        first = project.fields()[0]
        project.update_field(first.id, patient="Jane Doe", slide="Doe-7", domain="Ward of Doe")
        fields = project.fields()
    trace = f"""File "{small_project}/x.py" in {Path.home()}/films/{first.name}
KeyError: 'Jane Doe' on Doe-7 of Ward of Doe, Jane Doe_2.png, {Path(first.name).stem}; Janet stays"""
    file = write_error_report(small_project, f"{first.name} failed", trace, fields)
    assert file is not None
    told = file.read_text("utf-8")
    for name in ("Jane Doe", "Doe", first.name, Path(first.name).stem, str(small_project), str(Path.home())):
        assert name not in told
    assert f"<field {first.id}> failed" in told
    assert "Janet stays" in told
