"""``napari-lld agreement``."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import Project
from napari_lld.cli.train import check_evidence

from .conftest import Cli


@pytest.fixture
def two_readings(annotated: Path) -> Path:
    """The first reading, and another that has the same cells, one of them otherwise and one not."""
    with Project.open(annotated) as project:
        first = project.cells.all()
        for i, cell in enumerate(first):
            project.cells.change(cell.id, cell_class="Monocyte" if i % 2 else "Lymphocyte")
        first, regions = project.cells.all(), project.regions.all()
        project.readings.use(project.readings.add("second").id)
        for region in regions:
            project.regions.add(region.field_id, region.shape)
        for cell in first[1:]:
            of_class = "Basophil" if cell is first[1] else cell.cell_class
            project.cells.add(cell.field_id, cell.box, cell_class=of_class)
    return annotated


def test_agreement_differences_and_a_consensus(cli: Cli, two_readings: Path) -> None:
    told = cli("agreement", two_readings, "--json").json
    assert len(told["readings"]) == 2
    assert told["detection"][0]["f1"] < 1
    assert told["detection"][0]["only"] == [1, 0]
    assert 0 < told["class"]["pairs"][0]["kappa"] < 1
    assert len(told["differences"]) == 2
    text = cli("agreement", two_readings).out
    assert "Cohen's kappa" in text
    assert "Basophil (second)" in text
    made = cli("agreement", two_readings, "--consensus", "together", "--json").json["consensus"]
    assert made["unsure"] == 1
    assert made["disputed"] == 1
    with Project.open(two_readings) as project:
        assert [one.name for one in project.readings.all()][2] == "together"
    cli("agreement", two_readings, "--consensus", "together").refuses("already")


def test_one_reading_says_that_there_is_nothing_to_compare(cli: Cli, annotated: Path) -> None:
    assert "Nothing to compare" in cli("agreement", annotated).out
    assert cli("agreement", annotated, "--json").json["cells"] == 0
    cli("agreement", annotated, "--consensus", "x").refuses("two readings")


@pytest.fixture
def merged(annotated: Path) -> Path:
    """A project whose own reading is empty, and that of another reader is not."""
    with Project.open(annotated) as project:
        cells, regions = project.cells.all(), project.regions.all()
        project.readings.use(project.readings.add("Bert", annotator="Bert").id)
        for cell in cells:
            project.cells.add(cell.field_id, cell.box, cell_class=cell.cell_class)
        for region in regions:
            project.regions.add(region.field_id, region.shape)
        project.readings.use(1)
        for cell in cells:
            project.cells.delete(cell.id)
        for region in regions:
            project.regions.delete(region.id)
    return annotated


def test_a_project_with_only_the_readings_of_others_can_be_trained(merged: Path) -> None:
    with Project.open(merged) as project:
        check_evidence(project, merged)
        assert not project.regions.all()


@pytest.mark.parametrize(
    "words",
    [
        ("info",),
        ("find", "class:Neutrophil"),
        ("export", "out.json", "--format", "coco"),
        ("report", "r.html"),
    ],
)
def test_who_asks_for_an_empty_reading_hears_of_the_others(
    cli: Cli, merged: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    command, *rest = (str(tmp_path / word) if "." in word else word for word in words)
    answer = cli(command, merged, *rest)
    assert answer.code == 0
    assert "'Bert' (" in answer.err
    assert "--reading" in answer.err
    again = ["--overwrite"] if command in ("export", "report") else []
    assert cli(command, merged, *rest, *again, "--reading", "Bert").err == ""


def test_info_counts_each_reading(cli: Cli, merged: Path) -> None:
    own, others = cli("info", merged, "--json").json["readings"]
    assert (own["cells"], own["finished"]) == (0, 0)
    assert others["name"] == others["annotator"] == "Bert"
    assert others["cells"] > 0
    assert others["finished"] > 0
