"""Whether a start finds the cells of the regions decides how it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotation_store.records import Proposal
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.inference import measure

CELLS = tuple(TrueCell((40.0 * i, 10, 20, 20), "A") for i in range(4))
TRUTH = FieldTruth("f", 200, 60, CELLS)


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([cell.box for cell in CELLS], 1.0),
        ([cell.box for cell in CELLS[:2]], 2 / 3),
        ([*(cell.box for cell in CELLS), *((40.0 * i + 20, 40, 15, 15) for i in range(4))], 2 / 3),
        ([], 0.0),
    ],
)
def test_finding_is_judged_whatever_the_class(
    boxes: list[Any], expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposals = [Proposal(box, 0.9, {"B": 1.0}) for box in boxes] + [Proposal((0, 40, 9, 9), 0.2)]
    monkeypatch.setattr(measure, "calibrated", lambda _model, _raw, **_options: proposals)

    class Model:
        class vocabulary:  # noqa: N801
            classes: tuple[str, ...] = ("A", "B")
            groups: dict[str, tuple[str, ...]] = {}  # noqa: RUF012

    model: Any = Model()
    raw: Any = None
    assert np.isclose(measure.detection_f1(model, [TRUTH], [raw]), expected)
    assert measure.detection_f1(model, [FieldTruth("empty", 200, 60, ())], [raw]) == 1.0
