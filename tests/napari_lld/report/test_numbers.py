"""How numbers are written: with their n, never surer than they are; from cards that may hold anything."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_store.records import Model, Reading
from annotation_store.schema import load_schema
from napari_lld.report.card import card_rows
from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.measured import (
    attribute_tables,
    class_rows,
    confusions,
    domain_scores,
    measurements,
    reliabilities,
)
from napari_lld.report.numbers import CardPart, Estimate, format_estimate, percent, share, spread
from napari_lld.report.rounds import curves, rounds
from napari_lld.report.svg import Point, Series, over_rounds, reliability, several_over_rounds
from napari_lld.report.words import Words, counted, listed

SCHEMA = load_schema("lld")
WORDS = Words(SCHEMA, {}, {})


@pytest.mark.parametrize(
    ("one", "as_share", "text"),
    [
        (share(3, 7), True, "3 of 7"),
        (share(9, 10), True, "90 % (59–99)†"),
        (share(0, 0), True, "–"),
        (share(1999, 2000), True, "over 99 % (99–100)†"),
        (Estimate(0.913, 98, 0.85, 0.962), False, "0.91 (0.85–0.96)"),
        (Estimate(0.913, 98), False, "0.91"),
        (Estimate(0.9, 9, 0.8, 1.0), False, "too few"),
        (Estimate(None, 98), False, "–"),
    ],
)
def test_a_number_is_written_with_as_much_as_its_n_bears(one: Estimate, as_share: bool, text: str) -> None:
    assert format_estimate(one, as_share=as_share) == text


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=60, deadline=None)
def test_a_share_is_never_written_as_all_or_nothing_where_it_is_not(counts: tuple[int, int]) -> None:
    hits, n = counts
    assert (percent(hits / n) == "100") == (hits == n)
    assert (percent(hits / n) == "0") == (hits == 0)
    assert not re.search(r"\d %", format_estimate(share(hits, n), as_share=True)) or n >= 10


def test_where_all_are_right_the_bootstrap_is_not_believed() -> None:
    row = CardPart({"recall": 1.0, "f1": 1.0})
    between = CardPart({"recall": [1.0, 1.0], "f1": [1.0, 1.0], "precision": [0.8, 0.9]})
    assert format_estimate(row.share("recall", 41, between), as_share=True) == "100 % (91–100)†"
    assert format_estimate(row.estimate("f1", 41, between)) == "1.00"
    assert spread(between, "precision") == (0.8, 0.9)
    assert row.share("precision", 41, between) == Estimate(None, 41)


def test_a_mark_says_what_it_means() -> None:
    assert [mark.word for mark in Mark] == ["held-out", "random reserve", "trained-on", "counted"]
    assert all(mark.__html__().startswith("<span") and mark.meaning.endswith(".") for mark in Mark)


def test_words_of_the_schema_and_of_what_it_no_longer_has() -> None:
    assert WORDS.attribute("cell_size") == "Cell size"
    assert WORDS.attribute("gone_for_good") == "gone for good"
    assert WORDS.cell_class(None) == "no class"
    assert WORDS.cell_class("blast") != "blast"
    assert WORDS.value("cell_size", "gone") == "gone"
    assert listed(["a", "b", "c", "d"], 3) == "a, b and 2 more"
    assert (listed(["a"]), listed([])) == ("a", "none")
    assert (counted(1, "cell"), counted(1200, "cell")) == ("1 cell", "1,200 cells")


def test_diagrams_of_nothing_are_nothing_and_of_one_point_are_one_point() -> None:
    assert over_rounds([], "t") == over_rounds([Point("a", "b", None)], "t") == ""
    assert reliability([], "t") == reliability([(0.5, 0, 0)], "t") == ""
    assert over_rounds([Point("<b>", "n", 0.5)], "<i>").count("<circle") == 1
    assert "<b>" not in over_rounds([Point("<b>", "n", 0.5)], "<i>")


def test_a_diagram_of_several_numbers_names_them_apart_and_leaves_out_what_was_not_measured() -> None:
    series = [Series("<b>", [0.5, None, 0.61], "#000"), Series("b", [None, 0.6, 0.6], "#111", "square")]
    drawn = several_over_rounds([*series, Series("c", [None] * 3, "#222")], ["1", "2", "3"], "<i>")
    names = re.findall(r'y="([\d.]+)" style="fill:#\d+" class="name">([^<]+)<', drawn)
    assert sorted(name for _, name in names) == ["&lt;b&gt; 0.61", "b 0.60"]
    assert abs(float(names[0][0]) - float(names[1][0])) > 16.9
    assert (drawn.count("<circle"), drawn.count("<rect")) == (2, 2)
    assert several_over_rounds(series, ["1"], "t") == several_over_rounds([], ["1", "2"], "t") == ""


# --- cards that may hold anything --------------------------------------------------------------------

_JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.sampled_from(["", "x", "<b>", "nan"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["n", "f1", "Neutrophil", "curve", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_ROW = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("n", "f1", "ap50", "truths", "recall", "intervals", "values", "curve", "before", "after"), _JUNK
    ),
)
_NUMBERS = st.fixed_dictionaries(
    {"cells": st.integers(1, 99) | _JUNK},
    optional={
        "recall": _JUNK,
        "proposals": _JUNK,
        "precision": _JUNK,
        "intervals": _JUNK,
        "threshold": _JUNK,
        "classes": st.dictionaries(st.sampled_from(["Neutrophil", "gone"]), _ROW | _JUNK, max_size=2) | _JUNK,
        "attributes": st.dictionaries(st.sampled_from(["cell_size", "gone"]), _ROW | _JUNK) | _JUNK,
        "calibration": st.fixed_dictionaries(
            {}, optional={"cells": _ROW, "class": _ROW, "attributes": _JUNK}
        ),
        "confusion": st.fixed_dictionaries(
            {
                "class": st.fixed_dictionaries(
                    {
                        "truth": st.lists(_JUNK, max_size=3) | _JUNK,
                        "said": st.lists(_JUNK, max_size=3) | _JUNK,
                        "counts": st.lists(st.lists(_JUNK, max_size=3) | _JUNK, max_size=3) | _JUNK,
                    }
                ),
                "attributes": _JUNK,
            }
        ),
        "domains": st.dictionaries(st.sampled_from(["", "H"]), _ROW | _JUNK) | _JUNK,
    },
)
_CARDS = st.fixed_dictionaries(
    {},
    optional={
        "metrics": st.fixed_dictionaries(
            {"held_out": _NUMBERS | _JUNK},
            optional={
                "trained_on": _NUMBERS | _JUNK,
                "random_reserve": _JUNK,
                "difference": _JUNK,
                "note": _JUNK,
            },
        )
        | _JUNK,
        **dict.fromkeys(
            ("learnt_from", "held_out", "why_not_active", "versions", "taught", "config", "seed"), _JUNK
        ),
    },
)


@given(_CARDS)
@settings(max_examples=150, deadline=None)
def test_no_card_whatever_it_holds_breaks_the_report(card: Any) -> None:
    model = Model(
        1, "starter", datetime(2026, 1, 1, tzinfo=UTC), True, card if isinstance(card, dict) else {}
    )
    facts = ReportFacts(
        SCHEMA, Reading(1, "one", "Ada"), [], [], [model], frozenset(), {}, frozenset(), WORDS, {}
    )
    measured = measurements(facts)
    held, _, trained = measured
    for one in measured:
        for number in (one.found, one.recall, one.precision, one.class_f1, one.attribute_f1):
            assert format_estimate(number)
            assert format_estimate(number, as_share=True)
    class_rows(held, WORDS)
    attribute_tables(held, trained, WORDS)
    for matrix in confusions(held, WORDS):
        assert all(0 <= part <= 1 for _, _, cells in matrix.rows for _, part, _ in cells)
    reliabilities(held, WORDS)
    domain_scores(held, WORDS)
    curves(rounds(facts, {}), {})
    assert all(isinstance(text, str) for text in card_rows(model, WORDS).values())
