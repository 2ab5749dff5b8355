"""The time that a training may take is kept: it does less, and says so."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store.project import Project
from training.engine import loop
from training.inference import predictor
from training.protocol import Done, TrainRequest
from training.reasons import Reason
from training.worker import budget, proposing, stages, train
from training.worker.budget import HELD_OUT, Budget
from training.worker.cautions import time_ran_short
from training.worker.channel import Channel
from training.worker.run import run

A_FIELD, A_CELL = 2.0, 0.5


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def items(limit: float | None, *, cost: float, count: int = 20) -> list[int]:
    """Give the sizes of the batches of work that costs as much an item."""
    clock = Clock()
    kept = Budget(limit, clock.now, clock=clock)
    sizes = []
    for batch in kept.batches(range(count), kept.share(0.5), 8):
        sizes.append(len(batch))
        clock.now += cost * len(batch)
    assert limit is None or clock.now <= max(100 + 0.5 * limit, 100 + cost)
    return sizes


def test_work_ends_when_its_part_of_the_time_is_over_and_the_first_is_always_done() -> None:
    assert items(None, cost=9.0) == [8, 8, 4]
    assert items(1000.0, cost=1.0) == [1, 8, 8, 3]
    assert items(20.0, cost=1.0) == [1, 8, 1]
    assert items(20.0, cost=30.0) == [1]


def test_only_what_was_left_out_is_said() -> None:
    kept = Budget(10.0, 0.0, clock=Clock())
    assert kept.left == 0
    kept.leave_out(HELD_OUT, 5, 5)
    assert kept.left_out == []
    kept.leave_out(HELD_OUT, 2, 5)
    kept.leave_out(budget.DETECTOR)
    told = time_ran_short(kept.left_out)
    assert told == f"Left out to keep to the time: 2 of 5 held-out fields were measured; {budget.DETECTOR}."
    assert [Reason.read(one.stored()) for one in kept.left_out] == kept.left_out


@pytest.fixture
def many_fields(tmp_path: Path, make_field: Any) -> Path:
    """Make a project of 12 finished fields with 36 cells: enough to hold some out."""
    boxes = [(12.0, 12.0, 28.0, 28.0), (80.0, 40.0, 36.0, 36.0), (20.0, 60.0, 24.0, 24.0)]
    images = tmp_path / "images"
    images.mkdir()
    pixels = make_field(drawn=boxes).pixels()
    for i in range(12):
        Image.fromarray(pixels + np.uint8(i)).save(images / f"{i}.png")
    folder = tmp_path / "project"
    with Project.create(folder, "lld", annotator="Anna") as project:
        project.fields.add([images])
        for field in project.fields.all():
            project.regions.add_whole_field(field.id)
            for box, name in zip(boxes, ("Lymphocyte", "Monocyte", "Neutrophil"), strict=True):
                project.cells.add(field.id, box, cell_class=name)
    return folder


class _Silent(Channel):
    """The task runs in this process; nobody listens."""

    def __init__(self) -> None:
        pass

    def send(self, message: Any) -> None:
        pass

    @property
    def cancelled(self) -> bool:
        return False


def train_here(project: Path, seconds: float | None) -> Done:
    request = TrainRequest(
        project=str(project), init="starter", size=64, epochs=1, device="cpu", budget=seconds
    )
    return run(request, _Silent(), time.monotonic())


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let each field and each cell that is looked at take its time, on a clock of its own."""
    clock = Clock()

    def costs(module: Any, name: str, cost: Any) -> None:
        work = getattr(module, name)

        def done(*arguments: Any, **options: Any) -> Any:
            result = work(*arguments, **options)
            clock.now += cost(result)
            return result

        monkeypatch.setattr(module, name, done)

    for module in (proposing, predictor):
        costs(module, "propose_raw", lambda raws: A_FIELD * len(raws))
    costs(train, "embed_cells", lambda cells: A_CELL * len(cells.units))
    for module in (loop, stages):  # learning by steps goes by the same clock
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock))
    monkeypatch.setattr(train, "Budget", lambda seconds, _begun: Budget(seconds, clock.now, clock=clock))
    return clock


@pytest.mark.parametrize("seconds", [40.0, 5.0])
def test_on_a_slow_machine_a_training_keeps_its_time_and_says_what_it_left_out(
    many_fields: Path, slow: Clock, seconds: float
) -> None:
    begun = slow.now
    done = train_here(many_fields, seconds)
    spent = slow.now - begun
    # where there is next to no time: of each stage one field, and five cells of each value after the first
    assert spent <= max(seconds, 6 * A_FIELD + (3 * 5 + 3) * A_CELL)
    left_out = [str(Reason.read(one)) for one in done.result["left_out"]]
    with Project.open(many_fields) as project:
        (model,) = project.models.all()
        assert model.card["metrics"]["left_out"].startswith("Left out to keep to the time: ")
        measured = model.card["metrics"]["held_out"]["fields"]
        said = next((one for one in left_out if "held-out fields were measured" in one), "3 of 3 held-out")
        assert said.startswith(f"{measured} of 3 held-out")
        looked = project.embeddings.of(str(model.id))
        assert (
            f"suggestions were updated on {len(looked)} of 12 fields, and the others keep theirs" in left_out
        )


def test_where_time_is_short_few_fields_of_many_patients_are_measured() -> None:
    fields: list[Any] = [SimpleNamespace(patient=name) for name in "AAABBC"]
    assert "".join(one.patient for one in proposing.round_robin_by_patient(fields)) == "ABCABA"


@pytest.mark.usefixtures("slow")
def test_with_time_enough_all_is_done_as_without_a_limit(many_fields: Path) -> None:
    whole, limited = (train_here(many_fields, seconds) for seconds in (None, 10_000.0))
    assert limited.result["left_out"] == whole.result["left_out"] == []
    with Project.open(many_fields) as project:
        one, other = (model.card for model in project.models.all())
    assert one["sha256"] == other["sha256"]
    assert "left_out" not in one["metrics"]
