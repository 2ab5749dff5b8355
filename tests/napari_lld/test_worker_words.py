"""What the worker says beside its progress is typed, and shown in the window and on the command line."""

from __future__ import annotations

import pytest

from napari_lld.cli._console import show_message
from napari_lld.session.training_state import TrainingState
from training.inference.stain_proposals import stain_reason
from training.protocol import Done, Notice, Progress, Started, Suggested, Waiting
from training.reasons import Reason

WHO = Reason(
    "{who} has been training on this project since {when} (process {process} on {host})",
    who="Anna",
    when="09:12",
    process=4,
    host="lab",
)
WAITING = Waiting(reason=WHO.stored())
NOTICE = Notice(reason=stain_reason(2).stored())
SHOWN = "On 2 fields the model finds nothing; the boxes there come from the colour of the nuclei alone."


def test_the_window_says_whom_a_training_waits_for_until_it_starts() -> None:
    training = TrainingState()
    training.begin("train")
    training.receive(WAITING)
    assert training.busy
    assert training.message.startswith("Anna has been training")
    assert training.message.endswith("This training waits until that one ends.")
    training.receive(Started(task="train"))
    assert "Anna" not in training.message


def test_the_window_says_how_many_suggestions_of_a_continued_search_are_new() -> None:
    training = TrainingState()
    training.begin("predict")
    training.receive(Suggested(field_ids=[1], count=20, pending=73))
    assert training.message == "73 suggestions on 1 fields (20 new)"
    training.receive(Suggested(field_ids=[1], count=20, pending=20))
    assert training.message == "20 suggestions on 1 fields"


def test_the_window_tells_notices_when_the_task_ends_and_of_that_task_only() -> None:
    training = TrainingState()
    for told in (True, False):
        training.begin("predict")
        if told:
            training.receive(NOTICE)
        training.receive(Progress(stage="suggest", done=2, total=2))
        training.receive(Suggested(field_ids=[1, 2], count=3))
        training.receive(Done(task="predict"))
        assert training.message.count(SHOWN) == told
        assert training.message.startswith("3 suggestions on 2 fields. ") or not told
        assert "waits until that one ends" not in training.message


def test_the_command_line_says_that_a_training_waits_only_where_it_waits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    titles: list[str] = []
    show_message(NOTICE, lambda title, *_: titles.append(title))
    assert capsys.readouterr().err.strip().endswith(SHOWN)
    assert titles == []
    show_message(WAITING, lambda title, *_: titles.append(title))
    told = capsys.readouterr().err
    assert "Anna has been training" in told
    assert "This training starts when that one has ended." in told
    assert titles == ["Waiting for another training"]
