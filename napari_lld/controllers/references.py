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
            "Reference cells",
            references.toggle,
            ("F2",),
            "View",
            is_possible,
            (
                "Show labelled cells of each value of the current row beside the current cell; "
                "press again to close."
            ),
        )
        yield Command(
            "references.classes",
            "Reference cells of each class",
            references.toggle_classes,
            ("F3",),
            "View",
            is_possible,
            "Show labelled cells of each class beside the current cell; press again to close.",
        )
        yield Command(
            "references.next",
            "Next reference cell",
            lambda: references.step(1),
            ("Alt+Right",),
            "View",
            several,
            "Show the next one enlarged beside the current cell.",
        )
        yield Command(
            "references.previous",
            "Previous reference cell",
            lambda: references.step(-1),
            ("Alt+Left",),
            "View",
            several,
            "Show the previous one enlarged beside the current cell.",
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
