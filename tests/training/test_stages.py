"""Learning beyond the regions: only where it can be judged, kept only where it does no harm, resumable."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotation_store.records import Proposal
from training.engine.data import LabelledCell, TrainingField, cut_patches
from training.engine.loop import LearningConfig, StepReport, StoppedError
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.models.model import LearnedModel, new_model
from training.networks.vocabulary import Vocabulary
from training.worker import stages as module
from training.worker.resume import epochs_done, forget_state, stage_file
from training.worker.stages import Plan, Stages, plan

from .conftest import weights

TINY = LearningConfig(window=64, batch=2, crops=4)


def test_more_epochs_follow_only_where_they_can_be_judged() -> None:
    assert plan(45, held_out_cells=30, budget=None) == Plan(45, 16, 4)
    assert plan(45, held_out_cells=30, budget=600) == Plan(45, 16, 4)
    assert plan(45, held_out_cells=7, budget=None) == Plan(45)
    assert plan(45, held_out_cells=30, budget=60) == Plan(45)
    assert plan(10, held_out_cells=30, budget=None) == Plan(10)


def judged(confidence: float) -> list[FieldResult]:
    """Results whose AP50, and so whose score, is 1 where the confidence is above a half, else 0."""
    box = (0.0, 0.0, 10.0, 10.0)
    hit = np.array([confidence > 0.5])
    found = Ranking(np.array([confidence]), hit, 1)
    pair = [(TrueCell(box, None), Proposal(box, confidence))] if hit[0] else []
    return [FieldResult("p", found, {}, pair, [])]


@pytest.fixture
def found_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model find one pseudo-cell on each field."""

    def add(_model: LearnedModel, fields: list[TrainingField], _trusted: Any) -> list[TrainingField]:
        cell = LabelledCell((60.0, 60.0, 20.0, 20.0), weights=(0.5, 0.1))
        return [dataclasses.replace(one, cells=(*one.cells, cell)) for one in fields]

    monkeypatch.setattr(module, "add_pseudo_labels", add)


def make(model: LearnedModel, make_field: Any, state: Path, scores: list[float], **options: Any) -> Stages:
    fields = [make_field(name=f"f{i}", regions=[(0, 0, 50, 50)]) for i in range(2)]
    answers = iter(scores)
    return Stages(
        model=model,
        fields=fields,
        patches=cut_patches(fields, model.vocabulary),
        config=TINY,
        plan=Plan(2, 2, 1),
        state=state,
        mark="run",
        deadline=None,
        judge=lambda _: judged(next(answers)),
        tell=options.get("tell", lambda _: None),
        should_stop=options.get("should_stop", lambda: False),
        on_prepared=lambda _: None,
        others=options.get("others", ()),
    )


def same(one: LearnedModel, other: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(tensor, other[name], atol=1e-5) for name, tensor in one.tensors())


@pytest.mark.usefixtures("found_beyond")
def test_what_does_harm_on_the_held_out_cells_is_undone(
    words: Vocabulary, make_field: Any, tmp_path: Path
) -> None:
    reports: list[StepReport] = []
    better, worse = new_model(words), new_model(words)
    epochs, told = make(better, make_field, tmp_path / "a" / "state", [0.9, 0.9], tell=reports.append).run()
    assert (epochs, told and told["kept"], told and told["cells"]) == (5, True, 2)
    assert [r.done for r in reports] == [1, 2, 3, 4, 5]
    assert {r.total for r in reports} == {5}

    _, told = make(worse, make_field, tmp_path / "b" / "state", [0.9, 0.1]).run()
    assert told is not None
    assert not told["kept"]
    assert told["score_after"] < told["score_before"]
    assert not same(worse, weights(better))
    after_masked = new_model(words)
    one_stage = make(after_masked, make_field, tmp_path / "c" / "state", [])
    one_stage.plan = Plan(2)
    assert one_stage.run() == (2, None)
    assert same(worse, weights(after_masked))
    # the same cells, learnt from in three stages, are not counted three times
    assert worse.taught == better.taught == after_masked.taught


@pytest.mark.usefixtures("found_beyond")
@pytest.mark.parametrize("cut", [1, 3, 4], ids=["masked", "pseudo", "last"])
def test_a_run_cut_off_in_any_stage_goes_on_to_the_same_weights(
    cut: int, words: Vocabulary, make_field: Any, tmp_path: Path
) -> None:
    whole = new_model(words)
    make(whole, make_field, tmp_path / "whole" / "state", [0.9, 0.9]).run()
    state = tmp_path / "cut" / "state"
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > cut  # one step an epoch

    with pytest.raises(StoppedError):
        make(new_model(words), make_field, state, [0.9], should_stop=stop).run()
    assert epochs_done(state, "run") == cut
    assert epochs_done(state, "another") == 0
    resumed = new_model(words)
    steps_again: list[StepReport] = []
    make(resumed, make_field, state, [0.9, 0.9], tell=steps_again.append).run()
    assert len(steps_again) == 5 - cut
    assert same(resumed, weights(whole))
    forget_state(state)
    assert not state.exists()
    assert not stage_file(state, "masked").exists()


def test_fields_that_nobody_annotated_teach_where_something_is_found_on_them_and_take_no_more_steps(
    words: Vocabulary, make_field: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(_model: LearnedModel, fields: list[TrainingField], _trusted: Any) -> list[TrainingField]:
        cell = LabelledCell((60.0, 60.0, 20.0, 20.0), weights=(0.5, 0.1))
        empty = {"bare"}
        return [f if f.name in empty else dataclasses.replace(f, cells=(*f.cells, cell)) for f in fields]

    shown: list[list[str]] = []
    prepare = module.prepare_field

    def watched(one: TrainingField, *rest: Any) -> Any:
        shown[-1].append(one.name)
        return prepare(one, *rest)

    monkeypatch.setattr(module, "add_pseudo_labels", add)
    monkeypatch.setattr(module, "prepare_field", watched)
    steps = []
    for names in ((), ("new", "bare", "newer")):
        shown.append([])
        others = [make_field(name=name, cells=(), regions=[]) for name in names]
        state = tmp_path / str(len(names)) / "state"
        reports: list[StepReport] = []
        _, told = make(
            new_model(words), make_field, state, [0.9, 0.9], others=others, tell=reports.append
        ).run()
        assert told is not None
        assert told["unannotated_fields"] == len(set(names) - {"bare"})
        steps.append(len(reports))
    assert shown == [["f0", "f1"] * 2, ["f0", "f1"] * 2 + ["new", "newer"]]
    assert steps == [5, 5]  # two epochs of two fields, or one of four


def test_without_pseudo_cells_there_is_nothing_more_to_learn(
    words: Vocabulary, make_field: Any, tmp_path: Path
) -> None:
    epochs, told = make(new_model(words), make_field, tmp_path / "state", [0.1]).run()
    assert epochs == 2
    assert told is not None
    assert (told["cells"], told["kept"]) == (0, False)
