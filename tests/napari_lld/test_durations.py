"""A duration is written the same everywhere."""

from __future__ import annotations

import math

import pytest

from napari_lld.i18n.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (5399, "1 h 30 min"),
        (7500, "2 h 05 min"),
        (math.nan, "–"),
        (-1, "–"),
    ],
)
def test_seconds_then_minutes_then_hours(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_work_is_told_in_minutes_from_the_first() -> None:
    told = [duration(seconds, in_minutes=True) for seconds in (0, 59, 3720, 7500)]
    assert told == ["0 min", "1 min", "62 min", "2 h 05 min"]
