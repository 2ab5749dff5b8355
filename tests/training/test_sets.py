"""Sets hold the true value of 95% of the cells of patients to come, and are never empty."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotation_store.records import Box, Proposal
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.prediction_sets import (
    HeadSets,
    Sets,
    conformal_score,
    fit_sets,
    mass_for,
    prediction_set,
)
from training.evaluation.unchecked_films import narrows_nothing, trust_reasons
from training.models.model import CARD, WEIGHTS, ModelError, new_model, read_model, write_model
from training.networks.vocabulary import Vocabulary
from training.worker.models import adapt

BOX: Box = (10.0, 10.0, 20.0, 20.0)
WORDS = "abcd"
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]


def drawn(
    rng: np.random.Generator, patients: int, cells: int, *, apart: float = 0.0, heat: float = 1.0
) -> Drawn:
    """Draw patients, true values and probabilities `(n, 4)`.

    Patients lie `apart` in what their cells seem to be, and probabilities are too sure where `heat` is low.
    """
    of = np.repeat(np.arange(patients), cells)
    true = rng.integers(4, size=len(of))
    z = rng.normal(size=(len(of), 4)) + 2.5 * np.eye(4)[true] + rng.normal(0, apart, (patients, 4))[of]
    z = np.exp(z * 2 / heat)
    return of, true, z / z.sum(1, keepdims=True)


def said(row: np.ndarray) -> Mapping[str, float]:
    return dict(zip(WORDS, row.tolist(), strict=True))


def scores(some: Drawn) -> np.ndarray:
    return np.array([conformal_score(said(row), WORDS[t]) for t, row in zip(some[1], some[2], strict=True)])


@pytest.mark.parametrize(
    ("patients", "cells", "apart", "heat"),
    [(60, 1, 0.0, 1.0), (60, 1, 0.0, 0.1), (5, 10, 0.5, 0.1), (8, 7, 1.0, 0.1), (30, 3, 1.0, 0.1)],
)
def test_sets_hold_the_true_value_of_new_patients(
    patients: int, cells: int, apart: float, heat: float
) -> None:
    rng = np.random.default_rng(0)
    held = of = 0
    for _ in range(100):
        learnt = drawn(rng, patients, cells, apart=apart, heat=heat)
        mass = mass_for(scores(learnt), learnt[0])
        if mass is None:
            continue
        new = drawn(rng, 40, 1, apart=apart, heat=heat)
        held += int((scores(new) < mass).sum())
        of += 40
    assert of >= 2000, "sets are claimed in half of the draws or more"
    assert held / of >= 0.945


def test_too_sure_probabilities_alone_would_hold_fewer() -> None:
    some = drawn(np.random.default_rng(0), 2000, 1, heat=0.1)
    assert (scores(some) < 0.95).mean() < 0.94


def test_a_patient_of_many_cells_weighs_as_much_as_one_of_few() -> None:
    few, many = np.full(60, 0.2), np.full(600, 0.999)
    own = np.array([f"p{i}" for i in range(60)])
    both = np.concatenate((few, many)), np.concatenate((own, ["p0"] * 600))
    assert mass_for(*both) == 0.95, "one patient of 60"
    alone = np.concatenate((own, [f"q{i}" for i in range(600)]))
    assert mass_for(both[0], alone) == pytest.approx(0.999)


def test_patients_that_differ_are_worth_fewer_cells_and_few_claim_nothing() -> None:
    missed = np.array([0.96, 0.97, 0.98, 0.985, 0.99] + [0.0] * 95)
    of_many, of_one = np.arange(100) % 20, np.arange(100) // 5
    assert mass_for(missed, of_many) == pytest.approx(0.97)
    assert mass_for(missed, of_one) == pytest.approx(0.99)
    assert mass_for(missed[:18], np.arange(18)) is None, "95% of 18 cells is all of them"


def test_sets_are_never_empty_and_hold_what_was_taught_only() -> None:
    assert prediction_set({"a": 1.0, "b": 0.0}, 0.95) == ("a",)
    assert prediction_set({"a": 0.5, "b": 0.45, "c": 0.05}, 0.95) == ("a", "b")
    assert prediction_set({"a": 0.2, "b": 0.8}, 2.0) == ("b", "a"), "all, where no mass is enough"
    rng = np.random.default_rng(0)
    for row in rng.dirichlet(np.full(4, 0.1), 200):
        assert prediction_set(said(row), 0.95)[0] == max(said(row), key=said(row).__getitem__)
    assert conformal_score({"a": 0.9, "b": 0.1}, "never taught") == np.inf


def results(cells: int, *, patients: int = 30, wrong: int = 0, **marks: float | bool) -> list[FieldResult]:
    """Give held-out cells, of which some are wrong, a cell a field."""
    nothing = Ranking(np.zeros(0), np.zeros(0, bool), 0)
    found = []
    for i in range(cells):
        said = Proposal(BOX, 0.9, {"M": 0.7, "L": 0.2, "N": 0.1}, {"size": {"small": 0.98, "large": 0.02}})
        cell = TrueCell(BOX, "L" if wrong and i % (cells // wrong) == 1 else "M", {"size": "small"})
        said = replace(said, **marks)  # type: ignore[arg-type]
        ranks = dict.fromkeys("MLN", nothing)
        found.append(FieldResult(f"p{i % patients}", nothing, ranks, [(cell, said)], []))
    return found


def test_fewer_than_fifty_cells_claim_nothing() -> None:
    assert not fit_sets(results(49), ["size"], min_confidence=0.25)
    sets = fit_sets(results(60, wrong=3), ["size", "shape"], min_confidence=0.25)
    assert {name: (one.mass, one.cells, one.patients) for name, one in sets.heads.items()} == {
        "class": (0.95, 60, 30),
        "size": (0.95, 60, 30),
    }
    assert (sets.heads["class"].coverage, sets.heads["class"].size) == (1.0, 3.0)
    assert (sets.heads["size"].coverage, sets.heads["size"].size) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("held_out", "says"),
    [
        ([], "this needs 50 held-out cells"),
        (
            results(45),
            "this needs 50 held-out cells that the model finds and does not call unknown, and there are 45",
        ),
        (results(72, patients=2), "the held-out cells are of 2 patients, and 5 are needed"),
    ],
)
def test_why_there_are_no_sets_is_said_with_the_number_that_lacks(
    held_out: list[FieldResult], says: str
) -> None:
    told = fit_sets(held_out, ["size"], min_confidence=0.25).summary()
    assert told["sets"] is None
    (reason,) = trust_reasons({"unchecked": [], **told})
    assert reason == f"The probabilities are not yet checked on your films: {says}"


def test_patients_that_differ_too_much_for_sets_are_said_to() -> None:
    measured = {"cells": 72, "patients": 6, "of_fields": 0}
    (reason,) = trust_reasons({"unchecked": [], "sets": None, "measured": measured})
    assert reason.endswith(
        "held-out cells of 6 patients are too few, or differ too much from patient to patient"
    )


def test_sets_that_hold_nearly_all_values_are_named() -> None:
    told = fit_sets(results(60, wrong=3), ["size"], min_confidence=0.25).summary()
    (reason,) = trust_reasons({"unchecked": [], **told})
    assert (
        "down hardly anything for the class (on average 3.0 of 3 values): they contain nearly all values"
        in reason
    )
    assert not narrows_nothing({"mass": 0.95, "size": 1.7, "values": 2})
    assert not narrows_nothing({"mass": 0.95, "size": 1.9}), "a model from before"


@pytest.mark.parametrize("marks", [{"novelty": 0.01}, {"unchecked": True}, {"confidence": 0.1}])
def test_what_claims_no_sets_is_not_measured_by(marks: dict[str, float | bool]) -> None:
    assert fit_sets(results(60, **marks), ["size"], min_confidence=0.25).heads == {}


def test_an_unknown_or_unchecked_cell_claims_no_set() -> None:
    sets = Sets({"class": HeadSets(0.95), "size": HeadSets(0.95), "shape": HeadSets(None)})
    one = Proposal(BOX, 0.9, {"M": 0.6, "L": 0.38, "N": 0.02}, {"size": {"a": 0.99, "b": 0.01}})
    assert sets.predict(one) == {"class": ("M", "L"), "size": ("a",)}
    assert sets.predict(replace(one, attribute_probabilities={})) == {"class": ("M", "L")}
    assert sets.predict(replace(one, novelty=0.01)) == {}
    assert sets.predict(replace(one, unchecked=True)) == {}


def test_a_model_keeps_its_sets_and_one_from_before_claims_none(tmp_path: Path) -> None:
    vocabulary = Vocabulary(("M", "L"), {}, {"size": ("a", "b")})
    model = new_model(vocabulary)
    model.sets = Sets(
        {"class": HeadSets(float(np.nextafter(0.97, 2)), 60, 30, 0.96, 1.2), "size": HeadSets()}
    )
    write_model(model, tmp_path / WEIGHTS, tmp_path / CARD)
    assert read_model(tmp_path).sets == model.sets
    assert not adapt(model, vocabulary).sets, "a child is measured anew"
    card = json.loads((tmp_path / CARD).read_text())
    del card["sets"]
    (tmp_path / CARD).write_text(json.dumps(card))
    assert not read_model(tmp_path).sets
    card["sets"] = {"heads": {"class": {"mass": -1.0}}}
    (tmp_path / CARD).write_text(json.dumps(card))
    with pytest.raises(ModelError, match="sets"):
        read_model(tmp_path)
