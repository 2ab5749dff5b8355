"""Which cells came after a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from annotation_store import Project


def test_cells_added_after_a_time_are_listed_and_deleted_ones_are_not(small_project: Path) -> None:
    with Project.open(small_project) as project:
        field = project.fields()[0].id
        old = project.add_cell(field, (1, 1, 5, 5))
        when = datetime.now(UTC)
        new, gone = (project.add_cell(field, (20 + 10 * i, 1, 5, 5)) for i in range(2))
        project.change_cell(old, cell_class="Neutrophil")  # changed is not added
        project.delete_cell(gone)
        assert [cell.id for cell in project.cells_since(when)] == [new]
        assert [cell.id for cell in project.cells_since(None)] == [new, old]
        assert project.cells_since(when + timedelta(hours=1)) == []
        project.undo(field)  # the deletion: it is back, and was still added after that time
        assert [cell.id for cell in project.cells_since(when)] == [gone, new]
        project.use_reading(project.add_reading("Second", blind=True).id)
        assert project.cells_since(None) == []
