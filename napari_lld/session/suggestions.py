"""The suggestions of the current field: two queues, reviewed one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from psygnal import Signal

from annotation_store import Project
from annotation_store.records import FieldState, RejectionReason, Suggestion
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection
from training.ranking.cells import Queue, rank_cells
from training.ranking.explanations import Words
from training.ranking.items import STARTER, Ranked
from training.ranking.project import groups_of, stored_words


class Suggestions:
    """The suggestions of the current field and the decisions on them."""

    queue_changed = Signal()

    def __init__(self, opened: OpenProject, fields: Fields, marks: Marks, selection: Selection) -> None:
        self._opened = opened
        self._fields = fields
        self._marks = marks
        self._selection = selection
        self._queue = Queue.ACCEPT
        self._ranked: dict[int, Ranked] = {}
        self._words: Words | None = None
        self._starter_looked: bool | None = None
        fields.leaving_current.connect(self._on_leaving)

    def _on_leaving(self) -> None:
        self._ranked.clear()
        self._words = self._starter_looked = None

    def on_suggestions_changed(self) -> None:
        """Ask anew whether the starter has looked at the field, and what suggestions would teach."""
        self._starter_looked = None
        self._ranked.clear()

    # ------------------------------------------------------------------ the queues

    @property
    def queue(self) -> Queue:
        """In what order suggestions come."""
        return self._queue

    @queue.setter
    def queue(self, queue: Queue) -> None:
        if queue is not self._queue:
            self._queue = queue
            self.queue_changed.emit()

    def other_queue(self) -> None:
        """Change between the two queues, and go to the first of the other."""
        self.queue = Queue.TEACH if self._queue is Queue.ACCEPT else Queue.ACCEPT
        if self.shown:
            self._selection.select("suggestion", self.shown[0].id)
        self._opened.notify(
            "hint",
            tr("Fast accept: the surest first.")
            if self._queue is Queue.ACCEPT
            else tr("Teach me: those first from which the model would learn most."),
        )

    @property
    def shown(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field at or above the threshold, in the queue's order."""
        pending = self._marks.suggestions
        if self._queue is Queue.ACCEPT:  # they come with the most probable first
            return sorted(pending, key=lambda s: s.is_unknown)
        ranked = self._taught_by(pending)
        return sorted(pending, key=lambda s: (not s.is_unknown, -ranked[s.id].score, s.id))

    @property
    def from_starter(self) -> bool:
        """Whether suggestions of no model are the starter's here: it has looked at the field."""
        project, field_id = self._opened.project, self._fields.current_id
        if self._starter_looked is None:
            self._starter_looked = bool(
                project is not None
                and field_id is not None
                and project.embeddings.of(STARTER, field_id=field_id)
            )
        return self._starter_looked

    @property
    def lesson(self) -> str:
        """Describe what the model would learn from the current suggestion, in the queue that asks for it."""
        suggestion = self._selection.suggestion
        if suggestion is None or self._queue is Queue.ACCEPT:
            return ""
        return "; ".join(in_words(self._taught_by([suggestion])[suggestion.id].reasons))

    def _taught_by(self, suggestions: Sequence[Suggestion]) -> dict[int, Ranked]:
        """Rank suggestions by what they teach, as the command line does; each once, until they change."""
        project = self._opened.project
        new = [s for s in suggestions if s.id not in self._ranked]
        if new and project is not None:
            if self._words is None:
                self._words = stored_words(project)
            groups = groups_of(project.schema)
            for item in rank_cells(new, Queue.TEACH, words=self._words, groups=groups):
                assert item.id is not None
                self._ranked[item.id] = item
        return self._ranked

    def step(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) suggestion of the queue.

        Where none waits here, the next is on another field.
        """
        if direction > 0 and not self.shown and self._to_waiting_field():
            return
        following = self._suggestion_after(self._current_id, direction)
        if following is None:
            self._opened.notify("hint", self.why_none)
        else:
            self._selection.select("suggestion", following)

    @property
    def _current_id(self) -> int | None:
        current = self._selection.current
        return current.id if current is not None and current.kind == "suggestion" else None

    def _suggestion_after(self, current: int | None, step: int = 1) -> int | None:
        ids = [s.id for s in self.shown]
        if not ids:
            return None
        if current not in ids:
            return ids[0] if step > 0 else ids[-1]
        return ids[(ids.index(current) + step) % len(ids)]

    @property
    def why_none(self) -> str:
        """Explain why no suggestion of the current field is shown."""
        if self._marks.blind:
            return tr("A blind reading shows suggestions once a region of this field is finished.")
        if self._marks.pending:
            return tr(
                "All {pending} suggestions here are below {threshold:.0%}; lower the threshold.",
                pending=self._marks.pending,
                threshold=self._marks.threshold,
            )
        return tr("No pending suggestions on this field.")

    @property
    def what_next(self) -> str:
        """Describe what leads to suggestions where none is pending on the current field; keys in brackets."""
        if self._marks.blind or self._fields.being_read:
            return self.why_none
        if self._fields.pending:
            return tr(
                "Nothing to review on this field: [suggestion.next] goes to the next one with suggestions."
            )
        if not self._fields.by_id:
            return tr("Add fields first: suggestions are made on them.")
        if not self._fields.annotated:
            return tr(
                "Nothing to review yet: run the model on all fields (Model), or finish a region and train."
            )
        if self._fields.all_complete:
            return tr("Every field is annotated completely: nothing is left to suggest.")
        here = self._fields.by_id.get(self._fields.current_id or 0)
        if here is not None and here.state == FieldState.REVIEWED:
            return tr("This field is annotated completely: nothing is suggested on it.")
        return tr("Train a model, or run the active one on all fields (Model).")

    def _to_waiting_field(self) -> bool:
        """Show the next field where suggestions wait above the threshold, and the first of them.

        On a whole slide those that are out of sight come before.
        """
        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return False
        if self._to_waiting_place(project, field_id):
            return True
        waiting = self._opened.attempt(lambda: project.suggestions.fields(self._marks.threshold)) or []
        following = next(
            (i for i in [*(i for i in waiting if i > field_id), *waiting] if i != field_id), None
        )
        if following is None:
            return False
        self._fields.show(following)
        if self.shown:
            self._selection.select("suggestion", self.shown[0].id)
        self._opened.notify(
            "hint", tr("That field has no suggestions left: this is the next one with pending suggestions.")
        )
        return True

    def _to_waiting_place(self, project: Project, field_id: int) -> bool:
        """Go to the most probable suggestion of a slide, out of sight as it is."""
        field = self._fields.current
        if field is None or not field.is_slide or not self._marks.pending:
            return False
        best = self._opened.attempt(lambda: project.suggestions.find(field_id, most=1)) or []
        if not best or best[0].probability < self._marks.threshold:
            return False
        self._selection.select("suggestion", best[0].id)
        self._selection.went_on.emit()
        return True

    # ------------------------------------------------------------------ one at a time

    def accept(self) -> None:
        """Accept the current suggestion unchanged, and go to the next.

        Of an unknown cell the box and the values are taken, and the cell stays current: its class is to be
        given.
        """
        suggestion = self._selection.suggestion
        if suggestion is not None and suggestion.is_unknown:
            self._take_unknown(suggestion)
        else:
            seen = None if suggestion is None else suggestion.proposal
            self._settle(lambda project, number: project.suggestions.accept(number, seen=seen))

    def _take_unknown(self, suggestion: Suggestion) -> None:
        project = self._opened.project
        cell = (
            self._opened.attempt(lambda: project.suggestions.accept(suggestion.id, seen=suggestion.proposal))
            if project is not None
            else None
        )
        if cell is not None:
            self._selection.select("cell", cell)
            self.ask_its_class()

    def ask_its_class(self) -> None:
        """Show a hint that the new cell has no class yet."""
        self._opened.notify(
            "hint", tr("Accepted without a class: set it, or continue with [suggestion.next].")
        )

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject the current suggestion, and go to the next."""
        self._settle(lambda project, suggestion: project.suggestions.reject(suggestion, reason))

    def _settle(self, action: Callable[[Project, int], Any]) -> None:
        project, suggestion = self._opened.project, self._selection.suggestion
        if project is None:
            return
        if suggestion is None:
            self.step(1)  # the first press chooses, the second decides: nothing unseen is accepted
            return
        following = self._suggestion_after(suggestion.id)
        if not self._opened.done(lambda: action(project, suggestion.id)):
            return
        if following is not None and following != suggestion.id:
            self._selection.select("suggestion", following)
        else:
            self._selection.select(None)
            self._opened.notify(
                "hint",
                tr("No suggestions left above the threshold. [suggestion.next] goes to the next field."),
            )

    def correct(self, changes: Mapping[str, Any]) -> int | None:
        """Accept the current suggestion with changes; return the cell's id."""
        project, suggestion = self._opened.project, self._selection.suggestion
        if project is None or suggestion is None:
            return None
        seen = suggestion.proposal
        return self._opened.attempt(lambda: project.suggestions.correct(suggestion.id, seen=seen, **changes))
