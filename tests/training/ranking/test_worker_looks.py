"""The worker's one pass over the fields gives suggestions, looks and the ranking."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import training.inference.predict
from annotation_store import Project
from training import ranking
from training.engine.interpolation import SHARES
from training.protocol import PredictRequest, TrainRequest, parse_message
from training.worker.channel import CancelledError, Channel
from training.worker.run import run

LOOK = 2 * 6 + 2
"""Fields that are searched to judge the scale of a domain: six at two scales, and two magnified."""


class Quiet(Channel):
    """Keeps the messages; cancels after so many of them."""

    def __init__(self, cancel_after: int = 10_000) -> None:
        self.messages: list[Any] = []
        self.left = cancel_after

    def send(self, message: Any) -> None:
        self.messages.append(parse_message(message.line()))

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CancelledError

    @property
    def cancelled(self) -> bool:
        return False


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through the detector at each forward pass."""
    counts: list[int] = []
    original = training.inference.predict.detect_and_pool

    def counted(model: Any, pixels: Any, **options: Any) -> Any:
        counts.append(len(pixels))
        return original(model, pixels, **options)

    monkeypatch.setattr(training.inference.predict, "detect_and_pool", counted)
    return counts


def test_one_forward_pass_a_field_gives_vectors_opinions_and_the_order(
    project: Project, passes: list[int]
) -> None:
    project.regions.add_whole_field(1)
    listener = Quiet()
    run(PredictRequest(project=str(project.path), min_confidence=0.0), listener, time.monotonic())
    assert sum(passes) == 12 + LOOK
    project.refresh()
    looks = project.embeddings.of("starter", predictions=True)
    assert sorted(looks) == list(range(1, 13))
    assert {look.vector.shape for look in looks.values()} == {(256,)}
    assert len({look.vector.tobytes() for look in looks.values()}) == 12
    # what it says where all is known is an opinion, not a suggestion
    assert looks[1].predictions
    assert project.suggestions.find(1) == []
    assert project.suggestions.find(2)
    stored = project.rankings.latest()
    assert stored is not None
    assert stored.source == "starter"
    assert sorted(one.field_id for one in ranking.order(project)) == list(range(2, 13))
    assert not any(m.type == "notice" for m in listener.messages)


def test_a_pass_that_is_cut_off_keeps_what_it_saw_and_the_old_order(project: Project) -> None:
    project.embeddings.save("7", {1: project_look()})
    before = ranking.update(project)
    with pytest.raises(CancelledError):
        run(PredictRequest(project=str(project.path)), Quiet(cancel_after=2), time.monotonic())
    assert ranking.order(project) == before
    assert 0 < project.embeddings.count_by_source()["starter"] < 12
    assert project.embeddings.count_by_source()["7"] == 1
    run(PredictRequest(project=str(project.path)), Quiet(), time.monotonic())
    assert project.embeddings.count_by_source() == {"starter": 12}


def project_look() -> Any:
    from annotation_store import Embedding

    return Embedding(np.ones(256, np.float32))


def test_labels_are_checked_by_what_other_fields_teach_and_stay_checked_where_one_field_is_looked_at_again(
    project: Project,
) -> None:
    for field_id in (1, 2, 3):
        for x in (10, 60):
            project.cells.add(field_id, (x, 10, 30, 30), cell_class="Monocyte")
    alone = project.cells.add(3, (10, 60, 30, 30), cell_class="Promonocyte")
    nothing = project.cells.add(3, (60, 60, 30, 30))
    listener = Quiet()
    run(PredictRequest(project=str(project.path), device="cpu"), listener, time.monotonic())
    assert "check" in {m.stage for m in listener.messages if m.type == "progress"}
    project.refresh()
    looks = project.embeddings.of("starter", predictions=True)
    assert {i: sorted(look.cells) for i, look in looks.items() if look.cells} == {
        i: [c.id for c in project.cells.all(i) if c.id != nothing] for i in (1, 2, 3)
    }
    said = looks[3].cells[alone]
    assert said.box == (10, 60, 30, 30)
    assert "Monocyte" in said.class_probabilities
    assert "Promonocyte" not in said.class_probabilities, "no other cell shows it"
    project.cells.change(alone, cell_class="Monocyte")
    run(PredictRequest(project=str(project.path), fields=[3], device="cpu"), Quiet(), time.monotonic())
    project.refresh()
    again = project.embeddings.of("starter", predictions=True)
    assert again[3].cells == looks[3].cells
    assert again[1].cells == looks[1].cells


def test_after_a_training_the_order_is_that_of_the_new_model(project: Project, passes: list[int]) -> None:
    project.regions.add_whole_field(1)
    cell = project.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    request = TrainRequest(project=str(project.path), size=128, epochs=1, device="cpu")
    done = run(request, Quiet(), time.monotonic())
    # what calibration looked at is not looked at again; how large a cell is, is asked of a few fields first,
    # as is what the start finds, and how much of it should stay
    assert 12 <= sum(passes) <= 12 + 4 * LOOK + 1 + len(SHARES)
    assert project.embeddings.count_by_source() == {str(done.model_id): 12}
    assert list(project.embeddings.of(str(done.model_id), predictions=True)[1].cells) == [cell]
    stored = project.rankings.latest()
    assert stored is not None
    assert stored.source == str(done.model_id)
