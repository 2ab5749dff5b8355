"""The demonstration's reviewer counts what it decided."""

from __future__ import annotations

from annotation_store.records import RejectionReason
from napari_lld.demo.reviewer import count
from training.simulate import Action, Verdict


def test_verdicts_are_counted_by_what_became_of_the_suggestion() -> None:
    duplicate = Verdict(Action.REJECT, RejectionReason.DUPLICATE)
    effort = count([Verdict(Action.ACCEPT), Verdict(Action.ACCEPT), duplicate, Verdict(Action.CORRECT)])
    assert (effort.accepted, effort.corrected, effort.duplicate, effort.total) == (2, 1, 1, 4)
    assert effort.unchanged == 0.5
