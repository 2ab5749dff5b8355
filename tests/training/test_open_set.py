"""A class is only as probable as it is that the cell is of any class that was taught."""

from __future__ import annotations

import numpy as np
import pytest

from annotation_store.records import UNKNOWN_BELOW
from training.evaluation.open_set import given_taught, mix_with_uniform, probability_taught

TAUGHT = np.array([True, False, True, True])
SAID = np.array([[0.9, 0.0, 0.07, 0.03], [0.002, 0.0, 0.001, 0.997], [0.4, 0.0, 0.35, 0.25]])


def test_a_cell_that_stands_out_is_not_sure_and_a_typical_one_stays_as_sure_as_it_was() -> None:
    p = np.linspace(0, 1, 1001)
    taught = probability_taught(p)
    assert (np.diff(taught) >= 0).all()
    assert taught[p < 0.29].max() < 0.95
    assert (taught[p >= 0.3] == 1).all()
    assert 0.8 < taught[p >= UNKNOWN_BELOW][0] < 0.9


@pytest.mark.parametrize("novelty", [0.0, 0.004, 0.05, 0.2, 0.9])
def test_the_order_stays_and_what_is_said_among_the_taught_is_found_again(novelty: float) -> None:
    stated = mix_with_uniform(SAID, TAUGHT, probability_taught(np.full(3, novelty)))
    np.testing.assert_allclose(stated.sum(1), 1)
    assert not stated[:, ~TAUGHT].any()
    assert (stated.argsort(1) == SAID.argsort(1)).all()
    assert stated.max(1)[1] == pytest.approx(
        max(float(probability_taught(np.array(novelty))), 0.35), abs=0.04
    )
    for row, was in zip(stated, SAID, strict=True):
        told = dict(zip("acd", row[TAUGHT].tolist(), strict=True))
        assert list(given_taught(told, novelty).values()) == pytest.approx(was[TAUGHT].tolist(), abs=1e-9)


def test_without_a_p_value_probabilities_are_those_of_the_taught_classes() -> None:
    told = {"a": 0.9, "b": 0.1}
    assert given_taught(told, None) == told
    assert given_taught({}, 0.1) == {}
    assert given_taught({"a": 1.0}, 0.1) == {"a": 1.0}
