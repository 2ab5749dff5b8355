"""The worker as a real process, on a small project."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from annotation_store.errors import LLDError, OutputError, ProjectError
from annotation_store.files.disk import why_not_written
from annotation_store.project import Project
from annotation_store.records import Shape
from annotation_store.splits import units_of_fields
from napari_lld import sample
from training.client import (
    CANCEL_LINE,
    TrainingError,
    run_worker,
    worker_command,
    worker_environment,
    write_request,
)
from training.engine.loop import DivergedError
from training.evaluation.cell_outcomes import read_outcomes
from training.evaluation.gate import Comparison
from training.evaluation.patient_split import listed_as_held_out, listed_entries
from training.inference.stain_proposals import is_from_stain
from training.models.model import read_model, starter_place, write_model
from training.networks.architectures import ARCHITECTURES
from training.networks.scale import MIN_ATTRIBUTE_SIDE, sides_around
from training.networks.ultralytics_api import DetectionModel, layout_of
from training.protocol import Done, EvaluateRequest, PredictRequest, TrainRequest, parse_message
from training.reasons import Reason
from training.worker.channel import Channel
from training.worker.failures import failure
from training.worker.models import initial_model
from training.worker.run import run

BOXES = [(12.0, 12.0, 28.0, 28.0), (80.0, 40.0, 36.0, 36.0), (20.0, 60.0, 24.0, 24.0)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a project of three fields of 128 × 96; on two, the left half is finished."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        Image.fromarray(_draw(i)).save(images / f"f{i}.png")
    folder = tmp_path / "project"
    with Project.create(folder, "lld", annotator="tester") as made:
        made.fields.add([images])
        for field in made.fields.all()[:2]:
            made.regions.add(field.id, Shape.rectangle(0, 0, 64, 96))
            for box in (BOXES[0], BOXES[2]):
                made.cells.add(field.id, box, cell_class="Lymphocyte", attributes={"cell_size": "small"})
    return folder


def _draw(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full((96, 128, 3), (235, 225, 230), np.float32) + rng.normal(0, 4, (96, 128, 3))
    rows, columns = np.mgrid[:96, :128] + 0.5
    for x, y, w, h in BOXES:
        image[((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1] = (
            95,
            50,
            140,
        )
    return image.clip(0, 255).astype(np.uint8)


def quick(project: Path, **options: Any) -> TrainRequest:
    return TrainRequest(**{"project": str(project), "size": 128, "epochs": 2, "device": "cpu", **options})


class Listener(Channel):
    """Keeps the messages; the task runs in this process."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(parse_message(message.line()))

    @property
    def cancelled(self) -> bool:
        return False


def here(request: Any) -> tuple[Done, list[Any]]:
    """Run a task in this process."""
    listener = Listener()
    return run(request, listener, time.monotonic()), listener.messages


def start(request: Any, folder: Path, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        worker_command(write_request(request, folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment or worker_environment(),
        text=True,
        cwd=folder,
    )


def listen(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Read to the end with stdin open: closing it would cancel."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    process.wait(timeout=15)
    return out, err


def test_training_saves_a_model_and_suggests_without_network_or_home(project: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('a file of the working folder was imported')")
    home = tmp_path / "home"
    home.mkdir()
    patch = tmp_path / "patch"
    patch.mkdir()
    # whatever opens a socket, installs, or writes into the home folder (root may anywhere) ends the worker
    (patch / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def watch(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname'):\n"
        "        sys.stderr.write('NETWORK ' + repr(args)); os._exit(77)\n"
        "    if event == 'subprocess.Popen' and 'pip' in repr(args):\n"
        "        sys.stderr.write('INSTALL ' + repr(args)); os._exit(78)\n"
        f"    if event == 'open' and isinstance(args[0], str) and args[0].startswith({str(home)!r}):\n"
        "        if args[1] and set(args[1]) & set('wax+'):\n"
        "            raise PermissionError('home: ' + repr(args))\n"
        "sys.addaudithook(watch)\n"
    )
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    environment = worker_environment()
    environment.update(HOME=str(home), PYTHONPATH=str(patch), XDG_CONFIG_HOME=str(home / "config"))
    environment.pop("YOLO_CONFIG_DIR", None)
    out, err = listen(process := start(quick(project), tmp_path, environment))
    home.chmod(stat.S_IRWXU)
    assert process.returncode == 0, out + err
    assert list(home.rglob("*")) == []

    # stdout holds protocol lines and nothing else
    messages = [parse_message(line) for line in out.splitlines()]
    kinds = [m.type for m in messages]
    order = ["started", "metrics", "saved", "suggested", "done"]
    assert [k for k in kinds if k in order] == order
    assert {m.stage for m in messages if m.type == "progress"} >= {"prepare", "train", "suggest"}
    training = [m for m in messages if m.type == "progress" and m.stage == "train"]
    assert training[-1].done == training[-1].total
    assert {"box", "score"} <= set(training[-1].losses)
    assert (messages[-1].result["unchecked"], messages[-1].result["sets"]) == (["128×96 px"], None)

    with Project.open(project) as opened:
        model = opened.models.active()
        assert model is not None
        assert model.id == 1
        assert model.parent == "starter"
        assert model.card["metrics"]["held_out"] is None  # not yet measured: fewer than 30 cells
        assert "Not yet measured" in model.card["metrics"]["note"]
        folder = opened.models.folder(1)
        assert sorted(f.name for f in folder.iterdir()) == [
            "model.json",
            "model.safetensors",
            "outcomes.json",
        ]
        assert json.loads((folder / "model.json").read_text())["schema_digest"] == opened.schema.digest()
        for suggestion in opened.suggestions.find():
            assert suggestion.model_id == 1
            assert suggestion.proposal.unchecked, "fewer than ten cells are labelled"
            regions = opened.regions.all(suggestion.field_id)
            assert not any(r.shape.contains_centre(suggestion.box) for r in regions)
            said = set(suggestion.proposal.attribute_probabilities)
            if max(suggestion.box[2:]) < MIN_ATTRIBUTE_SIDE:
                assert not said  # too few pixels to see them
                continue
            assert said == set(opened.schema.attribute_names) - {"nucleolus"}  # which nobody taught
        assert [one.state for one in opened.runs.all()] == ["done"]
    assert [f.name for f in (project / "runs").rglob("*") if f.is_file()] == ["train.lock"]


def test_the_same_seed_gives_the_same_model(project: Path) -> None:
    hashes = []
    for seed in (0, 0, 3):  # of so few cells, some seeds choose the same
        done, _ = here(quick(project, suggest=False, epochs=1, seed=seed))
        with Project.open(project) as opened:
            hashes.append(opened.models.get(done.model_id or 0).card["sha256"])
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_a_cancel_is_heard_and_ends_the_process(project: Path, tmp_path: Path) -> None:
    process = start(quick(project, epochs=10_000), tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in process.stdout:
        message = parse_message(line)
        if message.type == "progress" and message.stage == "train":
            break
    process.stdin.write(CANCEL_LINE)
    process.stdin.flush()
    assert any(parse_message(line).type == "cancelling" for line in process.stdout)
    rest = [parse_message(line).type for line in process.stdout]
    assert rest[-1] == "cancelled"
    assert process.wait(timeout=15) == 0
    with Project.open(project) as opened:
        assert opened.models.all() == []
        assert [run.state for run in opened.runs.all()] == ["cancelled"]


def test_a_closed_stdin_cancels(project: Path, tmp_path: Path) -> None:
    process = start(quick(project, epochs=10_000), tmp_path)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 0
    assert process.stdout is not None
    kinds = [parse_message(line).type for line in process.stdout]
    assert "cancelling" in kinds
    assert kinds[-1] == "cancelled"


def test_without_a_finished_region_it_says_so(project: Path) -> None:
    with Project.open(project, annotator="tester", reading=1) as opened:
        for region in opened.regions.all():
            opened.regions.delete(region.id)
    seen: list[Any] = []
    with pytest.raises(TrainingError, match="no finished region") as caught:
        run_worker(quick(project), on_message=seen.append)
    assert [m.type for m in seen] == ["failed"]
    assert "Traceback" in caught.value.details
    assert "Traceback" not in str(caught.value)


def test_without_a_cell_it_says_so(project: Path) -> None:
    with Project.open(project, annotator="tester", reading=1) as opened:
        for cell in opened.cells.all():
            opened.cells.delete(cell.id)
    with pytest.raises(LLDError, match="no cell"):
        here(quick(project))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"init": "nowhere/model"}, "no model at"),
        ({"init": 7}, "no model 7"),
        ({"init": "nothing.pt"}, "nothing.pt is not a file"),
        ({"detector": "s"}, "The starter holds a YOLO26n, not a YOLO26s.*--init yolo26s.pt"),
        ({"device": "cuda:9"}, "cuda:9"),
        ({"project": "/nowhere"}, "nowhere"),
    ],
)
def test_bad_requests_fail_in_a_sentence(project: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(LLDError, match=says):
        here(quick(project).model_copy(update=changes))
    with Project.open(project, annotator="tester", reading=1, read_only=True) as opened:
        assert not [run.message for run in opened.runs.all() if "device" not in changes]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "memory on the graphics card"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "memory on the graphics card"),
        (FileExistsError(errno.EEXIST, "exists", "/p/models"), "/p/models cannot be written"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (PermissionError(errno.EACCES, "denied", "/p/project.db"), "/p/project.db cannot be written"),
        (DivergedError("Training diverged: the loss is not a finite number."), "not a finite number"),
        (KeyError("x"), "unexpected"),
    ],
)
def test_every_failure_has_its_sentence(error: Exception, says: str) -> None:
    message = failure(error)
    assert says in message.cause
    assert message.cure
    assert type(error).__name__ in message.details


def test_a_full_disk_is_known_by_its_code_not_by_words() -> None:
    full = sqlite3.OperationalError("out of room")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert failure(full).cause == "The disk is full."
    error = ProjectError("The disk of the project /films is full or failing: free some space.")
    error.__cause__ = full
    assert "/films" in failure(error).cause, "which disk it is stays said"
    assert failure(LLDError("There is no class 'the disk is full'.")).cause.startswith("There is no class")


def test_a_file_that_could_not_be_written_is_named_though_the_disk_is_full() -> None:
    error = OutputError(why_not_written("The file /usb/cells.h5ad", OSError(errno.ENOSPC, "time = Sunday")))
    error.__cause__ = OSError(errno.ENOSPC, "time = Sunday")
    assert failure(error).cause.startswith("The file /usb/cells.h5ad cannot be written: the disk is full")
    assert "Sunday" not in failure(error).cause, "HDF5 tells the time, and the name of a temporary file"


def test_training_begins_with_a_detector_of_ultralytics_and_the_starters_describer(
    project: Path, tmp_path: Path
) -> None:
    file = tmp_path / "Meier.pt"
    layout = {**layout_of(ARCHITECTURES["yolov8n"]), "nc": 3}
    torch.save({"model": None, "ema": DetectionModel(layout, ch=3, nc=3, verbose=False).half()}, file)
    done, _ = here(quick(project, init=str(file), epochs=1, size=64, holdout=0.0))
    with Project.open(project, annotator="tester", reading=1) as opened:
        (made,) = opened.models.all()
        assert (made.id, made.parent, made.card["detector"]) == (done.model_id, "yolov8n.pt", "yolov8n")
        assert made.card["parent"] == "yolov8n.pt"
        assert "Meier" not in json.dumps(dict(made.card), default=dict)
        sides = [max(box[2:]) / 128 for box in (BOXES[0], BOXES[2])]
        assert made.card["cell_sides"] == list(sides_around(2 * sides))
        taught = made.card["taught"]["class"]
        known = read_model(starter_place()).taught["class"]
        assert set(known) - {"Lymphocyte"} <= set(taught), "what the starter was taught is still said"
        with pytest.raises(LLDError, match=f"Model {made.id} holds a YOLOv8n, not a YOLO26s"):
            here(quick(project, init=made.id, detector="s"))
    done, _ = here(PredictRequest(project=str(project)))
    assert done.model_id == made.id


def test_a_larger_detector_begins_with_random_weights(project: Path) -> None:
    with Project.open(project, annotator="tester", reading=1) as opened:
        model, parent = initial_model(opened, "scratch", detector="s", size=64, seed=0)
    assert (model.architecture, parent, model.untaught) == ("yolo26s", "scratch", True)


def test_what_a_start_without_a_memory_forgets_is_said(project: Project, tmp_path: Path) -> None:
    old = read_model(starter_place())
    old.memory = old.memory.subset(np.zeros(0, int))
    write_model(old, tmp_path / "old" / "model.safetensors", tmp_path / "old" / "model.json")
    done, _ = here(quick(project, init=str(tmp_path / "old"), epochs=1, size=64, suggest=False))
    note = done.metrics["note"]
    assert "remembers no cells" in note
    assert "Monocyte" in note, "the starter was taught it, and the project shows none"
    assert "Lymphocyte" not in note, "the project shows some"

    with Project.open(project, annotator="tester", reading=1) as opened:
        number = opened.models.reserve_id()
        shutil.copytree(tmp_path / "old", opened.models.folder(number))
        opened.models.add(number, parent="starter", card=old.card, activate=True)
    done, _ = here(quick(project, epochs=1, size=64, suggest=False))
    assert (
        f"It started from the starter: the active model {number} remembers no cells" in done.metrics["note"]
    )


def test_of_a_damaged_model_in_use_the_way_out_is_named(project: Path) -> None:
    with Project.open(project, annotator="tester", reading=1) as opened:
        number = opened.models.reserve_id()
        opened.models.folder(number).mkdir(parents=True)
        opened.models.add(number, parent="starter", card={}, activate=True)
    for request in (PredictRequest(project=str(project)), quick(project)):
        with pytest.raises(LLDError, match=f"Model {number} cannot be used.*missing") as caught:
            here(request)
        assert "napari-lld models PROJECT --roll-back" in failure(caught.value).cure
        assert "--init starter" in failure(caught.value).cure


def test_a_model_that_was_retired_is_refused_by_what_a_repair_found(project: Path) -> None:
    with Project.open(project, annotator="tester", reading=1) as opened:
        number = opened.models.reserve_id()
        opened.models.folder(number).mkdir(parents=True)
        opened.models.add(number, parent="starter", card={}, activate=False)
        assert opened.repair().left == []
    with pytest.raises(LLDError, match=f"Model {number} was retired, since its files are missing"):
        here(PredictRequest(project=str(project), model=number))


def test_predicting_before_any_training_uses_the_starter(project: Path) -> None:
    done, seen = here(PredictRequest(project=str(project)))
    assert done.model_id is None
    assert seen[0].type == "started"
    assert done.result["fields"] == 3


def test_images_that_cannot_be_read_are_told_and_the_others_are_predicted(
    project: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    whole = (images / "f1.png").read_bytes()
    (images / "f1.png").write_bytes(whole[: len(whole) // 2])
    (images / "f3.png").write_text("no image")
    out = tmp_path / "out.json"
    done, _ = here(PredictRequest(project=str(project), images=[str(images)], out=str(out)))
    assert [i["file_name"] for i in json.loads(out.read_text())["images"]] == ["f0.png", "f2.png"]
    assert done.result["fields"] == 2
    assert [Path(one["path"]).name for one in done.result["skipped"]] == ["f1.png", "f3.png"]
    assert all(Path(one["path"]).name in one["why"] for one in done.result["skipped"])
    out.unlink()
    with pytest.raises(LLDError, match=r"No image could be read, so nothing was written.*f3.png"):
        here(PredictRequest(project=str(project), images=[str(images / "f3.png")], out=str(out)))
    assert not out.exists()


def test_other_images_are_predicted_into_a_coco_file(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    images = [str(tmp_path / "images")]
    here(PredictRequest(project=str(project), images=images, out=str(out), min_confidence=0.0))
    content = json.loads(out.read_text())
    assert [i["file_name"] for i in content["images"]] == ["f0.png", "f1.png", "f2.png"]
    assert content["annotations"]
    assert all(one["unchecked"] for one in (*content["images"], *content["annotations"]))
    one = content["annotations"][0]
    assert {"score", "class_probabilities", "attribute_probabilities", "attributes", "bbox"} <= set(one)
    assert sum(one["class_probabilities"].values()) == pytest.approx(1, abs=1e-3)
    with Project.open(project) as opened:
        assert opened.suggestions.find() == []


def test_a_model_is_measured_against_full_truth_outside_the_regions(project: Path, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    fields = [{"id": i, "file_name": f"f{i}.png", "width": 128, "height": 96} for i in range(3)]
    boxes = [
        {"id": 3 * i + j + 1, "image_id": i, "category_id": 7, "bbox": list(box), "area": 1, "iscrowd": 0}
        for i in range(3)
        for j, box in enumerate(BOXES)
    ]
    truth.write_text(
        json.dumps({"images": fields, "annotations": boxes, "categories": [{"id": 7, "name": "Lymphocyte"}]})
    )
    request = EvaluateRequest(project=str(project), truth=str(truth), images=str(tmp_path / "images"))
    assert here(request)[0].metrics["cells"] == 9
    outside = here(request.model_copy(update={"outside_regions": True}))[0].metrics
    assert outside["cells"] == 5  # one on each of two fields, three on the third
    assert here(request)[0].metrics["trained_on_fields"] == 0
    here(quick(project, epochs=1, suggest=False))
    assert here(request)[0].metrics["trained_on_fields"] == 2, "it is better on what it was trained on"
    assert here(request.model_copy(update={"outside_regions": True}))[0].metrics["trained_on_fields"] == 0
    with pytest.raises(LLDError, match="held out"):
        here(EvaluateRequest(project=str(project)))
    damaged = tmp_path / "images" / "f1.png"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    done = here(request)[0]
    assert done.metrics["cells"] == 6
    (skipped,) = done.result["skipped"]
    assert skipped["path"] == str(damaged)
    assert "f1.png" in skipped["why"]
    (tmp_path / "images" / "f0.png").rename(tmp_path / "f0.png")
    done = here(request)[0]
    assert done.metrics["cells"] == 3
    assert [image["path"] for image in done.result["skipped"]] == ["f0.png", str(damaged)]
    (tmp_path / "f0.png").rename(tmp_path / "images" / "f0.png")
    for name in ("f0.png", "f2.png"):
        (tmp_path / "images" / name).write_bytes(damaged.read_bytes())
    with pytest.raises(LLDError, match=r"No image of .*truth.json could be read.*f0\.png.*2 more likewise"):
        here(request)
    for name in ("f0.png", "f1.png", "f2.png"):
        (tmp_path / "images" / name).unlink()
    with pytest.raises(LLDError, match=r"None of the 3 images of .*truth.json was found.*--images"):
        here(request)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_worker_is_explained(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "training.client.worker_command",
        lambda _: [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
    )
    with pytest.raises(TrainingError, match="memory"):
        run_worker(quick(project))


@pytest.fixture
def larger(tmp_path: Path) -> Path:
    """Make a project of 12 finished fields with 36 cells: enough to hold some out."""
    images = tmp_path / "many"
    images.mkdir()
    for i in range(12):
        Image.fromarray(_draw(i)).save(images / f"m{i}.png")
    folder = tmp_path / "larger"
    with Project.create(folder, "lld", annotator="tester") as made:
        made.fields.add([images])
        for field in made.fields.all():
            made.regions.add_whole_field(field.id)
            for box in BOXES:
                made.cells.add(field.id, box, cell_class="Lymphocyte", attributes={"cell_size": "small"})
    return folder


def test_a_model_shown_worse_is_kept_but_does_not_become_active(
    larger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Comparison("worse", 9, -0.2, -0.3, -0.1, reason=Reason("It is worse"))
    monkeypatch.setattr("training.worker.comparison.compare", lambda *_, **__: shown)
    done, seen = here(quick(larger, epochs=1, suggest=False))
    saved = next(m for m in seen if m.type == "saved")
    assert not saved.active
    assert "worse" in (saved.why or "")
    with Project.open(larger) as opened:
        assert opened.models.active() is None
        assert [m.id for m in opened.models.all()] == [done.model_id]


def test_held_out_fields_are_never_trained_on_and_stay_held_out(larger: Path) -> None:
    _, seen = here(quick(larger, epochs=1, suggest=False))
    started = next(m for m in seen if m.type == "started")
    assert started.fields == 12 - 3  # a fifth of 36 cells: 3 fields of 3
    assert started.cells == 27
    with Project.open(larger) as opened:
        card = opened.models.all()[0].card
        assert len(card["held_out"]) == 3
        assert card["metrics"]["held_out"]["cells"] == 9
        difference = card["metrics"]["difference"]
        assert (difference["verdict"], difference["units"], difference["low"]) == ("cannot_judge", 3, None)
        assert "3 fields whose patients" in str(Reason.read(difference["told"]))
        assert "3 fields whose patients" in str(next(m for m in seen if m.type == "saved").why)
        assert opened.models.active() is not None, "it suggests, as a round's result should"
        # one field fewer to learn from: the held-out ones are still held out
        for cell in opened.cells.all(opened.fields.all()[0].id):
            opened.cells.delete(cell.id)
    here(quick(larger, epochs=1, suggest=False))
    with Project.open(larger) as opened:
        assert set(card["held_out"]) <= set(opened.models.all()[1].card["held_out"])
    assert here(EvaluateRequest(project=str(larger), model="starter"))[0].metrics["on"] == "held-out regions"


def test_a_models_card_holds_all_that_was_measured_on_held_out_cells(larger: Path) -> None:
    with Project.open(larger) as opened:
        drawn = {field.id for field in opened.fields.all()[::2]}
        opened.random_sample.add(drawn)
    done, seen = here(quick(larger, epochs=1, suggest=False))
    with Project.open(larger) as opened:
        card = opened.models.all()[0].card
        listed = listed_as_held_out([card])
        held_fields = {
            i
            for i, unit in units_of_fields(opened.fields.all()).items()
            if listed_entries(opened, [unit], listed)
        }
        shown = read_outcomes(opened.models.folder(1))
        for i, field in enumerate(opened.fields.all()):
            opened.fields.update(field.id, domain=f"camera {i % 2}")
        held = opened.models.all()[0].card["metrics"]["held_out"]
    assert (
        held == done.metrics["held_out"] == next(m for m in seen if m.type == "metrics").metrics["held_out"]
    )
    assert held["intervals"]["patients"] == 3
    low, high = held["intervals"]["recall"]
    assert low <= held["recall"] <= high
    assert held["classes"]["Lymphocyte"]["truths"] == held["cells"] == 9
    assert set(held["calibration"]["cells"]) == {"before", "after", "n", "curve"}
    assert sum(row["n"] for row in held["calibration"]["cells"]["curve"]) == held["calibration"]["cells"]["n"]
    # by chance among them, and learnt from: both are measured apart, and every number has its n
    assert held_fields & drawn
    assert card["metrics"]["random_reserve"]["cells"] == 3 * len(held_fields & drawn)
    assert card["metrics"]["trained_on"]["cells"] == 27
    assert card["learnt_from"] == {"fields": 9, "patients": 9, "of_fields": 9, "cells": 27, "regions": 9}
    assert card["learnt_films"] == {"128×96 px": 27}
    assert card["sets"]["heads"] == {}, "9 cells measure no sets"
    assert {row["field"] for row in shown["held_out"]} <= held_fields
    assert shown["trained_on"]
    assert not {row["field"] for row in shown["trained_on"]} & held_fields
    table = held["confusion"]["class"]
    assert sum(table["counts"][table["truth"].index("Lymphocyte")]) == 9  # said to be something, or not found
    assert held["domains"] == {}
    again, _ = here(EvaluateRequest(project=str(larger), model="active"))
    assert list(again.metrics["domains"]) == ["camera 0", "camera 1"]
    assert sum(row["cells"] for row in again.metrics["domains"].values()) == 9


def test_where_the_starter_finds_nothing_the_stain_suggests_and_says_so(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    # a pale stain under a yellow lamp, which the starter has never seen; and a field without any cell
    seen = np.asarray(Image.open(sample.truth().parent / "fields" / "txl_01.jpg").convert("RGB"))
    pale = 0.55 * seen + 0.45 * seen.mean(2, keepdims=True)
    Image.fromarray((pale * [1, 0.86, 0.26]).astype(np.uint8)).save(images / "yellow.png")
    Image.fromarray(np.full((200, 200, 3), 230, np.uint8)).save(images / "empty.png")
    folder = tmp_path / "project"
    with Project.create(folder, "lld", annotator="tester") as made:
        made.fields.add([images])
    done, messages = here(PredictRequest(project=str(folder), device="cpu"))
    with Project.open(folder) as opened:
        names = {field.id: field.name for field in opened.fields.all()}
        suggestions = opened.suggestions.find()
    assert {names[s.field_id] for s in suggestions} == {"yellow.png"}
    assert all(is_from_stain(s.proposal, s.model_id) for s in suggestions)
    assert done.result["from_stain"] == 1
    told = [str(Reason.read(m.reason)) for m in messages if m.type == "notice"]
    assert any("colour of the nuclei" in one for one in told)
    # the same for other images, into a file; surer suggestions than the stain can give are none at all
    out = tmp_path / "out.json"
    here(PredictRequest(project=str(folder), images=[str(images)], out=str(out), device="cpu"))
    assert [one["source"] for one in json.loads(out.read_text())["annotations"]] == ["stain"] * len(
        suggestions
    )
    done, _ = here(PredictRequest(project=str(folder), min_confidence=0.6, device="cpu"))
    counts = {name: done.result[name] for name in ("fields", "count", "unknown", "from_stain", "unlike")}
    assert counts == {"fields": 2, "count": 0, "unknown": 0, "from_stain": 0, "unlike": []}
