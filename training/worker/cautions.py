"""What is to be known of held-out numbers, in the sentences that a model's card keeps (in English)."""

from __future__ import annotations

from collections.abc import Sequence

from training.evaluation.patient_split import MIN_CELLS


def cautions(*, known: bool, lost: int, chosen: bool, chosen_before: bool) -> str:
    """Describe the limits of metrics measured on held-out cells; may be empty.

    Parameters
    ----------
    known
        Whether all that the model began with is known.
    lost
        How many patients that were held out before are gone.
    chosen
        Whether something was chosen by these very cells.
    chosen_before
        Likewise of a model that it goes on from.
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
        The model in use, where it remembers no cells and the starter was taken instead.
    forgotten
        Classes that the start was taught, which neither its memory nor the project shows.
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
        "the project "
        f"does not show: {', '.join(forgotten)}."
    )


def why_not_measured(cells: int, share: float, lost: int) -> str:
    """Explain why no cell is held out to measure on.

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
    if cells < MIN_CELLS:
        why = f"measuring begins at {MIN_CELLS} cells in finished regions"
    else:
        why = (
            "all patients (or fields) annotated so far are needed for learning, or the model that it goes on "
            "from has learnt from them; some of those annotated next are held out"
        )
    return " ".join([f"Not yet measured: {why}.", *([_of_lost(lost)] if lost else [])])


def time_ran_short(left_out: Sequence[str]) -> str:
    """Describe what a training has left out to keep its time (`training.worker.budget`); empty if nothing."""
    return f"Time ran out: {'; '.join(left_out)}." if left_out else ""


def _of_lost(lost: int) -> str:
    return (
        f"Of the patients (or fields) held out before {lost} can no longer be measured on: they have other "
        "names, or no cell in a finished region any more."
    )
