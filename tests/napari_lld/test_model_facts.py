"""What a model's card says of it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from annotation_store.records import Model
from napari_lld.i18n.translate import use_language
from napari_lld.session.model_facts import (
    about,
    bulk_refusal,
    class_refusal,
    comparison,
    model_numbers,
    model_title,
    why_not_active,
)
from napari_lld.session.training_state import TrainingState
from training.evaluation.gate import compare
from training.protocol import Saved
from training.worker.cautions import cautions, why_not_measured

HELD_OUT = {
    "cells": 41,
    "proposals": 40,
    "threshold": 0.5,
    "ap50": 0.912,
    "class_f1": 0.7,
    "attribute_f1": None,
    "precision": 0.9,
    "recall": 0.88,
}


def model(held_out: Any = None, *, active: bool = True, **card: Any) -> Model:
    metrics = {"held_out": held_out, "note": "Not yet measured: measuring begins at 30 cells."}
    return Model(3, "starter", datetime.now(UTC), active, {"metrics": metrics, **card})


def test_a_measured_model_shows_its_held_out_numbers() -> None:
    assert model_title(model(HELD_OUT)) == "Model 3 · active · AP50 0.91"
    assert model_numbers(model(HELD_OUT)) == (
        "On 41 held-out cells: box AP50 0.91, class F1 0.70, precision 90%, recall 88%."
    )


def test_an_unmeasured_model_says_so_and_why() -> None:
    assert model_title(model()) == "Model 3 · active · not yet measured"
    assert model_numbers(model()) == "Not yet measured: measuring begins at 30 cells."
    assert model_numbers(Model(1, "x", datetime.now(UTC), False, {})) == "Not yet measured."


def test_what_the_trainer_wrote_into_a_card_is_said_in_the_window_s_language(german: None) -> None:
    for cells, share, lost in ((10, 0.2, 0), (99, 0.2, 2), (99, 0.0, 0)):
        note = why_not_measured(cells, share, lost)
        told = model_numbers(Model(1, "x", datetime.now(UTC), True, {"metrics": {"note": note}}))
        assert told.startswith("Noch nicht gemessen: ")
        assert not {"the", "cells", "fields"} & set(re.findall(r"\w+", told)), told
    caution = cautions(known=False, lost=3, chosen=True, chosen_before=False)
    told = about(
        Model(1, "x", datetime.now(UTC), True, {"metrics": {"held_out": HELD_OUT, "caution": caution}})
    )
    assert "womöglich mit den zurückgehaltenen Zellen trainiert" in told
    assert not {"the", "decided", "patients"} & set(re.findall(r"\w+", told)), told


def test_a_refused_model_says_why_until_somebody_activates_it() -> None:
    why = "On the held-out cells it is worse."
    refused = model(HELD_OUT, active=False, why_not_active=why)
    assert model_title(refused).endswith("not promoted")
    assert why_not_active(refused) == f"Not promoted: {why}"
    assert why_not_active(model(HELD_OUT, why_not_active=why)) == ""


def measured(**bulk: Any) -> Model:
    known = {
        "least": 0.7,
        "units": 20,
        "of": 300,
        "wrong": 3,
        "classes": {"Eosinophil": [99, 100], "": [8, 10]},
    }
    return Model(
        3, "starter", datetime.now(UTC), True, {"metrics": {"held_out": HELD_OUT, "bulk": known | bulk}}
    )


def test_many_are_accepted_at_once_only_where_it_can_be_promised() -> None:
    assert "starter" in bulk_refusal(None, 0.9)
    assert "not been evaluated" in bulk_refusal(model(), 0.9)
    assert "older version" in bulk_refusal(model(HELD_OUT), 0.9)
    assert bulk_refusal(measured(), 0.7) == ""
    assert "70%" in bulk_refusal(measured(), 0.69)
    assert "of 4 patients" in bulk_refusal(measured(least=None, units=4), 0.9)
    assert "of 4 fields whose" in bulk_refusal(measured(least=None, units=4, of_fields=4), 0.9)
    assert "too few to guarantee" in bulk_refusal(measured(least=None, of=0, wrong=0), 0.9)
    assert "30 of 300" in bulk_refusal(measured(least=None, wrong=30), 0.9)


def test_a_class_must_have_been_seen_and_mostly_right() -> None:
    assert class_refusal(measured(), "Eosinophil", "Eosinophil") == ""
    assert "8 of 10" in class_refusal(measured(), None, "")
    assert "0 of 0" in class_refusal(measured(), "Basophil", "Basophil")


@pytest.mark.parametrize(
    "bulk", [None, [], {"least": 0.1}, {"least": 0, "units": "x", "of": 3, "wrong": 0}, {"units": 9}]
)
def test_a_card_whose_counts_cannot_be_read_earns_nothing(bulk: Any) -> None:
    odd = Model(3, "x", datetime.now(UTC), True, {"metrics": {"held_out": HELD_OUT, "bulk": bulk}})
    assert bulk_refusal(odd, 0.9)
    assert class_refusal(odd, "Basophil", "Basophil")


def test_a_model_that_could_not_be_compared_says_so_in_the_users_language() -> None:
    metrics = {"held_out": HELD_OUT, "difference": compare([], []).stored()}
    unsure = Model(3, "starter", datetime.now(UTC), True, {"metrics": metrics})
    assert "It could not be compared with the previous model" in about(unsure)
    assert about(unsure).endswith(model_numbers(unsure))
    metrics["caution"] = "Two patients are gone."
    assert about(unsure).endswith("Two patients are gone.")
    use_language("de")
    try:
        assert "konnte nicht mit dem Modell davor verglichen werden" in about(unsure)
    finally:
        use_language("en")


@pytest.mark.parametrize("told", [None, 3, [], ["{x}"], ["{a.b}", {"a": 1}], ["{count}", "{count}", {}]])
def test_a_comparison_that_cannot_be_read_says_nothing(told: Any) -> None:
    odd = Model(3, "starter", datetime.now(UTC), True, {"metrics": {"difference": {"told": told}}})
    assert comparison(odd) == ""


@pytest.mark.parametrize(("active", "start"), [(True, "Model 3 saved."), (False, "Model 3 saved, but not")])
def test_the_end_of_a_training_tells_how_its_model_compares(active: bool, start: str) -> None:
    told = compare([], [])
    training = TrainingState()
    training.begin("train")
    training.receive(Saved(model_id=3, active=active, why=f"{told.reason}.", reason=told.stored()["told"]))
    assert training.message.startswith(start)
    assert "could not be compared with the previous model" in training.message
    training.receive(Saved(model_id=4, active=True))
    assert training.message == "Model 4 saved"
