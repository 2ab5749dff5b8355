"""Splits: patients whole, domains together, the same every time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store.errors import FormatError
from annotation_store.records import Field
from annotation_store.splits import split_fields

words = st.sampled_from(["", "1", "2", "3", "4", "anna", "b/c"])
shares = st.sampled_from(
    [{"train": 0.8, "val": 0.2}, {"train": 0.6, "val": 0.2, "test": 0.2}, {"train": 1.0}]
)


@st.composite
def many(draw: st.DrawFn) -> list[Field]:
    fields = []
    for number in range(draw(st.integers(0, 40))):
        name = draw(
            st.sampled_from([f"{number}.png", "H_100x_C1/1_1_1000_ALL.png", "L_40x_C2/1_1_1000_ALL.png"])
        )
        patient, slide, domain = draw(words) or None, draw(words) or None, draw(words) or None
        fields.append(
            Field(number + 1, f"{number}_{name}" if patient else name, 10, 10, "", "", patient, slide, domain)
        )
    return fields


@given(many(), shares, st.integers(0, 5))
def test_no_patient_is_cut_in_two_and_no_domain_put_apart(
    fields: list[Field], fractions: dict[str, float], seed: int
) -> None:
    parts = split_fields(fields, fractions, seed=seed)
    assert set(parts) == {field.id for field in fields}
    assert set(parts.values()) <= set(fractions)
    for key in ("patient", "name"):
        alike: dict[str, set[str]] = {}
        for field in fields:
            if key == "name" and (field.patient or field.slide):
                continue
            value = (field.name.rsplit("/", 1)[-1] if key == "name" else field.patient) or ""
            if value:
                alike.setdefault(value, set()).add(parts[field.id])
        assert all(len(found) == 1 for found in alike.values()), key


@given(many(), shares, st.integers(0, 5), st.randoms())
def test_a_split_depends_on_the_fields_and_the_seed_alone(
    fields: list[Field], fractions: dict[str, float], seed: int, random: object
) -> None:
    shuffled = list(fields)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_fields(fields, fractions, seed=seed) == split_fields(shuffled, fractions, seed=seed)


def test_shares_are_met_and_no_part_is_empty() -> None:
    fields = [Field(n, f"{n}.png", 10, 10, "", "", patient=str(n // 4)) for n in range(400)]
    parts = list(split_fields(fields, {"train": 0.7, "val": 0.2, "test": 0.1}).values())
    assert (parts.count("train"), parts.count("val"), parts.count("test")) == (280, 80, 40)
    two = [Field(1, "1.png", 10, 10, "", "", patient="a"), Field(2, "2.png", 10, 10, "", "", patient="b")]
    assert set(split_fields(two, {"train": 0.95, "val": 0.05}).values()) == {"train", "val"}


def test_a_slide_of_one_patient_stays_with_the_patient() -> None:
    fields = [
        Field(1, "1.png", 10, 10, "", "", patient="a", slide="s"),
        Field(2, "2.png", 10, 10, "", "", patient="b", slide="t"),
        Field(3, "3.png", 10, 10, "", "", slide="s"),
    ]
    for seed in range(20):
        parts = split_fields(fields, {"train": 0.5, "val": 0.5}, seed=seed)
        assert parts[1] == parts[3]


@pytest.mark.parametrize("fractions", [{"train": 0.5}, {"train": 1.5, "val": -0.5}, {"train": float("nan")}])
def test_shares_that_cannot_be_are_refused(fractions: dict[str, float]) -> None:
    with pytest.raises(FormatError, match="add up to 1"):
        split_fields([], fractions)
