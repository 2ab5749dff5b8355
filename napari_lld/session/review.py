"""Reviewing suggestions: two queues, accept and reject, many at once where a model has earned it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from psygnal import Signal

from annotation_store import Project
from annotation_store.records import Model, RejectionReason, Suggestion
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.model_facts import bulk_refusal, class_refusal
from napari_lld.session.region_proposal import ProposedRegions
from training.evaluation.unchecked_films import CHECKED
from training.ranking.cells import Queue, rank_cells
from training.ranking.explanations import Words
from training.ranking.items import Ranked
from training.ranking.project import STARTER, groups_of, stored_words

__all__ = ["Candidate", "Queue", "ReviewActions"]


class Candidate(NamedTuple):
    """A suggestion that is to be accepted unseen: its id, its model, its class, how probable that is."""

    id: int
    model_id: int | None
    word: str | None
    probability: float
    unknown: bool = False
    unchecked: bool = False


def unknown_refusal(count: int) -> str:
    """Explain why so many unknown cells are not accepted at once."""
    return trn(
        "{count} is unlike anything that was taught: look at it and name its class.",
        "{count} are unlike anything that was taught: look at each and name its class.",
        count,
    )


def unchecked_refusal(count: int) -> str:
    """Explain why so many suggestions of films where nothing was checked are not accepted at once."""
    return trn(
        "{count} is of a film that the model has not learned from: look at it. Once {needed} cells of a film "
        "are labelled, let the model look again.",
        "{count} are of films that the model has not learned from: look at each. Once {needed} cells of a "
        "film are labelled, let the model look again.",
        count,
        needed=CHECKED,
    )


class ReviewActions(ProposedRegions):
    """The state with the actions on suggestions."""

    queue_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._queue = Queue.ACCEPT
        self._models_read: dict[tuple[Path, int], Model] = {}
        self._ranked: dict[int, Ranked] = {}
        self._words: Words | None = None
        self._starter_looked: bool | None = None
        self.models_changed.connect(self._forget_models)

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
        if self.suggestions:
            self.select("suggestion", self.suggestions[0].id)
        self.tell(
            "hint",
            tr("Fast accept: the surest first.")
            if self._queue is Queue.ACCEPT
            else tr("Teach me: those first from which the model would learn most."),
        )

    @property
    def suggestions(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field at or above the threshold, in the queue's order."""
        shown = super().suggestions
        if self._queue is Queue.ACCEPT:  # they come with the most probable first
            return sorted(shown, key=lambda s: s.is_unknown)
        ranked = self._taught_by(shown)
        return sorted(shown, key=lambda s: (not s.is_unknown, -ranked[s.id].score, s.id))

    @property
    def from_starter(self) -> bool:
        """Whether suggestions of no model are the starter's here: it has looked at the field."""
        project, field_id = self.project, self._field_id
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
        suggestion = self.suggestion
        if suggestion is None or self._queue is Queue.ACCEPT:
            return ""
        return "; ".join(in_words(self._taught_by([suggestion])[suggestion.id].reasons))

    def _taught_by(self, suggestions: Sequence[Suggestion]) -> dict[int, Ranked]:
        """Rank suggestions by what they teach, as the command line does; each once, they never change."""
        project = self.project
        new = [s for s in suggestions if s.id not in self._ranked]
        if new and project is not None:
            if self._words is None:
                self._words = stored_words(project)
            groups = groups_of(project.schema)
            for item in rank_cells(new, Queue.TEACH, words=self._words, groups=groups):
                assert item.id is not None
                self._ranked[item.id] = item
        return self._ranked

    def _leave_field(self) -> None:
        super()._leave_field()
        self._ranked.clear()
        self._words = self._starter_looked = None

    def _on_suggestions_changed(self, field_ids: list[int]) -> None:
        self._starter_looked = None
        super()._on_suggestions_changed(field_ids)

    def next_suggestion(self) -> None:
        """Go to the next suggestion of the queue; where none waits here, to the next field with one."""
        if not self.suggestions and self._to_waiting_field():
            return
        super().next_suggestion()

    def _to_waiting_field(self) -> bool:
        """Show the next field where suggestions wait above the threshold, and the first of them."""
        project, here = self.project, self._field_id
        if project is None or here is None:
            return False
        waiting = self._try(lambda: project.suggestions.fields(self._threshold)) or []
        following = next((i for i in [*(i for i in waiting if i > here), *waiting] if i != here), None)
        if following is None:
            return False
        self.show_field(following)
        if self.suggestions:
            self.select("suggestion", self.suggestions[0].id)
        self.tell(
            "hint", tr("No suggestions were left on that field: this is the next one with pending ones.")
        )
        return True

    # ------------------------------------------------------------------ one at a time

    def accept(self) -> None:
        """Make the current suggestion a cell as it stands, and go to the next.

        Of an unknown cell the box and the values are taken, and the cell stays current: its class is to be
        given.
        """
        suggestion = self.suggestion
        if suggestion is not None and suggestion.is_unknown:
            self._take_unknown(suggestion)
        else:
            self._settle(lambda project, number: project.suggestions.accept(number))

    def _take_unknown(self, suggestion: Suggestion) -> None:
        project = self.project
        cell = self._try(lambda: project.suggestions.accept(suggestion.id)) if project is not None else None
        if cell is not None:
            self.select("cell", cell)
            self._ask_its_class()

    def _ask_its_class(self) -> None:
        self.tell("hint", tr("Boxed without a class: name it, or go on with [suggestion.next]."))

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject the current suggestion, and go to the next."""
        self._settle(lambda project, suggestion: project.suggestions.reject(suggestion, reason))

    def _settle(self, action: Callable[[Project, int], Any]) -> None:
        project, suggestion = self.project, self.suggestion
        if project is None:
            return
        if suggestion is None:
            self.next_suggestion()  # the first press chooses, the second decides: nothing unseen is accepted
            return
        following = self._suggestion_after(suggestion.id)
        if not self._done(lambda: action(project, suggestion.id)):
            return
        if following is not None and following != suggestion.id:
            self.select("suggestion", following)
        else:
            self.select(None)
            self.tell(
                "hint",
                tr(
                    "All suggestions above the threshold are reviewed on this field. [suggestion.next] "
                    "goes to the next field with pending ones."
                ),
            )

    # ------------------------------------------------------------------ many at once

    def earned(self, candidates: Iterable[Candidate]) -> tuple[list[int], list[str]]:
        """Return which suggestions may be accepted without a look at each, and why the others may not.

        They may where, on held-out cells, few enough of what is at least as probable were wrong
        (`model_facts.bulk_refusal`), and of the class too (`model_facts.class_refusal`). Unknown ones never
        may, nor those of films where nothing was checked.
        """
        allowed: list[int] = []
        unknown = unchecked = 0
        reasons: dict[str, None] = {}
        known: dict[tuple[int | None, str | None], str] = {}
        schema = self.schema
        for candidate in candidates:
            if candidate.unknown:
                unknown += 1
                continue
            if candidate.unchecked:
                unchecked += 1
                continue
            kind = (candidate.model_id, candidate.word)
            model = self._model(candidate.model_id)
            if kind not in known:
                known_as = schema.class_title(candidate.word) if schema and candidate.word else ""
                known[kind] = class_refusal(model, candidate.word, known_as)
            why = bulk_refusal(model, candidate.probability) or known[kind]
            if why:
                reasons.setdefault(why)
            else:
                allowed.append(candidate.id)
        if unchecked:
            reasons.setdefault(unchecked_refusal(unchecked))
        if unknown:
            reasons.setdefault(unknown_refusal(unknown))
        return allowed, list(reasons)

    def _earned_here(self) -> tuple[list[int], list[str]]:
        return self.earned(
            Candidate(s.id, s.model_id, s.stated_class, s.probability, s.is_unknown, s.proposal.unchecked)
            for s in self.suggestions
        )

    @property
    def bulk_refusal(self) -> str:
        """Explain why none of the suggestions shown may be accepted all at once; empty where some may."""
        if not self.suggestions:
            return self._no_suggestions()
        allowed, reasons = self._earned_here()
        return "" if allowed else " ".join(reasons)

    @property
    def bulk_choice(self) -> str:
        """Return which of the suggestions that are shown *accept all* takes, and which it leaves, and why."""
        schema, shown = self.schema, self.suggestions
        if schema is None or not shown:
            return self._no_suggestions()
        allowed, reasons = self._earned_here()
        among = set(allowed)
        counts: dict[tuple[bool, str], int] = {}
        for suggestion in shown:
            word = suggestion.stated_class
            title = tr("class missing") if word is None else schema.class_title(word)
            if suggestion.is_unknown:
                title = tr("unknown")
            key = (suggestion.id in among, title)
            counts[key] = counts.get(key, 0) + 1

        def listed(taken: bool) -> str:
            return ", ".join(f"{title} {n}" for (which, title), n in counts.items() if which is taken)

        messages = [tr("Takes: {which}.", which=listed(True))] if allowed else []
        if reasons:
            messages.append(tr("Leaves: {which}. {why}", which=listed(False), why=" ".join(reasons)))
        return "\n".join(messages)

    def accept_all(self) -> list[int]:
        """Accept the suggestions of this field that are shown, as one edit, where the model is that sure."""
        project, refusal = self.project, self.bulk_refusal
        if project is None or refusal:
            self.tell("hint", refusal)
            return []
        allowed, reasons = self._earned_here()
        left = len(self.suggestions) - len(allowed)
        cells = self._try(lambda: project.suggestions.accept_many(allowed)) or []
        if cells:
            self.select(None)
            message = tr(
                "{cells} suggestions accepted. [edit.undo] takes all of them back.", cells=len(cells)
            )
            if left:
                message += " " + trn(
                    "{count} is left: {why}", "{count} are left: {why}", left, why=" ".join(reasons)
                )
            self.tell("info", message)
        return cells

    def _forget_models(self) -> None:
        self._models_read.clear()

    def _model(self, model_id: int | None) -> Model | None:
        """Return a model, read once until the models change: its card is large."""
        project = self.project
        if model_id is None or project is None:
            return None
        key = (project.path, model_id)
        if key not in self._models_read:
            self._models_read[key] = project.models.get(model_id)
        return self._models_read[key]
