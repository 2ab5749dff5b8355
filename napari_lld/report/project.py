"""The report of a project: what is annotated, what the models scored, who worked how long."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.records import UNSURE, Cell, Model, SuggestionState
from annotation_store.schema import Attribute
from napari_lld.differential import Differential, differential
from napari_lld.model_facts import held_out, number
from napari_lld.report.chart import Series, line_chart

_SCORES = (
    ("ap50", "Cells found, AP50"),
    ("class_f1", "Class, F1"),
    ("attribute_f1", "Attributes, F1"),
    ("precision", "Precision"),
    ("recall", "Recall"),
)
_COLOURS = ("#0072b2", "#d55e00", "#007a59")
_SHAPES = ("circle", "square", "triangle")


@dataclass(frozen=True, slots=True)
class Values:
    """How often each value of an attribute was given, in cells that have attributes."""

    title: str
    counts: Sequence[tuple[str, int]]
    unsure: int
    missing: int


@dataclass(frozen=True, slots=True)
class Work:
    """How long somebody worked on how many fields."""

    annotator: str
    seconds: float
    fields: int


def write_report(project: Project, out: Path) -> Path:
    """Write the report of a project as one HTML file that refers to nothing outside itself.

    Parameters
    ----------
    project
        An open project; reading is enough.
    out
        The file; it appears whole or not at all, and replaces one of that name.

    Raises
    ------
    LLDError
        The file cannot be written.
    """
    text = render_project(project)
    temporary = out.with_name(f".{out.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, out)  # noqa: PTH105 - replaces on Windows too
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LLDError(
            f"{out} cannot be written ({error.strerror or error}): choose another place."
        ) from error
    return out


def render_project(project: Project) -> str:
    """Render the report of a project."""
    environment = Environment(
        loader=PackageLoader("napari_lld.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        score=lambda value: "–" if value is None else f"{value:.2f}",
        percent=lambda value: f"{100 * value:.1f}",
        hours=_hours,
        when=lambda at: f"{at.astimezone():%Y-%m-%d %H:%M}",
    )
    summaries = project.field_summaries()
    cells = project.cells()
    models = project.models()
    counted: Differential = differential(project.class_counts(), project.schema)
    states = Counter(s.state for s in project.suggestions(states=tuple(SuggestionState)))
    return environment.get_template("project.html").render(
        name=project.path.name.removesuffix(".lld"),
        made=datetime.now().astimezone(),
        version=version("napari-lld"),
        schema=project.schema,
        reading=project.reading,
        summaries=summaries,
        patients=project.patients(),
        regions=sum(summary.finished_regions for summary in summaries),
        with_regions=sum(summary.finished_regions > 0 for summary in summaries),
        cells=len(cells),
        counted=counted,
        attributes=[_values(attribute, cells) for attribute in project.schema.attributes],
        suggestions=[(state.value, states[state]) for state in SuggestionState if states[state]],
        models=models,
        scores=_SCORES,
        measured=_measured,
        held_out=held_out,
        chart=_chart(models),
        work=_work(project),
        runs=Counter(str(run.state) for run in project.runs()),
    )


def _values(attribute: Attribute, cells: Sequence[Cell]) -> Values:
    given = Counter(cell.attributes.get(attribute.name) for cell in cells)
    return Values(
        attribute.title,
        [(value.title or value.name, given[value.name]) for value in attribute.values],
        given[UNSURE],
        given[None],
    )


def _measured(model: Model) -> list[float | None]:
    numbers: Mapping[str, Any] = held_out(model)
    return [number(numbers.get(key)) for key, _title in _SCORES]


def _chart(models: Sequence[Model]) -> Markup:
    return line_chart(
        [
            Series(title, [number(held_out(model).get(key)) for model in models], colour, shape)
            for (key, title), colour, shape in zip(_SCORES, _COLOURS, _SHAPES, strict=False)
        ],
        [f"Model {model.id}" for model in models],
        "Scores on held-out cells, by model",
    )


def _work(project: Project) -> list[Work]:
    found: dict[str, tuple[float, int]] = {}
    for row in project.active_seconds():
        seconds, fields = found.get(row.annotator, (0.0, 0))
        found[row.annotator] = seconds + row.seconds, fields + 1
    return [Work(name, seconds, fields) for name, (seconds, fields) in sorted(found.items())]


def _hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
