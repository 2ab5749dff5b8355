"""train, predict and evaluate: what they ask of the worker, what they answer, what they refuse at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from annotation_store import Project
from napari_lld import sample
from tests.cli.conftest import Cli
from training.client import TrainingError
from training.protocol import (
    Done,
    EvaluateRequest,
    ExportModelRequest,
    PredictRequest,
    Progress,
    RenewRequest,
    Request,
    Saved,
    Suggested,
    TrainRequest,
)

SCORES: dict[str, Any] = {
    "fields": 3,
    "cells": 40,
    "threshold": 0.25,
    "ap50": 0.91,
    "map50": 0.62,
    "ap50_of": {"Neutrophil": 0.7},
    "precision": 0.9,
    "recall": 0.8,
    "class_f1": 0.5,
    "class_n": 33,
    "attribute_f1": 0.7,
    "attributes": {"cell_size": {"f1": 0.7, "n": 31}, "nucleolus": {"f1": None, "n": 0}},
}

UNCHECKED = Suggested(field_ids=[1], count=7, unchecked=["lab A"], labelled={"lab A": 14}, needed=40)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Replace the worker by one that answers at once; what it was asked."""
    requests: list[Request] = []

    def run_worker(request: Request, *, on_message: Callable[[Any], None]) -> Done:
        requests.append(request)
        on_message(Progress(stage="train", done=1, total=2, seconds_left=3))
        if isinstance(request, TrainRequest):
            on_message(Saved(model_id=4, active=False, why="It is worse."))
            on_message(Suggested(field_ids=[1], count=7, unknown=2))
            trust = UNCHECKED.trust() if request.init == "starter" else {}
            return Done(task="train", model_id=4, metrics={"held_out": SCORES}, result=trust)
        if isinstance(request, EvaluateRequest):
            return Done(task="evaluate", metrics=SCORES)
        if isinstance(request, ExportModelRequest):
            heads = {"class": ["A", "B"]}
            return Done(
                task="export_model", result={"out": request.out, "detector": "YOLO26n", "heads": heads}
            )
        if isinstance(request, PredictRequest) and request.fields is not None:
            searched = {"slides": 1, "tiles": 9, "glass_tiles": 2, "seconds": 3.0}
            counts = {"count": 5, "unknown": 1, "pending": 73, "pending_unknown": 9}
            return Done(task="predict", model_id=4, result=counts | {"slides": searched})
        result = {"fields": 6, "count": 12, "unknown": 3, **UNCHECKED.trust(), "sets": None}
        return Done(task="predict", result=result)

    monkeypatch.setattr("training.client.run_worker", run_worker)
    return requests


def test_train_passes_its_flags_on_and_prints_the_model_and_its_numbers(
    cli, annotated: Path, asked: list[Request]
) -> None:
    line = "--init scratch --detector m --epochs 3 --size 320 --budget 60 --holdout 0.1 --device cpu --seed 5"
    answer = cli("train", annotated, *line.split())
    assert answer.code == 0
    (request,) = asked
    assert isinstance(request, TrainRequest)
    assert request.model_dump(exclude={"project", "annotator", "min_confidence"}) == {
        "task": "train",
        "init": "scratch",
        "detector": "m",
        "epochs": 3,
        "size": 320,
        "budget": 60.0,
        "holdout": 0.1,
        "device": "cpu",
        "seed": 5,
        "suggest": True,
        "reading": 1,
        "wait": False,  # a script is told at once that somebody trains; with --wait it queues
        "held_out": None,
        "scheduler": None,
        "workers": None,
    }
    for said in (
        "Model 4",
        "not active",
        "It is worse.",
        "7 suggestions",
        "2 of them unknown",
        "0.910",
        "40",
        "cell size",
        "31",
        "The probabilities are not yet checked on your films: this needs 50 held-out cells.",
    ):
        assert said in answer.out, said
    assert "nucleolus" not in answer.out, "what was not measured has no number"


def test_train_says_what_slides_it_did_not_search_and_searches_them_when_asked(
    cli, annotated: Path, asked: list[Request], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 100 * 100)
    with tifffile.TiffWriter(tmp_path / "film.tif") as tiff:
        tiff.write(np.full((160, 160, 3), 200, np.uint8), tile=(64, 64), photometric="rgb")
    assert cli("add", annotated, tmp_path / "film.tif").code == 0
    told = cli("train", annotated)
    assert "1 whole slide not searched in full with the active model" in told.out
    assert "--search-slides" in told.out
    assert [request.task for request in asked] == ["train"]
    told = cli("train", annotated, "--search-slides")
    assert "Searched 9 tiles of 1 slide" in told.out
    assert "not searched" not in told.out
    assert isinstance(asked[-1], PredictRequest)
    assert asked[-1].fields == [7]


def test_of_a_search_that_continues_all_that_waits_is_told_and_what_of_it_is_new(
    cli, annotated: Path, asked: list[Request]
) -> None:
    with Project.open(annotated) as project:
        name = project.fields.all()[0].name
    answer = cli("predict", annotated, "--field", name)
    assert "73 suggestions to review in" in answer.out
    assert "(5 new)" in answer.out
    assert "9 of them unknown" in answer.out
    told = cli("predict", annotated, "--field", name, "--json").json
    assert (told["count"], told["pending"]) == (5, 73)


def test_train_answers_in_json_alone(cli, annotated: Path, asked: list[Request]) -> None:
    told = cli("train", annotated, "--json").json
    assert (told["model"], told["active"], told["why"], told["suggestions"]) == (4, False, "It is worse.", 7)
    assert told["unknown"] == 2
    assert (told["unlike"], told["unchecked"], told["sets"]) == ([], [], None)
    assert told["metrics"]["held_out"]["ap50"] == 0.91


def test_train_says_the_same_of_a_film_as_predict(cli, annotated: Path, asked: list[Request]) -> None:
    line = "Probabilities are not yet checked on the film lab A (14 of 40 cells labelled)"
    for command in (("train", annotated, "--init", "starter"), ("predict", annotated)):
        assert line in cli(*command).out
        told = cli(*command, "--json").json
        assert (told["unchecked"], told["labelled"], told["needed"]) == (["lab A"], {"lab A": 14}, 40)


def test_predict_suggests_in_the_project_or_writes_other_images_to_a_file(
    cli, annotated: Path, asked: list[Request], tmp_path: Path
) -> None:
    text = cli("predict", annotated, "--min-confidence", "0.5").out
    assert "12 suggestions" in text
    assert "3 of them unknown" in text
    assert text.count("not yet checked") == 1
    assert (
        "not yet checked on the film lab A (14 of 40 cells labelled), and none of a class or value is above "
        "90% there: label 40 of its cells." in text
    )
    out = tmp_path / "out.json"
    images = sample.fields()[:2]
    told = cli("predict", annotated, "--model", "starter", "--images", *images, "--out", out, "--json").json
    assert (told["count"], told["unknown"]) == (12, 3)
    assert (told["unchecked"], told["sets"]) == (["lab A"], None)
    inside, outside = asked
    assert isinstance(inside, PredictRequest)
    assert isinstance(outside, PredictRequest)
    assert (inside.min_confidence, inside.images, inside.out) == (0.5, None, None)
    assert (outside.images, outside.out, outside.model) == ([str(i) for i in images], str(out), "starter")


def test_predict_lists_the_images_that_it_could_not_read_and_ends_with_another_code(
    cli, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {"fields": 2, "count": 12, "skipped": [{"path": "a/bad.png", "why": "a/bad.png is cut off."}]}
    monkeypatch.setattr("training.client.run_worker", lambda *_, **__: Done(task="predict", result=result))
    words = ("predict", annotated, "--images", sample.fields()[0].parent, "--out", tmp_path / "out.json")
    answer = cli(*words)
    assert answer.code == 3
    assert "12 suggestions to" in answer.out
    assert "Skipped 1 image:\n  a/bad.png is cut off.\n" in answer.out
    assert answer.err.endswith(
        f"1 of 3 images could not be read; {tmp_path / 'out.json'} holds the others.\n"
    )
    answer = cli(*words, "--json")
    assert (answer.code, answer.json["skipped"]) == (3, result["skipped"])


def test_evaluate_names_the_images_that_cannot_be_read_and_measures_the_others(
    cli, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = [{"path": "a/bad.png", "why": "The image a/bad.png is damaged."}]
    done = Done(task="evaluate", metrics=SCORES, result={"skipped": skipped})
    monkeypatch.setattr("training.client.run_worker", lambda *_, **__: done)
    answer = cli("evaluate", annotated, "--truth", sample.truth())
    assert answer.code == 3
    assert "0.910" in answer.out
    assert answer.out.endswith("Skipped 1 image:\n  The image a/bad.png is damaged.\n")
    assert "1 image of" in answer.err
    answer = cli("evaluate", annotated, "--truth", sample.truth(), "--json")
    assert (answer.code, answer.json["skipped"], answer.json["metrics"]) == (3, skipped, SCORES)


def test_evaluate_prints_a_table_with_the_cells_each_number_stands_on(
    cli, annotated: Path, asked: list[Request]
) -> None:
    answer = cli("evaluate", annotated, "--truth", sample.truth(), "--images", sample.fields()[0].parent)
    assert answer.code == 0
    for said in ("white cells, AP50", "0.910", "40 cells", "Neutrophil", "cell size", "31"):
        assert said in answer.out, said
    assert "domain" not in answer.out
    assert cli("evaluate", annotated, "--json").json["metrics"] == SCORES
    assert isinstance(asked[0], EvaluateRequest)
    assert asked[0].truth == str(sample.truth())


def test_evaluate_names_the_starter_and_what_it_does_not_predict(
    cli, annotated: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    nucleolus = {"f1": None, "look_up": 0.6, "n": 31}
    attributes = {**SCORES["attributes"], "nucleolus": nucleolus}
    monkeypatch.setitem(SCORES, "attributes", attributes)
    answer = cli("evaluate", annotated)
    assert answer.out.startswith("The starter, measured on held-out cells:")
    (line,) = (line for line in answer.out.splitlines() if line.startswith("   nucleolus"))
    assert line.split() == ["nucleolus", "–", "31"]
    assert "Not predicted by this model, so not scored: nucleolus.\n" in answer.out
    assert "class alone" not in answer.out
    assert cli("evaluate", annotated, "--json").json["model"] == "starter"
    assert cli("predict", annotated, "--json").json["model"] == "starter"


def test_evaluate_prints_a_row_for_each_domain(
    cli, annotated: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"fields": 2, "cells": 21, "ap50": 0.871, "precision": 0.9, "recall": 0.8, "class_f1": 0.654}
    rows = {
        "360×363": {**row, "class_n": 17, "attribute_f1": 0.543, "attribute_n": 119},
        "new camera": {**row, "ap50": None, "class_n": 0, "attribute_f1": None, "attribute_n": 0},
    }
    monkeypatch.setitem(SCORES, "domains", rows)
    said = cli("evaluate", annotated).out
    (line,) = (line for line in said.splitlines() if "360×363" in line)
    for number in ("2", "21", "0.871", "0.900", "0.800", "0.654", "17", "0.543", "119"):
        assert number in line.split(), (number, line)
    assert "new camera" in said
    assert cli("evaluate", annotated, "--json").json["metrics"]["domains"] == rows


def test_what_was_taken_for_what_is_told_by_evaluate_and_not_after_each_training(
    cli, annotated: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"truth": ["Neutrophil", None], "said": ["Neutrophil", None], "counts": [[31, 9], [4, 0]]}
    monkeypatch.setitem(SCORES, "confusion", {"class": table, "attributes": {"cell_size": table}})
    evaluated, trained = cli("evaluate", annotated).out, cli("train", annotated).out
    assert evaluated.count("truth ↓") == 2
    assert "not found" in evaluated
    assert "truth ↓" not in trained
    assert "napari-lld evaluate" in trained


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train {p} --budget 0", "--budget"),
        ("train {p} --budget nan", "--budget"),
        ("train {p} --budget inf", "--budget"),
        ("train {p} --holdout 1", "--holdout"),
        ("train {p} --device tpu", "--device"),
        ("train {p} --init nothing.safetensors", "nothing.safetensors"),
        ("train {p} --init 9", "no model 9"),
        ("train {p} --init {p}/project.db.pt", "project.db.pt"),
        ("train {p} --init hostile.pt", "hostile.pt is damaged"),
        ("train {p} --detector s", "--init yolo26s.pt"),
        ("train {p} --detector xl", "--detector"),
        ("predict {p} --model 9", "no model 9"),
        ("predict {p} --model best", "--model"),
        ("predict {p} --min-confidence 2", "--min-confidence"),
        ("predict {p} --images {p}", "--out"),
        ("predict {p} --out x.json", "--images"),
        ("predict {p} --images none.png --out x.json", "none.png"),
        ("predict {p} --images {p} --out no/x.json", "no"),
        ("evaluate {p} --model 9", "no model 9"),
        ("export-model {p} model.pt", ".onnx"),
        ("export-model {p} none/x.onnx", "none"),
        ("export-model {p} {p}/x.onnx", "inside the project"),
        ("export-model {p} there.onnx", "--overwrite"),
        ("export-model {p} x.onnx --model 9", "no model 9"),
        ("evaluate {p} --truth none.json", "none.json"),
        ("evaluate {p} --images {p}", "--truth"),
    ],
)
def test_a_label_error_is_refused_before_the_worker_starts(
    cli,
    annotated: Path,
    asked: list[Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    said,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.onnx").touch()
    Path("hostile.pt").write_bytes(b"cos\nsystem\n(S'touch harm'\ntR.")
    cli(*line.format(p=annotated).split()).refuses(said)
    assert asked == []


def test_export_model_passes_its_flags_on_and_says_what_is_in_the_file(
    cli, annotated: Path, asked: list[Request], tmp_path: Path
) -> None:
    out = tmp_path / "m.onnx"
    answer = cli("export-model", annotated, out, "--model", "starter", "--overwrite")
    assert asked == [
        ExportModelRequest(project=str(annotated), model="starter", out=str(out), overwrite=True)
    ]
    for said in ("The starter is in", "m.onnx", "YOLO26n", "2 values of 1 head"):
        assert said in answer.out, said
    told = cli("export-model", annotated, out, "--json").json
    assert (told["model"], told["heads"]) == ("starter", {"class": ["A", "B"]})


def test_training_without_a_finished_region_or_a_cell_is_refused_and_names_the_cure(
    cli, project: Path, image: Path, asked: list[Request], state
) -> None:
    cli("train", project).refuses("no fields", "napari-lld add")
    cli("add", project, image)
    before = state(project)
    cli("train", project).refuses("finished region", "napari-lld")
    with Project.open(project) as opened:
        opened.regions.add_whole_field(opened.fields.all()[0].id)
    cli("train", project).refuses("no cell")
    assert asked == []
    assert state(project)["models"] == before["models"] == []


def test_a_worker_that_fails_is_one_line_and_its_traceback_only_with_debug(
    cli, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: Request, **_: Any) -> Done:
        raise TrainingError(
            "There is not enough memory.", "Choose a smaller --size.", "Traceback: in the worker"
        )

    monkeypatch.setattr("training.client.run_worker", fail)
    cli("train", annotated).refuses("memory", "--size")
    assert "in the worker" in cli("train", annotated, "--debug").err


def test_an_interrupt_is_a_sentence_and_exit_code_130(
    cli, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(request: Request, **_: Any) -> Done:
        raise KeyboardInterrupt

    monkeypatch.setattr("training.client.run_worker", interrupt)
    answer = cli("train", annotated)
    assert answer.code == 130
    assert "Stopped" in answer.err
    assert "Traceback" not in answer.err


def test_the_real_worker_trains_predicts_and_evaluates(
    cli, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    trained = cli("train", annotated, "--epochs", "1", "--size", "96", "--holdout", "0", "--json")
    assert trained.code == 0, trained.err
    assert trained.json["model"] == 1
    assert trained.json["active"] is True
    told = cli("info", annotated, "--json").json
    assert [model["id"] for model in told["models"]] == [1]
    assert told["suggestions"]["pending"] == trained.json["suggestions"]

    out = tmp_path / "out.json"
    images = [path for path in sample.fields() if path.stem in ("pbc_00", "txl_03")]
    predicted = cli(
        "predict", annotated, "--images", *images, "--out", out, "--min-confidence", "0.05", "--json"
    )
    assert predicted.code == 0, predicted.err
    document = json.loads(out.read_text("utf-8"))
    assert [image["file_name"] for image in document["images"]] == ["pbc_00.jpg", "txl_03.jpg"]
    assert len(document["annotations"]) == predicted.json["count"] > 0
    one = document["annotations"][0]
    assert {"score", "class_probabilities", "attribute_probabilities", "attributes"} <= set(one)
    assert set(one["attributes"]) == {  # nobody has taught the starter what a nucleolus looks like
        "cell_size",
        "nuclear_chromatin",
        "nuclear_shape",
        "cytoplasm",
        "cytoplasmic_basophilia",
        "cytoplasmic_vacuoles",
    }
    assert [path.name for path in temporary.iterdir() if "napari-lld" in path.name] == []


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_ends_the_worker_and_leaves_the_project_sound(cli, annotated: Path) -> None:
    command = [sys.executable, "-P", "-c", "import sys; from napari_lld.cli import run; sys.exit(run())"]
    process = subprocess.Popen(
        [*command, "train", str(annotated), "--epochs", "500", "--size", "320"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs ignore Ctrl+C, and so would this one where the tests are such a job
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not children(process.pid):
        time.sleep(0.2)
    workers = children(process.pid)
    assert workers, "the worker runs"
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped" in err
    assert "Traceback" not in err
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers), "no worker is left behind"
    assert cli("check", annotated).code == 0
    assert cli("info", annotated, "--json").json["models"] == []


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


def test_evaluate_shows_intervals_calibration_and_confusion(
    cli, annotated: Path, asked: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotation_store.records import Proposal
    from training.evaluation.extra_metrics import describe
    from training.evaluation.ground_truth import FieldTruth, TrueCell
    from training.evaluation.matching import evaluate_field

    names, sizes = ("Monocyte", "Basophil"), ("small", "large")
    cells = tuple(TrueCell((40 * i, 0, 20, 20), names[i % 2], {"cell_size": sizes[i % 2]}) for i in range(4))
    proposals = [
        Proposal(
            cell.box, 0.9, {"Monocyte": 0.8, "Basophil": 0.2}, {"cell_size": {"small": 0.3, "large": 0.7}}
        )
        for cell in cells[:3]
    ] + [Proposal((100, 100, 20, 20), 0.8, {"Monocyte": 0.6, "Basophil": 0.4})]
    results = [
        evaluate_field(FieldTruth(f"f{i}", 200, 200, cells), proposals, classes=names) for i in range(3)
    ]
    told = describe(results, classes=names, attributes={"cell_size": sizes}, resamples=50)
    sets = {"heads": {"cell_size": {"mass": 0.95, "size": 1.94, "values": 2}}}
    monkeypatch.setitem(globals(), "SCORES", told | {"sets": sets})
    answer = cli("evaluate", annotated)
    assert answer.code == 0
    for said in (
        "95% interval",
        "50 resamples of the cells of 3 fields whose patients are unknown",
        "calibration error (15 bins)",
        "class: truth",
        "cell size: truth",
        "not found",
        "no cell",
        "Sets narrow down hardly anything for cell size (on average 1.9 of 2 values)",
    ):
        assert said in answer.out, said
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["Basophil", "3", "0", "3"] in rows  # one of each field taken for a Monocyte, one missed
    assert cli("evaluate", annotated, "--json").json["metrics"]["confusion"] == told["confusion"]


def test_renew_asks_for_the_reading_and_says_what_changed(
    cli, annotated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[Request] = []

    def run_worker(request: Request, *, on_message: Callable[[Any], None]) -> Done:
        requests.append(request)
        on_message(Progress(stage="look", done=1, total=2))
        result = {"cells": 3, "count": 2, "of_another_model": 1, "damaged": ["f.png"]}
        return Done(task="renew", result=result)

    monkeypatch.setattr("training.client.run_worker", run_worker)
    said = cli("renew", annotated).out
    assert "2 suggestions changed, learning from 3 labelled cells" in said
    assert "1 suggestion of another model" in said
    assert "f.png" in said
    assert isinstance(requests[0], RenewRequest)
    assert requests[0].reading == 1
    answer = cli("renew", annotated, "--json").json
    assert (answer["model"], answer["count"]) == ("starter", 2)


def test_a_field_that_is_not_there_is_answered_with_the_nearest_names(cli: Cli, annotated: Path) -> None:
    with Project.open(annotated, read_only=True) as opened:
        names = [field.name for field in opened.fields.all()]
    count = f"{len(names)} fields"
    cli("predict", annotated, "--field", f"{names[0]}x").refuses(count, "did you mean", names[0])
    cli("differential", annotated, "0").refuses(count, f"named like {names[0]}")
