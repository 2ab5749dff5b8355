"""How a cell came to be is kept with it, whatever the edit is called."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from annotation_store import Origin, Project, Proposal, formats
from tests.annotation_store.older import take_back


def origins(project: Project) -> list[Origin]:
    return [cell.origin for cell in project.cells.all(2)]


def make_each(project: Project, folder: Path) -> None:
    """Make cells on the field 2: by hand, suggested and imported."""
    project.cells.add(1, (60, 60, 10, 10))
    formats.write("coco", project, folder / "cells.json")
    text = (folder / "cells.json").read_text(encoding="utf-8")
    (folder / "Import of b.json").write_text(text.replace("a.png", "b.png"), encoding="utf-8")
    project.cells.add(2, (2, 2, 10, 10))
    (suggested,) = project.suggestions.replace(2, [Proposal((30, 30, 10, 10), 0.9)], model_id=None)
    project.suggestions.accept(suggested)
    formats.read("coco", project, folder / "Import of b.json")


EACH = [Origin.BY_HAND, Origin.SUGGESTED, Origin.IMPORTED]


def test_it_holds_through_undo_and_redo(project: Project, tmp_path: Path) -> None:
    make_each(project, tmp_path)
    assert origins(project) == EACH
    for _ in EACH:
        project.undo(2)
    assert origins(project) == []
    for _ in EACH:
        project.redo(2)
    assert origins(project) == EACH
    assert project.check() == []


def test_an_older_project_reads_it_from_its_history(folder: Path, tmp_path: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        make_each(project, tmp_path)
    take_back(folder, "0012")
    with Project.open(folder, annotator="Ada") as project:
        assert origins(project) == EACH
        assert project.check() == []
        project.undo(2)
        project.redo(2)
        assert origins(project) == EACH


def test_cells_are_counted_by_it(project: Project, tmp_path: Path) -> None:
    make_each(project, tmp_path)
    made = {(one.origin, one.count) for one in project.review_statistics.cells_made()}
    assert made == {(Origin.BY_HAND, 2), (Origin.SUGGESTED, 1), (Origin.IMPORTED, 1)}


def test_areas_of_a_slide_made_earlier_belong_to_it(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        area = project.fields.add_area(1, (0, 0, 40, 40))
        other = project.fields.add_area(1, (20, 0, 40, 40))
    take_back(folder, "0012")
    with closing(sqlite3.connect(folder / "project.db")) as raw, raw:
        raw.execute("UPDATE fields SET slide = NULL")
        raw.execute("UPDATE fields SET kind = 'slide' WHERE id = 1")
    with Project.open(folder, annotator="Ada") as project:
        assert [project.fields.get(i).slide for i in (area, other, 2)] == ["a", "a", None]
