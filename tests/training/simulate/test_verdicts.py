"""A reviewer who knows the truth decides by rule, and sees only the truth of the suggestion before it."""

from __future__ import annotations

from annotation_store.records import Proposal, RejectionReason
from training.evaluation.ground_truth import TrueCell
from training.simulate import Action, Verdict, judge

BOX = (10.0, 10.0, 20.0, 20.0)


def proposal(box=BOX, cell_class: str | None = "Monocyte", **attributes: str) -> Proposal:
    classes = {cell_class: 0.9, "Basophil": 0.1} if cell_class else {}
    return Proposal(box, 0.8, classes, {name: {value: 0.7, "x": 0.3} for name, value in attributes.items()})


def test_a_suggestion_that_agrees_is_accepted_and_missing_truth_agrees() -> None:
    truth = [TrueCell(BOX, "Monocyte", {"cell_size": "large"})]
    assert judge([proposal(cell_size="large", nucleolus="prominent")], truth, []) == [
        Verdict(Action.ACCEPT, cell=0)
    ]


def test_a_wrong_class_or_value_is_corrected_to_the_true_ones() -> None:
    truth = [TrueCell(BOX, "Basophil", {"cell_size": "large"})]
    (verdict,) = judge([proposal(cell_size="large", nucleolus="prominent")], truth, [])
    assert verdict.action is Action.CORRECT
    assert verdict.cell_class == "Basophil"
    assert verdict.attributes == {"cell_size": "large", "nucleolus": None}
    truth = [TrueCell(BOX, "Monocyte", {"cell_size": "large"})]
    (verdict,) = judge([proposal(cell_size="small")], truth, [])
    assert (verdict.action, verdict.attributes) == (Action.CORRECT, {"cell_size": "large"})


def test_where_the_truth_knows_no_class_the_guess_is_not_taken() -> None:
    (verdict,) = judge([proposal(cell_size="large")], [TrueCell(BOX)], [])
    assert (verdict.action, verdict.cell_class) == (Action.CORRECT, None)
    assert verdict.attributes == {"cell_size": None}
    assert judge([proposal(cell_class=None)], [TrueCell(BOX)], []) == [Verdict(Action.ACCEPT, cell=0)]


def test_a_class_group_in_the_truth_agrees_with_its_members() -> None:
    truth = [TrueCell(BOX, "blast")]
    members = {"blast": ("Monoblast", "Myeloblast")}
    assert (
        judge([proposal(cell_class="Monoblast")], truth, [], members.__getitem__)[0].action is Action.ACCEPT
    )
    assert judge([proposal()], truth, [], members.__getitem__)[0].action is Action.CORRECT


def test_what_shows_no_cell_a_known_cell_or_half_a_cell_is_rejected_with_its_reason() -> None:
    truth = [TrueCell(BOX, "Monocyte"), TrueCell((100, 100, 20, 20), "Monocyte")]
    nearly = (100.0, 100.0, 20.0, 8.0)
    verdicts = judge([proposal(), proposal((300, 300, 20, 20)), proposal(nearly)], truth, [BOX])
    assert [verdict.reason for verdict in verdicts] == [
        RejectionReason.DUPLICATE,
        RejectionReason.NOT_A_CELL,
        RejectionReason.BAD_BOX,
    ]


def test_the_second_suggestion_on_a_cell_is_a_duplicate_and_the_next_cell_is_not() -> None:
    truth = [TrueCell(BOX, "Monocyte"), TrueCell((14, 10, 20, 20), "Monocyte")]
    first, second, third = judge([proposal(), proposal((14, 10, 20, 20)), proposal()], truth, [])
    assert first.action is second.action is Action.ACCEPT
    assert third.reason is RejectionReason.DUPLICATE


def test_the_parts_to_put_right_are_named_apart_from_those_that_nothing_is_said_of() -> None:
    truth = [TrueCell(BOX, "Monocyte", {"cell_size": "large", "nucleolus": "prominent"})]
    (verdict,) = judge([proposal((10, 10, 20, 13), "Basophil", cell_size="small")], truth, [], good_box=0.7)
    assert (verdict.wrong, verdict.unsaid) == (("box", "class", "cell_size"), ("nucleolus",))
    assert (verdict.box, verdict.cell) == (BOX, 0)
    (verdict,) = judge([proposal((10, 10, 20, 13), None, cell_size="large")], truth, [])
    assert (verdict.wrong, verdict.unsaid, verdict.box) == ((), ("class", "nucleolus"), None)
