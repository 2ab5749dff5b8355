"""The same cell twice: in a file and the project, and within one file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.formats._exchange.comparison import Present, new_cells
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.geometry import BoxIndex, iou
from annotation_store.records import Box

numbers = st.floats(0.5, 40, allow_nan=False)
boxes = st.tuples(st.floats(0, 60), st.floats(0, 60), numbers, numbers)


def coco(path: Path, *cells: dict[str, Any]) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [
            {"id": 1, "name": "Neutrophil"},
            {"id": 2, "name": "Lymphocyte"},
            {"id": 3, "name": "WBC"},
        ],
        "annotations": [{"id": n, "image_id": 1, **cell} for n, cell in enumerate(cells, 1)],
    }
    path.write_text(json.dumps(document))
    return path


@given(st.lists(boxes, max_size=12), boxes, st.tuples(*[st.floats(-0.06, 0.06)] * 4))
def test_the_index_finds_what_comparing_all_with_all_finds(
    others: list[tuple[float, float, float, float]],
    box: tuple[float, float, float, float],
    shift: tuple[float, float, float, float],
) -> None:
    x, y, w, h = box
    near = (x + shift[0] * w, y + shift[1] * h, w * (1 + shift[2]), h * (1 + shift[3]))
    index = BoxIndex(0.9)
    for number, other in enumerate([*others, near]):
        index.add(number, other)
    expected = [n for n, other in enumerate([*others, near]) if iou(box, other) >= 0.9]
    assert sorted(index.find(box)) == expected


def test_a_box_that_stands_twice_in_a_file_is_one_cell(project: Project, tmp_path: Path) -> None:
    file = coco(
        tmp_path / "x.json",
        {"category_id": 1, "bbox": [10, 10, 20, 20]},
        {"category_id": 1, "bbox": [10, 10, 20, 20]},
        {"category_id": 2, "bbox": [10, 10, 20, 20.5]},
        {"category_id": 3, "bbox": [50, 10, 20, 20]},
        {"category_id": 2, "bbox": [50, 10, 20, 20], "attributes": {"cell_size": "small"}},
        {"category_id": 2, "bbox": [10, 10, 20, 20], "score": 0.5},
        {"category_id": 2, "bbox": [10, 10, 20, 20], "score": 0.4},
    )
    report = formats.read("coco", project, file)
    assert report.cells == 2
    assert [(c.cell_class, dict(c.attributes)) for c in project.cells.all()] == [
        ("Neutrophil", {}),
        ("Lymphocyte", {"cell_size": "small"}),  # what the first left open is filled in
    ]
    assert report.conflicts == 0, "not a conflict with what is here"
    told = "\n".join(report.skipped)
    assert "3 cells are in the file twice: not added again." in told
    assert "annotation 3: is in the file twice, the first is kept: class Neutrophil first, Lymphocyte" in told
    assert report.suggestions == 1
    assert "1 suggestions are in the file twice" in told


def test_a_cell_at_the_edge_is_not_added_again(project: Project, tmp_path: Path) -> None:
    file = coco(
        tmp_path / "x.json",
        {"category_id": 1, "bbox": [-10, 10, 30, 30]},
        {"category_id": 1, "bbox": [80, 60, 40, 40], "score": 0.5},
    )
    assert formats.read("coco", project, file).cells == 1
    again = formats.read("coco", project, file)
    assert (again.cells, again.suggestions) == (0, 0), "it was clipped, and is compared as such"


def test_negative_sizes_are_put_in_order(project: Project, tmp_path: Path) -> None:
    file = coco(tmp_path / "x.json", {"category_id": 1, "bbox": [30, 40, -20, -30]})
    report = formats.read("coco", project, file)
    assert [c.box for c in project.cells.all()] == [(10, 10, 20, 30)]
    assert any("corners were put in order" in line for line in report.skipped)


@pytest.mark.parametrize("area", [20_000, 60], ids=["spread", "crowded"])
def test_the_work_grows_with_the_number_of_cells_and_not_with_its_square(
    project: Project, monkeypatch: pytest.MonkeyPatch, area: float
) -> None:
    compared = 0

    def counted(one: Box, other: Box) -> float:
        nonlocal compared
        compared += 1
        return iou(one, other)

    monkeypatch.setattr("annotation_store.geometry.iou", counted)
    rng = np.random.default_rng(0)
    places = np.column_stack([rng.uniform(0, area, (2_000, 2)), rng.uniform(5, 25, (2_000, 2))])
    cells = [CellIn(f"cell {n}", tuple(map(float, box))) for n, box in enumerate(places)]
    given_ = FieldIn("a.png", cells=[*cells, *cells[:100]])
    field = replace(project.fields.get(1), width=30_000, height=30_000)
    monkeypatch.setattr(project.fields, "get", lambda _: field)
    here, document = Present(project), Document("x", [given_], Skipped())
    news = new_cells(project, document, field, given_, here)
    assert len(news.rows) <= 2_000
    assert not new_cells(project, document, field, given_, here).rows, "the second import adds nothing"
    assert compared < 20_000, "all pairs are more than 4,000,000"
