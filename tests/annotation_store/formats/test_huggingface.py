"""A folder for Hugging Face holds what its `datasets` needs to read it, and says what nobody annotated.

That `datasets` itself reads it: `.ci/check_peers.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from annotation_store import Project, Proposal, Shape, formats

CORNER = Shape.rectangle(0, 0, 60, 40)


@pytest.fixture
def sparse(blank: Any, tmp_path: Path) -> Iterator[Project]:
    """Give four fields of four patients: one with a corner, two of cells alone, one that says nothing."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (120, 80), (number, 90, 90)).save(folder / f"p{number}.png")
    with blank() as project:
        project.fields.add([folder], patient_from=r"^(p\d)")
        corner, second, third, _ = project.fields.all()
        project.regions.add(corner.id, CORNER)
        project.ignore_areas.add(corner.id, Shape.polygon([(0, 0), (9, 0), (9, 9)]))
        first = project.cells.add(
            corner.id, (5, 6.5, 20, 20), cell_class="Monocyte", attributes={"nuclear_chromatin": "unsure"}
        )
        project.cells.change(first, comment="of Ada", cut=True)
        project.cells.add(corner.id, (30, 6, 20, 20), cell_class="blast")
        for field in (second, third):
            project.cells.add(field.id, (1, 1, 9, 9))
        yield project


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Read every line of every part, by field; each image that a line names is there."""
    found = {}
    for file in out.glob("data/*/metadata.jsonl"):
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            assert (file.parent / row["file_name"]).is_file()
            found[row["field"]] = row
    return found


def test_each_image_has_a_line_with_its_cells(sparse: Project, tmp_path: Path) -> None:
    report = formats.write("huggingface", sparse, tmp_path / "out", options={"val": "0.34"})
    assert (report.fields, report.cells, report.regions) == (3, 4, 1)
    assert "1 fields have no region and no cell: left out." in report.skipped
    found = rows(tmp_path / "out")
    assert set(found) == {"p0.png", "p1.png", "p2.png"}
    row = found["p0.png"]
    assert (row["patient"], row["slide"], row["pixel_size_um"]) == ("p0", "", 0.0)
    objects = row["objects"]
    assert objects["bbox"] == [[5.0, 6.5, 20.0, 20.0], [30.0, 6.0, 20.0, 20.0]]
    assert objects["categories"] == ["Monocyte", "blast"]
    assert objects["attributes"]["nuclear_chromatin"] == ["unsure", ""]
    assert (objects["cut"], objects["comment"]) == ([True, False], ["of Ada", ""])
    assert found["p1.png"]["objects"]["categories"] == ["unclassified"]
    assert len({part.name for part in (tmp_path / "out" / "data").iterdir()}) == 2


def test_what_nobody_annotated_is_painted_unknown(sparse: Project, tmp_path: Path) -> None:
    report = formats.write("huggingface", sparse, tmp_path / "out")
    assert any(sentence.startswith("Warning: 3 fields have unknown area") for sentence in report.skipped)
    found = rows(tmp_path / "out")
    mask = Image.new("L", (120, 80), 9)
    for kind, polygon in zip(*found["p0.png"]["areas"].values(), strict=True):
        inside = [value - 0.5 for value in polygon]  # pillow takes in the pixels that an edge touches
        ImageDraw.Draw(mask).polygon(inside, fill=("unknown", "annotated", "ignore").index(kind))
    known = np.asarray(mask)
    assert known[70, 100] == 0
    assert known[30, 50] == 1
    assert known[2, 7] == 2
    assert 9 not in known
    assert found["p1.png"]["areas"]["kind"] == ["unknown"]


def test_only_what_is_covered_goes_out_where_asked(sparse: Project, tmp_path: Path) -> None:
    sparse.regions.add_whole_field(sparse.fields.all()[2].id)
    report = formats.write("huggingface", sparse, tmp_path / "out", options={"fields": "covered"})
    assert set(rows(tmp_path / "out")) == {"p2.png"}
    assert "2 fields have unknown area: left out, as asked." in report.skipped


def test_every_part_has_columns_of_the_same_types(sparse: Project, tmp_path: Path) -> None:
    """`datasets` derives them from the values and refuses parts that differ: null has no type, nor has []."""
    formats.write("huggingface", sparse, tmp_path / "out", options={"val": "0.3", "test": "0.3"})

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shape(one) for name, one in value.items()}
        if isinstance(value, list):
            (kind,) = {json.dumps(shape(one)) for one in value}
            return [kind]
        return type(value).__name__

    assert len(list((tmp_path / "out" / "data").iterdir())) == 3
    assert len({json.dumps(shape(row)) for row in rows(tmp_path / "out").values()}) == 1
    told = formats.write("huggingface", sparse, tmp_path / "one", options={"val": "0.3"}).skipped
    assert not any("one call" in sentence for sentence in told)
    for cell in sparse.cells.all():
        if cell.field_id != sparse.fields.all()[0].id:
            sparse.cells.delete(cell.id)
    for field in sparse.fields.all():
        sparse.regions.add_whole_field(field.id)
    told = formats.write("huggingface", sparse, tmp_path / "two", options={"val": "0.5"}).skipped
    assert any("in one call" in sentence and "--option seed=1" in sentence for sentence in told)


def test_the_card_leads_to_the_parts(sparse: Project, tmp_path: Path) -> None:
    formats.write("huggingface", sparse, tmp_path / "out", options={"val": "0.3"})
    _, head, text = (tmp_path / "out" / "README.md").read_text("utf-8").split("---\n", 2)
    (config,) = yaml.safe_load(head)["configs"]
    assert {one["split"]: one["path"] for one in config["data_files"]} == {
        "train": "data/train/**",
        "validation": "data/validation/**",
    }
    assert "*unknown*" in text


def test_anonymised_no_name_and_no_comment_goes_along(sparse: Project, tmp_path: Path) -> None:
    formats.write("huggingface", sparse, tmp_path / "out", anonymise=True)
    for file in (tmp_path / "out").rglob("*"):
        assert "p0" not in file.name
        if file.suffix in (".jsonl", ".md", ".json"):
            text = file.read_text("utf-8")
            assert "p0" not in text
            assert "Ada" not in text
    row = next(iter(rows(tmp_path / "out").values()))
    assert row["patient"]
    assert "comment" not in row["objects"]


def test_suggestions_carry_their_probability(sparse: Project, tmp_path: Path) -> None:
    field = sparse.fields.all()[3].id
    probable = {"Monocyte": 0.75, "Neutrophil": 0.25}
    sparse.suggestions.replace(field, [Proposal((1, 1, 9, 9), 0.8, probable)], model_id=None)
    formats.write("huggingface", sparse, tmp_path / "out", what="suggestions")
    (row,) = rows(tmp_path / "out").values()
    assert row["objects"]["categories"] == ["Monocyte"]
    assert row["objects"]["score"] == pytest.approx([0.6])
    assert "comment" not in row["objects"]
