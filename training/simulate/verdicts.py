"""Decisions of a reviewer with access to the ground truth on suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import Box, Proposal, RejectionReason
from training.evaluation.ground_truth import TrueCell

BAD_BOX_IOU = 0.3
"""Minimum IoU with a true cell of a suggestion that is rejected for its bad box."""


class Action(StrEnum):
    """Decision on a suggestion."""

    ACCEPT = "accept"
    CORRECT = "correct"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision on one suggestion, with the true values for a correction.

    Attributes
    ----------
    attributes
        For a correction: all attributes in the truth, and ``None`` for predicted ones that are not in it.
    box
        For a correction: the true box, if the suggested one is not good enough.
    cell
        Index of the matched true cell; ``None`` if it is rejected.
    wrong, unsaid
        For a correction: the parts with a wrong prediction (``"box"``, ``"class"``, attributes), and those in
        the truth without a prediction.
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

    A suggestion with an IoU of at least 0.5 with a true cell that is not annotated yet is accepted if its
    class and all attributes in the truth agree (missing ones agree), otherwise corrected to the true values;
    if the true cell has no class, class and attributes are cleared, not taken from the model: a correction.
    If the cell is annotated already, it is rejected as duplicate, with an IoU of 0.3 to 0.5 as bad box, and
    otherwise as not a cell.

    Parameters
    ----------
    proposals
        The suggestions, the most confident first.
    truth
        Every white cell of the field.
    annotated
        Boxes of the cells that are annotated already.
    members
        Returns the classes of a label: a class itself, or the classes of a group.
    good_box
        IoU below which the box is corrected too; at `SAME_CELL` boxes are never corrected.

    Returns
    -------
    list of Verdict
        One for each proposal, in their order.
    """
    boxes = np.array([cell.box for cell in truth])
    matched = np.isin(np.arange(len(truth)), list(annotated_cells(truth, annotated)))
    verdicts = []
    for proposal, overlap in zip(
        proposals, iou_matrix(np.array([p.box for p in proposals]), boxes), strict=True
    ):
        free_overlap = np.where(matched, 0.0, overlap)
        index = int(free_overlap.argmax()) if len(free_overlap) else -1
        if index >= 0 and free_overlap[index] >= SAME_CELL:
            matched[index] = True
            verdicts.append(
                _compare(proposal, truth[index], index, members, float(free_overlap[index]) >= good_box)
            )
        else:
            verdicts.append(Verdict(Action.REJECT, _reason(float(overlap.max(initial=0.0)))))
    return verdicts


def annotated_cells(truth: Sequence[TrueCell], annotated: Sequence[Box]) -> set[int]:
    """Return the indices of true cells that are annotated: for each box, the best match with `SAME_CELL`."""
    if not truth or not annotated:
        return set()
    overlaps = iou_matrix(np.array(annotated), np.array([cell.box for cell in truth]))
    return {int(i) for i in overlaps.argmax(1)[overlaps.max(1) >= SAME_CELL]}


def _reason(overlap: float) -> RejectionReason:
    if overlap >= SAME_CELL:
        return RejectionReason.DUPLICATE
    return RejectionReason.BAD_BOX if overlap >= BAD_BOX_IOU else RejectionReason.NOT_A_CELL


def _compare(
    proposal: Proposal,
    true: TrueCell,
    index: int,
    members: Callable[[str], Sequence[str]],
    good_box: bool,
) -> Verdict:
    predicted = proposal.best_attributes
    wrong = [] if good_box else ["box"]
    missing = []
    if true.cell_class is None:
        wrong += ["class"] if proposal.stated_class is not None else []
        wrong += [name for name in predicted if name not in true.attributes]
    elif proposal.stated_class is None:
        missing.append("class")
    elif proposal.stated_class not in members(true.cell_class):
        wrong.append("class")
    for name, value in true.attributes.items():
        if name not in predicted:
            missing.append(name)
        elif predicted[name] != value:
            wrong.append(name)
    if not wrong and not missing:
        return Verdict(Action.ACCEPT, cell=index)
    values: dict[str, str | None] = dict.fromkeys(predicted)
    return Verdict(
        Action.CORRECT,
        cell_class=true.cell_class,
        attributes=values | dict(true.attributes),
        box=None if good_box else true.box,
        cell=index,
        wrong=tuple(wrong),
        unsaid=tuple(missing),
    )
