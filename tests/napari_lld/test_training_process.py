"""The worker process, played by short scripts."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytestqt.qtbot import QtBot

from annotation_store import Shape
from napari_lld.session.session import Session
from napari_lld.session.training_state import TrainingPhase
from napari_lld.tasks import worker_process
from napari_lld.tasks.training_process import TrainingProcess

START = (
    "import os, sys, time\n"
    "def say(line):\n"
    "    print(line, flush=True)\n"
    "request = sys.stdin.readline()\n"
    'say(\'{"type": "started", "v": 1, "task": "train", "device": "cpu", "fields": 2, "cells": 3}\')\n'
)
DONE = 'say(\'{"type": "done", "v": 1, "task": "train", "model_id": 1}\')\n'


STAYS = """
import json, os, sys
def say(**message):
    print(json.dumps({"v": 1, **message}), flush=True)
say(type="ready", memory=123_000_000)
for line in sys.stdin:
    task = json.loads(line)["task"]
    with open(sys.argv[1], "a+") as seen:
        seen.write(f"{os.getpid()} {task}\\n")
        seen.seek(0)
        how = sys.argv[2:][len(seen.readlines()) - 1]
    if how == "leaves":
        sys.exit(0)
    say(type="started", task=task)
    if "saves" in how:
        say(type="saved", model_id=1, active=True)
    if "dies" in how:
        os.kill(os.getpid(), 9)
    say(type="done", task=task, model_id=1)
    say(type="ready", memory=456_000_000)
"""
"""A worker that stays, and does with each request what the plan says; it writes down who did what."""


@pytest.fixture
def no_warm_worker() -> None:
    """Here it is what is tested, with scripts for workers."""


Staying = Callable[..., list[list[str]]]


@pytest.fixture
def session(small_project: Path) -> Iterator[Session]:
    session = Session()
    session.open(small_project)
    session.regions.add(Shape.rectangle(0, 0, 50, 50))
    yield session
    session.close()


@pytest.fixture
def worker(
    session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[SimpleNamespace]:
    process = TrainingProcess(session)
    session.training.process = process

    def play(script: str) -> None:
        file = tmp_path / "worker.py"
        file.write_text(script, encoding="utf-8")
        monkeypatch.setattr(worker_process, "warm_worker_command", lambda: [sys.executable, str(file)])
        session.training.start()

    yield SimpleNamespace(play=play, process=process)
    process.close()


@pytest.fixture
def staying(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Staying:
    """Give a function that trains once for each word of a plan; it gives process and task of each request."""
    script, seen = tmp_path / "stays.py", tmp_path / "seen"
    script.write_text(STAYS, encoding="utf-8")

    def train(*plan: str, rounds: int, between: Callable[[], None] = lambda: None) -> list[list[str]]:
        command = [sys.executable, str(script), str(seen), *plan]
        monkeypatch.setattr(worker_process, "warm_worker_command", lambda: command)
        for _ in range(rounds):
            between()
            assert session.training.start()
            qtbot.waitUntil(idle(session), timeout=20_000)
        return [line.split() for line in seen.read_text().splitlines()]

    return train


@pytest.fixture
def warnings(session: Session) -> list[str]:
    told: list[str] = []
    session.notice.connect(lambda level, sentence: told.append(sentence) if level == "warning" else None)
    return told


@pytest.fixture
def errors(session: Session) -> list[str]:
    told: list[str] = []
    session.notice.connect(lambda level, sentence: told.append(sentence) if level == "error" else None)
    return told


def idle(session: Session) -> Callable[[], bool]:
    return lambda: not session.training.state.busy


def test_messages_reach_the_session(worker: SimpleNamespace, session: Session, qtbot: QtBot) -> None:
    told: list[str] = []
    session.training.state.received.connect(lambda message: told.append(message.type))
    # a line in two pieces, and one that is no message, are no trouble
    worker.play(
        START
        + "print('noise')\n"
        + 'sys.stdout.write(\'{"type": "progress", "v": 1, "stage": "train", \')\n'
        + "sys.stdout.flush(); time.sleep(0.3)\n"
        + 'say(\'"done": 1, "total": 2, "seconds_left": 5, "losses": {"box": 1.0}}\')\n'
        + DONE
    )
    assert session.training.state.phase is TrainingPhase.STARTING
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert told == ["started", "progress", "done"]
    assert "Model 1" in session.training.state.message


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
    monkeypatch.setattr(worker_process, "warm_worker_command", lambda: ["/nowhere/python"])
    session.training.start()
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert "could not be started" in errors[0]


def test_a_cancelled_worker_ends_quietly(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, errors: list[str]
) -> None:
    worker.play(
        START + "line = sys.stdin.readline()\nassert 'cancel' in line\n"
        'say(\'{"type": "cancelling", "v": 1}\')\nsay(\'{"type": "cancelled", "v": 1}\')\n'
    )
    qtbot.waitUntil(lambda: session.training.state.phase is TrainingPhase.RUNNING, timeout=20_000)
    session.training.cancel()
    assert session.training.state.phase is TrainingPhase.CANCELLING
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert not errors
    qtbot.waitUntil(
        lambda: not worker.process.worker.running, timeout=20_000
    )  # what it said comes before its end


def test_closing_waits_seconds_and_then_kills(
    worker: SimpleNamespace, session: Session, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "_FAREWELL_MS", 500)
    worker.play(START + "time.sleep(60)\n")
    qtbot.waitUntil(lambda: session.training.state.phase is TrainingPhase.RUNNING, timeout=20_000)
    begun = time.monotonic()
    worker.process.close()
    assert time.monotonic() - begun < 5
    assert not worker.process.worker.running
    assert not session.training.state.busy


def test_one_training_at_a_time(worker: SimpleNamespace, session: Session, qtbot: QtBot) -> None:
    worker.play(START + "time.sleep(1)\n" + DONE)
    assert not session.training.start()
    qtbot.waitUntil(idle(session), timeout=20_000)
    assert session.training.state.phase is TrainingPhase.IDLE


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
    file = session.project.path / "logs" / "napari-lld.log"
    kept = file.read_text(encoding="utf-8")
    assert "It broke. Mend it." in kept
    assert "Traceback" in kept
    assert "the driver said no" in kept
    assert f"logs/{file.name}" in errors[0]


def test_one_process_does_one_round_after_the_other(
    staying: Staying, worker: SimpleNamespace, session: Session, qtbot: QtBot
) -> None:
    seen = staying("done", "done", rounds=2, between=worker.process.warm_up)
    assert [task for _, task in seen] == ["train", "train"]
    assert len({process for process, _ in seen}) == 1
    qtbot.waitUntil(lambda: session.training.state.worker_memory == 456_000_000, timeout=20_000)
    worker.process.cool_down()
    qtbot.waitUntil(lambda: not worker.process.worker.running, timeout=20_000)
    assert session.training.state.worker_memory is None


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_worker_killed_while_it_waits_is_no_trouble(
    staying: Staying, worker: SimpleNamespace, warnings: list[str], errors: list[str]
) -> None:
    def kill() -> None:
        if worker.process.worker.running:
            os.kill(worker.process.worker.number, signal.SIGKILL)

    seen = staying("done", "done", rounds=2, between=kill)
    assert len({process for process, _ in seen}) == 2
    assert errors == []
    assert len(warnings) <= 1  # none where the window knew before


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_round_that_a_warm_worker_dies_of_is_done_again_by_a_new_one(
    staying: Staying, warnings: list[str], errors: list[str]
) -> None:
    seen = staying("done", "dies", "done", rounds=2)
    assert [task for _, task in seen] == ["train", "train", "train"]
    assert len({process for process, _ in seen}) == 2
    assert errors == []
    assert len(warnings) == 1
    assert "Nothing is lost" in warnings[0]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_it_is_done_again_once(staying: Staying, warnings: list[str], errors: list[str]) -> None:
    seen = staying("done", "dies", "dies", rounds=2)
    assert len(seen) == 3
    assert len(errors) == len(warnings) == 1
    assert "killed by the system" in errors[0]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_of_a_round_whose_model_is_saved_only_the_suggestions_are_left(
    staying: Staying, errors: list[str]
) -> None:
    seen = staying("done", "saves and dies", "done", rounds=2)
    assert [task for _, task in seen] == ["train", "train", "predict"]
    assert errors == []


def test_a_worker_that_leaves_just_then_is_replaced_without_a_word(
    staying: Staying, warnings: list[str], errors: list[str]
) -> None:
    seen = staying("done", "leaves", "done", rounds=2)
    assert len({process for process, _ in seen}) == 2
    assert errors == warnings == []
