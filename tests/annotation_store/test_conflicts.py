"""Importing what the project has already: missing values are filled in, contradictions kept and listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotation_store import EditError, Project, formats
from annotation_store.formats._exchange.unknown_classes import is_surely_not_white

IMAGE = {"id": 1, "file_name": "a.png", "width": 100, "height": 80, "annotated_regions": [[0, 0, 60, 80]]}


def bring(project: Project, path: Path, *annotations: dict[str, Any], **image: Any) -> Any:
    file = path / "given.json"
    names = ["Monocyte", "Lymphocyte", "Hairy cell", "RBC"]
    document = {
        "images": [IMAGE | image],
        "annotations": [{"id": i, "image_id": 1, **a} for i, a in enumerate(annotations)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
    }
    file.write_text(json.dumps(document))
    return formats.read("coco", project, file)


def test_a_contradiction_is_kept_listed_and_can_be_taken_or_not(project: Project, tmp_path: Path) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Lymphocyte", attributes={"cell_size": "small"})
    told = {"bbox": [5, 5, 20, 20], "category_id": 0, "attributes": {"cell_size": "large"}}
    report = bring(project, tmp_path, told)
    assert report.conflicts == 1
    (conflict,) = project.conflicts.all()
    assert (conflict.cell_id, conflict.field_id, conflict.state) == (cell, 1, "open")
    assert conflict.here == {"cell_class": "Lymphocyte", "attributes": {"cell_size": "small"}}
    assert conflict.there == {"cell_class": "Monocyte", "attributes": {"cell_size": "large"}}
    assert conflict.source.endswith("given.json")
    assert project.cells.get(cell).cell_class == "Lymphocyte"

    assert bring(project, tmp_path, told).conflicts == 0, "the same word again is no new conflict"
    assert len(project.conflicts.all()) == 1

    project.conflicts.resolve(conflict.id, take=True)
    assert project.cells.get(cell).cell_class == "Monocyte"
    assert project.cells.get(cell).attributes == {"cell_size": "large"}
    assert project.conflicts.all() == []
    with pytest.raises(EditError, match="closed"):
        project.conflicts.resolve(conflict.id, take=False)

    project.undo(1)
    assert project.cells.get(cell).cell_class == "Lymphocyte"
    assert [c.state for c in project.conflicts.all()] == ["open"]
    project.conflicts.resolve(conflict.id, take=False)
    assert project.cells.get(cell).cell_class == "Lymphocyte"
    assert [c.state for c in project.conflicts.all(states=None)] == ["kept"]
    assert project.check() == []


def test_what_is_missing_here_is_filled_in_and_undone_with_the_import(
    project: Project, tmp_path: Path
) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), attributes={"cell_size": "small"})
    told = {"bbox": [5, 5, 20, 20], "category_id": 0, "attributes": {"cytoplasm": "scanty"}}
    report = bring(project, tmp_path, told)
    assert (report.cells, report.filled, report.conflicts) == (0, 1, 0)
    assert project.cells.get(cell).cell_class == "Monocyte"
    assert project.cells.get(cell).attributes == {"cell_size": "small", "cytoplasm": "scanty"}
    project.undo(1)
    assert project.cells.get(cell).cell_class is None
    assert project.cells.get(cell).attributes == {"cell_size": "small"}


def test_what_the_file_does_not_say_takes_nothing_away(project: Project, tmp_path: Path) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    before = len(project.history.rows(1, entity="cell"))
    bring(project, tmp_path, {"bbox": [5, 5, 20, 20], "attributes": {"cell_size": None}})
    assert project.cells.get(cell).cell_class == "Monocyte"
    assert project.cells.get(cell).attributes == {"cell_size": "small"}
    assert len(project.history.rows(1, entity="cell")) == before


def test_a_box_of_an_unknown_class_in_a_finished_region_is_no_background(
    project: Project, tmp_path: Path
) -> None:
    known = {"bbox": [30, 30, 20, 20], "category_id": 0}
    hairy = {"bbox": [2, 2, 20, 20], "category_id": 2}
    red = {"bbox": [2, 50, 20, 20], "category_id": 3}
    outside = {"bbox": [75, 50, 20, 20], "category_id": 2}
    report = bring(project, tmp_path, known, hairy, red, outside)
    assert [area.shape.coords for area in project.ignore_areas.all(1)] == [(2, 2, 20, 20)]
    assert len(project.cells.all(1)) == report.cells == 1
    assert any(line.startswith("1 marks that were left out lie in finished") for line in report.skipped)
    bring(project, tmp_path, known, hairy, red, outside)
    assert len(project.ignore_areas.all(1)) == 1


def test_a_stranger_in_a_region_that_was_here_before_is_no_background_either(
    project: Project, tmp_path: Path
) -> None:
    project.regions.add_whole_field(1)
    known = {"bbox": [30, 30, 20, 20], "category_id": 0}
    hairy = {"bbox": [2, 2, 20, 20], "category_id": 2}
    bring(project, tmp_path, known, hairy, annotated_regions=[])
    assert len(project.ignore_areas.all(1)) == 1


def test_where_somebody_boxed_the_place_already_nothing_is_ignored(project: Project, tmp_path: Path) -> None:
    project.cells.add(1, (3, 3, 20, 20), cell_class="Monocyte")
    known = {"bbox": [30, 30, 20, 20], "category_id": 0}
    bring(project, tmp_path, known, {"bbox": [2, 2, 20, 20], "category_id": 2})
    assert project.ignore_areas.all(1) == []


@pytest.mark.parametrize("label", ["RBC", "rbcs", "Red Blood Cells", "platelets", "Erythrocyte", "PLT"])
def test_red_cells_and_platelets_are_no_white_cells(label: str) -> None:
    assert is_surely_not_white(label)


@pytest.mark.parametrize("label", ["Hairy cell", "nRBC", "platelet clump", "WBC", "cell", ""])
def test_whatever_may_be_a_white_cell_counts_as_one(label: str) -> None:
    assert not is_surely_not_white(label)
