"""The worker that stays for several tasks: real processes, most with tasks that learn nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from annotation_store.project import Project
from annotation_store.records import Shape
from training.client import (
    CANCEL_LINE,
    PersistentWorker,
    TrainingError,
    parse_message,
    request_line,
    warm_worker_command,
    worker_environment,
)
from training.protocol import Done, Message, PredictRequest, Ready, Request, TrainRequest
from training.worker import warm as staying
from training.worker.channel import Task

LIGHT = """
import sys, time
from annotation_store.errors import LLDError
from training.protocol import Done
from training.worker import channel, run, warm

def play(request, channel, begun):
    match request.annotator:
        case "waits":
            while True:
                channel.check()
                time.sleep(0.01)
        case "hangs":
            time.sleep(60)
        case "refuses":
            raise LLDError("No.")
        case "breaks":
            raise RuntimeError("Oh.")
        case "lasts":
            time.sleep(0.5)
            channel.check()
    return Done(task="train")

run.run = play
warm._import_all = lambda: None
channel._LAST_RESORT_SECONDS = 0.3
from training.worker.__main__ import end, main
end(main(["--stay", sys.argv[1]]))
"""
"""A worker whose tasks learn nothing, so that it imports little: a request's annotator says what happens."""


class Worker:
    """A worker process, and what it says."""

    def __init__(self, command: list[str], log: Path = Path(os.devnull)) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=worker_environment(window=True),
                encoding="utf-8",
            )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def hear(self, kind: str) -> Any:
        """Read to a message of a kind; ``None`` where the process ends before."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            message = parse_message(line)
            if message.type == kind:
                return message
        return None

    def ask(self, request: Request) -> Message:
        """Give the last message of a request."""
        assert self.process.stdout is not None
        self.say(request_line(request))
        for line in self.process.stdout:
            message = parse_message(line)
            if message.type in {"done", "failed", "cancelled"}:
                return message
        raise AssertionError("it ended without an answer")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()


@pytest.fixture(scope="module")
def light() -> Iterator[Worker]:
    """Start a worker whose tasks learn nothing, for several tests."""
    worker = Worker([sys.executable, "-c", LIGHT, "60"])
    yield worker
    worker.close()


def like(what: str) -> TrainRequest:
    return TrainRequest(project="/p", annotator=what)


def test_tasks_follow_one_another_and_a_refusal_ends_nothing(light: Worker) -> None:
    ready = light.hear("ready")
    assert ready.tasks == 0
    assert ready.memory > 1_000_000
    assert light.ask(like("does it")).type == "done"
    assert light.ask(like("refuses")).type == "failed"
    light.say("{} what is this\n")
    assert light.hear("failed").cause.startswith("The request cannot be read")
    assert light.ask(like("does it")).type == "done"
    assert light.hear("ready").tasks == 4


def test_a_cancel_reaches_its_own_task_and_no_other(light: Worker) -> None:
    light.say(CANCEL_LINE)  # of nothing
    assert light.ask(like("does it")).type == "done"
    light.say(CANCEL_LINE)  # too late
    light.say(request_line(like("waits")) + CANCEL_LINE)  # before it has begun
    assert light.hear("cancelled") is not None
    # nor does the last resort of the cancelled one end this process
    assert light.ask(like("lasts")).type == "done"


def test_a_failure_that_nobody_foresaw_ends_the_process(light: Worker) -> None:
    assert light.ask(like("breaks")).type == "failed"
    assert light.hear("ready") is None
    assert light.process.wait(timeout=20) == 0


def test_it_ends_when_idle() -> None:
    worker = Worker([sys.executable, "-c", LIGHT, "0.1"])
    assert worker.hear("ready").tasks == 0
    assert worker.hear("ready") is None
    assert worker.process.wait(timeout=20) == 0
    worker.close()


PARENT = """
import os, subprocess, sys, time
worker = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
worker.stdout.readline()
worker.stdin.write(sys.argv[1])
worker.stdin.flush()
print(worker.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("what", ["nothing", "hangs"])
def test_no_worker_outlives_a_killed_window(what: str) -> None:
    asked = "" if what == "nothing" else request_line(like(what))
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, asked, sys.executable, "-c", LIGHT, "60"],
        stdout=subprocess.PIPE,
        env=worker_environment(window=True),
        text=True,
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    with suppress(psutil.NoSuchProcess):
        while worker.status() != psutil.STATUS_ZOMBIE:  # nobody may be there to bury it
            psutil.wait_procs([worker], timeout=0.05)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stay` run here: nothing is imported, frozen or trimmed."""
    monkeypatch.setattr(staying, "_import_all", lambda: None)
    monkeypatch.setattr(staying, "pass_over_modules", lambda: None)
    monkeypatch.setattr(staying, "give_back_memory", lambda: None)


@pytest.mark.usefixtures("in_this_process")
def test_one_that_holds_too_much_memory_after_a_task_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 2 * 1024**3
    held = iter([100, most, most, most, most + 1, most + 1])
    monkeypatch.setattr(staying, "memory", lambda: next(held))
    said: list[Ready] = []
    channel: Any = SimpleNamespace(send_between=said.append, next_task=lambda _idle: Task())
    staying.stay(channel, lambda _task: True, idle=1)
    assert [one.tasks for one in said] == [0, 1]


@pytest.mark.usefixtures("in_this_process")
def test_memory_is_given_back_when_nobody_asks_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever labels asks again within a second, and would wait for it."""
    happened: list[str] = []
    monkeypatch.setattr(staying, "give_back_memory", lambda: happened.append("given back"))
    tasks = iter([Task(), Task(), None, None])
    channel: Any = SimpleNamespace(send_between=lambda _: None, next_task=lambda _: next(tasks), gone=False)
    staying.stay(channel, lambda _task: not happened.append("answered"), idle=60)
    assert happened == ["answered", "answered", "given back"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project of two fields of 64 × 64 with a purple disc each."""
    place = tmp_path_factory.mktemp("warm")
    rows, columns = np.mgrid[:64, :64] + 0.5
    inside = (columns - 32) ** 2 + (rows - 32) ** 2 < 14**2
    for i in range(2):
        image = np.full((64, 64, 3), (235, 225, 230 - i), np.uint8)
        image[inside] = (95, 50, 140)
        Image.fromarray(image).save(place / f"f{i}.png")
    with Project.create(place / "project", "lld", annotator="tester") as made:
        made.fields.add([place / "f0.png", place / "f1.png"])
        for field in made.fields.all():
            made.regions.add(field.id, Shape.rectangle(0, 0, 64, 64))
            made.cells.add(field.id, (18.0, 18.0, 28.0, 28.0), cell_class="Lymphocyte")
    return place / "project"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Start one real worker for the tests below; it writes down what it imports."""
    python, *arguments = warm_worker_command()
    worker = Worker([python, "-X", "importtime", *arguments], tmp_path_factory.mktemp("log") / "imports")
    worker.hear("ready")
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def first(worker: Worker, project: Path) -> SimpleNamespace:
    """Do a first round; gives its model, what it imported, and what the worker holds open after it."""
    before = worker.log.stat().st_size
    model = weights(project, worker.ask(quick(project)))
    late = [line for line in worker.log.read_text()[before:].splitlines() if line.startswith("import time:")]
    ready = worker.hear("ready")
    process = psutil.Process(worker.process.pid)
    held = [one.path for one in process.open_files()]
    if sys.platform == "linux":
        held += [one.path for one in process.memory_maps()]
    memory = process.memory_info().rss
    return SimpleNamespace(model=model, late=late, ready=ready, held=held, memory=memory)


def quick(project: Path, **options: Any) -> TrainRequest:
    return TrainRequest(**{"project": str(project), "size": 64, "epochs": 1, "device": "cpu", **options})


def weights(project: Path, done: Any) -> bytes:
    assert isinstance(done, Done), done
    return (project / "models" / str(done.model_id) / "model.safetensors").read_bytes()


def test_a_round_finds_everything_imported(first: SimpleNamespace) -> None:
    assert len(first.late) < 20, f"import them in training/worker/warm.py, or not at all: {first.late[:50]}"


def test_nothing_of_a_project_stays_open_between_tasks(first: SimpleNamespace, project: Path) -> None:
    assert [path for path in first.held if path.startswith(str(project))] == []
    assert first.ready.memory == pytest.approx(first.memory, rel=0.3)


def test_a_process_makes_the_same_model_whatever_it_has_done_before(
    worker: Worker, first: SimpleNamespace, project: Path
) -> None:
    assert worker.ask(PredictRequest(project=str(project), device="cpu")).type == "done"
    assert worker.ask(quick(project, init=99)).type == "failed"
    worker.say(request_line(quick(project, seed=1, epochs=10_000)))
    while worker.hear("progress").stage != "train":
        pass
    worker.say(CANCEL_LINE)
    assert worker.hear("cancelled") is not None
    assert weights(project, worker.ask(quick(project))) == first.model
    with Project.open(project) as opened:
        assert [run.state for run in opened.runs.all()] == ["done", "cancelled", "done"]


@pytest.fixture
def staying_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[PersistentWorker]:
    monkeypatch.setattr("training.client.warm_worker_command", lambda: [sys.executable, "-c", LIGHT, "61"])
    with PersistentWorker() as made:
        yield made


def processes() -> list[psutil.Process]:
    """Give those of `staying_worker`."""
    found = []
    for one in psutil.Process().children():
        with suppress(psutil.Error):  # others that have ended meanwhile
            if one.cmdline()[-1:] == ["61"]:
                found.append(one)
    return found


def test_the_command_line_starts_one_process_for_request_after_request(
    staying_worker: PersistentWorker,
) -> None:
    heard: list[Any] = []
    for _ in range(3):
        assert staying_worker.ask(like("works"), on_message=heard.append).task == "train"
    assert [one.tasks for one in heard if isinstance(one, Ready)] == [0, 1, 2]
    with pytest.raises(TrainingError, match="No"):
        staying_worker.ask(like("refuses"))
    assert staying_worker.ask(like("works")).task == "train", "another process answers after a failure"


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_ends_between_requests_is_explained_and_followed_by_another(
    staying_worker: PersistentWorker,
) -> None:
    staying_worker.ask(like("works"))
    (process,) = processes()
    process.kill()
    with pytest.raises(TrainingError, match="killed"):
        staying_worker.ask(like("works"))
    assert staying_worker.ask(like("works")).task == "train"


def test_leaving_a_task_half_done_ends_its_process(staying_worker: PersistentWorker) -> None:
    def interrupt(message: Message) -> None:
        if isinstance(message, Ready):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        staying_worker.ask(like("waits"), on_message=interrupt)
    assert processes() == []


@pytest.mark.parametrize(("waited_for", "goes_second"), [(False, 1), (True, 0)])
def test_a_worker_that_somebody_waits_for_does_not_go_second(
    monkeypatch: pytest.MonkeyPatch, waited_for: bool, goes_second: int
) -> None:
    from training.worker.__main__ import go_second_to_a_window

    calls: list[int] = []
    monkeypatch.setattr("training.worker.machine.go_second", lambda: calls.append(1))
    for name, value in worker_environment(window=True, waited_for=waited_for).items():
        monkeypatch.setenv(name, value)
    go_second_to_a_window()
    assert len(calls) == goes_second
