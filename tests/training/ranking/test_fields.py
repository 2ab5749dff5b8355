"""The order of the fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_store.records import Proposal
from training.ranking import diversity
from training.ranking.acquisition import Labels, rarity
from training.ranking.cost import CostModel
from training.ranking.diversity import k_center, normalise
from training.ranking.explanations import Words
from training.ranking.fields import CANDIDATE_FACTOR, RANDOM_SHARE, FieldView, rank_fields, sample_random

SURE = Proposal((0, 0, 9, 9), 0.9, {"A": 1.0, "B": 0.0})
TORN = Proposal((0, 0, 9, 9), 0.9, {"A": 0.5, "B": 0.5})


def view(number: int, *candidates: Proposal, unknown: float = 1.0, touched: bool = False) -> FieldView:
    rng = np.random.default_rng(number)
    return FieldView(number, f"hash{number}", unknown, candidates, rng.normal(size=8), touched)


def test_the_score_is_information_a_second() -> None:
    (one,) = rank_fields([view(1, TORN, SURE)])
    seconds = CostModel().area([TORN, SURE], 1.0, 0)
    assert one.seconds == pytest.approx(seconds)
    assert one.score == pytest.approx(1.0 / seconds)
    assert one.reasons == ("2 likely cells, 1 of them between A and B",)


def test_what_is_in_doubt_comes_before_what_is_clear_and_finished_fields_not_at_all() -> None:
    ranked = rank_fields([view(1, SURE), view(2, TORN), view(3, TORN, unknown=0.0), view(4)])
    assert ranked[0].field_id == 2
    assert {one.field_id for one in ranked} == {1, 2, 4}


def test_a_rare_class_that_is_likely_adds_to_the_score_and_is_named() -> None:
    rare = rarity(["A"] * 19 + ["B"], {"A": ("A",), "B": ("B",), "either": ("A", "B")})
    assert rare == {"A": 0.0, "B": pytest.approx(0.9)}
    plain = Proposal((0, 0, 9, 9), 0.9, {"A": 0.7, "B": 0.3})
    with_bonus, without = (
        rank_fields([view(1, plain)], words=words)[0] for words in (Words(labels=Labels(rare)), Words())
    )
    assert (with_bonus.score - without.score) * without.seconds == pytest.approx(0.5 * 0.3 * 0.9)
    assert with_bonus.reasons[-1] == "a rare class is likely: B"


def test_among_the_best_those_that_differ_come_first() -> None:
    # twenty alike and one that is not: it is second, though its score is the lowest
    alike = [FieldView(i, f"h{i}", 1.0, (TORN,) * 5, np.array([1.0, 0.0])) for i in range(1, 21)]
    other = FieldView(99, "h99", 1.0, (TORN,), np.array([0.0, 1.0]))
    assert [one.field_id for one in rank_fields([*alike, other], budget=6)][:2] == [1, 99]
    # where one like it is annotated already, it is not
    known = FieldView(100, "h100", 0.0, (), np.array([0.0, 1.0]), touched=True)
    first = [one.field_id for one in rank_fields([*alike, other, known], budget=2)]
    assert first[:2] == [1, 2]


def test_random_fields_take_every_seventh_place() -> None:
    views = [view(i, TORN) for i in range(1, 41)]
    drawn = sample_random(views, ())
    assert len(drawn) == round(RANDOM_SHARE * 40)
    ranked = rank_fields(views, random_sample=drawn)
    assert {one.field_id for one in ranked if one.drawn} == set(drawn)
    assert [i for i, one in enumerate(ranked) if one.drawn] == [3, 10, 17, 24, 31, 38]
    assert all("at random" in one.reasons[0] for one in ranked if one.drawn)


def test_what_was_drawn_stays_drawn_and_nothing_touched_is_drawn() -> None:
    views = [view(i, touched=i % 2 == 0) for i in range(1, 41)]
    first = sample_random(views, ())
    assert all(i % 2 for i in first)
    assert sample_random(views, first) == []
    more = [*views, *(view(i) for i in range(41, 81))]
    assert len({*first, *sample_random(more, first)}) == round(RANDOM_SHARE * 80)
    assert sample_random(views, (), seed=1) != first


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_order_of_the_fields_changes_nothing(data: st.DataObject) -> None:
    candidates = st.lists(st.sampled_from([SURE, TORN]), max_size=3)
    n = data.draw(st.integers(0, 30))
    views = [
        FieldView(
            i,
            f"h{i}",
            data.draw(st.sampled_from([0.0, 0.5, 1.0])),
            tuple(data.draw(candidates)),
            np.array(data.draw(st.sampled_from([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7]]))),
            data.draw(st.booleans()),
        )
        for i in range(1, n + 1)
    ]
    shuffled = data.draw(st.permutations(views))
    drawn = sample_random(views, ())
    assert sorted(sample_random(shuffled, ())) == sorted(drawn)
    first = rank_fields(views, random_sample=drawn, budget=4)
    assert rank_fields(shuffled, random_sample=drawn, budget=4) == first
    assert sorted(one.field_id for one in first) == [v.id for v in views if v.unknown > 0]


def test_choosing_different_fields_is_linear_in_candidates_and_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = []
    original = diversity._distances
    monkeypatch.setattr(diversity, "_distances", lambda v, one: rows.append(len(v)) or original(v, one))
    views = [view(i, *([TORN] * (i % 7))) for i in range(1, 1001)]
    rank_fields([v for v in views if v.candidates], budget=10)
    # the best 40, with those that score the same, against ten chosen: never field against field
    assert sum(rows) <= 10 * 250
    assert len(rows) < 10 + 1
    assert CANDIDATE_FACTOR * 10 == 40


def test_k_center_takes_the_farthest_and_copes_with_what_nobody_looked_at() -> None:
    line = np.array([[0.0], [1.0], [5.0], [9.0], [4.0]])
    assert k_center(line, 3) == [0, 3, 2]  # 5 and 4 are equally far: the better one
    assert k_center(line, 2, known=np.array([[9.0]])) == [0, 2]
    assert k_center(line, 0) == []
    assert len(k_center(np.full((3, 1), np.nan), 5)) == 3
    mixed = normalise([np.array([1.0, 0.0]), None, np.array([0.0, 2.0]), np.array([1.0, 1.0, 1.0])])
    assert np.isnan(mixed).all(1).tolist() == [False, True, False, True]
    assert sorted(k_center(mixed, 4)) == [0, 1, 2, 3]
