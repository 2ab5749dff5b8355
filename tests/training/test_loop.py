"""The loop learns, stops, fits a budget, and goes on where it was cut off."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from training.engine.data import cut_patches, prepare_field
from training.engine.loop import DivergedError, LearningConfig, Loop, StepReport, StoppedError
from training.engine.presets import CellsFound, settings
from training.models.model import LearnedModel, adapt, new_model, read_model, starter_place
from training.networks.vocabulary import Vocabulary

from .conftest import weights

TINY = LearningConfig(epochs=3, window=64, batch=2, crops=4)


def make(model: LearnedModel, make_field: Any, config: LearningConfig = TINY, **options: Any) -> Loop:
    fields = [make_field(name=f"f{i}") for i in range(3)]
    ready = [prepare_field(field, 96) for field in fields]
    return Loop(model, ready, cut_patches(fields, model.vocabulary), config, **options)


def test_an_epoch_is_one_view_of_every_field(words: Vocabulary, make_field: Any) -> None:
    reports: list[StepReport] = []
    assert make(new_model(words), make_field).run(on_step=reports.append) == 3
    assert len(reports) == 6  # two steps of two fields, and of one
    assert (reports[-1].done, reports[-1].total) == (6, 6)
    assert {"box", "score", "distance", "class", "size", "vacuoles"} <= set(reports[-1].losses)


def test_learning_lowers_the_loss(words: Vocabulary, make_field: Any) -> None:
    reports: list[StepReport] = []
    config = dataclasses.replace(TINY, epochs=10, describer_rate=1e-4, head_rate=3e-3, frozen_norms=True)
    model = adapt(read_model(starter_place()), words)
    make(model, make_field, config).run(on_step=reports.append)
    assert reports[-1].losses["class"] < 0.7 * reports[0].losses["class"]


def test_a_cut_off_run_goes_on_to_the_same_weights(
    words: Vocabulary, make_field: Any, tmp_path: Path
) -> None:
    whole = new_model(words)
    make(whole, make_field).run()
    state = tmp_path / "runs" / "state.safetensors"
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps > 3  # in the second of three epochs

    with pytest.raises(StoppedError):
        make(new_model(words), make_field, state=state).run(should_stop=stop)
    resumed = new_model(words, seed=9)
    loop = make(resumed, make_field, state=state)
    assert loop.resume(state)
    loop.run()
    for name, tensor in weights(whole).items():
        assert torch.allclose(tensor, weights(resumed)[name], atol=1e-5), name


def test_the_state_of_another_run_is_not_taken(words: Vocabulary, make_field: Any, tmp_path: Path) -> None:
    state = tmp_path / "state.safetensors"
    make(new_model(words), make_field, dataclasses.replace(TINY, epochs=1), state=state).run()
    assert not make(new_model(words), make_field).resume(state)
    state.write_bytes(b"half a file")
    assert not make(new_model(words), make_field).resume(state)
    assert not make(new_model(words), make_field).resume(tmp_path / "none")


def test_a_budget_bounds_the_time(words: Vocabulary, make_field: Any) -> None:
    config = dataclasses.replace(TINY, epochs=100_000)
    loop = make(new_model(words), make_field, config, deadline=time.monotonic() + 4)
    assert 1 <= loop.run() < 100_000


def test_frozen_layers_and_norms_stay(words: Vocabulary, make_field: Any) -> None:
    model = new_model(words)
    before = weights(model)
    config = dataclasses.replace(TINY, epochs=1, frozen_layers=5, frozen_norms=True)
    make(model, make_field, config).run()
    for name, tensor in weights(model).items():
        if name.startswith("detector.model.4.") or "running_mean" in name:
            assert torch.equal(tensor, before[name]), name
    assert not torch.equal(
        weights(model)["detector.model.22.cv1.conv.weight"], before["detector.model.22.cv1.conv.weight"]
    )


def test_without_cells_the_describer_stays_as_it_is(words: Vocabulary, make_field: Any) -> None:
    model = new_model(words)
    before = weights(model)
    fields = [make_field()]
    Loop(
        model, [prepare_field(fields[0], 96)], cut_patches([], words), dataclasses.replace(TINY, epochs=1)
    ).run()
    after = weights(model)
    assert all(torch.equal(t, before[name]) for name, t in after.items() if name.startswith("describer."))
    assert any(not torch.equal(t, before[name]) for name, t in after.items() if name.startswith("detector."))
    assert not model.taught


def test_a_loss_that_is_no_number_ends_the_run(words: Vocabulary, make_field: Any) -> None:
    model = new_model(words)
    with torch.no_grad():
        next(iter(model.describer.heads[0].parameters())).fill_(float("nan"))
    with pytest.raises(DivergedError, match="not a finite number"):
        make(model, make_field).run()


def test_fields_without_cells_train_too(words: Vocabulary, make_field: Any) -> None:
    model = new_model(words)
    empty = [make_field(cells=(), drawn=[(10, 10, 20, 20)]), make_field(cells=(), regions=[])]
    ready = [prepare_field(one, 96) for one in empty]
    Loop(model, ready, cut_patches(empty, words), dataclasses.replace(TINY, epochs=1)).run()
    assert all(bool(torch.isfinite(t).all()) for t in weights(model).values())


def test_settings_suit_what_there_is_and_what_the_start_finds() -> None:
    def chosen(
        fields: int, finds: CellsFound | None, epochs: int | None = None, size: int = 448
    ) -> LearningConfig:
        return settings(fields=fields, size=size, epochs=epochs, seed=0, finds=finds)

    small, large = chosen(5, CellsFound(60, 0.9)), chosen(500, CellsFound(6000, 0.9))
    assert small.batch == 5
    assert small.epochs > large.epochs >= 3
    assert 0.8 <= small.scales[0] <= small.scales[1] <= 1.25
    assert chosen(5, None, epochs=7).epochs == 7
    assert chosen(5, None, epochs=1, size=100).window % 32 == 0
    # what finds everything has nothing to learn about finding, unless it was asked to
    assert chosen(5, CellsFound(60, 1.0)).epochs == 0
    assert chosen(5, CellsFound(60, 1.0), epochs=3).epochs == 3
    # what takes cells for background learns in all its layers, if there are cells enough to say so
    taught = chosen(40, CellsFound(200, 0.5))
    assert (taught.epochs * 5, taught.frozen_layers, taught.frozen_norms) == (225, 0, False)
    assert chosen(200, CellsFound(900, 0.5)).epochs * 25 == 450
    assert chosen(40, CellsFound(29, 0.5)).frozen_layers == small.frozen_layers == 5
