"""Possible label errors: labels that the model contradicts, looked at again one by one, kept or corrected.

The list is made when somebody comes to it, beside the window's thread, and made anew only when somebody asks
or when it is empty. Meanwhile its items only vanish (and come back with an undo): nothing is shuffled under
the hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from psygnal import Signal

from annotation_store import Project
from annotation_store.records import Cell, Edit, RejectionReason, Suggestion, SuggestionState
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from napari_lld.session.review import ReviewActions
from napari_lld.session.state import Selection
from training.ranking.items import Ranked
from training.ranking.label_errors import Contradiction, LabelErrors, label_errors

Place = tuple[int, int | None, tuple[float, ...] | None]
"""Field, cell, and, of a cell that nobody boxed, where the model sees it."""

_AT_ONCE = 12
"""So many edited fields are judged again at once; from there on the list is looked for anew."""

_MISSED = -1
"""Stands for the suggestion of a cell that nobody boxed: it is in no project before somebody decides."""


class LabelErrorReader(Protocol):
    """Finds possible label errors beside the window's thread, and tells them in it."""

    def read(self, path: Path, reading_id: int, then: Callable[[LabelErrors | str], None]) -> None:
        """Find the possible label errors of a reading; `then` gets them, or a sentence that says why not."""


def place_of(item: Ranked) -> Place:
    """Return what a possible label error is known by, however often it is judged again."""
    return (item.field_id, item.id, None if item.id is not None else item.box)


class LabelErrorActions(ReviewActions):
    """The state with the possible label errors, and what is done with them."""

    label_errors_changed = Signal()
    """The list, what is known of it, or whether it is gone through."""
    went_on = Signal()
    """Another mark has become current by itself; it may be out of sight."""

    def __init__(self) -> None:
        super().__init__()
        self.label_error_reader: LabelErrorReader | None = None
        self._checking = False
        self._found: LabelErrors | None = None
        self._standing: dict[Place, Ranked] = {}
        self._ranks: dict[Place, int] = {}
        self._unjudged: set[int] = set()  # fields that were edited since their mistakes were judged
        self._stale = False
        self._asked = 0  # how often; an answer to an earlier question is not heard
        self._looking = False
        self._at: Place | None = None

    def close(self) -> None:
        """Close the project."""
        super().close()
        self._forget_label_errors()

    def use_reading(self, reading_id: int) -> None:
        """Work in another reading; its mistakes are others."""
        self._forget_label_errors()
        super().use_reading(reading_id)

    # ------------------------------------------------------------------ the list

    @property
    def checking(self) -> bool:
        """Whether possible label errors are gone through, in the place of suggestions."""
        return self._checking

    @checking.setter
    def checking(self, on: bool) -> None:
        on = on and self.project is not None
        if on == self._checking:
            return
        self._checking = on
        if not on and self._id_of("suggestion") == _MISSED:
            self.select(None)
        self.label_errors_changed.emit()
        if on:
            self.search_label_errors()

    def check_label_errors(self) -> None:
        """Go through the possible label errors, or through suggestions again."""
        self.checking = not self.checking

    @property
    def label_errors(self) -> Sequence[Ranked]:
        """The possible label errors that nobody has settled, the likeliest first."""
        self._judge_again()
        return sorted(self._standing.values(), key=lambda item: self._ranks[place_of(item)])

    @property
    def label_error(self) -> Ranked | None:
        """The possible label error that is current."""
        if not self._checking or self._selection is None:
            return None
        self._judge_again({self._field_id} if self._field_id is not None else set())
        kind, number = self._selection.kind, self._selection.id
        if kind == "cell" and self._field_id is not None:
            return self._standing.get((self._field_id, number, None))
        if kind == "suggestion" and number == _MISSED and self._at is not None:
            return self._standing.get(self._at)
        return None

    @property
    def looking_for_label_errors(self) -> bool:
        """Whether a list is being made."""
        return self._looking

    @property
    def label_errors_outdated(self) -> bool:
        """Whether a model has looked, or much was changed, since the list was made."""
        return self._stale and self._found is not None

    @property
    def label_errors_state(self) -> str:
        """Explain why there is nothing to go through, or that the list is no longer the newest."""
        project = self.project
        if project is None:
            return ""
        if project.reading.blind:
            return tr("Hidden in blind readings, to avoid bias.")
        if self.looking_for_label_errors or self._found is None:
            return tr("Labels are compared with the model's predictions …")
        if self._found.source is None:
            return tr("No model has predicted these fields yet: train one, or run one (Model).")
        if self.label_errors:
            return tr("More is known by now than when this list was made.") if self._stale else ""
        if self._found.items:
            return tr("All of them are settled.")
        nothing = tr("The model contradicts no label.")
        if not self._found.unchecked:
            return nothing
        unchecked = tr(
            "Not yet checked by what other cells teach: {count} (ten labelled cells are needed; then train, "
            "or let a model suggest).",
            count=self._found.unchecked,
        )
        return f"{nothing} {unchecked}"

    def search_label_errors(self) -> None:
        """Make the list anew, from what the model that looked last says."""
        project = self.project
        if project is None:
            return
        self._stale = False
        if project.reading.blind:
            self._take(LabelErrors())
            return
        if self.label_error_reader is None:
            found = self._try(lambda: label_errors(project))
            self._take(found if found is not None else LabelErrors())
            return
        self._asked += 1
        self._looking = True
        was = (self._asked, self._field_id, self._selection)
        self.label_errors_changed.emit()

        def then(found: LabelErrors | str) -> None:
            if was[0] != self._asked:
                return
            self._looking = False
            if isinstance(found, str):
                self.tell("error", found)
                found = self._found or LabelErrors()
            self._take(found, go=(self._field_id, self._selection) == was[1:])

        self.label_error_reader.read(project.path, project.reading.id, then)

    def _take(self, found: LabelErrors, *, go: bool = True) -> None:
        self._found = found
        self._standing = {place_of(item): item for item in found.items}
        self._ranks = {place: number for number, place in enumerate(self._standing)}
        self._unjudged.clear()
        self._at = None
        self.label_errors_changed.emit()
        if go and self._checking:
            self._show_first()

    def _forget_label_errors(self) -> None:
        if self._id_of("suggestion") == _MISSED:
            self.select(None)
        self._found, self._standing, self._ranks, self._at = None, {}, {}, None
        self._unjudged.clear()
        self._stale = self._looking = False
        self._asked += 1
        self._checking = False
        self.label_errors_changed.emit()

    def _judge_again(self, fields: set[int] | None = None) -> None:
        """Judge edited fields again: what was settled goes, what an undo opened comes back."""
        project, found = self.project, self._found
        field_ids = self._unjudged if fields is None else self._unjudged & fields
        self._unjudged = self._unjudged - field_ids
        if project is None or found is None:
            return
        for field_id in field_ids:
            standing = {place_of(item): item for item in found.now(project, field_id)}
            for place in [place for place in self._ranks if place[0] == field_id]:
                self._standing.pop(place, None)
                if place in standing:
                    self._standing[place] = standing[place]

    def _on_edited(self, edit: Edit) -> None:
        if edit.field_id is None:
            self._stale = True  # other words
        elif self._found is not None and edit.field_id in self._found.seen:
            if edit.field_id == self._field_id or len(self._unjudged) < _AT_ONCE:
                self._unjudged.add(edit.field_id)
            else:
                self._stale = True  # more than is judged again in a moment
        super()._on_edited(edit)
        if self._checking:
            self.label_errors_changed.emit()

    def _on_ranking_changed(self) -> None:
        super()._on_ranking_changed()
        self._stale = True
        if self._checking and not self.label_errors:
            self.search_label_errors()
        elif self._checking:
            self.label_errors_changed.emit()

    # ------------------------------------------------------------------ going through it

    def show_label_error(self, item: Ranked) -> None:
        """Show a possible label error on its field; one that somebody settled meanwhile goes instead."""
        self._at = place_of(item)
        self._unjudged.add(item.field_id)
        self._judge_again({item.field_id})
        if self._at not in self._standing:
            self.label_errors_changed.emit()
            return
        self.show_field(item.field_id)
        if item.id is not None:
            self.select("cell", item.id)
        elif self._selection == Selection("suggestion", _MISSED):
            self.selection_changed.emit()  # another one
        else:
            self.select("suggestion", _MISSED)
        self.went_on.emit()

    def next_suggestion(self) -> None:
        """Go to the next suggestion, or to the next possible label error."""
        if self._checking:
            self._step_label_error(1)
        else:
            super().next_suggestion()

    def previous_suggestion(self) -> None:
        """Go to the previous suggestion, or possible label error."""
        if self._checking:
            self._step_label_error(-1)
        else:
            super().previous_suggestion()

    def _show_first(self) -> None:
        if self.label_errors:
            self.show_label_error(self.label_errors[0])

    def _step_label_error(self, step: int) -> None:
        following = self._label_error_beside(step)
        if following is None:
            self.tell("hint", self.label_errors_state)
        else:
            self.show_label_error(following)

    def _label_error_beside(self, step: int) -> Ranked | None:
        """Return the next one in a direction, from where the user is, though that one may be settled."""
        left = self.label_errors
        if not left:
            return None
        current = self.label_error  # a click on the field may have chosen another one
        at = place_of(current) if current is not None else self._at
        here = self._ranks.get(at, -1) if at is not None else -1
        numbers = [self._ranks[place_of(item)] for item in left]
        if step > 0:
            return next((item for item, n in zip(left, numbers, strict=True) if n > here), left[0])
        before = [item for item, n in zip(left, numbers, strict=True) if n < here]
        return before[-1] if before else left[-1]

    @property
    def suggestion(self) -> Suggestion | None:
        """The current suggestion; a cell that nobody boxed is shown as one."""
        if self._id_of("suggestion") != _MISSED:
            return super().suggestion
        item = self.label_error
        if item is None or item.prediction is None or item.field_id != self._field_id:
            return None
        model_id = self._found.model_id if self._found is not None else None
        return Suggestion(_MISSED, item.field_id, model_id, item.prediction, SuggestionState.PENDING)

    @property
    def lesson(self) -> str:
        """Describe what the model would learn from the current suggestion."""
        return "" if self._id_of("suggestion") == _MISSED else super().lesson

    # ------------------------------------------------------------------ kept or corrected

    @property
    def contradicted(self) -> Contradiction:
        """What the model would have the current cell say instead; empty without a possible label error."""
        item, cell, schema = self.label_error, self.cell, self.schema
        if item is None or item.prediction is None or cell is None or schema is None or self._found is None:
            return Contradiction()
        return self._found.contradiction(cell, item.prediction, schema)

    @property
    def model_would(self) -> str:
        """Describe in two or three words what taking the model's word does with the current one."""
        item, cell, schema = self.label_error, self.cell, self.schema
        if item is None or schema is None:
            return ""
        if item.id is None:
            return tr("Box it")
        if item.prediction is None or cell is None:
            return tr("Delete the box")
        other = self.contradicted
        if not other:
            return tr("Take its box")
        if other.cell_class is not None and not other.attributes:
            return schema.class_title(other.cell_class)
        if other.cell_class is None and len(other.attributes) == 1:
            ((name, value),) = other.attributes.items()
            return schema.value_title(name, value)
        return tr("Its values")

    @property
    def keeping(self) -> str:
        """Describe what is kept of the current possible label error."""
        item, cell, schema = self.label_error, self.cell, self.schema
        if item is None or schema is None:
            return ""
        if item.id is None:
            return tr("Not a cell")
        if cell is None or not self.contradicted:
            return tr("Keep the box")
        if cell.cell_class is None or cell.cell_class == UNSURE:
            return tr("Keep the label")
        return tr("Keep {title}", title=schema.class_title(cell.cell_class))

    def accept(self) -> None:
        """Make the current suggestion a cell, or apply the prediction for the possible label error."""
        if self._checks_current():
            self._settle_label_error(self._take_word)
        else:
            super().accept()

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject the current suggestion, or keep what the model contradicts."""
        if not self._checks_current():
            super().reject(reason)
        elif reason is RejectionReason.NOT_A_CELL:
            self._settle_label_error(self._keep)
        else:
            self.tell(
                "hint",
                tr(
                    "[suggestion.not_a_cell] keeps the label, [suggestion.accept] uses the model's "
                    "prediction."
                ),
            )

    def _checks_current(self) -> bool:
        """Return whether accept and reject are about possible label errors now."""
        return self._checking and self._id_of("suggestion") in (None, _MISSED)

    def _settle_label_error(self, action: Callable[[Project, Ranked], Any]) -> None:
        project, item = self.project, self.label_error
        if project is None:
            return
        if item is None:
            self.next_suggestion()  # the first press chooses, the second decides: nothing unseen is settled
            return
        if not self._done(lambda: action(project, item)):
            return
        if (
            item.id is None
            and item.prediction is not None
            and item.prediction.is_unknown
            and self.cell is not None
        ):
            self._ask_its_class()
            return
        following = self._label_error_beside(1)
        if following is None:
            self.tell("hint", tr("That was the last one. [edit.undo] takes it back."))
        elif following.field_id == item.field_id:
            self.show_label_error(following)
        else:
            # an undo belongs to its field: the user stays where it works
            name = project.fields.get(following.field_id).name
            message = tr("Settled. [suggestion.next] goes to the next one, on {name}.", name=name)
            self.tell("hint", message)

    def _take_word(self, project: Project, item: Ranked) -> None:
        cell, predicted = self.cell, item.prediction
        if item.id is None:
            if predicted is not None:
                made = project.label_reviews.accept(item.field_id, predicted, model_id=self._model_asked)
                self.select("cell", made)
        elif predicted is None:
            project.cells.delete(item.id)
        elif cell is not None:
            other = self.contradicted
            if not other:
                project.cells.change(item.id, box=predicted.box, confirm=True)
            elif other.cell_class is not None:
                project.cells.change(item.id, cell_class=other.cell_class, attributes=other.attributes)
            else:
                project.cells.change(item.id, attributes=other.attributes)

    def _keep(self, project: Project, item: Ranked) -> None:
        if item.id is not None:
            project.label_reviews.confirm(item.id)
        elif item.prediction is not None:
            project.label_reviews.reject(item.field_id, item.prediction, model_id=self._model_asked)

    @property
    def _model_asked(self) -> int | None:
        return self._found.model_id if self._found is not None else None

    def _weighed(self, cell: Cell) -> Mapping[str, Any]:
        """Return what marks a change as made in view of the model's prediction."""
        item = self.label_error
        return {"confirm": True} if item is not None and item.id == cell.id else {}

    def _correct(self, project: Project, suggestion: Suggestion, changes: Mapping[str, Any]) -> int:
        """Make the current suggestion a cell with changes."""
        if suggestion.id != _MISSED:
            return project.suggestions.correct(suggestion.id, **changes)
        return project.label_reviews.accept(
            suggestion.field_id, suggestion.proposal, model_id=suggestion.model_id, **changes
        )
