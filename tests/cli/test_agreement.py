"""``napari-lld agreement``."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import Project

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
