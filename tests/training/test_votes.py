"""Votes of several readings teach as shares; a cell that three have read weighs as one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from training.engine.cell_features import Cells
from training.engine.data import LabelledCell, Labels, cut_patches, labelled_cells, log_priors, prepare_field
from training.engine.recipe import fit_heads, out_of_fold
from training.models.memory import Memory
from training.models.model import LearnedModel, new_model, read_model, write_model
from training.networks.describer import description_loss
from training.networks.vocabulary import Vocabulary

TWO_TO_ONE = {"small": 2 / 3, "large": 1 / 3}
TIE = {"small": 0.5, "large": 0.5}


def voted(x: float, shares: dict[str, dict[str, float]], **said: str) -> LabelledCell:
    return LabelledCell((x, 20.0, 20.0, 20.0), "Neutrophil", {"size": "small", **said}, shares=shares)


def test_a_cell_of_three_readings_weighs_as_one_and_is_one_box(make_field: Any, words: Vocabulary) -> None:
    shares = {"size": TWO_TO_ONE, "vacuoles": {"many": 1 / 3, "absent": 1 / 3, "some": 1 / 3}}
    alone = LabelledCell((60.0, 20.0, 20.0, 20.0), "Myeloblast", {"size": "large"})
    field = make_field(cells=(voted(10, shares, vacuoles="many"), alone))
    places, labels = labelled_cells([field], words, most=9)
    assert places == [[0, 1]]
    assert labels.cell_ids.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(labels.weights[:3].sum(0), 1)
    np.testing.assert_allclose(labels.weights[3], 1)
    assert [head.argmax(1).tolist() for head in labels.allowed[1:]] == [[0, 1, 0, 1], [2, 0, 1, 0]]
    assert labels.allowed[0].any(1).tolist() == [True, False, False, True], "nobody differs on the class"
    assert len(prepare_field(field, 96).boxes) == 2
    patches = cut_patches([field], words)
    assert len(patches) == len(patches.patches) == 2
    model = new_model(words)
    model.record_training(labels.allowed, labels.weights)
    assert model.taught["class"] == {"Neutrophil": 1.0, "Myeloblast": 1.0}
    assert model.taught["size"] == {"small": 0.667, "large": 1.333}
    counts = np.exp(log_priors(labels.allowed[1], labels.weights[:, 1]))
    np.testing.assert_allclose(counts, np.array([5 / 3, 7 / 3]) / 4, rtol=1e-5)


def test_the_loss_of_a_cell_is_least_where_probabilities_are_the_shares_of_the_votes() -> None:
    allowed, priors = [torch.eye(2, dtype=torch.bool)], [torch.zeros(2)]
    for shares in ((2 / 3, 1 / 3), (0.5, 0.5)):
        logits = torch.tensor([shares, shares]).log().requires_grad_()
        weights = torch.tensor(shares)[:, None]
        loss, _ = description_loss([logits], allowed, priors, balance=0.0, weights=weights)
        loss.backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        np.testing.assert_allclose(logits.grad.sum(0), 0, atol=1e-6)  # both rows are one cell's logits


def looks(words: Vocabulary, features: int, rows: list[tuple[int, dict[str, float]]]) -> Cells:
    """Make 40 cells of each look, half of either class, whose size readings voted on."""
    rng = np.random.default_rng(0)
    centres = np.random.default_rng(1).normal(0, 0.4, (3, features))
    of_look = np.repeat([look for look, _ in rows], 40)
    spread = rng.normal(0, 1, (len(of_look), features))
    allowed: list[list[np.ndarray]] = [[] for _ in words.heads]
    weights, of = [], []
    for cell, look in enumerate(of_look):
        votes = dict(rows)[look]
        for row, (value, share) in enumerate(votes.items()):
            targets = words.targets(words.classes[cell % 2] if row == 0 else None, {"size": value})
            for head, target in zip(allowed, targets, strict=True):
                head.append(target)
            weights.append([float(row == 0), share, float(row == 0)])
            of.append(cell)
    labels = Labels([np.array(head) for head in allowed], np.array(weights, np.float32), np.array(of))
    units = np.array([str(i % 7) for i in range(len(of_look))])
    places = [(i % 7, i // 7) for i in range(len(of_look))]
    return Cells((centres[of_look] + spread).astype(np.float32), labels, units, places)


def small(model: LearnedModel, features: np.ndarray) -> np.ndarray:
    """Give the mean probability of the size "small" for each 40 cells."""
    model.eval()
    with torch.inference_mode():
        logits = model.describer.combined_logits(torch.from_numpy(features))[1]
    return logits.softmax(1)[:, 0].reshape(-1, 40).mean(1).numpy()


def test_a_tie_is_predicted_as_one_half_and_two_votes_of_three_as_two_thirds(words: Vocabulary) -> None:
    model = new_model(words)
    features = model.describer.features
    cells = looks(words, features, [(0, TWO_TO_ONE), (1, {"large": 2 / 3, "small": 1 / 3})])
    fit_heads(model, cells)
    np.testing.assert_allclose(small(model, cells.features), [2 / 3, 1 / 3], atol=0.05)
    assert model.taught["size"] == {"small": 40.0, "large": 40.0}
    said = out_of_fold(model, cells, 1)[1]
    assert said is not None
    assert len(said) == 80, "one prediction for each cell"
    for others in ([], [(0, {"small": 1.0}), (1, {"large": 1.0})]):
        model = new_model(words)
        cells = looks(words, features, [*others, (2, TIE)] if others else [(0, TIE), (1, TIE)])
        fit_heads(model, cells)
        assert small(model, cells.features)[-1] == pytest.approx(0.5, abs=0.02)


def test_the_memory_keeps_shares_and_one_of_a_file_from_before_has_whole_votes(
    words: Vocabulary, tmp_path: Any
) -> None:
    model = new_model(words)
    cells = looks(words, model.describer.features, [(0, TWO_TO_ONE), (1, {"large": 1.0})])
    fit_heads(model, cells)
    assert len(model.memory) == len(cells.labels.cell_ids) == 120, (
        "all rows of a cell are remembered together"
    )
    write_model(model, tmp_path / "m.safetensors", tmp_path / "m.json")
    again = read_model(tmp_path / "m.safetensors").memory
    np.testing.assert_array_equal(again.weights, model.memory.weights)
    assert again.weights[:2, 1].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
    # for what is usual of a class, each cell counts once, with what most say
    assert (again.majority_labels(0) >= 0).sum() == 80
    assert np.bincount(again.majority_labels(1)[again.majority_labels(1) >= 0]).tolist() == [40, 40]
    plain = again.tensors()
    del plain["weights"]
    assert (Memory.from_tensors(plain).weights == 1).all()
    assert "weights" not in Memory.from_tensors(plain).tensors()
    plain["weights"] = torch.full_like(again.tensors()["weights"], 2)
    with pytest.raises(ValueError, match="not fractions"):
        Memory.from_tensors(plain).validated(words, model.describer.features)


def test_shares_move_between_vocabularies_with_their_labels(words: Vocabulary) -> None:
    other = Vocabulary(("Neutrophil",), {}, {"size": ("large", "small")})
    memory = Memory.empty(2, 3).with_cells(
        np.ones((2, 2)),
        np.array([[0, 0, -1], [-1, 1, -1]]),
        5,
        weights=np.array([[1, 0.75, 1], [0, 0.25, 0]]),
        cell_ids=np.zeros(2, int),
    )
    told = memory.translate(words, other)
    assert told.labels.tolist() == [[0, 1], [-1, 0]]
    assert told.weights.tolist() == [[1, 0.75], [0, 0.25]]
    assert told.majority_labels(1).tolist() == [1, -1]
