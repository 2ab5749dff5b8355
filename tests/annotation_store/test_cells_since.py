"""Which cells came after a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from annotation_store import Project


def test_cells_added_after_a_time_are_listed_and_deleted_ones_are_not(small_project: Path) -> None:
    with Project.open(small_project) as project:
        field = project.fields.all()[0].id
        old = project.cells.add(field, (1, 1, 5, 5))
        when = datetime.now(UTC)
        new, gone = (project.cells.add(field, (20 + 10 * i, 1, 5, 5)) for i in range(2))
        project.cells.change(old, cell_class="Neutrophil")  # changed is not added
        project.cells.delete(gone)
        assert [cell.id for cell in project.cells.since(when)] == [new]
        assert [cell.id for cell in project.cells.since(None)] == [new, old]
        assert project.cells.since(when + timedelta(hours=1)) == []
        project.undo(field)  # the deletion: it is back, and was still added after that time
        assert [cell.id for cell in project.cells.since(when)] == [gone, new]
        project.readings.use(project.readings.add("Second", blind=True).id)
        assert project.cells.since(None) == []
