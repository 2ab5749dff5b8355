"""A new model beside the one in use, on held-out cells that neither has learnt from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from annotation_store.project import Project
from training.calibration import Calibration
from training.engine.model import LearnedModel, starter_place
from training.evaluate import FieldResult
from training.gate import FEWEST_UNITS, Comparison, cannot_judge, compare, units_of
from training.lineage import Lineage
from training.measure import cross_fitted
from training.model_folder import read_card
from training.predict import RawProposals
from training.ranking.reason import Reason
from training.split import FEWEST_CELLS
from training.worker.models import resolve
from training.worker.project_data import Knowledge


def starter_calibration() -> Calibration:
    """Give what cross-fitting leans on: no cell of a project shaped it, as those of later models."""
    return Calibration.from_dict(read_card(starter_place())["calibration"])


def compare_with_active(
    project: Project,
    lineage: Lineage,
    testing: Sequence[Knowledge],
    new: Sequence[FieldResult],
    *,
    propose: Callable[[LearnedModel, Sequence[Knowledge]], list[RawProposals]],
    attributes: Sequence[str],
    device: torch.device,
) -> tuple[Comparison, list[FieldResult]]:
    """Judge the model in use where it has learnt from nothing, and compare the new one with it there.

    Parameters
    ----------
    lineage
        Of what the new model began with.
    testing, new
        The held-out fields and what the new model did on each.

    Returns
    -------
    tuple
        The comparison, and what the model in use did; empty where there was no use in judging it.
    """
    active = project.active_model()
    before = Lineage.of(project, active.id if active is not None else None)
    if not (lineage.known and before.known):
        told = Reason(
            "It could not be compared with the model before: one of them began at a file, or at a model that "
            "is no longer here, and nobody knows whether that had learnt from the held-out cells"
        )
        return cannot_judge(told), []
    learnt = {k.patient for k in testing if before.saw(k.field, k.cells)}
    clean = [i for i, k in enumerate(testing) if k.patient not in learnt]
    units = len(units_of([new[i] for i in clean]))
    if learnt and units < FEWEST_UNITS:
        told = Reason(
            "It could not be compared with the model before, which has learnt from cells of {count} patient "
            "(or field) that is held out now",
            "It could not be compared with the model before, which has learnt from cells of {count} patients "
            "(or fields) that are held out now",
            count=len(learnt),
        )
        return cannot_judge(told, units), []
    reference, _ = resolve(project, "active")
    some = [testing[i] for i in clean]
    raw = propose(reference.to(device), some)
    old = cross_fitted(reference, [k.truth() for k in some], raw, prior=starter_calibration())
    return compare([new[i] for i in clean], old, attributes=attributes), old


def cautions(*, known: bool, lost: int, chosen: bool) -> str:
    """Say what is to be known of numbers measured on held-out cells; empty where there is nothing.

    Parameters
    ----------
    known
        Whether all that the model began with is known.
    lost
        How many patients that were held out before are gone.
    chosen
        Whether something was chosen by these very cells.
    """
    told = []
    if not known:
        told.append("It began at a file, and nobody knows whether that had learnt from the held-out cells.")
    if lost:
        told.append(_of_lost(lost))
    if chosen:
        told.append(
            "How much of what it learnt about finding cells was kept was decided on the held-out cells too, "
            "so the numbers are a little too good."
        )
    return " ".join(told)


def why_not_measured(cells: int, share: float, lost: int) -> str:
    """Say why no cell is held out to measure on.

    Parameters
    ----------
    cells
        In finished regions, in all.
    share
        Of them that was to be held out.
    lost
        How many patients that were held out before are gone.
    """
    if not share:
        return "Not yet measured: nothing is held out (holdout 0)."
    if cells < FEWEST_CELLS:
        why = f"measuring begins at {FEWEST_CELLS} cells in finished regions"
    else:
        why = (
            "all patients (or fields) annotated so far are needed for learning, or the model that it goes on "
            "from has learnt from them; some of those annotated next are held out"
        )
    return " ".join([f"Not yet measured: {why}.", *([_of_lost(lost)] if lost else [])])


def _of_lost(lost: int) -> str:
    return (
        f"Of the patients (or fields) held out before {lost} can no longer be measured on: they have other "
        "names, or no cell in a finished region any more."
    )
