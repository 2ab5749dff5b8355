"""Labelled cells beside the current one: the commands, and the thread that lists and cuts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from napari_lld.commands.registry import Command, has_target
from napari_lld.session.references import Comparison, Question
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.tasks.reference_reader import compare

if TYPE_CHECKING:
    from napari_lld.session.session import Session
    from napari_lld.widgets.base.context import DeskContext


class ReferenceController:
    """Answers what the session asks, in a thread."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self._task = LatestTask("references")
        desk.session.references.reader = self._read

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        references = self._desk.session.references

        def is_possible(session: Session) -> bool:
            return session.references.is_open or has_target(session)

        def several(session: Session) -> bool:
            return session.references.beside is not None

        yield Command(
            "references.show",
            "Cells to compare with",
            references.toggle,
            ("F2",),
            "See",
            is_possible,
            "Labelled cells of each value of the row of the caret beside the current cell; once more closes.",
        )
        yield Command(
            "references.classes",
            "Cells of each class to compare with",
            references.toggle_classes,
            ("F3",),
            "See",
            is_possible,
            "Labelled cells of each class beside the current cell; once more closes.",
        )
        yield Command(
            "references.next",
            "Next cell to compare with",
            lambda: references.step(1),
            ("Alt+Right",),
            "See",
            several,
            "Put the next one beside the current cell in large.",
        )
        yield Command(
            "references.previous",
            "Previous cell to compare with",
            lambda: references.step(-1),
            ("Alt+Left",),
            "See",
            several,
            "Put the previous one beside the current cell in large.",
        )

    def close(self) -> None:
        """Stop the thread."""
        self._desk.session.references.reader = None
        self._task.close()

    def _read(self, question: Question, on_result: Callable[[Comparison], None]) -> None:
        project = self._desk.session.project
        if project is None:
            return
        place, reading_id = project.path, project.reading.id
        self._task.start(lambda: compare(place, reading_id, question), on_result, self._desk.fail)
