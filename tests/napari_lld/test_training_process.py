"""The worker process, played by short scripts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytestqt.qtbot import QtBot

from annotation_store import Shape
from napari_lld import training_process
from napari_lld.session import Session
from napari_lld.training_process import TrainingProcess
from napari_lld.training_state import TrainingPhase

START = (
    "import sys, time\n"
    "def say(line):\n"
    "    print(line, flush=True)\n"
    'say(\'{"type": "started", "v": 1, "task": "train", "device": "cpu", "fields": 2, "cells": 3}\')\n'
)
DONE = 'say(\'{"type": "done", "v": 1, "task": "train", "model_id": 1}\')\n'


@pytest.fixture
def session(small_project: Path) -> Iterator[Session]:
    session = Session()
    session.open(small_project)
    session.add_region(Shape.rectangle(0, 0, 50, 50))
    yield session
    session.close()


@pytest.fixture
def worker(
    session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[SimpleNamespace]:
    process = TrainingProcess(session)
    session.trainer = process

    def play(script: str) -> None:
        file = tmp_path / "worker.py"
        file.write_text(script, encoding="utf-8")
        monkeypatch.setattr(
            training_process, "worker_command", lambda request: [sys.executable, str(file), str(request)]
        )
        session.start_training()

    yield SimpleNamespace(play=play, process=process)
    process.close()


@pytest.fixture
def errors(session: Session) -> list[str]:
    told: list[str] = []
    session.notice.connect(lambda level, sentence: told.append(sentence) if level == "error" else None)
    return told


def idle(session: Session) -> Callable[[], bool]:
    return lambda: not session.training.busy


def test_messages_reach_the_session(worker: SimpleNamespace, session: Session, qtbot: QtBot) -> None:
    told: list[str] = []
    session.training.told.connect(lambda message: told.append(message.type))
    # a line in two pieces, and one that is no message, are no trouble
    worker.play(
        START
        + "print('noise')\n"
        + 'sys.stdout.write(\'{"type": "progress", "v": 1, "stage": "train", \')\n'
        + "sys.stdout.flush(); time.sleep(0.3)\n"
        + 'say(\'"done": 1, "total": 2, "seconds_left": 5, "losses": {"box": 1.0}}\')\n'
        + DONE
    )
    assert session.training.phase is TrainingPhase.STARTING
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert told == ["started", "progress", "done"]
    assert "Model 1" in session.training.message


def test_a_worker_that_dies_is_a_notice(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, errors: list[str]
) -> None:
    worker.play(START + "print('something about the driver', file=sys.stderr)\nsys.exit(3)\n")
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert len(errors) == 1
    assert "exit code 3" in errors[0]
    assert "something about the driver" in errors[0]
    assert "try again" in errors[0]


def test_a_worker_that_cannot_start_is_a_notice(
    worker: SimpleNamespace,
    session: Session,
    qtbot: QtBot,
    errors: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training_process, "worker_command", lambda _request: ["/nowhere/python"])
    session.start_training()
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert "could not be started" in errors[0]


def test_a_cancelled_worker_ends_quietly(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, errors: list[str]
) -> None:
    worker.play(
        START + "line = sys.stdin.readline()\nassert 'cancel' in line\n"
        'say(\'{"type": "cancelling", "v": 1}\')\nsay(\'{"type": "cancelled", "v": 1}\')\n'
    )
    qtbot.waitUntil(lambda: session.training.phase is TrainingPhase.RUNNING, timeout=20_000)
    session.cancel_training()
    assert session.training.phase is TrainingPhase.CANCELLING
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert not errors
    qtbot.waitUntil(lambda: not worker.process.running, timeout=20_000)  # what it said comes before its end


def test_closing_waits_seconds_and_then_kills(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_process, "_FAREWELL_MS", 500)
    worker.play(START + "time.sleep(60)\n")
    qtbot.waitUntil(lambda: session.training.phase is TrainingPhase.RUNNING, timeout=20_000)
    begun = time.monotonic()
    worker.process.close()
    assert time.monotonic() - begun < 5
    assert not worker.process.running
    assert not session.training.busy


def test_one_training_at_a_time(worker: SimpleNamespace, session: Session, qtbot: QtBot) -> None:
    worker.play(START + "time.sleep(1)\n" + DONE)
    assert not session.start_training()
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert session.training.phase is TrainingPhase.IDLE


def test_the_details_of_a_failure_are_kept_with_the_project(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, errors: list[str]
) -> None:
    worker.play(
        START
        + "print('the driver said no', file=sys.stderr, flush=True)\n"
        + 'say(\'{"type": "failed", "v": 1, "cause": "It broke.", \' + \n'
        + '    \'"cure": "Mend it.", "details": "Traceback"}\')\n'
    )
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert session.project is not None
    (file,) = (session.project.path / "logs").glob("training-*.txt")
    kept = file.read_text(encoding="utf-8")
    assert "It broke. Mend it." in kept
    assert "Traceback" in kept
    assert "the driver said no" in kept
    assert f"logs/{file.name}" in errors[0]
