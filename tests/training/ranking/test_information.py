"""Information of a candidate, against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store.records import Proposal
from training.evaluation.uncertainty import NOTHING_KNOWN, class_entropy, normalised_entropy, uncertainty

BOX = (0.0, 0.0, 10.0, 10.0)

shares = st.dictionaries(
    st.sampled_from("abcdef"), st.floats(allow_nan=True, allow_infinity=True), max_size=6
)


def test_class_and_attributes_weigh_as_the_design_says() -> None:
    one = Proposal(
        BOX, 0.9, {"A": 0.5, "B": 0.5, "C": 0.0}, {"x": {"u": 0.5, "v": 0.5}, "y": {"u": 1.0, "v": 0}}
    )
    # H = ln 2 of at most ln 3; attributes 1 and 0, mean a half
    assert uncertainty(one) == pytest.approx(math.log(2) / math.log(3) + 0.5 * 0.5)


def test_what_the_model_does_not_speak_of_adds_nothing() -> None:
    assert uncertainty(Proposal(BOX, 0.9)) == NOTHING_KNOWN
    assert uncertainty(Proposal(BOX, 0.9, {"A": 1.0})) == 0
    assert uncertainty(Proposal(BOX, 0.9, {}, {"x": {"u": 0.5, "v": 0.5}, "y": {}})) == pytest.approx(0.5)
    assert normalised_entropy({}) is None


def test_doubt_within_a_group_weighs_half() -> None:
    even = {"A": 0.5, "B": 0.5, "C": 0.0, "D": 0.0}
    assert class_entropy(even, [("A", "B")]) == pytest.approx(0.5 * 0.5)
    assert class_entropy(even, [("A", "C")]) == pytest.approx(0.5)
    assert class_entropy(even) == pytest.approx(0.5)


@given(shares, shares, st.floats(0, 1))
def test_any_probabilities_give_a_number_between_0_and_1_5(
    classes: dict[str, float], values: dict[str, float], confidence: float
) -> None:
    u = uncertainty(Proposal(BOX, confidence, classes, {"x": values}), [("a", "b"), ("b", "c")])
    assert 0 <= u <= 1.5 + 1e-9
