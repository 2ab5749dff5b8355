"""The queue of trainings, and rounds that begin by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotation_store import Project, Shape
from napari_lld.session.rounds import LONG, SHORT, Rounds, Why
from napari_lld.session.session import Session


class Worker:
    """Takes requests, and ends them as the test says; it records a run as the real one does."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.requests: list[Any] = []

    def start(self, request: Any) -> None:
        self.requests.append(request)
        if request.task == "train":
            with Project.open(request.project) as own:
                own.runs.start(request.model_dump())

    def cancel(self) -> None:
        self.end("cancelled")

    def end(self, kind: str = "done") -> None:
        about: dict[str, Any] = {"model_id": 1, "result": {}, "cause": "It broke.", "cure": "", "details": ""}
        self.session.training.state.receive(SimpleNamespace(type=kind, **about))

    @property
    def budgets(self) -> list[float | None]:
        return [request.budget for request in self.requests]


@pytest.fixture
def session(small_project: Path) -> Iterator[Session]:
    session = Session()
    session.open(small_project)
    session.regions.add(Shape.rectangle(0, 0, 90, 90))
    yield session
    session.close()


@pytest.fixture
def worker(session: Session) -> Worker:
    worker = Worker(session)
    session.training.process = worker
    return worker


@pytest.fixture
def rounds(session: Session, worker: Worker) -> Rounds:
    return session.training.rounds


def add_cells(session: Session, count: int, x: float = 5) -> None:
    for number in range(count):
        session.boxes.add((x + 8 * (number % 9), 5 + 8 * (number // 9), 6, 6))


def test_a_second_training_queues_behind_the_first(rounds: Rounds, worker: Worker, session: Session) -> None:
    rounds.train(budget=120.0)
    rounds.train(budget=300.0)
    assert worker.budgets == [120.0]
    assert [planned.title for planned in rounds.queue] == ["Training of 5 minutes"]
    worker.end()
    assert worker.budgets == [120.0, 300.0]
    assert not rounds.queue
    worker.end()
    assert not session.training.state.busy


def test_a_queued_training_can_be_taken_out_and_a_stopped_one_makes_room(
    rounds: Rounds, worker: Worker, session: Session
) -> None:
    for budget in (120.0, 300.0, 900.0):
        rounds.train(budget=budget)
    rounds.drop(rounds.queue[0])
    session.training.cancel()
    assert worker.budgets == [120.0, 900.0]


def test_after_a_failure_nothing_begins_by_itself(rounds: Rounds, worker: Worker, session: Session) -> None:
    session.preferences.automatic = 2
    rounds.train(budget=120.0)
    rounds.train(budget=300.0)
    worker.end("failed")
    assert worker.budgets == [120.0]
    assert not rounds.queue


def test_enough_new_cells_in_finished_regions_begin_a_short_round(
    rounds: Rounds, worker: Worker, session: Session
) -> None:
    session.preferences.automatic = 3
    add_cells(session, 2)
    session.boxes.add((100, 50, 10, 10))  # outside the region: nobody promised anything there
    rounds.look()
    assert not worker.requests
    assert "after 1 more cell in finished regions" in rounds.outlook()
    session.boxes.add((50, 50, 10, 10))
    rounds.look()
    assert worker.budgets == [SHORT]
    rounds.look()  # what that training saw counts no more
    assert rounds.new_cells == 0
    assert not rounds.queue


def test_a_longer_round_follows_in_the_background(rounds: Rounds, worker: Worker, session: Session) -> None:
    session.preferences.automatic = 3
    add_cells(session, 3)
    rounds.look()
    worker.end()
    assert worker.budgets == [SHORT, LONG]
    assert rounds.running is not None
    assert rounds.running.why is Why.LONGER
    worker.end()
    assert not session.training.state.busy  # and nothing after that


def test_no_longer_round_where_something_waits_or_it_is_not_wanted(
    rounds: Rounds, worker: Worker, session: Session
) -> None:
    session.preferences.automatic = 3
    add_cells(session, 3)
    rounds.look()
    rounds.train(budget=300.0)
    worker.end()
    assert worker.budgets == [SHORT, 300.0]
    worker.end()
    session.preferences.longer = False
    add_cells(session, 3, x=6)
    rounds.look()
    worker.end()
    assert worker.budgets == [SHORT, 300.0, SHORT]
    assert not session.training.state.busy


def test_cells_drawn_during_a_training_begin_the_next_round_after_it(
    rounds: Rounds, worker: Worker, session: Session
) -> None:
    session.preferences.automatic = 3
    rounds.train(budget=300.0)
    add_cells(session, 4)
    rounds.look()
    assert [planned.why for planned in rounds.queue] == [Why.AUTOMATIC]
    assert "Automatic round" in rounds.outlook()
    rounds.look()
    assert len(rounds.queue) == 1
    worker.end()
    assert worker.budgets == [300.0, SHORT]


def test_turned_off_nothing_begins_by_itself(rounds: Rounds, worker: Worker, session: Session) -> None:
    session.preferences.automatic = 3
    rounds.train(budget=300.0)
    add_cells(session, 4)
    rounds.look()
    session.preferences.automatic = 0
    assert not rounds.queue
    assert rounds.outlook() == ""
    worker.end()
    rounds.look()
    assert worker.budgets == [300.0]


def test_a_round_that_was_stopped_does_not_begin_again_at_once(
    rounds: Rounds, worker: Worker, session: Session
) -> None:
    session.preferences.automatic = 3
    add_cells(session, 3)
    rounds.look()
    session.training.cancel()
    rounds.look()
    assert worker.budgets == [SHORT]
    assert not session.training.state.busy


def test_the_preferred_device_is_asked_for(rounds: Rounds, worker: Worker, session: Session) -> None:
    session.preferences.device = "cpu"
    rounds.train(budget=120.0)
    worker.end()
    session.training.suggest()
    assert [request.device for request in worker.requests] == ["cpu", "cpu"]


def test_another_project_has_another_queue(
    rounds: Rounds, worker: Worker, session: Session, tmp_path: Path
) -> None:
    rounds.train(budget=120.0)
    rounds.train(budget=300.0)
    session.close()
    worker.end()
    assert worker.budgets == [120.0]
