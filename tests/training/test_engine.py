"""The prediction engine predicts what torch predicts, and wherever it cannot, torch does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotation_store.files.layout import ENGINE
from annotation_store.images import read_image
from annotation_store.project import Project
from napari_lld import sample
from training.inference import engine, engine_graph
from training.inference.engine import WORTH_A_GRAPH, await_engine, engine_of, remember_files
from training.inference.engine_graph import digest_of, graph_file, make
from training.inference.predict import RawProposals, calibrated, propose_raw, seen_side
from training.models.model import LearnedModel, read_model, starter_place
from training.worker.models import resolve


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the starter's graphs: not to be written to."""
    folder = tmp_path_factory.mktemp("engine") / ENGINE
    assert make(starter_place(), folder, digest_of(read_model(starter_place())))
    return folder


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(engine, "this_process", engine.ProcessState())
    # other tests keep the machine busy
    monkeypatch.setattr(engine, "give_way", lambda _pid: None)
    yield
    for maker in engine.this_process.makers.values():
        maker.kill()
        maker.wait()


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / ENGINE))


def starter(folder: Path) -> LearnedModel:
    model = read_model(starter_place())
    remember_files(model, starter_place(), folder)
    return model


def sample_fields() -> list[np.ndarray]:
    return [np.asarray(read_image(file)) for file in sample.fields()]


def predict(model: LearnedModel, images: Sequence[np.ndarray], **options: Any) -> list[RawProposals]:
    return propose_raw(model, [lambda image=image: image for image in images], **options)


def test_engine_predicts_what_torch_predicts(folder: Path) -> None:
    images, plain = sample_fields()[:4], read_model(starter_place())
    model = starter(folder)
    sides, others = ([seen_side(one, [lambda i=i: i]) for i in images[:2]] for one in (model, plain))
    assert sides == pytest.approx(others, abs=0.5)
    torch.set_num_threads(2)  # the engine is opened anew
    sides += [None, 20.0]  # small cells: the field is magnified
    assert engine_of(model) is not None
    for given, expected in zip(
        *(predict(one, images, cell_sides=sides, min_score=0.05) for one in (model, plain)), strict=True
    ):
        assert len(given.boxes) == len(expected.boxes)
        assert np.abs(given.boxes - expected.boxes).max() < 0.5
        assert np.abs(given.scores - expected.scores).max() < 1e-3
        assert np.abs(given.vector - expected.vector).max() < 1e-3
        assert given.features.shape == expected.features.shape
        for one, other in zip(
            calibrated(model, given, min_confidence=0.25),
            calibrated(plain, expected, min_confidence=0.25),
            strict=True,
        ):
            assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
            assert one.class_probabilities == pytest.approx(other.class_probabilities, abs=1e-3)
            assert one.novelty == pytest.approx(other.novelty, abs=0.01)
            for name, values in one.attribute_probabilities.items():
                assert values == pytest.approx(other.attribute_probabilities[name], abs=1e-3)


def test_torch_never_rounds_a_prediction_to_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    (image, *_), model = sample_fields(), read_model(starter_place())
    given = []
    for native in (False, True):
        monkeypatch.setattr("training.networks.devices.has_bfloat16", lambda _, native=native: native)
        given += predict(model, [image])
    assert (given[0].boxes == given[1].boxes).all()
    assert (given[0].features == given[1].features).all()


def test_detection_alone_uses_it_too(folder: Path) -> None:
    (image, *_), model = sample_fields(), starter(folder)
    (given,), (expected,) = (
        predict(one, [image], describe=False) for one in (model, read_model(starter_place()))
    )
    assert np.abs(given.boxes - expected.boxes).max() < 0.5
    assert not any(head.any() for head in given.logits)


def test_a_field_without_a_cell_and_no_field_at_all(folder: Path) -> None:
    model = starter(folder)
    blank = np.full((300, 200, 3), 240, np.uint8)
    (seen,) = predict(model, [blank], min_score=0.5)
    assert seen.boxes.shape == (0, 4)
    assert [len(head) for head in seen.logits] == [0] * len(model.vocabulary.heads)
    assert predict(model, []) == []


def test_what_has_learnt_since_is_predicted_by_torch(folder: Path) -> None:
    model = starter(folder)
    assert engine_of(model) is not None
    assert engine_of(model.clone()) is None
    with torch.no_grad():
        next(model.describer.trunk.parameters()).mul_(1.5)
    assert engine_of(model) is None


def another(folder: Path) -> bytes:
    """Graphs of a model with other weights, in a file of the starter's name."""
    model = read_model(starter_place())
    with torch.no_grad():
        for one in model.detector.parameters():
            one.mul_(1.01)
    return engine_graph.build_graphs(model, digest_of(read_model(starter_place())))


def truncated(folder: Path) -> bytes:
    return content_of(folder)[:-1000]


def one_bit_flipped(folder: Path) -> bytes:
    content = bytearray(content_of(folder))
    content[len(content) // 2] ^= 1
    return bytes(content)


def content_of(folder: Path) -> bytes:
    (file,) = folder.glob("*.graphs")
    return file.read_bytes()


@pytest.mark.parametrize(
    "spoil", [another, truncated, one_bit_flipped, lambda _: b"", lambda _: b"\xff" * 5000]
)
def test_graphs_that_are_damaged_or_of_another_model_are_made_anew(
    folder: Path, spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = starter(folder)
    (file,) = folder.glob("*.graphs")
    file.write_bytes(spoil(folder))
    started: list[Path] = []

    def start(known: Any, *, waited_for: bool) -> Any:
        started.append(known.place)
        assert not waited_for
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(engine, "start_maker", start)
    assert engine_of(model) is None
    assert started == []  # a few fields are not worth it
    assert engine_of(model, WORTH_A_GRAPH) is None
    assert started == [starter_place()]
    assert make(starter_place(), folder, digest_of(model))
    engine.this_process.makers[digest_of(model)].wait()
    assert engine_of(model) is not None


class _StoppedError(Exception):
    pass


def test_a_long_task_waits_for_graphs_and_can_be_stopped_meanwhile(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ENGINE
    model = starter(folder)
    asked: list[bool] = []
    slow = [sys.executable, "-S", "-c", "input()"]

    def start(_known: Any, *, waited_for: bool) -> Any:
        asked.append(waited_for)
        return subprocess.Popen(slow, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def stop() -> None:
        raise _StoppedError

    def arrive() -> None:
        shutil.copytree(made, folder, dirs_exist_ok=True)
        engine.this_process.makers[digest_of(model)].communicate(b"\n")

    monkeypatch.setattr(engine, "start_maker", start)
    with pytest.raises(_StoppedError):
        await_engine(model, stop)
    await_engine(model, stop, patience=0)
    assert engine_of(model) is None
    await_engine(model, arrive)
    assert engine_of(model) is not None
    await_engine(model, stop)  # nothing to wait for any more
    assert asked == [True]


def test_graphs_of_an_earlier_version_are_not_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_graph, "ENGINE_VERSION", engine_graph.ENGINE_VERSION + 1)
    assert engine_of(starter(folder)) is None


def test_without_onnx_runtime_torch_predicts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = starter(folder)
    assert engine_of(model, WORTH_A_GRAPH) is None
    assert engine.this_process.makers == {}  # graphs would not help
    assert len(predict(model, sample_fields()[:1])[0].boxes)


def test_an_engine_that_fails_midway_leaves_the_field_to_torch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sample_fields()[:2]
    expected = predict(read_model(starter_place()), images)
    model = starter(folder)
    found = engine_of(model)
    assert found is not None

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(found, "features", fail)
    loaded: list[int] = []

    def load(number: int) -> np.ndarray:
        loaded.append(number)
        return images[number]

    given = propose_raw(model, [lambda: load(0), lambda: load(1)])
    assert loaded == [0, 1]
    for one, other in zip(given, expected, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes)
    assert engine_of(model) is None


def test_a_folder_that_cannot_be_written_starts_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    model = starter(tmp_path / ENGINE)
    assert engine_of(model, WORTH_A_GRAPH) is None
    assert engine.this_process.makers == {}


def test_where_graphs_cannot_be_kept_torch_goes_on(tmp_path: Path) -> None:
    (tmp_path / ENGINE).write_text("a file in the place of the folder")
    model = starter(tmp_path / ENGINE)
    assert engine_of(model, WORTH_A_GRAPH) is None
    (maker,) = engine.this_process.makers.values()
    assert maker.wait(120) == 1
    assert engine_of(model, WORTH_A_GRAPH) is None
    assert list(engine.this_process.makers.values()) == [maker]  # it is not tried again and again
    assert len(predict(model, sample_fields()[:1])[0].boxes)


def test_a_maker_that_is_killed_leaves_nothing_half_and_the_next_one_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / ENGINE
    folder.mkdir()
    model = starter(folder)
    file = graph_file(folder, digest_of(model))
    assert engine_of(model, WORTH_A_GRAPH) is None
    (maker,) = engine.this_process.makers.values()
    end = time.monotonic() + 120
    while not file.with_suffix(".lock").exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(maker.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    maker.wait()
    assert not file.exists()
    other = engine.start_maker(engine.remembered[model.detector])  # one of both waits for the other
    assert make(starter_place(), folder, digest_of(model))
    assert other.wait(240) == 0
    assert [one.name for one in folder.iterdir() if one.name[0] == "."] == []
    engine.this_process = engine.ProcessState()
    assert engine_of(model) is not None


def test_only_the_newest_graphs_are_kept(folder: Path) -> None:
    (file,) = folder.glob("*.graphs")
    for number in range(10):
        other = folder / f"{number}.graphs"
        other.write_bytes(b"")
        os.utime(other, (number, number))
    engine_graph.tidy(folder)
    assert file.exists()
    assert sorted(one.name for one in folder.glob("?.graphs")) == [f"{n}.graphs" for n in range(5, 10)]


def test_a_link_in_the_place_of_graphs_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (file,) = folder.glob("*.graphs")
    file.rename(tmp_path / "elsewhere")
    try:
        file.symlink_to(tmp_path / "elsewhere")
    except OSError:
        pytest.skip("links may not be made here")
    assert engine_of(starter(folder)) is None


def test_a_projects_models_have_their_graphs_in_the_project(tmp_path: Path, made: Path) -> None:
    with Project.create(tmp_path / "project", schema="lld") as project:
        shutil.copytree(made, project.path / ENGINE)
        model, _ = resolve(project, "starter")
        assert engine_of(model) is not None
        assert project.check() == []


def test_graphs_of_a_project_that_was_deleted_meanwhile_make_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()

    def deleted(_model: LearnedModel, _digest: str) -> bytes:
        shutil.rmtree(project)
        return b"graphs"

    monkeypatch.setattr(engine_graph, "build_graphs", deleted)
    assert not make(starter_place(), project / ENGINE, digest_of(read_model(starter_place())))
    assert not project.exists()
