"""Attributes that describe the cell, not its class: lines drawn anew in each class."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from training.engine.cell_features import Cells
from training.engine.data import Labels
from training.engine.recipe import fit_heads
from training.engine.within_class import MIN_CELLS_PER_VALUE, fit_shift
from training.evaluation.metrics import beyond_class, macro_f1
from training.models.memory import source_of
from training.models.model import LearnedModel, adapt, new_model, read_model, write_model
from training.networks.describer import Discriminant
from training.networks.vocabulary import Vocabulary

WORDS = Vocabulary(("Lymphocyte", "Monocyte"), {}, {"shape": ("round", "folded")})
SOURCE = source_of("a project")


def shifts(model: LearnedModel) -> torch.Tensor:
    lines = model.describer.lines[1]
    assert isinstance(lines, Discriminant)
    return lines.shift


def cells(features: int, each: int = 60, rare: int = 10, seed: int = 0) -> Cells:
    """Make cells of two classes, one mostly round and one mostly folded; a few of each are the other."""
    rng = np.random.default_rng(seed)
    classes = np.repeat([0, 1], each)
    shape = np.where(np.arange(2 * each) % each < rare, 1 - classes, classes)
    found = rng.normal(0, 1, (2 * each, features))
    found[:, 0] += 8 * classes
    found[:, 1] += 2.5 * shape + 6 * classes  # the class moves it far more than the shape does
    allowed = [np.eye(2, dtype=bool)[classes], np.eye(2, dtype=bool)[shape]]
    units = np.array([str(i % 12) for i in range(2 * each)])
    return Cells(found.astype(np.float32), Labels.single(allowed), units, [(0, i) for i in range(2 * each)])


def test_values_that_are_rare_in_a_class_are_told_there() -> None:
    """By a head that sees mostly the class, as one that was taught all classes at once."""

    def shown(some: Cells) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        classes, shapes = (head.argmax(1) for head in some.labels.allowed)
        return (some.features[:, 1:2] - 4.2) * [[-1.5, 1.5]], classes, shapes

    def told(shift: np.ndarray) -> tuple[float, float]:
        logits, classes, shapes = shown(cells(2, each=400, rare=66, seed=1))
        said = (logits + shift[classes]).argmax(1)
        rows = [("LM"[c], "rf"[s], "rf"[p]) for c, s, p in zip(classes, shapes, said, strict=True)]
        within = beyond_class(rows)["within_class"]
        assert within is not None
        return macro_f1([s for _, s, _ in rows], [p for _, _, p in rows]), within

    nothing = np.zeros((2, 2))
    logits, classes, shapes = shown(cells(2))
    before, after = told(nothing), told(fit_shift(logits, classes, shapes, np.ones(len(logits)), nothing))
    assert before[1] < 0.55
    assert after[1] > 0.65
    assert after[0] >= before[0] - 0.005


def test_a_few_slips_and_classes_of_one_value_move_no_line() -> None:
    logits = np.zeros((40, 2))
    classes = np.repeat([0, 1], 20)
    labels = np.zeros(40, int)
    labels[: MIN_CELLS_PER_VALUE - 1] = 1
    before = np.array([[0.5, -0.5], [0.0, 0.0]])
    assert (fit_shift(logits, classes, labels, np.ones(40), before) == before).all()
    labels[:MIN_CELLS_PER_VALUE] = 1
    moved = fit_shift(logits, classes, labels, np.ones(40), np.zeros((2, 2)))
    assert moved[0, 0] > 0.1 > -0.1 > moved[0, 1], "seventeen of twenty have the first value"
    assert (moved[1] == 0).all()
    assert (fit_shift(logits, np.full(40, -1), labels, np.ones(40), before) == before).all()


def test_a_taught_model_keeps_its_shifts_in_its_files_and_through_other_words(tmp_path: Path) -> None:
    model = adapt(new_model(WORDS), WORDS, SOURCE)
    fit_heads(model, cells(model.describer.features))
    assert shifts(model).abs().max() > 0.1
    write_model(model, tmp_path / "model.safetensors", tmp_path / "model.json")
    again = read_model(tmp_path)
    assert torch.equal(shifts(again), shifts(model))
    turned = dataclasses.replace(
        WORDS,
        classes=("Basophil", *WORDS.classes[::-1]),
        attributes={"size": ("a", "b"), "shape": ("folded", "other", "round")},
    )
    other = adapt(again, turned, source_of("another"))
    lines = other.describer.lines[2]
    assert isinstance(lines, Discriminant)
    assert torch.equal(lines.shift[1:, [2, 0]].flip(0), shifts(model))
    assert not lines.shift[0].any()
    assert not lines.shift[:, 1].any()
    assert torch.equal(lines.shift, lines.shift_before), "what another project taught is leant on"


def test_rounds_on_the_same_cells_do_not_count_them_again() -> None:
    model = adapt(new_model(WORDS), WORDS, SOURCE)
    some = cells(model.describer.features)
    fit_heads(model, some)
    before = shifts(model).clone()
    again = adapt(model, WORDS, SOURCE)
    lines = again.describer.lines[1]
    assert isinstance(lines, Discriminant)
    assert not lines.shift_before.any()
    fit_heads(again, some)
    assert shifts(again) == pytest.approx(before, abs=0.2)


def test_a_model_written_before_there_were_shifts_is_read_and_decides_as_it_did(tmp_path: Path) -> None:
    model = adapt(new_model(WORDS), WORDS, SOURCE)
    some = cells(model.describer.features)
    fit_heads(model, some)
    write_model(model, tmp_path / "model.safetensors", tmp_path / "model.json")
    file = tmp_path / "model.safetensors"
    content = save({n: t for n, t in load(file.read_bytes()).items() if "shift" not in n})
    file.write_bytes(content)
    card = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(card), encoding="utf-8")
    old = read_model(tmp_path)
    assert not shifts(old).any()
    shifts(model).zero_()
    model.round_to_half()
    features = torch.from_numpy(some.features)
    with torch.inference_mode():
        both = zip(
            old.describer.combined_logits(features),
            model.eval().describer.combined_logits(features),
            strict=True,
        )
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in both)
