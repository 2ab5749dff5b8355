"""What people made of suggestions, and how cells came to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_store import CellsMade, Origin, Project, Proposal, RejectionReason, formats
from annotation_store._collections import review_statistics
from tests.database import engine

SIZES = {"cell_size": {"small": 0.9, "medium": 0.05, "large": 0.05}}


def proposals(count: int) -> list[Proposal]:
    return [
        Proposal((5.0 + 12 * i, 5, 10, 10), 0.9 - 0.01 * i, {"Monocyte": 1.0}, SIZES) for i in range(count)
    ]


@pytest.fixture
def decided(project: Project, folder: Path) -> Project:
    """Six suggestions, each with another end; the last still waits."""
    ids = project.suggestions.replace(1, proposals(7), model_id=None)
    project.suggestions.accept(ids[0])
    project.suggestions.correct(ids[1], cell_class="Neutrophil", attributes={"cell_size": "large"})
    later = project.suggestions.accept(ids[2])
    with Project.open(folder, annotator="Ben", reading=1) as other:
        other.cells.change(later, box=(31, 5, 10, 10))
        other.suggestions.reject(ids[3], RejectionReason.DUPLICATE)
    project.cells.delete(project.suggestions.accept(ids[4]))
    project.suggestions.accept(ids[5])
    project.undo(1)
    project.suggestions.reject(ids[5])
    return project


def test_each_decision_says_who_and_what_was_changed_at_once_or_later(decided: Project) -> None:
    found = [
        (d.annotator, d.state.value, d.reason, d.changed, d.deleted)
        for d in decided.review_statistics.decisions()
    ]
    assert found == [
        ("Ada", "accepted", None, (), False),
        ("Ada", "corrected", None, ("class", "attribute:cell_size"), False),
        ("Ada", "accepted", None, ("box",), False),
        ("Ben", "rejected", RejectionReason.DUPLICATE, (), False),
        ("Ada", "accepted", None, (), True),
        ("Ada", "rejected", RejectionReason.NOT_A_CELL, (), False),
    ]
    assert [d.unchanged for d in decided.review_statistics.decisions()] == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    assert {(d.field_id, d.model_id, d.reading_id) for d in decided.review_statistics.decisions()} == {
        (1, None, 1)
    }


def test_a_value_that_was_added_or_cleared_is_a_change(project: Project) -> None:
    first, second = project.suggestions.replace(1, proposals(2), model_id=None)
    project.suggestions.correct(first, attributes={"cell_size": None})
    project.suggestions.correct(second, attributes={"nucleolus": "prominent"})
    assert [d.changed for d in project.review_statistics.decisions()] == [
        ("attribute:cell_size",),
        ("attribute:nucleolus",),
    ]


def test_decisions_are_read_in_parts_each_one_statement(
    decided: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(decided.review_statistics.decisions())
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(engine(decided), "before_cursor_execute", note)
    assert list(decided.review_statistics.decisions()) == whole
    assert len(seen) == 2  # the second finds that there are no more
    monkeypatch.setattr(review_statistics, "_AT_ONCE", 2)
    assert list(decided.review_statistics.decisions()) == whole
    assert len(seen) == 2 + 4
    seen.clear()
    decided.review_statistics.cells_made()
    assert len(seen) == 1


def test_cells_are_counted_by_who_made_them_and_how(decided: Project, folder: Path, tmp_path: Path) -> None:
    formats.write("coco", decided, tmp_path / "cells.json")
    made = decided.cells.add(1, (60, 60, 10, 10))
    decided.cells.delete(made)
    decided.undo(1)  # it is there again, and was boxed once
    with Project.open(folder, annotator="Ben") as other:
        reading = other.readings.add("Ben's")
        other.readings.use(reading.id)
        other.cells.add(1, (20, 60, 10, 10))
        formats.read("coco", other, tmp_path / "cells.json")
    assert decided.review_statistics.cells_made() == [
        CellsMade("Ada", 1, Origin.BY_HAND, 1),
        CellsMade("Ada", 1, Origin.SUGGESTED, 3),
        CellsMade("Ben", reading.id, Origin.BY_HAND, 1),
        CellsMade("Ben", reading.id, Origin.IMPORTED, 3),
    ]


def test_nothing_done_is_nothing_counted(project: Project) -> None:
    assert list(project.review_statistics.decisions()) == []
    assert project.review_statistics.cells_made() == []
