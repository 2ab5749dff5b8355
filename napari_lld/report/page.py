"""Render the whole page from one template, and write the file in one step."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from annotation_store import Project
from annotation_store.files.outputs import check_output, write_file
from napari_lld.i18n.durations import duration
from napari_lld.options import ReportOptions
from napari_lld.report.agreement import agreement_of
from napari_lld.report.card import card_rows, starter_card_rows
from napari_lld.report.facts import ReportFacts
from napari_lld.report.limits import limits
from napari_lld.report.marks import Mark
from napari_lld.report.measured import (
    attribute_tables,
    class_rows,
    confusions,
    domain_scores,
    measurements,
    reliabilities,
)
from napari_lld.report.numbers import FEW, format_estimate, percent
from napari_lld.report.overview import overview
from napari_lld.report.pictures import LABELLED, PROPOSED, pictures
from napari_lld.report.rounds import MOST, curves, rounds
from napari_lld.report.trust import set_rows, unchecked_films, units_word
from napari_lld.report.unseen import before_annotation
from napari_lld.report.words import counted
from napari_lld.report.work import work
from training.evaluation.unchecked_films import (
    MAX_UNCHECKED_PROBABILITY,
    MIN_MEASURED_CELLS,
)
from training.evaluation.units import MIN_UNITS


def write_report(
    project: Project, out: Path, options: ReportOptions | None = None, *, overwrite: bool = False
) -> Path:
    """Write the report of a project as one HTML file that refers to nothing outside itself.

    Parameters
    ----------
    project
        An open project; reading is enough.
    out
        The file; it appears whole or not at all.
    overwrite
        Replace a file that exists.

    Raises
    ------
    OutputError
        The file cannot be written (see `annotation_store.files.outputs`).
    """
    check_output(out, overwrite=overwrite)
    write_file(out, render_project(project, options))
    return out


def render_project(project: Project, options: ReportOptions | None = None) -> str:
    """Render the report of a project."""
    options = options or ReportOptions()
    facts = ReportFacts.of_project(project, names=options.names)
    annotated, effort = overview(project, facts), work(project, facts)
    measured = measurements(facts)
    all_rounds = rounds(facts, effort.by_model)
    agreed = agreement_of(project, facts.words)
    scored, accepted = curves(all_rounds, effort.by_model)
    # the tables of classes and attributes: held-out, or for want of it what was learned from
    held, _, trained = measured
    before = before_annotation(project, facts)
    best_measured = held if not held.missing or trained.missing else trained
    name = project.path.name.removesuffix(".lld") if options.names else ""
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=options.title.strip() or name or "Annotation project",
            made=datetime.now().astimezone(),
            version=version("napari-lld"),
            names=options.names,
            schema=facts.schema,
            reading=facts.reading,
            Mark=Mark,
            few=FEW,
            seen=annotated,
            reserve=len(facts.random_sample),
            work=effort,
            model=facts.model,
            rounds=all_rounds if len(all_rounds) <= MOST else [all_rounds[0], *all_rounds[-MOST + 1 :]],
            rounds_left_out=max(0, len(all_rounds) - MOST),
            scored=scored,
            accepted=accepted,
            measured=measured,
            before=before,
            held=held,
            shown=best_measured,
            classes=class_rows(best_measured, facts.words),
            attributes=attribute_tables(best_measured, trained, facts.words),
            confusions=confusions(held, facts.words),
            reliabilities=reliabilities(held, facts.words),
            domains=domain_scores(held, facts.words),
            set_rows=(sets := set_rows(facts)),
            set_units=units_word(sets),
            wide_sets=[row.title for row in sets if row.is_wide],
            unchecked=unchecked_films(project, facts),
            needed_cells=MIN_MEASURED_CELLS,
            needed_units=MIN_UNITS,
            unchecked_at_most=MAX_UNCHECKED_PROBABILITY,
            agreement=agreed,
            pictures=pictures(project, facts),
            colours=(LABELLED, PROPOSED),
            card=starter_card_rows() if facts.model is None else card_rows(facts.model, facts.words),
            limits=limits(facts, annotated, effort, measured, all_rounds, agreed),
            runs=sorted(Counter(str(run.state) for run in project.runs.all()).items()),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("napari_lld.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        score=format_estimate,
        share=lambda estimate: format_estimate(estimate, as_share=True),
        percent=percent,
        worked=partial(duration, in_minutes=True),
        counted=counted,
        change=lambda value: f"{value:+.3f}".replace("-", "−"),
        when=lambda at: f"{at.astimezone():%Y-%m-%d %H:%M}",
    )
    return environment
