"""A training on a worker of a cluster: the model comes as one of this computer, once, and no name leaves."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from annotation_store import Project, Shape
from training.cluster import remote, remote_training, training_task, versions
from training.cluster.errors import ClusterError
from training.cluster.training_task import TrainingTask
from training.evaluation.patient_split import held_out_key
from training.models.folder import read_card
from training.models.memory import source_of
from training.models.model import read_model
from training.protocol import Progress, TrainRequest
from training.worker.channel import CancelledError
from training.worker.run import run

from .conftest import Heard, draw

distributed = pytest.importorskip("distributed")
QUIET: dict[str, Any] = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
BOXES = [(12.0, 12.0, 28.0, 28.0), (80.0, 40.0, 36.0, 36.0), (20.0, 60.0, 24.0, 24.0)]
PATIENTS = ("Meier", "Schulze", "Huber", "Krause", "Vogt")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and a worker process that says it has a graphics card."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, resources={"GPU": 1}, **QUIET
    ) as made:
        yield made


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients with two fields each, of one name in two folders, all finished."""
    place = tmp_path_factory.mktemp("training")
    folder = place / "project.lld"
    with Project.create(folder, "lld", annotator="Ada") as made:
        for number, patient in enumerate(PATIENTS):
            for part in ("Sonnenschein", "Mondschein"):
                file = place / part / f"{patient} {number}.png"
                file.parent.mkdir(exist_ok=True)
                Image.fromarray(draw(128, 96, BOXES, seed=2 * number + (part == "Mondschein"))).save(file)
        made.fields.add([place / "Sonnenschein", place / "Mondschein"])
        for one in made.fields.all():
            made.fields.update(one.id, domain="Klinik Meier")
            made.regions.add(one.id, Shape.rectangle(0, 0, 128, 96))
            for box in BOXES:
                made.cells.add(one.id, box, cell_class="Lymphocyte", attributes={"cell_size": "small"})
    return folder


@pytest.fixture
def project(_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_template, tmp_path / "project.lld"))


class Channel(Heard):
    """A channel on which something happens at the first step of the training."""

    cancelled = False

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.then = then

    def send(self, message: Any) -> None:
        super().send(message)
        if isinstance(message, Progress) and message.stage == "train":
            then, self.then = self.then, lambda: None
            then()

    def check(self) -> None:
        if self.cancelled:
            raise CancelledError


def ask(folder: Path, address: str | None, channel: Channel | None = None, **more: Any) -> Any:
    asked = {"size": 128, "epochs": 1, "device": "cpu", "scheduler": address, "suggest": False, **more}
    request = TrainRequest(project=str(folder), **asked)
    return run(request, channel or Channel(), time.monotonic())  # type: ignore[arg-type]


_IDLE = """
import sys
print('{"type": "started", "task": "train"}', flush=True)
print('{"type": "progress", "stage": "train", "done": 1, "total": 2}', flush=True)
sys.stdin.readline()
print('{"type": "cancelled"}', flush=True)
"""


def _start_idle_trainings() -> None:
    """Have a worker start processes that train until they are cancelled; at once, since they train not."""
    from training import client

    client.worker_command = lambda _: [sys.executable, "-c", _IDLE]  # type: ignore[assignment]


def test_a_worker_that_is_killed_midway_costs_nothing_and_the_model_is_added_as_one_of_this_computer(
    project: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []

    def parts(files: Any) -> Iterator[dict[str, bytes]]:
        for part in split_into_parts(files):
            sent.extend([str(list(part)).encode(), *part.values()])
            yield part

    split_into_parts = training_task.in_parts
    monkeypatch.setattr(training_task, "in_parts", parts)
    with distributed.Client(cluster, set_as_default=False) as client:
        (victim,) = client.run(os.getpid).values()
        client.run(_start_idle_trainings)
    channel = Channel(lambda: os.kill(victim, signal.SIGKILL))
    done = ask(project, cluster.scheduler_address, channel, suggest=True)
    kinds = [one.type for one in channel.messages]
    assert kinds.count("started") == 2
    assert "notice" in kinds
    assert [kind for kind in kinds if kind in ("saved", "suggested")] == ["saved", "suggested"]
    with Project.open(project, read_only=True) as opened:
        (made,) = opened.models.all()
        assert opened.models.active() == made
        assert done.model_id == made.id == 1
        card = made.card
        place = opened.models.folder(1)
        assert card == read_card(place) == read_model(place).card
        assert [one.state for one in opened.runs.all()] == ["done"]
        fields = {one.id: one for one in opened.fields.all()}
        units = {f"field {Path(fields[i].name).stem}" for i in card["held_fields"]}
        assert card["held_out"] == sorted(held_out_key(opened, unit) for unit in units)
        assert len(card["held_fields"]) == 2 * len(units) > 0  # both fields of a name are one unit
        assert {*card["held_fields"], *card["learnt_fields"]} == set(fields)
        film = opened.pseudonyms.of_domain("Klinik Meier")
        assert card["learnt_films"] == {film: len(BOXES) * len(card["learnt_fields"])}
        assert list(card["metrics"]["held_out"]["domains"] or {film: 0}) == [film]
        assert card["last_cell"] == max(one.id for one in opened.cells.all())
        assert card["source"] == source_of(opened.uid)
        assert (card["parent"], card["origin"], card["run"]) == ("starter", "starter", 1)
        assert not card["request"].keys() & {"project", "scheduler", "init", "held_out"}
        assert {one.model_id for one in opened.suggestions.find()} <= {1, None}
    for name in (*PATIENTS, "Klinik", "Ada", "schein"):
        assert not any(name.encode() in content for content in sent), name


def test_a_cancel_stops_the_worker_and_the_project_is_as_it_was(project: Path, cluster: Any) -> None:
    channel = Channel()
    channel.then = lambda: setattr(channel, "cancelled", True)
    with distributed.Client(cluster, set_as_default=False) as client:
        client.run(_start_idle_trainings)
        with pytest.raises(CancelledError):
            ask(project, cluster.scheduler_address, channel)
        end = time.monotonic() + 10
        while any(client.run(_left).values()):
            assert time.monotonic() < end, "the worker trains on"
            time.sleep(0.2)
    with Project.open(project, read_only=True) as opened:
        assert opened.models.all() == []
        assert [one.state for one in opened.runs.all()] == ["cancelled"]


def _left() -> list[str]:
    """Return what a worker still has of trainings: folders and processes."""
    folders = [one.name for one in remote.own_folder().iterdir() if one.name.startswith("train-")]
    return [*folders, *(str(one.pid) for one in psutil.Process().children(recursive=True))]


def _full(run: str, files: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


def _old(*_: Any) -> dict[str, Any]:
    return {"refused": {**versions.own_versions(), "napari-lld": "0.0.1"}}


def _failing(*_: Any) -> dict[str, Any]:
    return {"failed": {"cause": "The disk is full.", "cure": "Free some space.", "details": ""}}


def _bad_model(*_: Any) -> dict[str, Any]:
    done = {"task": "train", "model_id": 1, "result": {"active": True}}
    return {"done": done, "files": dict.fromkeys(remote_training.RESULT, b"{}"), "notices": []}


def _gone(*_: Any) -> dict[str, Any]:
    return {"gone": True}


def _nothing(*_: Any) -> None:
    return None


@pytest.fixture(scope="module")
def threads() -> Iterator[Any]:
    """A cluster in this process, which is up at once."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, resources={"GPU": 1}, **QUIET
    ) as made:
        yield made


def test_what_goes_wrong_is_a_sentence_and_the_project_is_as_it_was(
    project: Path, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = threads.scheduler_address
    with monkeypatch.context() as patched:
        patched.setattr("distributed.Client.scheduler_info", lambda *_, **__: {"workers": {"one": {}}})
        with pytest.raises(ClusterError, match=r"No worker of the scheduler .* --resources GPU=1"):
            ask(project, at)
    with distributed.Client(threads, set_as_default=False) as client:
        for name, stand_in, words in (
            ("receive", _full, "the copy to train on cannot be written"),
            ("train", _old, r"runs another program \(napari-lld 0\.0\.1 instead of"),
            ("train", _failing, r"On the worker .*: The disk is full\. The project is as it was"),
            ("train", _gone, "3 workers of the scheduler went away while they trained"),
            ("train", _nothing, "ended without a model"),
        ):
            task = TrainingTask(
                client, "the scheduler", dict, lambda: [("a", b"b")], lambda: None, lambda _: None
            )
            with monkeypatch.context() as patched:
                patched.setattr(remote_training, name, stand_in)
                with pytest.raises(ClusterError, match=words):
                    task.run()
    monkeypatch.setattr(remote_training, "train", _bad_model)
    with pytest.raises(ClusterError, match="the model that came back cannot be used"):
        ask(project, at)
    with Project.open(project, read_only=True) as opened:
        assert opened.models.all() == []
        assert {one.state for one in opened.runs.all()} == {"failed"}
    assert not any((project / "models").glob("*/*"))
