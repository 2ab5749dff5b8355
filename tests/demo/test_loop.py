"""The loop with a worker that proposes from the truth: what it does with proposals; all is counted."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from annotation_store.errors import ProjectError
from napari_lld import sample
from napari_lld.demo import run_demo
from napari_lld.demo.report import Round
from training.protocol import PredictRequest, Request, TrainRequest

FEW = ("pbc_00", "pbc_03", "txl_00", "txl_02")


def numbers(one: Round) -> tuple[object, ...]:
    return (one.cells, one.suggestions, one.everywhere.cells, one.everywhere.ap50, one.judged)


def test_the_starter_suggests_then_two_models_are_trained_and_each_is_measured(
    some, witness, quick_worker: list[Request], tmp_path: Path
) -> None:
    outcome = run_demo(tmp_path / "out", some(*FEW), witness)
    kinds = ["train" if isinstance(one, TrainRequest) else str(one.model) for one in quick_worker]
    assert kinds == ["starter", "starter", "train", "1", "train", "2"]
    assert [one.model for one in outcome.rounds] == ["starter", "model 1", "model 2"]
    assert witness.rounds == outcome.rounds
    trainings = [one for one in quick_worker if isinstance(one, TrainRequest)]
    assert all(one.budget and one.budget <= 260 for one in trainings)
    measured = [one for one in quick_worker if isinstance(one, PredictRequest) and one.images]
    assert all(len(one.images or ()) == 4 for one in measured)


def test_numbers_follow_from_the_proposals_and_the_truth(
    some, witness, quick_worker: list[Request], tmp_path: Path
) -> None:
    first, second, third = run_demo(tmp_path / "out", some(*FEW), witness).rounds
    # every second cell is proposed, with a perfect box
    assert first.everywhere.ap50 is not None
    assert 0.3 < first.everywhere.ap50 < 0.7
    assert set(first.everywhere.classes) > {"Eosinophil"}
    tally = first.everywhere.classes["Eosinophil"]
    assert tally.recall == 1
    assert math.isclose(
        tally.precision or 0, tally.n / sum(one.n for one in first.everywhere.classes.values())
    )
    assert first.reviewed is not None
    assert second.cells == first.cells + first.reviewed.accepted + first.reviewed.corrected
    assert third.reviewed is None
    assert third.judged == first.judged, "the unseen fields stay as they were"


def test_with_other_fields_or_another_truth_other_numbers_come_out(
    some, witness, quick_worker: list[Request], tmp_path: Path
) -> None:
    one = run_demo(tmp_path / "one", some(*FEW), witness)
    other = run_demo(tmp_path / "two", some("pbc_07", "pbc_08", "txl_03"), witness)
    truth = json.loads(sample.truth().read_text("utf-8"))
    for annotation in truth["annotations"]:
        annotation["bbox"][0] += 30
    (tmp_path / "truth.json").write_text(json.dumps(truth), "utf-8")
    shifted = run_demo(tmp_path / "three", some(*FEW, truth=tmp_path / "truth.json"), witness)
    for a, b, c in zip(one.rounds, other.rounds, shifted.rounds, strict=True):
        assert numbers(a) != numbers(b)
        assert numbers(a) != numbers(c)
    assert one.report.read_text("utf-8") != other.report.read_text("utf-8")


def test_an_image_that_cannot_be_read_leaves_no_folder(some, witness, tmp_path: Path) -> None:
    settings = some("txl_00")
    settings.fields.append(tmp_path / "none.jpg")
    with pytest.raises(Exception, match=r"none\.jpg"):
        run_demo(tmp_path / "out", settings, witness)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_refused_before_any_work(some, witness, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ProjectError):
        run_demo(tmp_path, some("txl_00"), witness)
    assert witness.stages == []
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_earlier_demo_is_replaced(some, witness, quick_worker: list[Request], tmp_path: Path) -> None:
    run_demo(tmp_path / "out", some(*FEW), witness)
    second = run_demo(tmp_path / "out", some("txl_03", "pbc_07"), witness, overwrite=True)
    assert len(json.loads(second.export.read_text("utf-8"))["images"]) == 2
