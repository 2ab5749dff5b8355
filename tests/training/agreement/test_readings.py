"""Readings of a project: matched, compared, adjudicated, put together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation_store import Cell, EditError, Project, RegionState, Shape
from training.agreement import ReadingView, agreement, differences, match_readings, write_consensus
from training.agreement.consensus import majority

WHOLE = (Shape.rectangle(0, 0, 200, 100),)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    images = tmp_path / "images"
    images.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (100, 200, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"f{i}.png")
    with Project.create(tmp_path / "project", "lld", annotator="Ada") as made:
        made.fields.add([images])
        yield made


def reading(project: Project, name: str | None, *labels: tuple[float, str | None], whole: bool = True) -> int:
    """Fill a reading (a new one, or the first) with cells at x on field 1."""
    number = project.readings.add(name).id if name else 1
    project.readings.use(number)
    for x, of_class in labels:
        project.cells.add(1, (x, 40, 20, 20), cell_class=of_class)
    if whole:
        project.regions.add_whole_field(1)
    project.readings.use(1)
    return number


def test_two_readings_are_matched_by_overlap_and_compared(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (50, "Lymphocyte"), (90, "Neutrophil"))
    reading(project, "Bob", (12, "Monocyte"), (51, "Neutrophil"), (140, "Monocyte"))
    found = agreement(project)
    assert found["readings"][1:] == ["Bob"]
    (detection,) = found["detection"]
    assert (detection["both"], detection["only"]) == (2, [1, 1])
    assert detection["f1"] == pytest.approx(2 * 2 / 6)
    (pair,) = found["class"]["pairs"]
    assert (pair["n"], pair["agreement"]) == (2, 0.5)
    assert found["cells"] == 4
    assert project.reading.id == 1


def test_only_areas_that_both_have_finished_count(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (150, "Monocyte"))
    second = reading(project, "Bob", (10, "Monocyte"), (70, "Monocyte"), whole=False)
    assert agreement(project)["cells"] == 0
    project.readings.use(second)
    project.regions.add(1, Shape.rectangle(0, 0, 50, 100))
    project.regions.add(1, Shape.rectangle(60, 0, 50, 100), state=RegionState.DRAFT)
    project.readings.use(1)
    (detection,) = agreement(project)["detection"]
    assert (detection["both"], detection["only"]) == (1, [0, 0])
    project.ignore_areas.add(1, Shape.rectangle(0, 30, 40, 40))
    assert agreement(project)["cells"] == 0


def test_a_group_does_not_contradict_its_classes_and_unsure_is_counted_apart(project: Project) -> None:
    reading(project, None, (10, "blast"), (50, "unsure"), (90, "blast"), (130, None))
    reading(project, "Bob", (10, "Myeloblast"), (50, "Monocyte"), (90, "Monocyte"), (130, "Monocyte"))
    found = agreement(project)["class"]
    assert found["pairs"][0]["n"] == 1  # blast against monocyte
    assert sum(found["unsure"].values()) == 1
    (one,) = differences(project)
    assert "Monocyte (Bob)" in one.what[0]


def test_the_adjudication_list_begins_with_what_differs_most(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (50, "Lymphocyte"), (90, "Monocyte"))
    second = reading(project, "Bob", (10, "Neutrophil"), (90, "Monocyte"))
    for number, value in ((1, "small"), (second, "large")):
        project.readings.use(number)
        for cell in project.cells.all(1):
            if cell.box[0] in (10, 90):
                project.cells.change(cell.id, attributes={"cell_size": value})
    project.readings.use(1)
    found = differences(project)
    assert [one.box[0] for one in found] == [10, 50, 90]
    assert len(found[0].what) == 2
    assert found[1].cells[second] is None
    assert found[1].what[0].endswith("not by Bob")
    assert found[0].score > found[1].score > found[2].score


def test_a_consensus_is_a_reading_of_its_own(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (50, "Lymphocyte"), (90, "blast"), (130, "Monocyte"))
    reading(project, "Bob", (12, "Monocyte"), (50, "Neutrophil"), (90, "Myeloblast"))
    reading(project, "Cem", (14, "Neutrophil"), (50, "Monocyte"), (90, "blast"))
    before = [project.cells.all(1), project.regions.all(1)]
    report = write_consensus(project)
    assert (report.fields, report.cells, report.unsure, report.disputed) == (1, 3, 1, 0)
    assert project.reading.id == 1
    assert [project.cells.all(1), project.regions.all(1)] == before
    project.readings.use(report.reading.id)
    told = {cell.box[0]: cell.cell_class for cell in project.cells.all(1)}
    assert told == {12: "Monocyte", 50: "unsure", 90: "blast"}  # at 130 one of three: no cell
    assert [r.shape.coords for r in project.regions.all(1)] == [(0, 0, 200, 100)]
    with pytest.raises(EditError, match="already"):
        write_consensus(project)
    assert len(project.readings.all()) == 4


def test_a_consensus_is_no_reader_when_readers_are_compared_again(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (50, "Lymphocyte"))
    reading(project, "Bob", (10, "Monocyte"), (50, "Neutrophil"))
    before = agreement(project), differences(project)
    made = write_consensus(project)
    assert (agreement(project), differences(project)) == before
    again = write_consensus(project, "Again")
    assert (again.cells, again.unsure) == (made.cells, made.unsure)


def test_where_half_boxed_a_cell_its_place_is_ignored(project: Project) -> None:
    reading(project, None, (10, "Monocyte"), (50, "Monocyte"))
    reading(project, "Bob", (10, "Monocyte"))
    report = write_consensus(project, "Together")
    assert (report.cells, report.disputed) == (1, 1)
    project.readings.use(report.reading.id)
    assert [a.shape.coords for a in project.ignore_areas.all(1)] == [(50, 40, 20, 20)]


def test_one_reading_alone_has_no_agreement_and_no_consensus(project: Project) -> None:
    reading(project, None, (10, "Monocyte"))
    found = agreement(project)
    assert found["cells"] == 0
    assert found["detection"] == []
    assert differences(project) == []
    with pytest.raises(EditError, match="two readings"):
        write_consensus(project)
    assert len(project.readings.all()) == 1
    with pytest.raises(EditError, match="no reading 9"):
        agreement(project, [1, 9])


def test_a_region_with_a_hole_is_cut_in_pieces(project: Project) -> None:
    for name in (None, "Bob"):
        number = project.readings.add(name).id if name else 1
        project.readings.use(number)
        for box in ((0, 0, 200, 20), (0, 80, 200, 20), (0, 0, 20, 100), (180, 0, 20, 100)):
            project.regions.add(1, Shape.rectangle(*box))
    report = write_consensus(project)
    project.readings.use(report.reading.id)
    shapes = [r.shape.geometry for r in project.regions.all(1)]
    assert sum(s.area for s in shapes) == pytest.approx(200 * 100 - 160 * 60)
    assert not any(r.shape.contains(100, 50) for r in project.regions.all(1))


def test_votes() -> None:
    assert majority([]) is None
    assert majority(["a", "a", "b"]) == "a"
    assert majority(["a", "b"]) == "unsure"
    assert majority(["unsure", "unsure", "a"]) == "unsure"


boxes = st.lists(st.tuples(st.integers(0, 170), st.integers(0, 70), st.integers(8, 30)), max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.integers(1, 4), boxes, min_size=2, max_size=4))
def test_no_cell_is_lost_doubled_or_matched_within_its_reading(
    given_boxes: dict[int, list[tuple[int, int, int]]],
) -> None:
    views = {
        number: ReadingView(
            tuple(Cell(100 * number + i, 1, number, (x, y, s, s)) for i, (x, y, s) in enumerate(some)), WHOLE
        )
        for number, some in given_boxes.items()
    }
    units = match_readings(1, views)
    ids = [cell.id for unit in units for cell in unit.cells.values()]
    assert sorted(ids) == sorted(cell.id for view in views.values() for cell in view.cells)
    assert all(cell.reading_id == number for unit in units for number, cell in unit.cells.items())
    assert match_readings(1, dict(reversed(list(views.items())))) == units
