"""Split the fields of a training into training and test fields; no torch."""

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
    """The split of a training.

    Attributes
    ----------
    held
        The units that are held out.
    lost
        Number of units held out by the last model that no longer exist.
    training, testing
        The training fields, and those on which the model is evaluated.
    others
        Fields without annotations, for pseudo-labels.
    """

    held: frozenset[str]
    lost: int
    training: list[AnnotatedField]
    testing: list[AnnotatedField]
    others: list[AnnotatedField]


def roles(
    project: Project, request: TrainRequest, known: Sequence[AnnotatedField], lineage: Lineage
) -> Roles:
    """Split the fields of a training.

    Parameters
    ----------
    lineage
        Lineage of the initial model.
    """
    before, lost = held_before(project, known)
    if request.held_out is not None:
        requested = set(request.held_out)
        held = {item.patient for item in known if item.field.id in requested}
    else:
        classes: dict[str, list[str | None]] = defaultdict(list)
        for item in known:
            classes[item.patient] += [cell.cell_class for cell in item.cells_in_regions()]
        learnt = {item.patient for item in known if lineage.saw(item.field, item.cells)}
        held = held_out(classes, request.holdout, already=before, learnt=learnt)
    training = [k for k in known if k.teaches and k.patient not in held]
    testing = [k for k in known if k.finished and k.patient in held]
    others = unannotated(known, held, most=len(training), seed=request.seed)
    return Roles(frozenset(held), lost, training, testing, others)
