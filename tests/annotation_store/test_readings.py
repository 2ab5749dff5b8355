"""A reading belongs to its reader: whose one is opened, who may mark in it, and what old projects keep."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from annotation_store import EditError, Project, Shape
from tests.annotation_store.older import take_back
from training.agreement import write_consensus

BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.fixture
def read(small_project: Path) -> Path:
    """Give a project in which Ada has worked."""
    with Project.open(small_project, annotator="Ada") as project:
        project.cells.add(1, BOX, cell_class="Basophil")
    return small_project


def test_the_second_reader_does_not_mark_in_the_first_ones_reading(read: Path) -> None:
    with Project.open(read, annotator="Ben") as project:
        assert project.readings.undecided
        with pytest.raises(EditError, match="'Reading 1' belongs to Ada, and Ben has none"):
            project.cells.change(1, cell_class="Monocyte")
        with pytest.raises(EditError, match="start a new one, or continue"):
            project.regions.add(1, Shape.rectangle(0, 0, 50, 50))
        assert project.cells.get(1).cell_class == "Basophil"
        project.fields.update(1, quality="good")  # of the field, not of a reading
        own = project.readings.add("Ben's", blind=True)
        project.readings.use(own.id)
        project.cells.add(1, BOX, cell_class="Monocyte")
    with Project.open(read, annotator="Ben") as project:  # and comes back to it
        assert (project.reading, project.readings.undecided) == (own, False)
    with Project.open(read, annotator="Ada") as project:
        assert project.reading.id == 1
        assert project.cells.get(1).cell_class == "Basophil"


def test_continuing_anothers_reading_is_chosen_once(read: Path) -> None:
    with Project.open(read, annotator="Ben") as project:
        project.readings.use(1, remember=True)
        project.cells.change(1, cell_class="Monocyte")
        assert project.reading.annotator == "Ada"
    with Project.open(read, annotator="Ben") as project:
        assert not project.readings.undecided
        own = project.readings.add("Ben's")
    with Project.open(read, annotator="Ben") as project:
        assert project.reading == own
        project.readings.use(1, remember=True)  # a look at hers
    with Project.open(read, annotator="Ben") as project:
        assert project.reading == own


def test_of_several_readings_of_ones_own_the_last_is_opened(read: Path) -> None:
    with Project.open(read, annotator="Ada") as project:
        project.readings.use(project.readings.add("again").id, remember=True)
    with Project.open(read, annotator="Ada") as project:
        assert project.reading.name == "again"
    with Project.open(read, annotator="Ada", reading=1) as project:
        assert project.reading.name == "Reading 1"


def test_the_first_reading_belongs_to_whoever_marks_first(small_project: Path) -> None:
    with (
        Project.open(small_project, annotator="Ben") as ben,  # made by Ada, who has done nothing
        Project.open(small_project, annotator="Cem") as cem,
    ):
        assert not ben.readings.undecided
        assert not cem.readings.undecided
        cell = ben.cells.add(1, BOX)
        assert ben.reading.annotator == "Ben"
        with pytest.raises(EditError, match="belongs to Ben, and Cem has none"):
            cem.cells.add(1, (40, 40, 20, 20))
        ben.undo(1)
        ben.redo(1)
        ben.cells.change(cell, cell_class="Monocyte")
    with Project.open(small_project, annotator="Ben") as project:
        assert project.readings.all()[0].annotator == "Ben"
    with Project.open(small_project, annotator="Ada") as project:
        assert project.readings.undecided


def test_a_failed_first_mark_owns_nothing(small_project: Path) -> None:
    with Project.open(small_project, annotator="Ben") as project:
        with pytest.raises(EditError):
            project.cells.add(1, BOX, cell_class="Nonsense")
        assert project.readings.all()[0].annotator == "Ada"
        project.cells.add(1, BOX)
        assert project.readings.all()[0].annotator == "Ben"


def test_one_person_is_never_asked(read: Path) -> None:
    """The command line knows the account's name only, the window another one."""
    with Project.open(read) as project:
        assert project.annotator != "Ada"
        project.cells.add(1, (50, 50, 20, 20))
        project.readings.add("Ben's", annotator="Ben")
    with Project.open(read) as project, pytest.raises(EditError, match="--reading"):
        project.cells.add(1, (80, 50, 20, 20))  # whose?


def test_a_consensus_is_nobodys(read: Path) -> None:
    with Project.open(read, annotator="Ada") as project:
        project.regions.add(1, Shape.rectangle(0, 0, 100, 100))
        second = project.readings.add("Ben's", annotator="Ben")
    with Project.open(read, annotator="Ben") as project:
        assert project.reading == second
        project.cells.add(1, BOX, cell_class="Basophil")
        project.regions.add(1, Shape.rectangle(0, 0, 100, 100))
    with Project.open(read, annotator="Cem") as project:
        made = write_consensus(project, "together").reading
        assert (made.annotator, project.reading.id) == ("", 1)
    for name in ("Ada", "Ben", "Cem"):
        with Project.open(read, annotator=name) as project:
            assert project.reading.name != "together"


def _as_of_0008(folder: Path) -> None:
    """Take out what revision 0009 and later ones added."""
    with sqlite3.connect(folder / "project.db") as raw:
        raw.execute("CREATE TABLE old (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR NOT NULL UNIQUE)")
        raw.execute("INSERT INTO old SELECT id, name FROM annotators")
        raw.execute("DROP TABLE annotators")
        raw.execute("ALTER TABLE old RENAME TO annotators")
    take_back(folder, "0008")


def test_readers_of_an_older_project_go_on_where_they_were(read: Path, tmp_path: Path) -> None:
    with Project.open(read, annotator="Ben", reading=1) as project:
        project.cells.add(1, (60, 60, 20, 20))
    _as_of_0008(read)
    shutil.copytree(read, tmp_path / "other")
    with sqlite3.connect(tmp_path / "other" / "project.db") as raw:
        raw.execute("UPDATE readings SET annotator = 'account'")  # it was made in a terminal
    for folder, owner in ((read, "Ada"), (tmp_path / "other", "Ada")):
        for name in ("Ada", "Ben"):
            with Project.open(folder, annotator=name) as project:
                assert (project.reading.id, project.reading.annotator) == (1, owner)
                assert not project.readings.undecided
                project.cells.change(1, bookmark=name == "Ada")
        with Project.open(folder, annotator="Cem") as project:
            assert project.readings.undecided
