"""Requests to the assistant, a second worker process that no training blocks; no Qt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from napari_lld.session.open_project import OpenProject

Answered = Callable[[Any], None]
"""Takes the last message of a request: `training.protocol.Done` or `Failed`."""


class Answerer(Protocol):
    """Whoever answers: `AssistantProcess` in the window, a fake in the tests."""

    def ask(
        self,
        request: Any,
        on_done: Answered,
        on_message: Callable[[Any], None] | None = None,
        *,
        kind: str = "",
    ) -> None:
        """Queue a request; it replaces a waiting request of its kind."""

    def forget(self) -> None:
        """Drop what was asked."""


class Assistant:
    """Asks the second worker process about the open project.

    Attributes
    ----------
    process
        Who answers; ``None`` where there is no window.
    """

    def __init__(self, opened: OpenProject) -> None:
        self._opened = opened
        self.process: Answerer | None = None

    @property
    def of_project(self) -> dict[str, Any]:
        """What every request says of the open project: its folder, who asks, and in which reading."""
        project = self._opened.project
        if project is None:
            return {}
        return {
            "project": str(project.path),
            "annotator": project.annotator,
            "reading": project.reading.id,
        }

    def ask(
        self,
        request: Any,
        on_done: Answered,
        on_message: Callable[[Any], None] | None = None,
        *,
        kind: str = "",
    ) -> bool:
        """Send a request about the open project; return whether there is an assistant.

        Parameters
        ----------
        request
            One of `training.protocol`.
        answered
            Called with the last message, in the GUI thread, unless another project was opened meanwhile.
        heard
            Called with each message before.
        kind
            A newer request of a kind replaces a waiting one; the task if empty.
        """
        project = self._opened.project
        if project is None or self.process is None:
            return False

        def still_open(call: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda message: call(message) if self._opened.project is project else None

        self.process.ask(
            request, still_open(on_done), None if on_message is None else still_open(on_message), kind=kind
        )
        return True

    def forget(self) -> None:
        """Drop what was asked: another project."""
        if self.process is not None:
            self.process.forget()
