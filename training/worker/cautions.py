"""Cautions about held-out metrics: English sentences, stored in the model card.

The window translates them by `napari_lld.i18n.sentences`: each is whole in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation.patient_split import MIN_CELLS


def cautions(*, known: bool, lost: int, chosen: bool, chosen_before: bool) -> str:
    """Describe the limits of metrics measured on held-out cells; may be empty.

    Parameters
    ----------
    known
        Whether the training data of all the model's ancestors is known.
    lost
        Number of patients held out before that can no longer be measured on.
    chosen
        Whether something was selected on these held-out cells.
    chosen_before
        Whether that holds for an ancestor of the model.
    """
    warnings = []
    if not known:
        warnings.append("It started from a file that may have been trained on the held-out cells.")
    if lost:
        warnings.append(_of_lost(lost))
    if chosen:
        warnings.append(
            "How much of its new detector was kept was also decided on the held-out cells, "
            "so the numbers are slightly too high."
        )
    elif chosen_before:
        warnings.append(
            "How much of the detector of an earlier model was kept was "
            "decided on these held-out cells, so the numbers are slightly too high."
        )
    return " ".join(warnings)


def of_the_start(*, passed_over: int | None, forgotten: Sequence[str]) -> str:
    """Describe the limits of the initial model; may be empty.

    Parameters
    ----------
    passed_over
        Id of the active model if it remembers no cells, so that training started from the starter.
    forgotten
        Classes of the initial model without cells in its memory or in the project.
    """
    if passed_over is not None:
        return (
            f"It started from the starter: the active model {passed_over} remembers no cells, and continuing "
            "from it would have forgotten classes that the project does not show."
        )
    if not forgotten:
        return ""
    return (
        "It started from a model that remembers no cells, so it may no longer recognise the classes that "
        f"the project does not show: {', '.join(forgotten)}."
    )


def why_not_measured(cells: int, share: float, lost: int) -> str:
    """Explain why no cells are held out to measure on.

    Parameters
    ----------
    cells
        Number of cells in finished regions.
    share
        Fraction of them to hold out, as requested.
    lost
        Number of patients held out before that can no longer be measured on.
    """
    if not share:
        return "Not yet measured: nothing is held out (holdout 0)."
    if cells < MIN_CELLS:
        why = f"Not yet measured: measuring begins at {MIN_CELLS} cells in finished regions."
    else:
        why = (
            "Not yet measured: all patients (or fields) annotated so far are needed for learning, or the "
            "model that it goes on from has learnt from them; some of those annotated next are held out."
        )
    return " ".join([why, *([_of_lost(lost)] if lost else [])])


def time_ran_short(left_out: Sequence[str]) -> str:
    """Describe what a training left out to keep its budget (`training.worker.budget`); empty if nothing."""
    return f"Left out to keep to the time: {'; '.join(left_out)}." if left_out else ""


def _of_lost(lost: int) -> str:
    return (
        f"Of the patients (or fields) held out before {lost} can no longer be measured on: they have other "
        "names, or no cell in a finished region any more."
    )
