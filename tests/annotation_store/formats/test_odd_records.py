"""Records that cannot come in: they are left out and told, they refuse nothing, and are never background."""

from __future__ import annotations

import math

import pytest

from annotation_store import Project
from annotation_store.formats._document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._images import Images
from annotation_store.formats._merge import merge
from annotation_store.records import Box, ImportReport


def bring(project: Project, given: FieldIn, regions: str = "file") -> ImportReport:
    document = Document("x", [given], Skipped())
    images = Images(fields=project.fields())
    return merge(project, document, images=images, regions=regions, patient_from=None, progress=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(20, 20, 10, 10), (30, 30, -10, -10)])
def test_a_mark_that_is_left_out_of_a_finished_area_is_ignored_there(project: Project, box: Box) -> None:
    given = FieldIn("a.png", cells=[CellIn("1", (60, 60, 10, 10))])
    given.left_out(box, "{n} odd records were left out.")
    report = bring(project, given)
    assert [a.shape.coords for a in project.ignore_areas(1)] == [(20, 20, 10, 10)]
    assert len(project.regions(1)) == 1
    assert "1 odd records were left out." in report.skipped


@pytest.mark.parametrize(
    "box", [None, (math.nan, 0, 1, 1), (5, 5, 0, 20), (5, 5, 0.2, 20), (0, 0, math.inf, 5)]
)
@pytest.mark.parametrize("stated", [True, False])
def test_a_field_with_a_mark_that_has_no_place_is_not_finished(
    project: Project, box: Box | None, stated: bool
) -> None:
    given = FieldIn(
        "a.png", regions=[(0, 0, 50, 50)] if stated else None, cells=[CellIn("1", (60, 60, 10, 10))]
    )
    given.left_out(box, "{n} odd records were left out.")
    report = bring(project, given)
    assert (report.cells, report.regions) == (1, 0)
    assert not project.regions(1)
    assert any("a.png: not called finished" in line for line in report.skipped)


def test_what_lies_outside_the_field_or_elsewhere_hides_nothing(project: Project) -> None:
    given = FieldIn("a.png", regions=[(0, 0, 40, 40)], cells=[CellIn("1", (10, 10, 10, 10))])
    given.left_out((500, 500, 10, 10), "{n} outside")
    given.left_out((60, 60, 10, 10), "{n} where nothing is finished")
    given.left_out((10, 10, 10, 11), "{n} judged by a cell of the file")
    assert bring(project, given).regions == 1
    assert not project.ignore_areas(1)


def test_cells_and_areas_that_break_a_rule_become_ignore_areas(project: Project) -> None:
    bow = (20.0, 20.0, 30.0, 30.0, 30.0, 20.0, 20.0, 30.0)
    cells = [CellIn("1", (60, 60, 10, 10)), CellIn("2", (1, 1, 10, 10), cell_class="nothing known")]
    bring(project, FieldIn("a.png", cells=cells, ignore_areas=[bow]))
    assert {a.shape.coords for a in project.ignore_areas(1)} == {(1, 1, 10, 10), (20, 20, 10, 10)}
