"""Killed, queued, out of memory, astray, on a full disk: what becomes of a training in trouble."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from annotation_store.errors import LLDError, OutputError, ProjectGoneError
from annotation_store.files.outputs import place_beside
from annotation_store.project import Project
from training.client import worker_command, worker_environment, write_request
from training.engine.loop import DivergedError
from training.protocol import Done, PredictRequest, TrainRequest, parse_message
from training.reasons import Reason
from training.worker.channel import CancelledError, Channel
from training.worker.failures import failure
from training.worker.lock import BusyError, training_lock
from training.worker.run import run

BOXES = [(12.0, 12.0, 28.0, 28.0), (20.0, 60.0, 24.0, 24.0)]


@pytest.fixture
def project(tmp_path: Path, make_field: Any) -> Path:
    """Make a project of two finished fields with two cells each."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(2):
        Image.fromarray(make_field(drawn=BOXES).pixels()).rotate(180 * i).save(images / f"f{i}.png")
    folder = tmp_path / "project"
    with Project.create(folder, "lld", annotator="Anna") as made:
        made.fields.add([images])
        for field in made.fields.all():
            made.regions.add_whole_field(field.id)
            for box in BOXES:
                made.cells.add(field.id, box, cell_class="Lymphocyte", attributes={"cell_size": "small"})
    return folder


def quick(project: Path, **options: Any) -> TrainRequest:
    usual = {"size": 64, "epochs": 2, "device": "cpu", "suggest": False, "annotator": "Anna"}
    return TrainRequest(project=str(project), **{**usual, **options})


class Listener(Channel):
    """Keeps the messages; the task runs in this process."""

    def __init__(self, on_message: Callable[[Any], None] = lambda _: None) -> None:
        self.messages: list[Any] = []
        self.on_message = on_message
        self.stop = False

    def send(self, message: Any) -> None:
        self.messages.append(parse_message(message.line()))
        self.on_message(self.messages[-1])

    @property
    def cancelled(self) -> bool:
        return self.stop


def here(request: Any, listener: Listener | None = None) -> tuple[Done, list[Any]]:
    listener = listener or Listener()
    return run(request, listener, time.monotonic()), listener.messages


def weights_of(project: Path, number: int | None) -> bytes:
    return (project / "models" / str(number) / "model.safetensors").read_bytes()


def state_of(project: Path) -> Path:
    return project / "runs" / "state.safetensors"


def cut_off(project: Path, request: TrainRequest, *, epochs: int = 1) -> None:
    """Run a training in this process that dies after some epochs, as by a kill: nothing is tidied up."""

    def die(message: Any) -> None:
        # a step an epoch here; the message of a step comes before its epoch is saved
        if message.type == "progress" and message.stage == "train" and message.done > epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        here(request, Listener(die))
    assert state_of(project).is_file()


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no open file")
def test_a_training_whose_project_is_deleted_says_so_and_makes_no_folder(project: Path) -> None:
    def delete(message: Any) -> None:
        if message.type == "progress" and message.stage == "train":
            shutil.rmtree(project, ignore_errors=True)

    with pytest.raises(ProjectGoneError, match="is no longer there"):
        here(quick(project), Listener(delete))
    assert not project.exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_after_kill_9_the_same_training_goes_on_at_its_last_epoch(project: Path, tmp_path: Path) -> None:
    long = quick(project, epochs=3)
    process = subprocess.Popen(
        worker_command(write_request(long, tmp_path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=worker_environment(),
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        message = parse_message(line)
        if message.type == "progress" and message.stage == "train" and message.done >= 2:
            break
    os.kill(process.pid, signal.SIGSTOP)  # it lives and holds its turn, but gets no further
    with pytest.raises(BusyError, match="Anna has been training on this project since"):
        here(quick(project, wait=False))
    here(PredictRequest(project=str(project), device="cpu"))  # may run beside it
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()

    _, seen = here(long)
    started = next(m for m in seen if m.type == "started")
    assert started.resumed_epochs >= 1
    assert next(m for m in seen if m.type == "progress" and m.stage == "train").done > started.resumed_epochs
    with Project.open(project) as opened:
        assert [one.state for one in opened.runs.all()] == ["interrupted", "done"]
        assert "killed" in opened.runs.all()[0].message
    assert not state_of(project).exists()


def test_a_run_that_was_cut_off_ends_with_the_very_weights_of_an_uncut_one(project: Path) -> None:
    whole, _ = here(quick(project))
    cut_off(project, quick(project))
    resumed, seen = here(quick(project, suggest=True, annotator="Bob"))  # nothing of what is learnt
    assert resumed.result["resumed_epochs"] == 1
    assert next(m for m in seen if m.type == "started").resumed_epochs == 1
    assert weights_of(project, resumed.model_id) == weights_of(project, whole.model_id)


@pytest.mark.parametrize("change", ["seed", "cell"])
def test_with_other_settings_or_data_it_starts_anew(project: Path, change: str) -> None:
    cut_off(project, quick(project))
    left = state_of(project).stat().st_mtime_ns
    request = quick(project, epochs=2, seed=1 if change == "seed" else 0)
    if change == "cell":
        with Project.open(project, annotator="Anna", reading=1) as opened:
            opened.cells.change(opened.cells.all()[0].id, attributes={"cell_size": "large"})

    def look(message: Any) -> None:
        if message.type == "started":
            assert not state_of(project).exists() or state_of(project).stat().st_mtime_ns != left

    done, _ = here(request, Listener(look))
    assert done.result["resumed_epochs"] == 0


def test_a_second_training_queues_and_a_cancel_leaves_the_queue(project: Path) -> None:
    seen: list[str] = []
    gone = threading.Event()

    def waits() -> None:
        with training_lock(
            project, who="Bob", wait=True, on_wait=lambda s: (seen.append(s), gone.set())[0]
        ) as waited:
            seen.append(f"begun after {waited > 0}")

    with training_lock(project, who="Anna", wait=False):
        second = threading.Thread(target=waits)
        second.start()
        assert gone.wait(10)
        with (
            pytest.raises(BusyError, match="Anna has been training"),
            training_lock(project, who="Eve", wait=False),
        ):
            pass
        listener = Listener(lambda m: setattr(listener, "stop", m.type == "waiting"))
        with pytest.raises(CancelledError):
            here(quick(project), listener)
        assert "Anna has been training" in str(Reason.read(listener.messages[0].reason))
    second.join(10)
    assert seen[-1] == "begun after True"
    assert list((project / "runs" / "queue").iterdir()) == []


def test_who_comes_first_trains_first_and_the_dead_do_not_count(project: Path) -> None:
    order: list[str] = []
    threads = []

    def waits(name: str) -> None:
        with training_lock(project, who=name, wait=True):
            order.append(name)

    with training_lock(project, who="Anna", wait=False):
        (project / "runs" / "queue" / f"{0:020d}-1").touch()  # of a process that is no more
        for name in ("first", "second", "third"):
            threads.append(threading.Thread(target=waits, args=(name,)))
            threads[-1].start()
            time.sleep(0.1)
    for thread in threads:
        thread.join(10)
    assert order == ["first", "second", "third"]


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_the_lock_of_a_dead_process_never_blocks(project: Path) -> None:
    code = (
        "import os, sys; from training.worker.lock import training_lock\n"
        f"with training_lock({str(project)!r}, who='Dead', wait=False):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)  # type: ignore[call-overload]
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="Dead"), training_lock(project, who="Anna", wait=False):
        pass
    process.kill()
    process.communicate()
    with training_lock(project, who="Anna", wait=False):
        pass


def test_who_trains_stands_beside_the_lock_which_windows_lets_nobody_read(project: Path) -> None:
    with training_lock(project, who="Anna", wait=False):
        assert json.loads((project / "runs/train.json").read_text())["who"] == "Anna"
        assert (project / "runs/train.lock").read_bytes() == b""
    assert [path.name for path in (project / "runs").iterdir() if path.is_file()] == ["train.lock"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights of their own on Windows")
@pytest.mark.parametrize("name", ["runs", "runs/queue", "runs/train.lock", "runs/train.json"])
def test_a_queue_that_is_a_link_is_refused_and_nothing_beyond_it_touched(
    project: Path, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for file in (".bashrc", f"{0:020d}-1", "train.lock"):
        (home / file).write_text("dear")
    (project / "runs/queue").mkdir(parents=True, exist_ok=True)
    place = project / name
    shutil.rmtree(place, ignore_errors=True)
    place.symlink_to(home / "train.lock" if "train" in name else home)
    with pytest.raises(LLDError, match="is a link"), training_lock(project, who="Anna", wait=False):
        pass
    assert [file.read_text() for file in home.iterdir()] == ["dear"] * 3


def test_what_is_no_ticket_in_the_queue_stays(project: Path) -> None:
    with training_lock(project, who="Anna", wait=False):
        (project / "runs/queue/.notes").write_text("dear")
    with training_lock(project, who="Anna", wait=False):
        pass
    assert (project / "runs/queue/.notes").exists()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "on the graphics card"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
    ],
)
def test_out_of_memory_fails_with_a_cure(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("training.engine.loop.raw_predictions", fail)
    with pytest.raises(type(error)) as caught:
        here(quick(project))
    message = failure(caught.value)
    assert says in message.cause
    assert "smaller --size" in message.cure
    with Project.open(project) as opened:
        assert [(one.state, one.message) for one in opened.runs.all()] == [("failed", message.cause)]
        assert opened.models.all() == []


def test_a_loss_that_is_no_number_fails_with_a_cure_and_is_not_resumed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.engine.losses import MaskedDetectionLoss

    steps = 0
    learnt = MaskedDetectionLoss.__call__

    def astray(self: Any, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        loss, parts = learnt(self, *arguments)
        return (loss * float("nan") if steps == 2 else loss), parts

    monkeypatch.setattr(MaskedDetectionLoss, "__call__", astray)
    with pytest.raises(DivergedError) as caught:
        here(quick(project))
    message = failure(caught.value)
    assert "not a finite number" in message.cause
    assert "--seed" in message.cure
    assert not state_of(project).exists()
    assert here(quick(project))[0].result["resumed_epochs"] == 0


@pytest.mark.parametrize("full_at", ["state", "card"])
def test_a_full_disk_leaves_nothing_half_written(
    project: Path, monkeypatch: pytest.MonkeyPatch, full_at: str
) -> None:
    full = {"state": state_of(project).name, "card": "model.json"}[full_at]
    written = ""

    def beside(out: Path, **more: bool) -> AbstractContextManager[Path]:
        nonlocal written
        written = out.name
        return place_beside(out, **more)

    def fsync(_: int) -> None:
        if written == full:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("annotation_store.files.outputs.place_beside", beside)
        patch.setattr("os.fsync", fsync)
        with pytest.raises(OutputError, match="space") as caught:
            here(quick(project, epochs=1))
    assert f"{full} cannot be written: the disk is full" in failure(caught.value).cause
    assert "Free some space" in failure(caught.value).cause
    assert [f.name for f in (project / "models").rglob("*")] == []
    assert [path for path in (project / "runs").rglob("*") if "napari-lld" in path.name] == []
    with sqlite3.connect(project / "project.db") as database:
        assert database.execute("SELECT count(*) FROM models WHERE ready").fetchone() == (0,)
    with Project.open(project) as opened:
        assert opened.check() == []
    if full_at == "card":  # once there is space, the learning that was saved is not done again
        assert here(quick(project, epochs=1))[0].result["resumed_epochs"] == 1


def test_models_that_cannot_be_kept_are_noticed_before_learning(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(dir: Path) -> Any:
        raise PermissionError(errno.EACCES, "denied", f"{dir}/tmp123")

    monkeypatch.setattr("training.worker.train.tempfile.TemporaryFile", refused)
    listener = Listener()
    with pytest.raises(PermissionError) as caught:
        here(quick(project), listener)
    assert listener.messages == []
    message = failure(caught.value)
    assert message.cause == f"{project / 'models'} cannot be written."
    assert "writable" in message.cure
