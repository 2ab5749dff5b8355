"""Describe models by their cards, for the model list; no Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation_store.records import Model
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.sentences import in_language
from napari_lld.i18n.translate import later, tr
from training.evaluation.bulk_accept import MAX_ERROR_RATE, may_be_accepted
from training.evaluation.units import MIN_UNITS, of_units
from training.models.folder import damage
from training.reasons import Reason

MEASURES = (
    ("ap50", later("box AP50")),
    ("class_f1", later("class F1")),
    ("attribute_f1", later("attributes F1")),
)
_MOST = 1e12
"""Nothing that a card measures or counts is more."""


def held_out(model: Model | None) -> Mapping[str, Any]:
    """Return the numbers measured on held-out cells; empty if nothing was measured."""
    metrics = model.card.get("metrics") if model is not None else None
    numbers = metrics.get("held_out") if isinstance(metrics, Mapping) else None
    return numbers if isinstance(numbers, Mapping) else {}


def damages(folders: Mapping[int, Path]) -> dict[int, str]:
    """Return why models cannot be used, by number; reads all their files.

    Parameters
    ----------
    folders
        Of the models, by their numbers.
    """
    return {number: why for number, folder in folders.items() if (why := damage(folder)) is not None}


def model_title(model: Model, *, damaged: bool = False) -> str:
    """Describe a model, short enough for a list: number, whether active, its first number."""
    numbers = held_out(model)
    score = number(numbers.get("ap50"))
    measured = f"AP50 {score:.2f}" if score is not None else tr("not yet measured")
    parts = [tr("Model {id}", id=model.id), measured]
    if model.active:
        parts.insert(1, tr("active"))
    elif model.card.get("why_not_active"):
        parts.append(tr("not promoted"))
    if damaged:
        parts.insert(1, tr("damaged"))
    return " · ".join(parts)


def model_numbers(model: Model) -> str:
    """Describe what was measured on how many held-out cells, or why nothing was."""
    numbers = held_out(model)
    if not numbers:
        return _metric_text(model, "note") or tr("Not yet measured.")
    lines = [
        f"{tr(title)} {value:.2f}"
        for key, title in MEASURES
        if (value := number(numbers.get(key))) is not None
    ]
    for key, title in (("precision", tr("precision")), ("recall", tr("recall"))):
        value = number(numbers.get(key))
        if value is not None:
            lines.append(f"{title} {value:.0%}")
    return tr(
        "On {cells} held-out cells: {numbers}.",
        cells=numbers.get("cells", "?"),
        numbers=", ".join(lines) or tr("nothing measurable"),
    )


def _metric_text(model: Model, name: str) -> str:
    metrics = model.card.get("metrics")
    text = metrics.get(name) if isinstance(metrics, Mapping) else None
    return in_language(str(text)) if text else ""


def why_not_active(model: Model) -> str:
    """Explain why a model was not made the active one, or nothing."""
    why = model.card.get("why_not_active")
    if not why or model.active:
        return ""
    return tr(
        "Not promoted: {why}", why=in_words([verdict])[0] if (verdict := told_of_comparison(model)) else why
    )


def comparison(model: Model) -> str:
    """Describe what is open about how a model compares with that before it; nothing if it did as well."""
    verdict = told_of_comparison(model)
    return "" if verdict is None or model.card.get("why_not_active") else f"{in_words([verdict])[0]}."


def about(model: Model, damaged: str | None = None) -> str:
    """Describe a card in sentences; the most important come first, since the end may be cut.

    Parameters
    ----------
    damaged
        Why its files cannot be used (`damages`).
    """
    caution = _metric_text(model, "caution") if held_out(model) else ""
    unusable = tr("Model {id} cannot be used: {why}", id=model.id, why=damaged) if damaged else ""
    way_out = tr("Roll back, or activate another one.") if damaged and model.active else ""
    parts = (unusable, way_out, why_not_active(model), comparison(model), model_numbers(model), caution)
    return " ".join(filter(None, (*parts, _metric_text(model, "left_out"))))


def told_of_comparison(model: Model) -> Reason | None:
    """Return what people should know of the comparison with the model before (`training.evaluation.gate`)."""
    metrics = model.card.get("metrics")
    difference = metrics.get("difference") if isinstance(metrics, Mapping) else None
    try:
        return Reason.read(difference["told"]) if isinstance(difference, Mapping) else None
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


@dataclass(frozen=True)
class Rollback:
    """What suggests after going back one step: a model, or the starter if there is none before."""

    model: Model | None

    @property
    def title(self) -> str:
        """Return its name, as on a button."""
        if self.model is None:
            return tr("Roll back to the starter")
        return tr("Roll back to model {id}", id=self.model.id)


def rollback(models: Sequence[Model]) -> Rollback | None:
    """Return what the active model can be rolled back to; ``None`` if the starter suggests already.

    That is the model it was trained on from; one that began at the starter, as most do, goes back to the
    latest before it that was not refused. One that was retired is passed over.

    Parameters
    ----------
    models
        All models of a project.
    """
    active = next((model for model in models if model.active), None)
    if active is None:
        return None
    models = [model for model in models if model.retired is None]
    parent = next((model for model in models if str(model.id) == active.parent), None)
    earlier = [m for m in models if m.id < active.id and not m.card.get("why_not_active")]
    return Rollback(parent or max(earlier, key=lambda model: model.id, default=None))


def bulk_refusal(model: Model | None, probability: float) -> str:
    """Explain why suggestions of a model may not be accepted many at once; empty if they may.

    They may from the probability on from which a bound by patients holds on held-out cells
    (`training.evaluation.bulk_accept`).

    Parameters
    ----------
    probability
        Of what the suggestions state (`Proposal.probability`); they were measured by the same number.
    """
    if model is None:
        return tr(
            "The bundled starter has not been evaluated on this project's cells: review each suggestion."
        )
    if not held_out(model):
        return tr("Model {id} has not been evaluated on held-out cells: review each suggestion.", id=model.id)
    bulk = _bulk(model)
    units, wrong, total = (_count(bulk.get(key)) for key in ("units", "wrong", "of"))
    if units is None or wrong is None or total is None or "least" not in bulk:
        return tr(
            "Model {id} was evaluated by an older version, not by patient: review each suggestion. The "
            "next training evaluates it.",
            id=model.id,
        )
    (units_text,) = in_words([of_units(units, _count(bulk.get("of_fields")))])
    if units < MIN_UNITS:
        return tr(
            (
                "The held-out cells are {units}: fewer than {needed} guarantee nothing. Review "
                "each suggestion."
            ),
            units=units_text,
            needed=MIN_UNITS,
        )
    least = number(bulk["least"])
    if least is None and not total:
        return tr(
            (
                "The held-out cells {units} are still too few to guarantee that at most "
                "{promised:.0%} of accepted suggestions are wrong: review each suggestion."
            ),
            units=units_text,
            promised=MAX_ERROR_RATE,
        )
    if least is None:
        return tr(
            (
                "Model {id} was wrong in {wrong} of {of} held-out suggestions {units}, so there "
                "is no guarantee that at most {promised:.0%} are wrong. Review each suggestion."
            ),
            id=model.id,
            wrong=wrong,
            of=total,
            units=units_text,
            promised=MAX_ERROR_RATE,
        )
    if probability < least:
        return tr(
            "From a probability of {least:.0%} on, at most {promised:.0%} are wrong.",
            promised=MAX_ERROR_RATE,
            least=least,
        )
    return ""


def class_refusal(model: Model | None, name: str | None, title: str) -> str:
    """Explain why suggestions of a class may not be accepted many at once; empty if they may.

    Counted on held-out cells: how many of those that the model said to be of the class were.

    Parameters
    ----------
    name, title
        The class that is proposed, and what it is called.
    """
    classes = _bulk(model).get("classes")
    right, total = _counts(classes.get(name or "") if isinstance(classes, Mapping) else None) or (0, 0)
    if may_be_accepted(right, total):
        return ""
    return tr(
        "{title}: correct in {right} of {of} held-out suggestions.",
        title=title or name or tr("class missing"),
        right=right,
        of=total,
    )


def _bulk(model: Model | None) -> Mapping[str, Any]:
    """Return from which probability suggestions may be accepted at once (`evaluation.bulk_accept`)."""
    metrics = model.card.get("metrics") if model is not None else None
    bulk = metrics.get("bulk") if isinstance(metrics, Mapping) else None
    return bulk if isinstance(bulk, Mapping) else {}


def _counts(pair: Any) -> tuple[int, int] | None:
    """Return how many were right, of how many; ``None`` if a card holds something else."""
    right, total = map(_count, pair) if isinstance(pair, list) and len(pair) == 2 else (None, None)
    return (right, total) if right is not None and total is not None and right <= total else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST else None


def number(value: Any) -> float | None:
    """Return a finite number of a card, or ``None``: cards come from files."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and -_MOST <= value <= _MOST else None
