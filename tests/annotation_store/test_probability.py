"""The probability of what a suggestion states: true after migrations, changes of the schema, exports."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from annotation_store import Project, Proposal, formats
from annotation_store._db.migrations.versions.r0008_probability_of_suggestions import _STATEMENTS as MIGRATION
from annotation_store.schema import Schema, load_schema

VAGUE = Proposal((10, 10, 20, 20), 0.8, {"Myeloblast": 0.5, "Lymphoblast": 0.3, "Monocyte": 0.2})
BARE = Proposal((50, 10, 20, 20), 0.6)


def kept(folder: Path) -> list[float]:
    with sqlite3.connect(folder / "project.db") as raw:
        return [row[0] for row in raw.execute("SELECT probability FROM suggestions ORDER BY id")]


@pytest.fixture
def folder(small_project: Path) -> Path:
    with Project.open(small_project, annotator="Ada") as project:
        project.suggestions.replace(project.fields.all()[0].id, [VAGUE, BARE], model_id=None)
    return small_project


def test_what_is_accepted_has_the_probability_that_was_told(folder: Path) -> None:
    assert VAGUE.probability == VAGUE.score("Myeloblast") == pytest.approx(0.4)
    assert BARE.probability == 0.6
    assert kept(folder) == pytest.approx([0.4, 0.6])
    with Project.open(folder, annotator="Ada") as project:
        suggestions = project.suggestions.find()
        assert [s.probability for s in suggestions] == pytest.approx([0.6, 0.4]), "the most probable first"
        cell = project.cells.get(project.suggestions.accept(suggestions[1].id))
        assert cell.cell_class == "Myeloblast"


def test_a_project_of_an_earlier_version_gets_it(folder: Path) -> None:
    with sqlite3.connect(folder / "project.db") as raw:
        raw.execute("UPDATE suggestions SET class_probabilities = '[1' WHERE id = 2")  # damaged, for `check`
        raw.execute("DROP INDEX ix_suggestions_waiting")
        raw.execute("ALTER TABLE suggestions DROP COLUMN probability")
        for statement in MIGRATION:
            raw.execute(statement)
    assert kept(folder) == pytest.approx([0.4, 0.6])
    with Project.open(folder, annotator="Ada") as project:
        assert project.suggestions.fields(0.41) == [project.fields.all()[0].id]


def test_a_schema_that_joins_two_classes_joins_their_probability(folder: Path) -> None:
    old = load_schema("lld")
    content = old.model_dump()
    content["classes"] = [c for c in content["classes"] if c["name"] != "Lymphoblast"]
    content["groups"] = []
    with Project.open(folder, annotator="Ada") as project:
        project.schema_versions.change(
            Schema.model_validate(content), {"Lymphoblast": "Myeloblast", "blast": None}
        )
        assert project.suggestions.find()[0].probability == pytest.approx(0.64)
    assert kept(folder) == pytest.approx([0.64, 0.6])


@pytest.mark.parametrize(("form", "name"), [("yolo", "out"), ("csv", "out.csv"), ("labelstudio", "out.json")])
def test_a_format_of_one_number_beside_the_class_writes_that_of_the_class(
    form: str, name: str, folder: Path, tmp_path: Path
) -> None:
    """They wrote that it is a white cell, and read it back as that of the class."""
    with Project.open(folder, annotator="Ada") as project:
        formats.write(form, project, tmp_path / name, what="suggestions")
        formats.read(form, project, tmp_path / name)  # in the place of those that wait
        found = sorted((s.proposal.best_class or "", s.probability) for s in project.suggestions.find())
    assert found == [("", pytest.approx(0.6, abs=1e-4)), ("Myeloblast", pytest.approx(0.4, abs=1e-4))]
