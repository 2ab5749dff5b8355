"""The worker's line to whoever started it: JSON lines out, cancel in.

Standard output belongs to the protocol alone: before anything else is imported its file descriptor is
moved away and replaced by that of standard error, so that a library's `print`, even one in C, cannot
break the lines.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable
from typing import Protocol

from training.protocol import Cancelled, Cancelling

_LAST_RESORT_SECONDS = 11.0
"""A task that has not ended so long after a cancel is ended where it stands (15 s is promised)."""


class CancelledError(Exception):
    """The task was asked to stop."""


class _Line(Protocol):
    def line(self) -> str: ...


class Channel:
    """Sends messages and hears a cancel; make one, first of all, per process."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._closed = False

    def listen(self) -> None:
        """Begin to read standard input, in a thread."""
        threading.Thread(target=self._read, args=(sys.stdin,), name="cancel", daemon=True).start()

    def send(self, message: _Line) -> None:
        """Write a message; nothing follows a last one."""
        with self._lock:
            if not self._closed:
                self._write(message)

    def send_last(self, message: _Line) -> None:
        """Write the message that ends the task."""
        with self._lock:
            if not self._closed:
                self._write(message)
            self._closed = True

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if the task was asked to stop."""
        if self.cancelled:
            raise CancelledError

    def _write(self, message: _Line) -> None:
        data = message.line().encode()
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except OSError:  # nobody reads any more
            self._closed = True
            self._cancelled.set()

    def _read(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                if _is_cancel(line):
                    break
        except (OSError, ValueError):
            pass
        # a cancel, or the end of input: the window died
        self._cancelled.set()
        self.send(Cancelling())
        timer = threading.Timer(_LAST_RESORT_SECONDS, self._end)
        timer.daemon = True
        timer.start()

    def _end(self) -> None:
        self.send_last(Cancelled())
        os._exit(0)


def _is_cancel(line: str) -> bool:
    try:
        content = json.loads(line)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("type") == "cancel"
