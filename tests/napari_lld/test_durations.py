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
