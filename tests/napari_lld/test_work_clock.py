"""Time at work: who, on which field, without the pauses."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow, QWidget

from annotation_store import Project
from napari_lld.session.session import Session
from napari_lld.session.work_clock import WorkClock
from napari_lld.widgets.base.activity import Activity


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def clock(session: Session, time: Time) -> WorkClock:
    return WorkClock(session, time)


def kept(project: Path) -> dict[tuple[str, str], float]:
    with Project.open(project, read_only=True) as own:
        return {
            (row.annotator, own.fields.get(row.field_id).name): row.seconds for row in own.work_time.all()
        }


def work(clock: WorkClock, time: Time, seconds: float) -> None:
    """Use the mouse every ten seconds."""
    clock.touch()
    for _ in range(round(seconds / 10)):
        time.now += 10
        clock.touch()


def test_time_goes_to_the_field_and_the_annotator(
    clock: WorkClock, session: Session, time: Time, small_project: Path
) -> None:
    work(clock, time, 120)
    session.fields.next()
    work(clock, time, 30)
    session.change_annotator("Grace")
    work(clock, time, 50)
    session.close()
    assert kept(small_project) == {
        ("Ada", "field_0.png"): 120,
        ("Ada", "field_1.png"): 30,
        ("Grace", "field_1.png"): 50,
    }


def test_nobody_works_a_minute_after_the_last_key(clock: WorkClock, session: Session, time: Time) -> None:
    work(clock, time, 20)
    time.now += 3600
    work(clock, time, 10)
    clock.flush()
    assert clock.seconds() == (20 + 60 + 10, 20 + 60 + 10)


def test_who_only_opens_a_project_has_not_worked(
    clock: WorkClock, session: Session, time: Time, small_project: Path
) -> None:
    time.now += 600
    session.close()
    assert kept(small_project) == {}


def test_a_crash_loses_what_was_counted_since_the_last_keeping(
    clock: WorkClock, session: Session, time: Time, small_project: Path
) -> None:
    work(clock, time, 60)
    clock.flush()
    work(clock, time, 40)
    assert kept(small_project) == {("Ada", "field_0.png"): 60}  # 40 s are only in memory


def test_what_another_program_keeps_from_being_written_is_written_later(
    clock: WorkClock, session: Session, time: Time, monkeypatch: pytest.MonkeyPatch, small_project: Path
) -> None:
    from annotation_store.errors import ProjectError

    def locked(*_args: object) -> None:
        raise ProjectError("Somebody else is writing.")

    work(clock, time, 30)
    with monkeypatch.context() as patch:
        patch.setattr("annotation_store._collections.work_time.WorkTime.add", locked)
        clock.flush()
    clock.flush()
    assert kept(small_project) == {("Ada", "field_0.png"): 30}


def test_earlier_sittings_count_in_what_is_shown(
    clock: WorkClock, session: Session, time: Time, small_project: Path
) -> None:
    work(clock, time, 30)
    session.close()
    session.open(small_project, annotator="Ada")
    assert clock.seconds() == (30, 30)
    session.fields.next()
    assert clock.seconds() == (0, 30)


def test_mouse_and_keys_of_the_window_count_and_those_of_others_do_not(
    clock: WorkClock, time: Time, qtbot: QtBot
) -> None:
    window, other = QMainWindow(), QWidget()
    for widget in (window, other):
        qtbot.addWidget(widget)
        widget.show()
    activity = Activity(window, clock)
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton)
    time.now += 10
    qtbot.mouseClick(other, Qt.MouseButton.LeftButton)
    assert clock.seconds()[0] == 0
    qtbot.keyClick(window, Qt.Key.Key_A)
    time.now += 10
    qtbot.mouseClick(window, Qt.MouseButton.LeftButton)
    clock.flush()
    assert clock.seconds()[0] == 10
    activity.close()
