"""What the list shows of each field: read once, kept up to date by events, of many in a thread."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from psygnal import Signal

from annotation_store import Project
from annotation_store.records import FieldState, FieldSummary, many_records
from napari_lld.session.open_project import OpenProject

AT_ONCE = 2_000
"""Up to so many fields are summarised in 50 ms, and more in a thread."""


class SummaryReader(Protocol):
    """Runs work in a thread, and delivers its result in the window's thread (`LatestTask`)."""

    def start(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        failed: Callable[[str], None],
        *,
        after_painting: bool,
    ) -> None:
        """Start work; its result, or a message, is delivered unless it is dropped."""

    def drop(self) -> None:
        """Discard the result of what is running."""


class FieldSummaries:
    """The summaries of all fields, and how many of them are annotated, complete or have suggestions.

    Attributes
    ----------
    reader
        The thread that reads those of a large project; without one, all are read when they are asked for.
    """

    arrived = Signal()
    """None is being read any more: what waited for them can be shown."""

    def __init__(self, opened: OpenProject) -> None:
        self._opened = opened
        self.reader: SummaryReader | None = None
        self._read: _Summaries | None = None
        self._outdated: set[int] = set()
        self._awaited: dict[int, None] = {}
        self._read_here: dict[int, FieldSummary] = {}

    def open(self, project: Project) -> None:
        """Start to read the summaries of a project that was just opened, if it has many fields."""
        if self.reader is None or project.fields.count() <= AT_ONCE:
            return
        self._awaited = dict.fromkeys(project.fields.ids())
        path, annotator, reading = project.path, project.annotator, project.reading.id
        self.reader.start(
            lambda: _read(path, annotator, reading),
            self._on_read,
            lambda _: self._on_failed(),
            after_painting=True,
        )

    def forget(self) -> None:
        """Read all anew when they are next asked for."""
        self._read = None
        self._outdated.clear()
        self._drop()

    def note_all_changed(self) -> None:
        """Read all anew: what is being read by the thread may be older already."""
        awaited = bool(self._awaited)
        self.forget()
        if awaited and self._opened.project is not None:
            self.open(self._opened.project)

    def note_changed(self, field_ids: Collection[int]) -> None:
        """Read the summaries of these fields anew when they are next asked for."""
        self._outdated.update(field_ids)
        for field_id in field_ids:
            self._read_here.pop(field_id, None)

    @property
    def awaited(self) -> Collection[int]:
        """The ids of the fields while a thread reads their summaries, in the order in which they were added.

        What can wait for `arrived` should not ask for the summaries before.
        """
        return self._awaited

    @property
    def by_id(self) -> Mapping[int, FieldSummary]:
        """The summaries by the ids of their fields, in the order in which they were added.

        Who cannot wait for the thread reads them here.
        """
        return self._up_to_date().by_id

    def of(self, field_id: int, page: Sequence[int]) -> FieldSummary:
        """Return the summary of one field.

        While a thread reads all of them, those of a page, a few fields, are read here: what is in sight does
        not wait.

        Raises
        ------
        ProjectError
            The project cannot be read.
        """
        project = self._opened.project
        if not self._awaited or project is None:
            return self.by_id[field_id]
        if field_id not in self._read_here:
            read = project.fields.summaries({field_id, *page})
            self._read_here.update((summary.field.id, summary) for summary in read)
        return self._read_here[field_id]

    @property
    def annotated(self) -> int:
        """How many fields have a finished region."""
        return self._up_to_date().annotated

    @property
    def pending(self) -> int:
        """How many fields have pending suggestions."""
        return self._up_to_date().pending

    @property
    def all_complete(self) -> bool:
        """Whether every field is reviewed or skipped."""
        read = self._up_to_date()
        return len(read.by_id) == read.complete

    def _up_to_date(self) -> _Summaries:
        project = self._opened.project
        if project is None:
            return _Summaries()
        if self._read is None:
            awaited = self._drop()
            self._read = _Summaries(project.fields.summaries())
            self._outdated.clear()
            if awaited:
                self.arrived.emit()
        elif self._outdated:
            self._read.take(project.fields.summaries(self._outdated))
            self._outdated.clear()
        return self._read

    def _drop(self) -> bool:
        """Discard what the thread is reading; return whether it was."""
        if not self._awaited or self.reader is None:
            return False
        self._stop_waiting()
        self.reader.drop()
        return True

    def _on_read(self, read: _Summaries) -> None:
        """Take what the thread has read; what has changed meanwhile is noted as outdated."""
        self._stop_waiting()
        self._read = read
        self.arrived.emit()

    def _on_failed(self) -> None:
        """Leave it to whoever asks next, and hears why."""
        self._stop_waiting()
        self.arrived.emit()

    def _stop_waiting(self) -> None:
        self._awaited, self._read_here = {}, {}


class _Summaries:
    """Summaries with their counts."""

    def __init__(self, read: Iterable[FieldSummary] = ()) -> None:
        self.by_id: dict[int, FieldSummary] = {}
        self.annotated = self.pending = self.complete = 0
        self.take(read)

    def take(self, read: Iterable[FieldSummary]) -> None:
        """Add summaries, or put them in the place of earlier ones."""
        for summary in read:
            before = self.by_id.get(summary.field.id)
            self.annotated += bool(summary.finished_regions) - bool(before and before.finished_regions)
            self.pending += bool(summary.pending_suggestions) - bool(before and before.pending_suggestions)
            self.complete += _is_complete(summary) - (before is not None and _is_complete(before))
            self.by_id[summary.field.id] = summary


def _read(path: Path, annotator: str, reading: int) -> _Summaries:
    """Read all; the garbage collector leaves them alone.

    In the window's thread it would go through all of them at its next turns, for a tenth of a second each.
    """
    with many_records():
        with Project.open(path, annotator=annotator, reading=reading, read_only=True) as project:
            found = _Summaries(project.fields.summaries())
        gc.freeze()
        return found


def _is_complete(summary: FieldSummary) -> bool:
    """Return whether nothing is left to do on a field."""
    return summary.state == FieldState.REVIEWED or summary.field.skipped
