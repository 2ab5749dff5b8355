"""The learning curves: what each model scored, on what, and what became of what it suggested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.measured import Measurement, of_model
from napari_lld.report.numbers import FEW, CardPart, Estimate
from napari_lld.report.svg import Point, over_rounds
from napari_lld.report.work import Fate
from napari_lld.session.model_facts import told_of_comparison

MOST = 60
"""Rounds in the table: the first, and the newest."""


@dataclass(frozen=True, slots=True)
class Round:
    """One model.

    Attributes
    ----------
    cells, fields
        What it learned from; ``None`` = its version did not say.
    change
        Score against the model in use before, on the same held-out cells: new less old, with interval.
    state
        Whether it is in use, or why it never was.
    compared
        What is open about how it compares with the model before; empty if it did as well.
    accepted, on_reserve
        Shares of its suggestions accepted as proposed: anywhere, and on the fields that chance drew.
    """

    id: int
    made: datetime
    parent: str
    cells: int | None
    fields: int | None
    held_out: Measurement
    change: Estimate
    active: bool
    state: str
    compared: str
    accepted: Estimate
    on_reserve: Estimate


@dataclass(frozen=True, slots=True)
class Curve:
    """A diagram over the rounds."""

    title: str
    mark: Mark
    chart: Markup


def rounds(facts: ReportFacts, fates: Mapping[int | None, tuple[Fate, Fate]]) -> list[Round]:
    """Return the models, oldest first."""
    result = []
    for model in facts.models:
        card = CardPart(model.card)
        learnt, metrics = card.part("learnt_from"), card.part("metrics")
        difference = metrics.part("difference")
        fate, random_fate = fates.get(model.id, (Fate(), Fate()))
        held_out, verdict = of_model(metrics, Mark.HELD_OUT), told_of_comparison(model)
        result.append(
            Round(
                model.id,
                model.created,
                model.parent,
                learnt.count("cells") if learnt else None,
                learnt.count("fields") if learnt else None,
                held_out,
                Estimate(
                    difference.number("difference"),
                    held_out.cells,
                    difference.number("low"),
                    difference.number("high"),
                ),
                model.active,
                "in use" if model.active else card.text("why_not_active"),
                "" if verdict is None or card.text("why_not_active") else f"{verdict}.",
                fate.accepted,
                random_fate.accepted,
            )
        )
    return result


def curves(
    all_rounds: Sequence[Round], fates: Mapping[int | None, tuple[Fate, Fate]]
) -> tuple[list[Curve], list[Curve]]:
    """Draw what was scored on held-out cells, and what became of the suggestions."""
    scored = []
    for title, estimates in (
        ("White cells (AP50)", [r.held_out.found for r in all_rounds]),
        ("Class (macro-F1)", [r.held_out.class_f1 for r in all_rounds]),
        ("Attributes (macro-F1)", [r.held_out.attribute_f1 for r in all_rounds]),
    ):
        points = [
            _point(f"Model {r.id}", f"n = {estimate.n}", estimate, hollow=not r.active and bool(r.state))
            for r, estimate in zip(all_rounds, estimates, strict=True)
        ]
        scored.append(Curve(title, Mark.HELD_OUT, over_rounds(points, title)))
    accepted = []
    for title, mark, place in (
        ("Accepted unchanged, all fields", Mark.COUNTED, 0),
        ("Accepted unchanged, random reserve", Mark.RANDOM, 1),
    ):
        points = []
        for model, fate in fates.items():
            estimate = fate[place].accepted
            points.append(
                _point("Starter" if model is None else f"Model {model}", f"n = {estimate.n}", estimate)
            )
        accepted.append(Curve(title, mark, over_rounds(points, title)))
    return [c for c in scored if c.chart], [c for c in accepted if c.chart]


def _point(label: str, below: str, estimate: Estimate, *, hollow: bool = False) -> Point:
    if estimate.n < FEW:
        return Point(label, f"{below}: too few", None)
    return Point(label, below, estimate.value, estimate.low, estimate.high, hollow)
