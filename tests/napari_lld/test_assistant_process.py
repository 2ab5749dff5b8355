"""The second worker process: in order, the newest of a kind, never behind a renewal beyond the screen."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from napari_lld.tasks import worker_process
from napari_lld.tasks.assistant_process import AssistantProcess
from training.protocol import DescribeRequest, RenewRequest

WORKER = """
import json, queue, sys, threading
lines = queue.Queue()
def read():
    for line in sys.stdin: lines.put(line)
    lines.put(None)
threading.Thread(target=read, daemon=True).start()
def say(**words): print(json.dumps(dict(v=1, **words)), flush=True)
say(type="ready", memory=1, tasks=0)
while (line := lines.get()) is not None:
    request = json.loads(line)
    if request.get("type") == "cancel": continue
    with open(sys.argv[1], "a") as log: log.write(json.dumps(request) + "\\n")
    if request["task"] == "renew":
        say(type="renewed", field_ids=request["first"], count=1)
        if request["annotator"] == "slow":  # goes on until it is told to stop
            while json.loads(lines.get()).get("type") != "cancel": pass
            say(type="cancelled"); continue
    if request["task"] == "describe" and request["field"] == 13: sys.exit(3)
    say(type="done", task=request["task"], result={"field": request.get("field")})
"""


@pytest.fixture
def no_warm_worker() -> None:
    """Here it is what is tested, with a script for a worker."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "asked.jsonl"


@pytest.fixture
def assistant(
    qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: Path
) -> Iterator[AssistantProcess]:
    script = tmp_path / "worker.py"
    script.write_text(WORKER, encoding="utf-8")
    command = [sys.executable, str(script), str(log)]
    monkeypatch.setattr(worker_process, "warm_worker_command", lambda: command)
    process = AssistantProcess()
    yield process
    process.close()


def describe(field: int) -> DescribeRequest:
    return DescribeRequest(project="p", field=field, boxes=[])


def test_of_those_that_wait_the_newest_of_a_kind_is_answered(
    assistant: AssistantProcess, qtbot: QtBot, log: Path
) -> None:
    answers: list[Any] = []
    for field in (1, 2, 3):
        assistant.ask(describe(field), answers.append)
    assistant.ask(describe(4), answers.append, kind="another kind")
    qtbot.waitUntil(lambda: len(answers) == 3, timeout=20_000)
    assert [one.result["field"] for one in answers] == [1, 3, 4]


def test_a_renewal_that_has_done_the_screen_gives_way_and_is_taken_up_again(
    assistant: AssistantProcess, qtbot: QtBot, log: Path
) -> None:
    answers: list[Any] = []
    heard: list[Any] = []
    assistant.ask(RenewRequest(project="p", first=[1], annotator="slow"), answers.append, heard.append)
    qtbot.waitUntil(lambda: bool(heard), timeout=20_000)
    assistant.ask(describe(5), answers.append)
    qtbot.waitUntil(lambda: bool(answers), timeout=20_000)
    assert answers[0].result == {"field": 5}
    qtbot.waitUntil(lambda: log.read_text().count('"renew"') == 2, timeout=20_000)
    assistant.ask(RenewRequest(project="p", first=[2]), answers.append)  # the newest label's
    qtbot.waitUntil(lambda: len(answers) == 2, timeout=20_000)
    assert log.read_text().count('"renew"') == 3


def test_a_process_that_went_by_itself_is_replaced_without_a_word(
    assistant: AssistantProcess, qtbot: QtBot
) -> None:
    answers: list[Any] = []
    assistant.ask(describe(1), answers.append)
    qtbot.waitUntil(lambda: len(answers) == 1, timeout=20_000)
    os.kill(assistant.worker.number, signal.SIGTERM)
    assistant.ask(describe(2), answers.append)
    qtbot.waitUntil(lambda: len(answers) == 2, timeout=20_000)
    assert [one.type for one in answers] == ["done", "done"]


def test_a_request_that_two_processes_die_of_fails_and_the_next_is_answered(
    assistant: AssistantProcess, qtbot: QtBot
) -> None:
    answers: list[Any] = []
    assistant.ask(describe(13), answers.append)
    assistant.ask(describe(1), answers.append, kind="another kind")
    qtbot.waitUntil(lambda: len(answers) == 2, timeout=20_000)
    assert [one.type for one in answers] == ["failed", "done"]
    assert "exit code 3" in answers[0].cause


def test_what_was_asked_about_another_project_is_dropped(assistant: AssistantProcess, qtbot: QtBot) -> None:
    answers: list[Any] = []
    assistant.ask(RenewRequest(project="p", annotator="slow"), answers.append)
    assistant.ask(describe(1), answers.append)
    assistant.forget()
    assistant.ask(describe(2), answers.append)
    qtbot.waitUntil(lambda: bool(answers), timeout=20_000)
    qtbot.wait(50)
    assert [one.result["field"] for one in answers] == [2]


def test_a_program_that_cannot_be_started_is_a_sentence(
    assistant: AssistantProcess, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_process, "warm_worker_command", lambda: ["/nowhere/python"])
    answers: list[Any] = []
    assistant.ask(describe(1), answers.append)
    qtbot.waitUntil(lambda: bool(answers), timeout=20_000)
    assert "could not be started" in answers[0].cause
