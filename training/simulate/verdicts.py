"""What a reviewer who knows the truth decides on suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import Box, Proposal, RejectionReason
from training.evaluation.metrics import TrueCell

NEARLY = 0.3
"""Overlap from which it means a cell, but with a bad box."""


class Action(StrEnum):
    """What the reviewer does with a suggestion."""

    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the reviewer decides on one suggestion; for a correction, the true values.

    Attributes
    ----------
    attributes
        Of a correction: each attribute the truth knows, and ``None`` for each that the suggestion guesses
        and the truth does not know.
    box
        Of a correction: the true box, where the suggested one is not good enough.
    cell
        Which of the true cells it shows; ``None`` if it is rejected.
    wrong, unsaid
        Of a correction: the parts that the suggestion has wrong (``"box"``, ``"class"``, attributes), and
        those that the truth knows and it says nothing of.
    """

    action: Action
    reason: RejectionReason | None = None
    cell_class: str | None = None
    attributes: dict[str, str | None] = field(default_factory=dict)
    box: Box | None = None
    cell: int | None = None
    wrong: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()


def judge(
    proposals: Sequence[Proposal],
    truth: Sequence[TrueCell],
    annotated: Sequence[Box],
    members: Callable[[str], Sequence[str]] = lambda name: (name,),
    *,
    good_box: float = SAME_CELL,
) -> list[Verdict]:
    """Decide on the suggestions of one field.

    Each is judged with its own truth alone: with an overlap (IoU) of 0.5 or more with a true cell not
    annotated yet, it is accepted when class and all attributes known in the truth agree (missing in the
    truth is agreement), else corrected to the true values; where the truth has no class at all, class and
    attributes are left missing rather than taken from the model: a correction. A cell annotated already
    makes it a duplicate, an overlap of 0.3 to 0.5 a bad box, and all else not a cell.

    Parameters
    ----------
    proposals
        The suggestions, the most confident first.
    truth
        Every white cell of the field.
    annotated
        Boxes of the cells that are annotated already.
    members
        The classes that a name stands for: a class for itself, a class group for its classes.
    good_box
        Overlap below which the box is put right too; at `SAME_CELL` boxes are never redrawn.

    Returns
    -------
    list of Verdict
        One for each proposal, in their order.
    """
    boxes = np.array([cell.box for cell in truth])
    taken = np.isin(np.arange(len(truth)), list(already(truth, annotated)))
    verdicts = []
    for proposal, overlap in zip(
        proposals, iou_matrix(np.array([p.box for p in proposals]), boxes), strict=True
    ):
        free = np.where(taken, 0.0, overlap)
        place = int(free.argmax()) if len(free) else -1
        if place >= 0 and free[place] >= SAME_CELL:
            taken[place] = True
            verdicts.append(_look(proposal, truth[place], place, members, float(free[place]) >= good_box))
        else:
            verdicts.append(Verdict(Action.REJECT, _reason(float(overlap.max(initial=0.0)))))
    return verdicts


def already(truth: Sequence[TrueCell], annotated: Sequence[Box]) -> set[int]:
    """Return which true cells are annotated: for each box, the one it overlaps most, by `SAME_CELL`."""
    if not truth or not annotated:
        return set()
    overlaps = iou_matrix(np.array(annotated), np.array([cell.box for cell in truth]))
    return {int(i) for i in overlaps.argmax(1)[overlaps.max(1) >= SAME_CELL]}


def _reason(overlap: float) -> RejectionReason:
    if overlap >= SAME_CELL:
        return RejectionReason.DUPLICATE
    return RejectionReason.BAD_BOX if overlap >= NEARLY else RejectionReason.NOT_A_CELL


def _look(
    proposal: Proposal,
    true: TrueCell,
    place: int,
    members: Callable[[str], Sequence[str]],
    good_box: bool,
) -> Verdict:
    guessed = proposal.best_attributes
    wrong = [] if good_box else ["box"]
    unsaid = []
    if true.cell_class is None:
        wrong += ["class"] if proposal.stated_class is not None else []
        wrong += [name for name in guessed if name not in true.attributes]
    elif proposal.stated_class is None:
        unsaid.append("class")
    elif proposal.stated_class not in members(true.cell_class):
        wrong.append("class")
    for name, value in true.attributes.items():
        if name not in guessed:
            unsaid.append(name)
        elif guessed[name] != value:
            wrong.append(name)
    if not wrong and not unsaid:
        return Verdict(Action.ACCEPT, cell=place)
    values: dict[str, str | None] = dict.fromkeys(guessed)
    return Verdict(
        Action.CORRECT,
        cell_class=true.cell_class,
        attributes=values | dict(true.attributes),
        box=None if good_box else true.box,
        cell=place,
        wrong=tuple(wrong),
        unsaid=tuple(unsaid),
    )
