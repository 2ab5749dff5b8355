"""Fields predicted by the workers of a cluster: as one process does, whoever of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.numpy import save

from annotation_store import Project, Shape, SuggestionState
from napari_lld import sample
from training import ranking
from training.cluster import connection, remote, versions
from training.cluster.arrays import pack, unpack
from training.cluster.connection import connected
from training.cluster.errors import ClusterError, GarbageError
from training.cluster.predictor import ClusterPredictor
from training.cluster.reach import Reached, reach
from training.cluster.results import read_proposals
from training.cluster.sending import Sender, proof_in, samples_of
from training.cluster.stain import look_on
from training.cluster.units import Cluster, on_cluster
from training.inference.predictor import ThisProcess, View, parts
from training.inference.sources import ImageFile, StoredField
from training.protocol import EmbeddingsRequest, EvaluateRequest, PredictRequest, Progress
from training.worker.channel import CancelledError
from training.worker.embeddings import write_embeddings
from training.worker.evaluate import evaluate
from training.worker.models import resolve
from training.worker.predict import predict

from .conftest import Heard, draw

distributed = pytest.importorskip("distributed")
CPU = torch.device("cpu")
QUIET: dict[str, Any] = {"protocol": "tcp", "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
FIELDS = 6


@pytest.fixture(scope="module", autouse=True)
def _one_engine() -> Iterator[None]:
    """Let this process and the workers predict with torch.

    Each process changes to the engine's graphs when it has built them, while others still use torch. The two
    differ: boxes by some 1e-4 pixels, at which a few pixels of a crop are interpolated to the next grey
    level, and so class probabilities by up to 1e-3. `test_engine` compares them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_LLD_ENGINE", "torch")
        yield


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and two worker processes, each with one thread."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **QUIET) as made:
        yield made


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "project.lld"
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add(sample.fields()[:FIELDS])
    return folder


@pytest.fixture
def project(_template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_template, tmp_path / "project.lld"))


class Follower(Heard):
    """A channel on which something happens when so many fields are done."""

    def __init__(self, then: Callable[[], None] | None = None, after: int = 1) -> None:
        super().__init__()
        self.then, self._after = then, after

    def send(self, message: Any) -> None:
        super().send(message)
        if isinstance(message, Progress) and message.stage == "suggest" and message.done >= self._after:
            then, self.then = self.then, None
            if then is not None:
                then()


def pending(folder: Path) -> dict[int, list[Any]]:
    with Project.open(folder, read_only=True) as project:
        found = project.suggestions.find(states=tuple(SuggestionState))
    assert all(one.state is SuggestionState.PENDING for one in found)  # nothing was written twice
    of_field: dict[int, list[Any]] = {}
    for one in sorted(found, key=lambda one: (one.field_id, *one.proposal.box)):
        of_field.setdefault(one.field_id, []).append(one.proposal)
    return of_field


@pytest.fixture(scope="module")
def expected(_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Any]]:
    """What one process suggests."""
    folder = Path(shutil.copytree(_template, tmp_path_factory.mktemp("alone") / "project.lld"))
    torch.set_num_threads(1)
    predict(PredictRequest(project=str(folder), device="cpu"), Heard(), CPU)  # type: ignore[arg-type]
    return pending(folder)


def same(found: dict[int, list[Any]], expected: dict[int, list[Any]]) -> None:
    assert {i: len(some) for i, some in found.items()} == {i: len(some) for i, some in expected.items()}
    assert found
    for field_id, some in found.items():
        for one, other in zip(some, expected[field_id], strict=True):
            assert one.box == pytest.approx(other.box, abs=1e-4)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
            assert one.class_probabilities == pytest.approx(other.class_probabilities, abs=1e-5)
            # the share of remembered cells that look odder: one may change places by rounding
            assert one.novelty == pytest.approx(other.novelty, abs=0.005)


def ask(folder: Path, cluster: Any, channel: Heard | None = None) -> Any:
    request = PredictRequest(project=str(folder), device="cpu", scheduler=cluster.scheduler_address)
    return predict(request, channel or Heard(), CPU)  # type: ignore[arg-type]


def on_workers(cluster: Any, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
    with distributed.Client(cluster, set_as_default=False) as client:
        return dict(client.run(function, *args))


def test_a_worker_that_is_killed_midway_costs_nothing_and_doubles_nothing(
    project: Path, cluster: Any, expected: dict[int, list[Any]]
) -> None:
    before = on_workers(cluster, os.getpid)
    victim = next(iter(before.values()))
    heard = Follower(lambda: os.kill(victim, signal.SIGKILL))
    done = ask(project, cluster, heard)
    same(pending(project), expected)
    assert done.result["fields"] == FIELDS
    steps = [m.done for m in heard.messages if isinstance(m, Progress) and m.stage == "suggest"]
    assert steps == sorted(steps)
    assert steps[-1] == FIELDS
    assert not list((project / "runs").glob("shared-*"))
    assert victim not in on_workers(cluster, os.getpid).values()


def test_pixels_are_sent_where_workers_do_not_see_the_files(project: Path, cluster: Any) -> None:
    with (
        Project.open(project) as opened,
        distributed.Client(cluster, set_as_default=False) as client,
        proof_in(project, read_only=False) as proof,
    ):
        model, _ = resolve(opened, "active")
        assert proof is not None
        wrong = proof[0], "another project"
        image = project.parent / "image.png"
        Image.fromarray(opened.pixels.read(2)).save(image)
        views = [
            View(StoredField(project, 1)),
            View(ImageFile(image)),
            View(lambda: opened.pixels.read(3)),
            View(StoredField(project, 99)),
        ]
        sender = Sender(proof=wrong)
        there = ClusterPredictor(Cluster(client, sender, lambda: None, "here"))
        ((_, given),) = there.propose(model, [(None, views)], min_score=0.3)
        ((_, here),) = ThisProcess().propose(model, [(None, views)], min_score=0.3)
    assert not sender.by_place  # from then on all are sent at once
    for one, other in zip(given[:3], here[:3], strict=True):
        assert one is not None
        assert other is not None
        assert len(one.boxes)
        assert one.boxes == pytest.approx(other.boxes, abs=0.01)
    assert given[3] is None
    assert here[3] is None


def test_where_the_model_finds_nothing_a_worker_analyses_the_stain_and_the_result_is_the_same(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, side in enumerate((250, 240)):
        disc = draw(300, 300, [(10, 10, side, side)], seed=number)
        Image.fromarray(disc).save(tmp_path / f"{number}.png")
    found, files = [], []
    for name, address in (("alone", None), ("together", cluster.scheduler_address)):
        if address is not None:
            monkeypatch.setattr("training.inference.stain.propose_if_nuclei", None)  # not in this process
        with Project.create(tmp_path / name, annotator="Ada") as opened:
            opened.fields.add([sample.fields()[0], tmp_path / "0.png", tmp_path / "1.png"])
        request = PredictRequest(project=str(tmp_path / name), device="cpu", scheduler=address)
        done = predict(request, Heard(), CPU)  # type: ignore[arg-type]
        assert done.result["from_stain"] == 2
        found.append(pending(tmp_path / name))
        out = tmp_path / f"{name}.json"
        images = [str(tmp_path / f"{number}.png") for number in range(2)]
        predict(request.model_copy(update={"images": images, "out": str(out)}), Heard(), CPU)  # type: ignore[arg-type]
        files.append(out.read_bytes())
    same(found[1], found[0])
    assert found[1][2] == found[0][2]
    assert found[1][3] == found[0][3]
    assert files[1] == files[0]


def test_a_unit_is_stored_at_once_and_units_become_smaller_towards_the_end(
    project: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored: list[int] = []
    with Project.open(project, read_only=True) as opened:
        collection = type(opened.suggestions)
    write = collection.replace_many

    def noting(self: Any, proposals: Any, model_ids: Any) -> Any:
        stored.append(len(proposals))
        return write(self, proposals, model_ids)

    monkeypatch.setattr(collection, "replace_many", noting)
    monkeypatch.setattr("training.worker.suggest.STORED_EVERY", 0.0)  # those that come fast share one
    ask(project, cluster)
    assert stored == [2, 2, 2]
    assert sum(stored) == FIELDS
    with distributed.Client(cluster, set_as_default=False) as client:
        there = ClusterPredictor(Cluster(client, Sender(), lambda: None, "here"))
        assert [len(part) for part in parts(range(40), there.batch)] == [8, 8, 6, 5, 4, 3, 2, 2, 2]


def _age(version: str) -> None:
    remote.own_versions = lambda: {**versions.own_versions(), "napari-lld": version}  # type: ignore[assignment]


def test_who_answers_at_an_address_is_counted_or_said_in_a_sentence(cluster: Any) -> None:
    address = cluster.scheduler_address
    assert reach(address) == Reached(workers=2, training=0)
    on_workers(cluster, _age, "0.0.1")
    try:
        with pytest.raises(ClusterError, match="runs another program"):
            reach(address)
    finally:
        on_workers(cluster, _age, versions.own_versions()["napari-lld"])
    with pytest.raises(ClusterError, match="is not a scheduler's address"):
        reach("here")


def test_a_worker_of_another_version_is_refused_and_nothing_is_written(project: Path, cluster: Any) -> None:
    on_workers(cluster, _age, "0.0.1")
    try:
        with pytest.raises(ClusterError, match=r"runs another program \(napari-lld 0\.0\.1 instead of"):
            ask(project, cluster)
    finally:
        on_workers(cluster, _age, versions.own_versions()["napari-lld"])
    assert pending(project) == {}


def test_a_cancel_ends_what_waits_and_keeps_what_is_done(project: Path, cluster: Any) -> None:
    class Cancelled(Follower):
        stopped = False

        def check(self) -> None:
            if self.stopped:
                raise CancelledError

    channel = Cancelled()
    channel.then = lambda: setattr(channel, "stopped", True)
    with pytest.raises(CancelledError):
        ask(project, cluster, channel)
    assert 0 < len(pending(project)) < FIELDS
    with distributed.Client(cluster, set_as_default=False) as client:
        assert not any("lld-unit" in str(key) for key in client.run_on_scheduler(_tasks))


def _tasks(dask_scheduler: Any) -> list[str]:
    return [str(key) for key, task in dask_scheduler.tasks.items() if task.state != "processing"]


def _small_slides(pixels: int) -> None:
    from annotation_store.images import slide

    slide.SLIDE_PIXELS = pixels


def test_a_slide_is_searched_by_workers_as_by_one_process(
    tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = 150_000
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", small)
    on_workers(cluster, _small_slides, small)
    fields = [np.asarray(Image.open(path).convert("RGB").resize((200, 200))) for path in sample.fields()[:4]]
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        tiff.write(
            np.tile(
                np.concatenate([np.concatenate(fields[:2], 1), np.concatenate(fields[2:], 1)]), (1, 3, 1)
            ),
            tile=(128, 128),
            photometric="rgb",
            compression="zlib",
        )
    found = []
    for name, address in (("alone", None), ("together", cluster.scheduler_address)):
        with Project.create(tmp_path / name, annotator="Ada") as opened:
            opened.fields.add([tmp_path / "slide.tif"])
        request = PredictRequest(project=str(tmp_path / name), device="cpu", scheduler=address)
        result = predict(request, Heard(), CPU).result["slides"]  # type: ignore[arg-type]
        assert result["tiles"] > 1
        assert result["damaged"] == []
        found.append(pending(tmp_path / name))
    same(found[1], found[0])


@pytest.fixture
def labelled(project: Path) -> Path:
    """The project with the first cells that the starter finds as labelled cells in finished regions."""
    with Project.open(project, annotator="Ada") as opened:
        model, _ = resolve(opened, "active")
        fields = opened.fields.all()[:4]
        views = [View(StoredField(project, field.id), None) for field in fields]
        ((_, raws),) = ThisProcess().propose(model, [(None, views)], min_score=0.5)
        for field, raw in zip(fields, raws, strict=True):
            assert raw is not None
            opened.regions.add(field.id, Shape.rectangle(0, 0, field.width, field.height))
            for box in raw.boxes[:2].tolist():
                opened.cells.add(field.id, tuple(box), cell_class="Neutrophil")
    return project


def test_embeddings_evaluation_and_ranking_are_those_of_one_process(
    labelled: Path, cluster: Any, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(labelled, tmp_path / "other.lld"))
    at = cluster.scheduler_address
    # what a cluster computes of cells
    vectors = []
    for folder, address in ((labelled, at), (other, None)):
        request = EmbeddingsRequest(
            project=str(folder), out=str(folder.parent / f"{folder.name}.parquet"), scheduler=address
        )
        done = write_embeddings(request, Heard(), CPU)  # type: ignore[arg-type]
        assert done.result["damaged"] == []
        table = pd.read_parquet(done.result["out"])
        assert len(table) == done.result["cells"] > 0
        vectors.append(table.filter(like="feature_").to_numpy())
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-4)
    # of labels, before suggestions
    for folder, address in ((labelled, at), (other, None)):
        request_ = PredictRequest(project=str(folder), device="cpu", scheduler=address)
        predict(request_, Heard(), CPU)  # type: ignore[arg-type]
    same(pending(labelled), pending(other))
    # against a file with full truth, of images that lie elsewhere
    metrics = []
    for address in (at, None):
        asked = EvaluateRequest(
            project=str(other),
            truth=str(sample.truth()),
            images=str(sample.fields()[0].parent),
            fields=[path.name for path in sample.fields()[:3]],
            device="cpu",
            scheduler=address,
        )
        metrics.append(evaluate(asked, Heard(), CPU).metrics)  # type: ignore[arg-type]
    assert metrics[0]["proposals"] == metrics[1]["proposals"] > 0
    assert metrics[0]["map50"] == pytest.approx(metrics[1]["map50"], abs=1e-3)
    # by the stain
    with (
        Project.open(labelled) as one,
        Project.open(other) as two,
        on_cluster(at, None, project=labelled, read_only=False, check=lambda: None, device="cpu") as there,
    ):
        looked, expected = look_on(there, one), ranking.embed_by_stain(two)
    assert looked.keys() == expected.keys()
    for i, look in looked.items():
        assert look.vector == pytest.approx(expected[i].vector, abs=1e-3)
        assert len(look.predictions) == len(expected[i].predictions)


@pytest.fixture
def threads() -> Iterator[Any]:
    """A cluster in this process, which is up at once."""
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **QUIET) as made:
        yield made


def test_a_scheduler_that_goes_away_ends_the_task_and_what_was_done_is_kept(
    project: Path, threads: Any
) -> None:
    channel = Follower(lambda: threads.close())
    with pytest.raises(ClusterError, match=r"was lost.*What was done until then is kept"):
        ask(project, threads, channel)
    assert 0 < len(pending(project)) < FIELDS


def _garbage(*given: Any) -> dict[str, Any]:
    items = given[4]
    return pack([{"boxes": "many"}] * len(items))


def test_garbage_from_a_worker_is_refused_before_it_is_written(
    project: Path, threads: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "compute", _garbage)
    with pytest.raises(GarbageError, match="no prediction"):
        ask(project, threads)
    assert pending(project) == {}


def test_what_a_worker_gives_back_is_checked(project: Path) -> None:
    with Project.open(project) as opened:
        model, _ = resolve(opened, "active")
        ((_, (raw,)),) = ThisProcess().propose(model, [(0, [View(StoredField(project, 1))])], min_score=0.3)
    assert raw is not None
    assert len(raw.boxes)
    good = {"size": [2000, 2000], "boxes": raw.boxes, "scores": raw.scores}
    good |= {f"logits.{head}": logits for head, logits in enumerate(raw.logits)}
    good |= {"vector": raw.vector, "features": raw.features, "places": raw.places, "novelty": raw.novelty}
    size, read = read_proposals(good, model)
    assert size == (2000, 2000)
    assert read.boxes is raw.boxes
    nan = raw.scores.copy()
    nan[0] = np.nan
    for bad in (
        None,
        {},
        good | {"size": [2000]},
        good | {"boxes": raw.boxes.tolist()},
        good | {"boxes": raw.boxes + 10_000},
        good | {"boxes": raw.boxes[:, :3]},
        good | {"boxes": np.zeros((500, 4)), "scores": np.zeros(500)},
        good | {"scores": nan},
        good | {"scores": raw.scores + 3},
        {name: array for name, array in good.items() if name != "logits.0"},
        good | {f"logits.{len(raw.logits)}": raw.logits[0]},
        good | {"logits.0": raw.logits[0][:, :-1]},
        good | {"features": np.zeros((1, 3), np.float16)},
        good | {"vector": np.array([object()])},
        good | {"novelty": np.full(len(raw.boxes), -1.0)},
        good | {"nuclei": np.array([[1990.0, 10.0, 20.0, 20.0]])},
        good | {"nuclei": [[10.0, 10.0, 20.0, 20.0]]},
    ):
        with pytest.raises(GarbageError):
            read_proposals(bad, model)


def test_the_arrays_of_a_unit_are_sent_in_one_piece_and_come_back_equal() -> None:
    first = {"size": [4, 3], "boxes": np.zeros((0, 4)), "scores": np.arange(4.0)[::2], "vector": None}
    results = [first, "damaged", {"features": np.ones((2, 3), np.float16), "count": 2}]
    sent = pack(results)
    assert isinstance(sent["arrays"], bytes)
    back = unpack(sent, 3)
    assert back[1] == "damaged"
    for content, given in zip(back[::2], results[::2], strict=True):
        assert content.keys() == given.keys()
        for name, value in given.items():
            np.testing.assert_array_equal(content[name], value)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        pack([{}]),
        {"results": [{}, {}], "arrays": b"{"},
        {"results": [{}, {}], "arrays": [1]},
        {"results": [{}, {}], "arrays": pack([{}, {}, {"boxes": np.zeros(1)}])["arrays"]},
        {"results": [{}, "damaged"], "arrays": pack([{}, {"boxes": np.zeros(1)}])["arrays"]},
        {"results": [{}, {}], "arrays": save({"boxes": np.zeros(1)})},
    ],
)
def test_an_answer_that_is_none_is_refused(answer: object) -> None:
    with pytest.raises(GarbageError):
        unpack(answer, 2)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT", 0.5)
    for address, words in (
        ("tcp://127.0.0.1:9", "does not answer"),
        ("somewhere", "not a scheduler's address"),
        ("tcp://:8786", "not a scheduler's address"),
        ("host:port", "not a scheduler's address"),
    ):
        with pytest.raises(ClusterError, match=words), connected(address, None, lambda: None):
            pass


def test_a_scheduler_without_workers_is_not_waited_for_for_ever() -> None:
    with (
        distributed.LocalCluster(n_workers=0, processes=False, **QUIET) as made,
        pytest.raises(ClusterError, match=r"No worker has come to the scheduler .* within 0 seconds"),
        connected(made.scheduler_address, None, lambda: None, patience=0.3),
    ):
        pass


def test_processes_of_this_computer_listen_to_nobody_else() -> None:
    with connected(None, 1, lambda: None) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        here = psutil.Process()
        processes = [here, *here.children(recursive=True)]
        heard = [one for process in processes for one in process.net_connections() if one.status == "LISTEN"]
    assert heard
    assert {one.laddr.ip for one in heard} == {"127.0.0.1"}


def test_without_the_extra_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"napari-lld\[cluster\]"), connected(None, 2, lambda: None):
        pass


def test_samples_tell_one_slide_from_another(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "slide.tif", tmp_path / "b" / "slide.tif"
    content = np.random.default_rng(0).bytes(3_000_000)
    for file in (one, other):
        file.parent.mkdir()
        file.write_bytes(content)
    assert samples_of(one) == samples_of(other)
    other.write_bytes(content[:-1] + b"x")
    assert samples_of(one) != samples_of(other)


def test_a_project_that_is_only_read_gets_no_file(project: Path) -> None:
    before = sorted(project.rglob("*"))
    with proof_in(project, read_only=True) as proof:
        assert proof is None
        assert sorted(project.rglob("*")) == before
    assert replace(Sender(), proof=proof).place_of(StoredField(project, 1)) is None
