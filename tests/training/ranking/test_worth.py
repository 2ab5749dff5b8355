"""What labelling a candidate is worth, given the labels so far."""

from __future__ import annotations

import pytest

from annotation_store.records import Cell, Proposal
from annotation_store.schema import load_schema
from training.evaluation.uncertainty import uncertainty
from training.ranking.acquisition import RARE_BONUS, VALUE_BONUS, Labels, acquisition_value, rarity
from training.ranking.explanations import Words

BOX = (0.0, 0.0, 9.0, 9.0)
TORN = Proposal(BOX, 0.9, {"A": 0.5, "B": 0.5}, {"x": {"u": 0.5, "v": 0.5}})


def test_a_group_counts_for_its_classes_in_equal_parts_and_few_labels_make_nothing_rare() -> None:
    members = {"A": ("A",), "B": ("B",), "either": ("A", "B")}
    assert rarity(["either"] * 10, members) == {"A": 0.0, "B": 0.0}
    assert rarity(["A"], members) == {}
    assert rarity([None, "unsure", "A", "A", "A", "A", "gone"], members) == {"A": 0.0, "B": 1.0}


def test_a_rare_value_that_is_likely_adds_half_of_what_a_rare_class_does() -> None:
    assert acquisition_value(TORN, Labels({"A": 1.0})) - uncertainty(TORN) == pytest.approx(RARE_BONUS * 0.5)
    rare = Labels(rare_values={"x": {"u": 0.8, "v": 0.0}, "y": {"w": 1.0}})
    assert acquisition_value(TORN, rare) - uncertainty(TORN) == pytest.approx(VALUE_BONUS * 0.5 * 0.8)
    assert VALUE_BONUS == RARE_BONUS / 2


def test_labels_are_counted_stored_and_read_again() -> None:
    schema = load_schema("lld")
    cells = [Cell(i, 1, 1, BOX, "Lymphocyte", {"cytoplasmic_vacuoles": "absent"}) for i in range(20)]
    some = Labels.of(schema, cells)
    assert some.rare["Monocyte"] == 1.0
    assert some.rare["Lymphocyte"] == 0.0
    assert some.rare_values["cytoplasmic_vacuoles"] == {"absent": 0.0, "prominent": 1.0}
    assert Labels.of(schema, []).rare == {}
    assert Labels.read(some.stored()) == some
    assert Labels.read({"rare": 3, "rare_values": []}) == Labels()


def test_rare_values_are_named() -> None:
    schema = load_schema("lld")
    words = Words(schema, Labels(rare_values={"cytoplasmic_vacuoles": {"prominent": 0.9, "absent": 0.0}}))
    one = Proposal(BOX, 0.9, {}, {"cytoplasmic_vacuoles": {"prominent": 0.4, "absent": 0.6}})
    assert words.candidates([one])[-1] == "a rare value is likely: cytoplasmic vacuoles prominent"
    sure = Proposal(BOX, 0.9, {}, {"cytoplasmic_vacuoles": {"prominent": 0.1, "absent": 0.9}})
    assert "rare" not in words.candidates([sure])[-1]
