"""Labels teach at once: what is asked of the assistant, what is shown of its answers, what is not touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project, Proposal
from napari_lld.commands.registry import Commands, session_commands
from napari_lld.layers.model_texts import candidates as candidates_text
from napari_lld.session.bulk_accept import Candidate
from napari_lld.session.session import Session
from training.protocol import DescribeRequest, Done, Failed, Renewed, RenewRequest

CLASSES = {"Neutrophil": 0.7, "Monocyte": 0.2, "Lymphocyte": 0.06, "Basophil": 0.04}


class Fake:
    """Stands in for the assistant process; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Any], None], Callable[[Any], None] | None]] = []

    def ask(self, request: Any, answered: Any, heard: Any = None, *, kind: str = "") -> None:
        self.asked.append((request, answered, heard))

    def forget(self) -> None:
        self.asked.clear()

    def of(self, kind: type) -> list[tuple[Any, Callable[[Any], None], Callable[[Any], None] | None]]:
        return [one for one in self.asked if isinstance(one[0], kind)]


@pytest.fixture
def fake() -> Fake:
    return Fake()


@pytest.fixture
def session(small_project: Path, suggest: Callable[[Path], list[int]], fake: Fake) -> Iterator[Session]:
    suggest(small_project)
    session = Session()
    session.assistant.process = fake
    session.open(small_project, annotator="Ada")
    yield session
    session.close()


def described(fake: Fake, session: Session, **more: Any) -> None:
    _, answered, _ = fake.of(DescribeRequest)[-1]
    names = {a.name: [v.name for v in a.values] for a in session.attributes}
    attributes = {name: {names[name][0]: 0.9, names[name][1]: 0.1} for name in list(names)[:2]}
    box = {"class": CLASSES, "attributes": attributes, "novelty": 0.5, "unchecked": False, **more}
    answered(Done(task="describe", result={"boxes": [box]}))


def test_each_label_asks_for_new_predictions_with_the_field_on_the_screen_first(
    session: Session, fake: Fake
) -> None:
    cell = session.boxes.add((5, 5, 20, 20))
    assert cell is not None
    session.labels.set_class("Monocyte")
    request, _, _ = fake.of(RenewRequest)[-1]
    assert request.first == [session.fields.current_id]
    assert request.annotator == "Ada"


def renewed(session: Session, *predicted: tuple[Any, dict[str, float]]) -> None:
    """Let another process predict anew, and the session hear of it."""
    assert session.project is not None
    with Project.open(session.project.path, annotator="Ada") as elsewhere:
        elsewhere.suggestions.renew({s.id: Proposal(s.box, 1.0, classes) for s, classes in predicted})
    session.project.events.suggestions_changed.emit([predicted[0][0].field_id])


def test_the_suggestion_under_the_hand_stays_as_it_is_until_it_is_left(session: Session) -> None:
    one, other = session.suggestions.shown[:2]
    session.selection.select("suggestion", one.id)
    renewed(session, (one, {"Basophil": 1.0}))
    assert session.selection.suggestion == one
    assert one in session.marks.waiting
    session.selection.select("suggestion", other.id)
    session.selection.select("suggestion", one.id)
    assert session.selection.suggestion is not None
    assert session.selection.suggestion.stated_class == "Basophil"


def test_what_is_accepted_is_what_was_seen(session: Session) -> None:
    one, other = session.suggestions.shown[:2]
    assert one.stated_class != "Basophil"
    session.selection.select("suggestion", one.id)
    renewed(session, (one, {"Basophil": 1.0}))
    session.suggestions.accept()
    cell = next(cell for cell in session.marks.cells if cell.suggestion_id == one.id)
    assert cell.cell_class == one.stated_class
    assert dict(cell.attributes) == one.proposal.best_attributes
    assert session.project is not None
    assert session.project.suggestions.get(one.id).state == "accepted"
    seen = {s.id: s.proposal for s in session.suggestions.shown}
    renewed(session, (other, {"Basophil": 1.0}))
    (made,) = session.project.suggestions.accept_many([other.id], seen=seen)
    assert session.project.cells.get(made).cell_class == other.stated_class


def test_renewed_suggestions_are_read_again_and_the_selection_stays(session: Session, fake: Fake) -> None:
    one, other = session.suggestions.shown[:2]
    session.selection.select("suggestion", one.id)
    assert session.instant_learning.learn()
    _, answered, heard = fake.of(RenewRequest)[-1]
    assert session.project is not None
    with Project.open(session.project.path, annotator="Ada") as elsewhere:
        elsewhere.suggestions.renew({other.id: Proposal(other.box, 1.0, {"Basophil": 1.0})})
    assert heard is not None
    heard(Renewed(field_ids=[other.field_id], count=1))
    now = {s.id: s for s in session.marks.waiting}
    assert now[other.id].stated_class == "Basophil"
    assert now[other.id].renewed
    assert now[other.id].confidence == other.confidence
    assert session.selection.suggestion == one
    answered(Done(task="renew", result={"cells": 7}))
    assert session.instant_learning.cells == 7


def test_what_was_predicted_between_rounds_is_never_accepted_unseen(session: Session) -> None:
    one = session.suggestions.shown[0]
    allowed, reasons = session.bulk_accept.earned(
        [Candidate(one.id, one.model_id, one.stated_class, 0.999, renewed=True)]
    )
    assert allowed == []
    assert any("not measured since" in reason for reason in reasons)


def test_after_a_failure_one_sentence_is_said_and_nothing_is_asked_again(
    session: Session, fake: Fake
) -> None:
    told: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: told.append((level, sentence)))
    session.instant_learning.learn()
    fake.of(RenewRequest)[-1][1](Failed(cause="Model 3 cannot be used.", cure="Roll back."))
    assert [level for level, _ in told] == ["warning"]
    assert "Model 3 cannot be used. Roll back." in told[0][1]
    before = len(fake.of(RenewRequest))
    session.boxes.add((5, 5, 20, 20))
    session.labels.set_class("Monocyte")
    assert len(fake.of(RenewRequest)) == before


def test_it_can_be_switched_off_and_is_silent_without_a_process(session: Session, fake: Fake) -> None:
    session.preferences.instant = False
    session.boxes.add((5, 5, 20, 20))
    session.labels.set_class("Monocyte")
    assert fake.of(RenewRequest) == []
    session.assistant.process = None
    assert not session.instant_learning.learn()


def test_answers_about_a_project_that_was_closed_are_passed_over(session: Session, fake: Fake) -> None:
    session.instant_learning.learn()
    _, answered, heard = fake.of(RenewRequest)[-1]
    session.close()
    assert heard is not None
    heard(Renewed(field_ids=[1], count=1))
    answered(Done(task="renew", result={"cells": 7}))
    assert session.instant_learning.cells == 0


def test_a_drawn_box_gets_three_candidates_and_one_key_takes_the_first(session: Session, fake: Fake) -> None:
    commands = Commands(session)
    commands.add(session_commands(session))
    session.boxes.add((5, 5, 20, 20))
    request, _, _ = fake.of(DescribeRequest)[-1]
    assert request.boxes == [(5, 5, 20, 20)]
    assert session.candidates.predicted is None
    described(fake, session)
    assert [name for name, _ in session.candidates.classes] == ["Neutrophil", "Monocyte", "Lymphocyte"]
    assert "70%" in candidates_text(session)
    commands["suggestion.accept"].run()
    cell = session.selection.cell
    assert cell is not None
    assert cell.cell_class == "Neutrophil"
    assert cell.attributes == {}
    assert session.candidates.classes == []
    commands["suggestion.accept"].run()
    cell = session.selection.cell
    assert cell is not None
    assert len(cell.attributes) == 1


def test_all_candidates_are_taken_with_one_key_and_one_undo_takes_them_back(
    session: Session, fake: Fake
) -> None:
    commands = Commands(session)
    commands.add(session_commands(session))
    session.boxes.add((5, 5, 20, 20))
    assert not session.candidates.open
    described(fake, session)
    commands["candidate.take_all"].run()
    cell = session.selection.cell
    assert cell is not None
    assert cell.cell_class == "Neutrophil"
    assert len(cell.attributes) == 2
    session.history.undo()
    cell = session.selection.cell
    assert cell is not None
    assert (cell.cell_class, cell.attributes) == (None, {})


def test_a_candidate_is_of_the_box_as_it_was(session: Session, fake: Fake) -> None:
    session.boxes.add((5, 5, 20, 20))
    described(fake, session)
    session.labels.move_box((8, 8, 20, 20))
    assert session.candidates.predicted is None
    assert fake.of(DescribeRequest)[-1][0].boxes == [(8, 8, 20, 20)]


def test_a_field_that_cannot_be_read_has_no_candidates(session: Session, fake: Fake) -> None:
    session.boxes.add((5, 5, 20, 20))
    fake.of(DescribeRequest)[-1][1](Done(task="describe", result={"boxes": [None]}))
    assert session.candidates.classes == []
    assert not session.candidates.open
    session.candidates.take_all()
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class is None


def test_suggestions_of_another_model_are_told_of_once(session: Session, fake: Fake) -> None:
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    for _ in range(2):
        session.instant_learning.learn()
        fake.of(RenewRequest)[-1][1](Done(task="renew", result={"cells": 2, "of_another_model": 3}))
    assert (
        len([sentence for sentence in told if "3 suggestions are not of the active model" in sentence]) == 1
    )
