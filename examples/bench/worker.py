"""The worker that stays, as while a window is open: one start for all requests of a benchmark."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from training.client import (
    TrainingError,
    parse_message,
    request_line,
    warm_worker_command,
    worker_environment,
)
from training.protocol import Done, Failed, Message, Request

_process: subprocess.Popen[str] | None = None


def ask(request: Request, on_message: Callable[[Message], None] | None = None) -> Done:
    """Do a request in the worker that stays, starting one if there is none.

    Raises
    ------
    TrainingError
        If the worker failed, or ended without an answer.
    """
    global _process
    if _process is None or _process.poll() is not None:
        # it ends by itself when this process has gone, and its stdin with it
        _process = subprocess.Popen(
            warm_worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(),
            encoding="utf-8",
        )
    assert _process.stdin is not None
    assert _process.stdout is not None
    _process.stdin.write(request_line(request))
    _process.stdin.flush()
    for line in _process.stdout:
        message = parse_message(line)
        if on_message is not None:
            on_message(message)
        if isinstance(message, Done):
            return message
        if isinstance(message, Failed):
            raise TrainingError(message.cause, message.cure, message.details)
    raise TrainingError("The training process ended without an answer.")


def leave() -> None:
    """Let the worker go, so that the next request pays for a start."""
    global _process
    if _process is not None:
        _process.communicate()
        _process = None
