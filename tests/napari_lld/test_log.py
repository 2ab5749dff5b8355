"""The log, and errors that nobody foresaw."""

from __future__ import annotations

import errno
import os
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
from napari_lld.session.log import Log, kept_logs
from napari_lld.session.project_log import NAME, log_error
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
    catcher = Catcher(desk.services.on_unexpected)
    catcher.install()
    for _ in range(2):
        sys.excepthook(*caught("the same"))  # type: ignore[arg-type]
    assert len(told) == 1
    assert told[0].startswith("error: An unexpected error occurred")
    assert "Traceback" not in told[0]
    assert "Traceback" in desk.services.log.text()
    project = desk.session.project
    assert project is not None
    (kept,) = (project.path / "logs").iterdir()
    assert "Traceback" in kept.read_text()
    assert "KeyError" in kept.read_text()
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
    desk.session.notify("hint", "first")
    desk.session.notify("hint", "second")
    lines = desk.services.log.text().splitlines()
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
        first = project.fields.all()[0]
        project.fields.update(first.id, patient="Jane Doe", slide="Doe-7", domain="Ward of Doe")
        fields = project.fields.all()
    trace = f"""File "{small_project}/x.py" in {Path.home()}/films/{first.name}
KeyError: 'Jane Doe' on Doe-7 of Ward of Doe, Jane Doe_2.png, {Path(first.name).stem}; Janet stays"""
    file = log_error(small_project, "training", f"{first.name} failed", trace, fields)
    assert file is not None
    told = file.read_text("utf-8")
    for name in ("Jane Doe", "Doe", first.name, Path(first.name).stem, str(small_project), str(Path.home())):
        assert name not in told
    assert f"<field {first.id}> failed" in told
    assert "Janet stays" in told


def test_the_log_of_a_project_stays_small_and_goes_on_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_lld.session.project_log._BYTES", 2_000)
    for number in range(100):
        assert log_error(tmp_path, "training", f"Failure {number}.", "Traceback\n" * 10, []) is not None
    kept = kept_logs(tmp_path)
    assert len(kept) == 4
    assert sum(file.stat().st_size for file in kept) <= 8_000
    assert "Failure 99." in (tmp_path / "logs" / NAME).read_text()


@pytest.mark.skipif(os.name == "nt", reason="pipes and links")
@pytest.mark.parametrize("trouble", ["full", "a file", "a link", "a pipe"])
def test_a_log_that_cannot_be_written_is_no_failure_and_nothing_beyond_it_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], trouble: str
) -> None:
    place, dear = tmp_path / "logs" / NAME, tmp_path / "dear.txt"
    dear.write_text("dear")
    if trouble == "a file":
        place.parent.write_text("no folder")
    else:
        place.parent.mkdir()
    if trouble == "a link":
        place.symlink_to(dear)
    elif trouble == "a pipe":
        os.mkfifo(place)
    elif trouble == "full":

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("logging.StreamHandler.flush", full)
    assert log_error(tmp_path, "training", "It failed.", "Traceback", []) is None
    assert dear.read_text() == "dear"
    assert kept_logs(tmp_path) == [] or trouble == "full"
    assert capfd.readouterr().err == ""
