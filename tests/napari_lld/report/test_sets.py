"""The report gives coverage and size of the sets, and names the films that the model has not learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project, Proposal
from napari_lld.report import render_project

SETS: dict[str, Any] = {
    "level": 0.95,
    "heads": {
        "class": {"mass": 0.96, "cells": 1260, "patients": 31, "coverage": 0.957, "size": 1.234},
        "cell_size": {"mass": None, "cells": 60, "patients": 5, "coverage": None, "size": None},
    },
}


def page(folder: Path, card: dict[str, Any]) -> str:
    with Project.open(folder, annotator="Ada") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True, exist_ok=True)
        one, *others = (field.id for field in project.fields.all())
        project.fields.update(one, domain="H_100x_C1")
        project.fields.update_many({other: {"domain": "Lab of Dr. X"} for other in others})
        project.models.add(number, parent="starter", card={"metrics": {}} | card, activate=True)
        return " ".join(render_project(project).split())


def test_sets_have_coverage_and_mean_size_by_attribute(small_project: Path) -> None:
    told = page(small_project, {"sets": SETS})
    assert '<th scope="row">Class</th><td class="n">1,260</td><td class="n">31</td>' in told
    assert '<td class="n">96 %</td><td class="n">1.23</td>' in told
    assert "Patients (or fields)" in told, "of a model from before nobody knows which"
    assert "nearly all values" not in told
    assert "no set: too few cells, or too different from patient to patient" in told
    assert "has not learned from" not in told, "of a model from before nobody knows it"


@pytest.mark.parametrize(
    ("counted", "why"),
    [
        ({"cells": 45, "patients": 9}, "too few cells (50 are needed)"),
        ({"cells": 72, "patients": 2, "of_fields": 0}, "too few patients (5 are needed)"),
        ({"cells": 72, "patients": 6}, "too few cells, or too different from patient to patient"),
    ],
)
def test_why_there_is_no_set_is_said(small_project: Path, counted: dict[str, int], why: str) -> None:
    told = page(small_project, {"sets": {"heads": {"class": {"mass": None, **counted}}}})
    assert f"no set: {why}</td>" in told


def test_sets_that_hold_nearly_all_values_are_said_to_narrow_nothing(small_project: Path) -> None:
    counted = {"mass": 0.96, "cells": 60, "patients": 9, "of_fields": 9, "coverage": 0.98}
    heads = {
        "class": counted | {"size": 1.2, "values": 5},
        "cell_size": counted | {"size": 1.9, "values": 2},
    }
    told = page(small_project, {"sets": {"heads": heads}})
    assert '<th class="n">Fields</th>' in told
    assert '<td class="n">1.90 of 2</td>' in told
    assert "For Cell size the sets contain nearly all values" in told


@pytest.mark.parametrize("sets", [{}, {"sets": {"heads": {}}}])
def test_a_model_without_sets_is_said_to_be_unchecked(small_project: Path, sets: dict[str, Any]) -> None:
    assert "not yet checked on your films: this needs 50 held-out cells" in page(small_project, sets)


def test_films_that_the_model_has_not_learned_from_are_named_without_names(small_project: Path) -> None:
    told = page(small_project, {"learnt_films": {"H_100x_C1": 40}})
    assert "The model has not learned from enough cells of Domain 2 (1 field, 0 of 10 cells)" in told
    assert "Dr. X" not in told
    assert "90 %" in told
    assert "H_100x_C1 (1 field, 9 of 10 cells)" in page(small_project, {"learnt_films": {"H_100x_C1": 9}})


def test_labels_since_the_training_count_and_a_model_of_few_cells_needs_more_of_them(
    small_project: Path,
) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        one = project.fields.all()[0].id
        names = project.schema.class_names[:2]
        for i, name in enumerate((*names, *names, *names)):
            project.cells.add(one, (15.0 * i, 5, 12, 12), cell_class=name)
    few = {"taught": {"class": dict.fromkeys(names, 19)}, "learnt_films": {"H_100x_C1": 2}}
    told = page(small_project, few)
    assert "H_100x_C1 (1 field, 6 of 40 cells), Domain 2 (1 field, 0 of 40 cells)" in told
    assert "until 40 cells are labelled" in told
    enough = {"taught": {"class": dict.fromkeys(names, 20)}, "learnt_films": {"H_100x_C1": 2}}
    assert "H_100x_C1 (1 field, 6 of 10 cells)" in page(small_project, enough)
    with Project.open(small_project, annotator="Ada") as project:
        for i in range(3):
            project.cells.add(one, (15.0 * i, 40, 12, 12), cell_class=project.schema.class_names[2])
    told = page(small_project, enough)
    assert "H_100x_C1 (1 field, 6 of 10 cells, and 3 with what it has not learned), Domain 2" in told


def test_the_starter_is_judged_with_the_labels_that_it_learns_from(small_project: Path) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        one, other = (field.id for field in project.fields.all())
        project.fields.update(other, domain="another film")
        project.suggestions.replace(other, [Proposal((10, 10, 20, 20), 0.8)], model_id=None)
        for i in range(3):
            project.cells.add(one, (15.0 * i, 5, 12, 12), cell_class="Neutrophil")
        told = " ".join(render_project(project).split())
    assert "(1 field, 3 of 10 cells)" in told


def test_while_only_the_starter_suggests_no_film_is_said_to_be_checked(small_project: Path) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        assert "Prediction sets" not in render_project(project)
        project.suggestions.replace(1, [Proposal((10, 10, 20, 20), 0.8)], model_id=None)
        told = " ".join(render_project(project).split())
    assert "The starter has not learned from" in told
