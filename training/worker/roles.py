"""Which fields teach and which are held out to measure; no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.evaluation.patient_split import held_out
from training.models.lineage import Lineage
from training.protocol import TrainRequest
from training.worker.annotated_fields import AnnotatedField, held_before, unannotated

if TYPE_CHECKING:
    from annotation_store.project import Project


@dataclass(frozen=True)
class Roles:
    """What each field is to a training.

    Attributes
    ----------
    held
        The units that are held out.
    lost
        How many that the last model held out are no longer here.
    training, testing
        The fields that teach, and those on which the model is measured.
    others
        Fields without annotations on which it trains too.
    """

    held: frozenset[str]
    lost: int
    training: list[AnnotatedField]
    testing: list[AnnotatedField]
    others: list[AnnotatedField]


def roles(
    project: Project, request: TrainRequest, known: Sequence[AnnotatedField], lineage: Lineage
) -> Roles:
    """Choose what each field is to a training.

    Parameters
    ----------
    lineage
        Of the model that it begins with.
    """
    before, lost = held_before(project, known)
    if request.held_out is not None:
        asked = set(request.held_out)
        held = {one.patient for one in known if one.field.id in asked}
    else:
        classes: dict[str, list[str | None]] = defaultdict(list)
        for one in known:
            classes[one.patient] += [cell.cell_class for cell in one.cells_in_regions()]
        learnt = {one.patient for one in known if lineage.saw(one.field, one.cells)}
        held = held_out(classes, request.holdout, already=before, learnt=learnt)
    training = [k for k in known if k.teaches and k.patient not in held]
    testing = [k for k in known if k.finished and k.patient in held]
    others = unannotated(known, held, most=len(training), seed=request.seed)
    return Roles(frozenset(held), lost, training, testing, others)
