"""The worker's connection to its parent process: JSON lines out, requests and cancels in.

Standard output is reserved for the protocol: before anything else is imported, its file descriptor is
duplicated and then redirected to standard error, so that output of a library, even one in C, cannot break
the lines.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from training.protocol import Cancelled, Cancelling

_LAST_RESORT_SECONDS = 11.0
"""Seconds after a cancel at which the process exits if the task has not ended (15 s is the limit)."""


class CancelledError(Exception):
    """The task was asked to stop."""


class _Line(Protocol):
    def line(self) -> str: ...


class Task:
    """One request, from its arrival to its last message.

    Attributes
    ----------
    request
        The line as received; empty in a process that does one task, whose request is a file.
    begun
        The `time.monotonic` time at which it was received.
    """

    def __init__(self, request: str = "") -> None:
        self.request = request
        self.begun = time.monotonic()
        self.cancelled = threading.Event()
        self.ended = False
        self.last_resort: threading.Timer | None = None


class Channel:
    """Sends messages, and receives requests and cancels; create one per process, before anything else.

    Parameters
    ----------
    on_gone
        Called in another thread if the parent process exits while no task runs. Given by a process that
        does several tasks, which receives each as a line (see `next_task`); without it, the process does
        one task, which runs from the start.
    """

    def __init__(self, on_gone: Callable[[], None] | None = None) -> None:
        sys.stdout.flush()
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.RLock()
        self._on_gone = on_gone
        self._task = self._newest = Task()
        self._task.ended = on_gone is not None
        self._waiting: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._gone = self._broken = False

    def listen(self) -> None:
        """Start reading standard input, in a thread."""
        threading.Thread(target=self._read, args=(sys.stdin,), name="cancel", daemon=True).start()

    def next_task(self, seconds: float) -> Task | None:
        """Wait for a request; ``None`` if none came in time, or the sender is gone."""
        try:
            task = self._waiting.get(timeout=seconds)
        except queue.Empty:
            return None
        if task is not None:
            with self._lock:
                self._task = task
        return task

    def send(self, message: _Line) -> None:
        """Write a message of the task; drop messages after its last one."""
        self._say(self._task, message)

    def send_last(self, message: _Line) -> None:
        """Write the message that ends the task."""
        with self._lock:
            self.send(message)
            self._task.ended = True
            if self._task.last_resort is not None:
                self._task.last_resort.cancel()

    def send_between(self, message: _Line) -> None:
        """Write a message that belongs to no task."""
        with self._lock:
            self._write(message)

    @property
    def cancelled(self) -> bool:
        """Whether the task was asked to stop."""
        return self._gone or self._task.cancelled.is_set()

    @property
    def gone(self) -> bool:
        """Whether the sender of requests is gone."""
        return self._gone

    def check(self) -> None:
        """Raise `CancelledError` if the task was asked to stop."""
        if self.cancelled:
            raise CancelledError

    def _say(self, task: Task, message: _Line) -> None:
        with self._lock:
            if not task.ended:
                self._write(message)

    def _write(self, message: _Line) -> None:
        data = message.line().encode()
        try:
            while data and not self._broken:
                data = data[os.write(self._out, data) :]
        except OSError:  # the reader has gone
            self._gone = self._broken = True
            self._waiting.put(None)

    def _read(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                if _is_cancel(line):
                    self._stop(self._newest)
                elif self._on_gone is not None and line.strip():
                    self._newest = Task(line)
                    self._waiting.put(self._newest)
        except (OSError, ValueError):
            pass
        # the end of input: the parent process has exited
        self._gone = True
        self._waiting.put(None)
        if self._newest.ended and self._on_gone is not None:
            self._on_gone()
        self._stop(self._newest)

    def _stop(self, task: Task) -> None:
        """Cancel a task, once; do nothing if it has ended."""
        with self._lock:
            if task.ended or task.cancelled.is_set():
                return
            task.cancelled.set()
            self._say(task, Cancelling())
            task.last_resort = threading.Timer(_LAST_RESORT_SECONDS, self._end, (task,))
            task.last_resort.daemon = True
            task.last_resort.start()

    def _end(self, task: Task) -> None:
        with self._lock:
            if not task.ended:
                self._say(task, Cancelled())
                os._exit(0)


def _is_cancel(line: str) -> bool:
    try:
        content = json.loads(line)
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("type") == "cancel"
