"""Names and numbers that strangers choose, given to the store itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from annotation_store import EditError, Project, ProjectError, Proposal, formats
from tests.database import run_sql

NAMES = [
    "two\nlines.png",
    "right\u202egnp.png",
    "caf\udce9.png",
    "tab\t.png",
    "=1+1.png",
    "'quote'.png",
    "x" * 200,
]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their file systems refuse such names")
@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_becomes_a_field_that_can_be_shown_and_exported(
    project: Project, image_folder: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / (name if name.endswith(".png") else f"{name}.png")
    shutil.copy(image_folder / "c.jpg", path)
    (added,) = project.fields.add([path]).added
    field = project.fields.get(added)
    for text in (field.name, field.source_path):
        text.encode()
    assert not any(c in field.name for c in "\n\t\u202e")
    formats.write("coco", project, tmp_path / "out.json")
    assert project.check() == []


@pytest.mark.parametrize("text", ["P\n1", "\u202e1P", "P\udce9", "x" * 9_000, "P\x00"])
def test_names_of_patients_are_kept_clean(project: Project, text: str) -> None:
    project.fields.update(1, patient=text, microscope=text)
    field = project.fields.get(1)
    for kept in (field.patient, field.microscope):
        assert kept is not None
        assert len(kept) <= 255
        assert not any(c in kept for c in "\n\u202e\x00")
        kept.encode()


def test_an_annotator_and_a_comment_of_any_text_are_kept(folder: Path) -> None:
    with Project.open(folder, annotator="Ada\n\u202eeve\udce9") as project:
        cell = project.cells.add(1, (1, 1, 20, 20), comment="a\nb\udce9\x00")
        assert project.cells.provenance(cell).made_by.isprintable()
        assert project.cells.get(cell).comment.startswith("a\nb")
        with pytest.raises(EditError, match="longer"):
            project.cells.change(cell, comment="x" * 10_001)


@pytest.mark.parametrize(
    "box",
    [
        (float("nan"), 1, 5, 5),
        (1, 1, float("inf"), 5),
        (1, 1, -5, 5),
        (1e308, 1e308, 1e308, 1e308),
        (1, 1, 5),
        "abcd",
        None,
        (1, 1, 10**400, 5),
    ],
)
def test_boxes_that_are_none_are_refused_everywhere(project: Project, box: Any) -> None:
    cell = project.cells.add(1, (1, 1, 20, 20))
    for attempt in (
        lambda: project.cells.add(1, box),
        lambda: project.cells.change(cell, box=box),
        lambda: project.suggestions.replace(1, [Proposal(box, 0.5)], model_id=None),
    ):
        with pytest.raises(EditError):
            attempt()
    assert project.check() == []


@pytest.mark.parametrize("size", [0, 16, 100, 4096, 6000, -1])
def test_a_database_cut_short_is_a_sentence(folder: Path, size: int) -> None:
    database = folder / "project.db"
    for left in folder.glob("project.db-*"):
        left.unlink()
    data = database.read_bytes()
    database.write_bytes(data[:size] if size >= 0 else data[: len(data) // 2])
    told = ""
    try:
        with Project.open(folder) as project:
            project.cells.all()
            told = "; ".join(project.check())  # the cut hit nothing that was asked for yet
    except ProjectError as error:
        told = str(error)
    assert told
    assert "\n" not in told


@pytest.mark.parametrize("schema", ["{}", "[]", "null", '{"name": 3}', "nonsense", '"x"'])
def test_a_schema_in_the_database_that_is_none_is_a_sentence(folder: Path, schema: str) -> None:
    with Project.open(folder) as project:
        run_sql(project, "UPDATE project SET schema = ?", (schema,))
    with pytest.raises(ProjectError, match="damaged"):
        Project.open(folder)


def test_a_project_that_lost_a_table_is_a_sentence(folder: Path) -> None:
    with Project.open(folder) as project:
        run_sql(project, "DROP TABLE conflicts")
    with Project.open(folder) as project, pytest.raises(ProjectError, match="damaged"):
        project.check()
