"""Compare a new model with the active one, on held-out cells that neither was trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from annotation_store.project import Project
from training.evaluation.extra_metrics import SUGGESTED
from training.evaluation.gate import Comparison, cannot_judge, compare, units_of
from training.evaluation.matching import FieldResult
from training.evaluation.patient_split import count_fields
from training.evaluation.units import MIN_UNITS, of_units
from training.inference.measure import cross_validate, evaluate
from training.inference.predict import RawProposals
from training.models.calibration import Calibration
from training.models.folder import read_card
from training.models.lineage import Lineage
from training.models.model import LearnedModel, starter_place
from training.reasons import Reason
from training.worker.annotated_fields import AnnotatedField
from training.worker.models import DamagedModelError, resolve


def starter_calibration() -> Calibration:
    """Return the prior of cross-fitting, which, unlike that of later models, was fitted on no project."""
    return Calibration.from_dict(read_card(starter_place())["calibration"])


def why_it_stays(
    project: Project,
    fields: Sequence[AnnotatedField],
    results: Sequence[FieldResult],
    *,
    propose: Callable[[LearnedModel, Sequence[AnnotatedField]], list[RawProposals]],
    device: torch.device,
) -> Reason | None:
    """Return why the active model stays active: the new one finds none of the cells, and it finds some.

    Training cells suffice to detect this, before there are enough held-out cells to compare two models.

    Parameters
    ----------
    fields, results
        Annotated fields, and the results of the new model on them.
    propose
        See `compare_with_active`.

    Returns
    -------
    Reason or None
        ``None`` = nothing keeps the new model from becoming active.
    """
    if not sum(item.found.truths for item in results) or _count_found(results):
        return None
    try:
        reference, _ = resolve(project, "active")
    except DamagedModelError:
        return None
    raw = propose(reference.to(device), fields)
    n_found = _count_found(evaluate(reference, [item.truth() for item in fields[: len(raw)]], raw))
    if not n_found:
        return None
    return Reason(
        "It finds none of the cells that it has learnt from, and the model in use, which stays active, finds "
        "{count}: train longer, or from the starter",
        count=n_found,
    )


def _count_found(results: Sequence[FieldResult]) -> int:
    """Count the cells found with at least the confidence from which suggestions are shown."""
    return sum(int(result.found.hits[result.found.scores >= SUGGESTED].sum()) for result in results)


def compare_with_active(
    project: Project,
    lineage: Lineage,
    testing: Sequence[AnnotatedField],
    new: Sequence[FieldResult],
    *,
    propose: Callable[[LearnedModel, Sequence[AnnotatedField]], list[RawProposals]],
    attributes: Sequence[str],
    device: torch.device,
) -> tuple[Comparison, list[FieldResult]]:
    """Evaluate the active model on cells it was not trained on, and compare the new model with it.

    Parameters
    ----------
    lineage
        Lineage of the initial model of the new one.
    testing, new
        The held-out fields, and the results of the new model on each.
    propose
        Predicts fields with a model; may return only the first of them if time is short.

    Returns
    -------
    tuple
        The comparison, and the results of the active model; empty if it was not evaluated.
    """
    active = project.models.active()
    before = Lineage.of(project, active.id if active is not None else None)
    if not (lineage.known and before.known):
        reason = Reason(
            "It could not be compared with the previous model: one of them started from a "
            "file, or from a model that was deleted, and may have been trained on the "
            "held-out cells"
        )
        return cannot_judge(reason), []
    learnt = {k.patient for k in testing if before.saw(k.field, k.cells)}
    clean = [i for i, k in enumerate(testing) if k.patient not in learnt]
    units = len(units_of([new[i] for i in clean]))
    if learnt and units < MIN_UNITS:
        reason = Reason(
            "It could not be compared with the previous model, which has learned from cells "
            "that are now held out ({units})",
            units=of_units(len(learnt), count_fields(learnt)),
        )
        return cannot_judge(reason, units), []
    try:
        reference, _ = resolve(project, "active")
    except DamagedModelError:
        reason = Reason(
            "It could not be compared with the previous model, whose files are missing or damaged"
        )
        return cannot_judge(reason), []
    raw = propose(reference.to(device), [testing[i] for i in clean])
    done = clean[: len(raw)]  # there was no time for the others
    old = cross_validate(reference, [testing[i].truth() for i in done], raw, prior=starter_calibration())
    return compare([new[i] for i in done], old, attributes=attributes), old
