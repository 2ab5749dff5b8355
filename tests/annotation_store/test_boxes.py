"""How far boxes overlap, one by one and all at once."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from annotation_store.geometry import iou, iou_matrix
from annotation_store.records import Box

coordinates = st.integers(0, 40).map(float)
sides = st.integers(0, 30).map(float)
boxes = st.tuples(coordinates, coordinates, sides, sides)


def test_a_case_worked_out_by_hand() -> None:
    # 10 × 10 and 10 × 10, shifted by 5 and 2: 5 × 8 in common, 160 in all
    assert iou((0, 0, 10, 10), (5, 2, 10, 10)) == pytest.approx(40 / 160)
    assert iou((0, 0, 10, 10), (10, 0, 10, 10)) == 0
    assert iou((0, 0, 10, 10), (0, 0, 10, 10)) == 1


@given(st.lists(boxes, max_size=5), st.lists(boxes, max_size=5))
def test_one_by_one_and_all_at_once_are_the_same_and_what_geometry_says(a: list[Box], b: list[Box]) -> None:
    both = iou_matrix(a, b)
    assert both.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            first, second = (shapely.box(x, y, x + w, y + h) for x, y, w, h in (one, other))
            union = first.union(second).area
            expected = first.intersection(second).area / union if union else 0.0
            assert both[i, j] == pytest.approx(expected)
            assert iou(one, other) == pytest.approx(expected)


def test_what_has_no_area_overlaps_nothing_and_says_so_without_a_warning() -> None:
    with np.errstate(all="raise"):
        assert iou_matrix([(1, 1, 0, 0)], [(1, 1, 0, 0), (0, 0, 5, 5)]).tolist() == [[0, 0]]
    assert iou((1, 1, 0, 0), (1, 1, 0, 0)) == 0
    assert iou_matrix([], [(0, 0, 5, 5)]).shape == (0, 1)
