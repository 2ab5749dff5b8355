"""No patient is judged by a calibration, or trusted by a confidence, that was fitted on that patient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotation_store.records import Proposal, Shape
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.inference import measure
from training.inference.predict import RawProposals
from training.inference.pseudo_labels import trusted_confidence
from training.models.calibration import Calibration
from training.networks.vocabulary import Vocabulary

SIDE = 20.0


class Model:
    """Stands for a model: what is fitted and judged here are its raw proposals alone."""

    vocabulary = Vocabulary(classes=("A", "B"), groups={}, attributes={})
    calibration = Calibration()


def field(patient: str, cells: int, rights: int, *, inside: Any = None) -> tuple[FieldTruth, RawProposals]:
    """Make a field with `cells` proposals at a score of 0.8, the first `rights` of them on a cell."""
    boxes = np.array([[40.0 * i, 10, SIDE, SIDE] for i in range(cells)])
    truth = FieldTruth(
        patient, 40 * cells, 60, tuple(TrueCell(tuple(b), "A") for b in boxes[:rights]), inside, (), patient
    )
    logits = np.tile([2.0, 0.0], (cells, 1))
    return truth, RawProposals(boxes, np.full(cells, 0.8), [logits])


def confidences(monkeypatch: pytest.MonkeyPatch, fields: list[Any], **options: Any) -> list[float]:
    def calibrated(model: Any, raw: RawProposals, **_options: Any) -> list[Proposal]:
        sure = model.calibration.confidence(raw.scores)
        return [Proposal(tuple(b), float(c)) for b, c in zip(raw.boxes, sure, strict=True)]

    monkeypatch.setattr(measure, "calibrated", calibrated)
    model: Any = Model()
    truths, raws = [t for t, _ in fields], [r for _, r in fields]
    results = measure.cross_validate(model, truths, raws, prior=Calibration(), **options)
    assert model.calibration == Calibration(), "the model keeps its own"
    return [float(result.found.scores[0]) for result in results]


def test_each_patient_is_judged_by_what_the_others_say(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, *right = confidences(monkeypatch, [field("p0", 30, 0), *(field(f"p{i}", 30, 30) for i in (1, 2))])
    assert wrong > 0.95, "the others were always right"
    assert max(right) < 0.7, "half of the others' were"
    one_patient = confidences(monkeypatch, [field("p0", 30, 0), field("p0", 30, 30)])
    assert one_patient == pytest.approx([0.8, 0.8]), "of one patient nothing is left to fit on"


def test_what_a_patient_shows_never_changes_how_it_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [field(f"p{i}", 20, 15) for i in range(1, 8)]
    before = confidences(monkeypatch, [field("p0", 20, 20), *others])
    after = confidences(monkeypatch, [field("p0", 20, 0), *others])
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_confidence_is_fitted_without_the_misses_at_a_regions_border() -> None:
    """Their cells may be centred outside, where nobody boxed any."""
    model: Any = Model()
    # the region ends 2 px beyond the centre of the last box, which finds nothing
    truth, raw = field("p", 20, 19, inside=(Shape.rectangle(0, 0, 40 * 19 + 12, 60),))
    cut = measure.fit_calibration(model, [truth], [raw], note="")
    whole, same = field("p", 19, 19)
    assert cut.confidence(np.array([0.8])) == pytest.approx(
        measure.fit_calibration(model, [whole], [same], note="").confidence(np.array([0.8]))
    )


def said(patient: str, rows: list[tuple[float, bool]]) -> FieldResult:
    box = (0.0, 0.0, 9.0, 9.0)
    pairs = [(TrueCell(box, "A" if right else "B"), Proposal(box, sure, {"A": 1.0})) for sure, right in rows]
    return FieldResult(patient, Ranking(np.zeros(0), np.zeros(0, bool), 0), {}, pairs, [])


def test_a_confidence_that_holds_for_one_patient_only_is_not_trusted() -> None:
    good = [said(f"p{i}", [(0.9, True)] * 10) for i in range(5)]
    assert trusted_confidence(good, {}) == {"A": 0.9}
    # in all 70 of 75 are right from 0.6 on, but of the other patients' 10 of 15
    mixed = [said("p0", [(0.6, True)] * 60)]
    mixed += [said(f"p{i}", [(0.8, True)] * 2 + [(0.7, False)]) for i in range(1, 6)]
    assert trusted_confidence(mixed, {}) == {}
