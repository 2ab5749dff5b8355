"""What the readings of a project vote on its cells, and what a training makes of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from annotation_store import Project, Shape
from training.agreement import agreement, write_consensus
from training.agreement.votes import votes
from training.protocol import TrainRequest
from training.worker.annotated_fields import annotated_fields
from training.worker.run import run

SHAPES = ("regular", "irregular")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in range(2):
        pixels = rng.integers(200, 255, (96, 160, 3)).astype(np.uint8)
        pixels[40:60, 12:28] = pixels[40:60, 52:68] = pixels[40:60, 92:108] = (95, 50, 140)
        Image.fromarray(pixels).save(tmp_path / "images" / f"f{i}.png")
    with Project.create(tmp_path / "project", "lld", annotator="Ada") as made:
        made.fields.add([tmp_path / "images"])
        yield made


def read(project: Project, name: str | None, *labels: tuple[float, str | None, str | None]) -> int:
    """Fill a reading (a new one, or the first) with cells at x on field 1: class and nuclear shape."""
    number = project.readings.add(name, annotator=name).id if name else 1
    with project.readings.within(number):
        for x, of_class, shape in labels:
            values = {} if shape is None else {"nuclear_shape": shape}
            project.cells.add(1, (x, 40, 20, 20), cell_class=of_class, attributes=values)
        project.regions.add_whole_field(1)
    return number


def by_place(project: Project) -> dict[int, dict[str, dict[str, float]]]:
    cells = {cell.id: cell for cell in project.cells.all()}
    return {
        round(cells[number].box[0]): {name: dict(some) for name, some in one.shares.items()}
        for number, one in votes(project).items()
    }


def test_each_reading_has_one_vote(project: Project) -> None:
    read(project, None, (10, "Monocyte", "regular"), (50, "Monocyte", None), (90, None, "regular"))
    read(project, "Bob", (12, "Monocyte", "irregular"), (50, "Lymphocyte", None), (90, "Basophil", None))
    read(project, "Cem", (14, "Neutrophil", "irregular"), (130, "Monocyte", None))
    third = 1 / 3
    assert by_place(project) == {
        10: {"class": {"Monocyte": 2 * third, "Neutrophil": third},
             "nuclear_shape": {"irregular": 2 * third, "regular": third}},
        50: {"class": {"Lymphocyte": 0.5, "Monocyte": 0.5}},
        90: {"class": {"Basophil": 1.0}, "nuclear_shape": {"regular": 1.0}},
    }  # fmt: skip
    (known,) = [k for k in annotated_fields(project) if k.cells]
    one, two, three = known.training_field(project).cells
    assert one.box == (12, 40, 20, 20), "one box, between those of the readings"
    assert (one.cell_class, one.attributes) == ("Monocyte", {"nuclear_shape": "irregular"})
    assert set(one.shares) == {"class", "nuclear_shape"}
    assert (three.cell_class, three.shares) == ("Basophil", {}), "what one left open another has said"
    assert [cell.ties for cell in known.truth().cells] == [{}, {"class": ("Lymphocyte", "Monocyte")}, {}]
    assert known.classes == {"Monocyte", "Neutrophil", "Lymphocyte", "Basophil", None}
    assert two.cell_class == "Lymphocyte"


def test_unsure_and_groups_are_no_votes_and_what_is_not_finished_does_not_count(project: Project) -> None:
    read(project, None, (10, "blast", "unsure"), (50, "unsure", "regular"), (90, "blast", None))
    read(project, "Bob", (10, "Monoblast", "regular"), (50, "blast", "unsure"), (90, "unsure", None))
    other = project.readings.add("Cem", annotator="Cem").id
    with project.readings.within(other):
        project.cells.add(1, (10, 40, 20, 20), cell_class="Basophil")
    assert by_place(project) == {
        10: {"class": {"Monoblast": 1.0}, "nuclear_shape": {"regular": 1.0}},
        50: {"nuclear_shape": {"regular": 1.0}},
        90: {},
    }
    (known,) = [k for k in annotated_fields(project) if k.cells]
    classes = [cell.cell_class for cell in known.training_field(project).cells]
    assert classes == ["Monoblast", "unsure", "blast"], "its own word, where nobody votes"


def test_a_consensus_teaches_what_its_readers_said_and_what_somebody_decided_stands(project: Project) -> None:
    read(project, None, (10, "Monocyte", "regular"), (50, "Monocyte", "regular"))
    read(project, "Bob", (12, "Lymphocyte", "regular"), (52, "Lymphocyte", "irregular"))
    made = write_consensus(project).reading.id
    with project.readings.within(made):
        first, second = project.cells.all()
        assert (first.cell_class, second.attributes) == ("unsure", {"nuclear_shape": "unsure"})
        project.cells.change(second.id, cell_class="Basophil", box=(53, 40, 20, 20))
        assert by_place(project) == {
            11: {"class": {"Lymphocyte": 0.5, "Monocyte": 0.5}, "nuclear_shape": {"regular": 1.0}},
            53: {"nuclear_shape": {"irregular": 0.5, "regular": 0.5}},
        }
        (known,) = [k for k in annotated_fields(project) if k.cells]
        told = known.training_field(project).cells
    assert [(cell.box[0], cell.cell_class) for cell in told] == [(11, "Lymphocyte"), (53, "Basophil")]
    assert all(k.votes or not k.cells for k in annotated_fields(project)), (
        "the consensus has no vote of its own"
    )
    assert by_place(project)[10]["class"] == {"Lymphocyte": 0.5, "Monocyte": 0.5}


def test_comparing_readings_makes_nobody_the_reader(project: Project) -> None:
    read(project, None, (10, "Monocyte", None))
    read(project, "Bob", (10, "Monocyte", None))
    with Project.open(project.path, annotator="Cem") as other:
        assert other.readings.undecided
        agreement(other)
        annotated_fields(other)
        assert other.readings.undecided


class Quiet:
    cancelled = False

    def send(self, _message: object) -> None: ...

    def check(self) -> None: ...


def trained(project: Project, reading: int | None = None) -> dict[str, Any]:
    request = TrainRequest(
        project=str(project.path),
        init="scratch",
        size=96,
        epochs=1,
        device="cpu",
        suggest=False,
        reading=reading,
    )
    quiet: Any = Quiet()
    done = run(request, quiet, time.monotonic())
    folder = project.path / "models" / str(done.model_id)
    (weights,) = folder.glob("*.safetensors")
    return {n: t for n, t in load_file(weights).items() if "sources" not in n}


def test_a_second_reader_who_agrees_changes_no_bit_of_a_training(project: Project) -> None:
    labels = [(10.0, "Monocyte", "regular"), (50.0, "Lymphocyte", None), (90.0, "blast", "irregular")]
    read(project, None, *labels)
    before = trained(project)
    read(project, "Bob", *labels)
    after = trained(project)
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)
    with project.readings.within(1):
        project.regions.add(2, Shape.rectangle(0, 0, 5, 5))
    assert len([k for k in annotated_fields(project) if k.finished]) == 2


def places(known: list[Any]) -> dict[int, list[int]]:
    return {k.field.id: [round(cell.box[0]) for cell in k.cells] for k in known if k.finished}


def test_where_the_current_reading_has_finished_nothing_readers_vote_together(project: Project) -> None:
    read(project, "Ada's", (10, "Monocyte", None), (50, "Monocyte", None))
    bob = read(project, "Bob", (12, "Lymphocyte", None), (50, "Monocyte", None), (130, None, None))
    with project.readings.within(bob):
        project.cells.add(2, (10, 40, 20, 20), cell_class="Basophil")
        project.regions.add(2, Shape.rectangle(0, 0, 80, 96))
    assert project.reading.id == 1
    known = annotated_fields(project)
    assert places(known) == {1: [10, 50], 2: [10]}, "of fields that readers have divided, each counts"
    first = known[0].training_field(project)
    assert [(cell.box[0], dict(cell.shares)) for cell in first.cells] == [
        (11, {"class": {"Lymphocyte": 0.5, "Monocyte": 0.5}}),
        (50, {}),
    ]
    assert [shape.bounds[0] for shape in known[0].ignore] == [130], "half of the readers boxed it"
    assert not places(annotated_fields(project, own=True)), "for suggestions, its areas are unknown"
    read(project, "Cem", (10, "Monocyte", None), (90, None, None))
    assert places(annotated_fields(project))[1] == [10, 50], "one of three is not a cell"
    assert not annotated_fields(project)[0].ignore


def test_a_consensus_takes_the_place_of_an_empty_reading_where_it_has_finished(project: Project) -> None:
    read(project, "Ada's", (10, "Monocyte", None))
    bob = read(project, "Bob", (10, "Lymphocyte", None))
    with project.readings.within(bob):
        project.cells.add(2, (90, 40, 20, 20))
        project.regions.add_whole_field(2)
    both = write_consensus(project).reading.id
    with project.readings.within(both):
        (cell,) = project.cells.all()
        project.cells.change(cell.id, cell_class="Basophil")
        project.cells.add(1, (50, 40, 20, 20), cell_class="Monoblast")
    known = annotated_fields(project)
    assert places(known) == {1: [10, 50], 2: [90]}, "a consensus lacks what one reader alone has finished"
    assert [c.cell_class for c in known[0].training_field(project).cells] == ["Basophil", "Monoblast"]


def test_a_reading_that_has_finished_something_on_a_field_defines_its_cells_there(project: Project) -> None:
    bob = read(project, "Bob", (10, "Monocyte", None), (50, "Monocyte", None))
    with project.readings.within(bob):
        project.regions.change(1, shape=Shape.rectangle(0, 0, 80, 96))
    project.cells.add(1, (11, 40, 20, 20), cell_class="Basophil")
    project.cells.add(1, (120, 40, 20, 20), cell_class="Basophil")
    assert places(annotated_fields(project)) == {1: [10, 50, 120]}, (
        "a cell outside what others finished stays"
    )
    project.regions.add(1, Shape.rectangle(0, 0, 40, 96))
    assert places(annotated_fields(project)) == {1: [11, 120]}


def test_a_training_in_an_empty_reading_is_that_of_the_only_reader(project: Project) -> None:
    labels = [(10.0, "Monocyte", "regular"), (50.0, "Lymphocyte", None), (90.0, "blast", "irregular")]
    bob = read(project, "Bob", *labels)
    before, after = trained(project, bob), trained(project, 1)
    assert all((before[name] == after[name]).all() for name in before)
