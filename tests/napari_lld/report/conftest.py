"""A project with a model of which all was measured, without any training; names as hostile as they come."""

from __future__ import annotations

import dataclasses
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import Project, Proposal, RejectionReason
from annotation_store.records import Cell, Field
from annotation_store.splits import units_of_fields
from napari_lld.report import render_project
from training.evaluation.cell_outcomes import outcomes, write_outcomes
from training.evaluation.extra_metrics import describe
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.matching import FieldResult, evaluate_field

HOSTILE = "<script>alert('x')</script>"
PATIENTS = ("Müller, Hans", f"Ada {HOSTILE}", 'O\'Brien & "Sons"', "Yılmaz")
ANNOTATOR = f"Dr. Eve {HOSTILE}"
_NEVER_CLOSED = {"meta", "img", "br", "rect", "path", "circle", "polyline", "line"}


def proposals(cells: list[Cell], rng: np.random.Generator, project: Project) -> list[Proposal]:
    """Say of each cell what it is, more often rightly than not; and see some where none is."""
    schema, found = project.schema, []
    for cell in cells:
        if rng.random() < 0.1:
            continue

        def told(right: str, names: tuple[str, ...]) -> dict[str, float]:
            best = right if rng.random() < 0.8 else str(rng.choice(names))
            p = float(rng.uniform(0.5, 0.99))
            return {n: p if n == best else (1 - p) / max(1, len(names) - 1) for n in names}

        chances = {} if cell.cell_class is None else told(cell.cell_class, schema.class_names)
        values = {
            name: told(value, schema.attribute_named(name).value_names)
            for name, value in cell.attributes.items()
        }
        found.append(Proposal(cell.box, float(rng.uniform(0.4, 1)), chances, values))
    return found


def judged(field: Field, cells: list[Cell], said: list[Proposal], project: Project) -> FieldResult:
    truth = FieldTruth(
        field.name,
        field.width,
        field.height,
        tuple(TrueCell(c.box, c.cell_class, c.attributes) for c in cells),
        patient=units_of_fields(project.fields.all())[field.id],
        domain=field.domain or "",
    )
    return evaluate_field(truth, said, classes=project.schema.class_names)


def add_model(
    project: Project, *, held: tuple[str, ...], active: bool = True, version: str = "new", seed: int = 0
) -> dict[str, Any]:
    """Add a model with a card as the worker writes it; of an old version without what came later."""
    rng = np.random.default_rng(seed)
    schema = project.schema
    words: dict[str, Any] = {
        "classes": schema.class_names,
        "attributes": {a.name: a.value_names for a in schema.attributes},
        "ordered": [a.name for a in schema.attributes if a.ordered],
    }
    cells: dict[int, list[Cell]] = {}
    for cell in project.cells.all():
        cells.setdefault(cell.field_id, []).append(cell)
    sides: dict[bool, list[tuple[int, FieldResult]]] = {True: [], False: []}
    units = units_of_fields(project.fields.all())
    for field in project.fields.all():
        own = cells.get(field.id, [])
        if own:
            result = judged(field, own, proposals(own, rng, project), project)
            sides[units[field.id] in held].append((field.id, result))
    in_test = [result for _, result in sides[True]]
    reserve = [result for i, result in sides[True] if i in project.random_sample.fields()]
    metrics: dict[str, Any] = {
        "held_out": describe(in_test, **words, uncalibrated=in_test, resamples=60) if in_test else None,
        "note": "Not yet measured: nothing is held out (holdout 0).",
        "difference": {"difference": 0.02, "low": -0.01, "high": 0.05},
    }
    card: dict[str, Any] = {
        "metrics": metrics,
        "held_out": list(held),
        "why_not_active": None if active else "On the held-out cells it is worse.",
        "calibration": {"note": "fitted on 24 held-out cells"},
        "request": {"annotator": ANNOTATOR, "init": "/home/Müller, Hans/model"},
        "taught": {"class": {"Neutrophil": 9}},
        "last_cell": max(cell.id for some in cells.values() for cell in some),
        "versions": {"torch": "2.0"},
    }
    if version == "new":
        metrics["trained_on"] = describe([r for _, r in sides[False]], **words, resamples=60)
        metrics["random_reserve"] = describe(reserve, **words, resamples=60) if reserve else None
        card["learnt_from"] = {"fields": 7, "cells": 60, "patients": 3, "regions": 9}
    elif metrics["held_out"]:
        calibration = metrics["held_out"]["calibration"]
        for part in (calibration["cells"], calibration["class"], *calibration["attributes"].values()):
            del part["curve"]
    number = project.models.reserve_id()
    folder = project.models.folder(number)
    folder.mkdir(parents=True)
    if version == "new":
        groups = {one.name: tuple(one.classes) for one in schema.groups}
        kept = {
            name: outcomes([r for _, r in some], [i for i, _ in some], groups=groups, each=4)
            for name, some in (("held_out", sides[True]), ("trained_on", sides[False]))
        }
        write_outcomes(folder, kept)
    project.models.add(number, parent="starter", card=card, activate=active)
    return card


@pytest.fixture(scope="session")
def _rich_template(_sample_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rich") / "Müller, Hans.lld"
    shutil.copytree(_sample_template, folder)
    with Project.open(folder, annotator=ANNOTATOR, reading=1) as project:
        fields = project.fields.all()
        for i, field in enumerate(fields):
            project.fields.update(field.id, patient=PATIENTS[i % 4], domain=("H_100x", "L_40x")[i % 2])
        _label(project)
        suggested = fields[0].id
        ids = project.suggestions.replace(
            suggested,
            [
                Proposal((5.0 + 30 * k, 2, 24, 24), 0.9, {"Monocyte": 0.8, "Neutrophil": 0.2})
                for k in range(6)
            ],
            model_id=None,
        )
        project.suggestions.accept_many(ids[:2])
        project.suggestions.correct(ids[2], cell_class="Neutrophil")
        project.suggestions.reject(ids[3], RejectionReason.BAD_BOX)
        project.work_time.add(suggested, 3700)
        project.random_sample.add([fields[0].id, fields[1].id, fields[4].id])
        held = tuple(f"patient {name}" for name in PATIENTS[:2])
        add_model(project, held=held, active=False, version="old")
        add_model(project, held=held, seed=1)
    with Project.open(folder, annotator="Ben") as project:
        first = project.reading.id
        regions, cells = project.regions.all(), project.cells.all()
        project.readings.use(project.readings.add("Ben's").id)
        for region in regions[:10]:
            project.regions.add(region.field_id, region.shape)
        among = {region.field_id for region in regions[:10]}
        for i, cell in enumerate(c for c in cells if c.field_id in among):
            if i % 7:
                said = "Monocyte" if i % 5 == 0 else cell.cell_class
                project.cells.add(cell.field_id, cell.box, cell_class=said, attributes=cell.attributes)
        project.readings.use(first)
    return folder


def _label(project: Project) -> None:
    """Give each cell a class and values: the sample's natural fields have none."""
    names = ("Neutrophil", "Monocyte", "Lymphocyte")
    values = {a.name: a.value_names for a in project.schema.attributes}
    for i, cell in enumerate(project.cells.all()):
        given = {name: v[i % len(v)] for name, v in values.items() if name != "nucleolus"}
        project.cells.change(cell.id, cell_class=names[i % 3], attributes=given)


@pytest.fixture
def rich(_rich_template: Path, tmp_path: Path) -> Path:
    """Give a project of 18 fields of 4 patients, two models, decisions, time, a second reading."""
    folder = tmp_path / _rich_template.name
    shutil.copytree(_rich_template, folder)
    return folder


@dataclasses.dataclass
class Page(HTMLParser):
    """A report as a reader's program takes it apart: tags, text by section, what is out of balance."""

    html: str

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.sections: dict[str, str] = {}
        self.section = ""
        self._heading = False
        self.feed(self.html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._add(" ")  # a cell of a table is a word of its own
        if tag not in _NEVER_CLOSED:
            self.open.append(tag)
        if tag == "h2":
            self.section, self._heading = "", True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._heading = self._heading and tag != "h2"

    def handle_data(self, data: str) -> None:
        if self._heading and not self.section:
            self.section = data.strip()
        self._add(data)

    def _add(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["title"]):
            self.sections[self.section] = self.sections.get(self.section, "") + data

    def text(self, section: str | None = None) -> str:
        """The words of a section, or of all, as one line."""
        some = self.sections.values() if section is None else [self.sections[section]]
        return " ".join(" ".join(some).split())


@pytest.fixture(scope="session")
def page(_rich_template: Path) -> Page:
    """The report of that project, as it is made unless names are asked for."""
    with Project.open(_rich_template, annotator="Ben", read_only=True) as project:
        return Page(render_project(project))
