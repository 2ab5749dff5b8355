"""One JSON object a line; what starts the worker is light."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training import protocol
from training.client import parse_message, worker_command, write_request
from training.protocol import Done, Failed, Progress, ProtocolError, TrainRequest, parse_request


def test_a_message_is_one_line_and_comes_back() -> None:
    message = Progress(stage="train", done=3, total=9, seconds_left=1.5, losses={"box": 0.5})
    line = message.line()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert parse_message(line) == message
    assert '"v":1' in line
    assert parse_message(Done(task="train", model_id=4).line()).type == "done"
    assert parse_message(Failed(cause="a\nb").line()) == Failed(cause="a\nb")


@pytest.mark.parametrize(
    "line", ["", "hello", "[]", '{"type": "party"}', '{"type": "done"}', '{"v": 2, "type": "cancelled"}']
)
def test_what_is_no_message_is_refused(line: str) -> None:
    with pytest.raises(ProtocolError):
        parse_message(line)


def test_a_request_survives_its_file(tmp_path) -> None:
    request = TrainRequest(project="/p", init=3, budget=60, epochs=None)
    file = write_request(request, tmp_path / "new")
    assert parse_request(file.read_text()) == request
    assert worker_command(file)[1:] == ["-P", "-m", "training.worker", str(file)]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"task": "train"}',
        '{"task": "train", "project": "p", "size": 1}',
        '{"task": "dance", "project": "p"}',
    ],
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_request(text)


def test_starting_the_worker_needs_no_torch_no_qt_no_napari() -> None:
    code = (
        "import sys, training, training.protocol, training.client; "
        "bad = {'torch', 'ultralytics', 'qtpy', 'PyQt6', 'napari', 'cv2'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_engine_needs_no_qt_no_napari_no_compiler() -> None:
    code = (
        "import sys, training.worker.run, training.worker.train, training.worker.predict, "
        "training.worker.evaluate, training.inference.stain; "
        "bad = {'qtpy', 'PyQt6', 'napari', 'torchvision', 'torch._dynamo', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_in_every_message() -> None:
    assert protocol.Cancelling().v == protocol.VERSION
