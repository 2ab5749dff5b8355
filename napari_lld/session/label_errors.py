"""Review of possible label errors: labels that the model contradicts, one by one, kept or corrected.

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
from annotation_store.records import Cell, Edit, RejectionReason
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from napari_lld.session.fields import Fields
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection
from napari_lld.session.suggestions import Suggestions
from training.ranking.items import Ranked
from training.ranking.label_errors import LabelErrors, label_errors
from training.ranking.label_statistics import Contradiction

ErrorKey = tuple[int, int | None, tuple[float, ...] | None]
"""Field, cell, and, of a cell that nobody boxed, where the model sees it."""

_AT_ONCE = 12
"""So many edited fields are judged again at once; from there on the list is looked for anew."""


class LabelErrorReader(Protocol):
    """Finds possible label errors beside the window's thread, and tells them in it."""

    def read(self, path: Path, reading_id: int, on_result: Callable[[LabelErrors | str], None]) -> None:
        """Find the possible label errors of a reading; call `on_result` with them or an error message."""


def key_of(item: Ranked) -> ErrorKey:
    """Return the key of a possible label error, which stays the same when it is judged again."""
    return (item.field_id, item.id, None if item.id is not None else item.box)


class LabelErrorReview:
    """The possible label errors, and what is done with them."""

    changed = Signal()
    """The list, what is known of it, or whether it is gone through."""

    def __init__(
        self,
        opened: OpenProject,
        fields: Fields,
        selection: Selection,
        suggestions: Suggestions,
    ) -> None:
        self._opened = opened
        self._fields = fields
        self._selection = selection
        self._suggestions = suggestions
        self.reader: LabelErrorReader | None = None
        self._active = False
        self._errors: LabelErrors | None = None
        self._standing: dict[ErrorKey, Ranked] = {}
        self._ranks: dict[ErrorKey, int] = {}
        self._unjudged: set[int] = set()  # fields that were edited since their label errors were judged
        self._stale = False
        self._request_number = 0  # how often; an answer to an earlier question is not heard
        self._looking = False
        self._at: ErrorKey | None = None

    # ------------------------------------------------------------------ the list

    @property
    def active(self) -> bool:
        """Whether possible label errors are gone through, in the place of suggestions."""
        return self._active

    @active.setter
    def active(self, on: bool) -> None:
        on = on and self._opened.project is not None
        if on == self._active:
            return
        self._active = on
        if not on:
            self._let_go()
        self.changed.emit()
        if on:
            self.search()

    def toggle(self) -> None:
        """Go through the possible label errors, or through suggestions again."""
        self.active = not self.active

    @property
    def items(self) -> Sequence[Ranked]:
        """The unresolved possible label errors, the likeliest first."""
        self._judge_again()
        return sorted(self._standing.values(), key=lambda item: self._ranks[key_of(item)])

    @property
    def current(self) -> Ranked | None:
        """The possible label error that is current."""
        selected = self._selection.current
        if not self._active or selected is None:
            return None
        self._judge_again({self._fields.current_id} if self._fields.current_id is not None else set())
        if selected.kind == "cell" and self._fields.current_id is not None:
            return self._standing.get((self._fields.current_id, selected.id, None))
        if selected.kind == "missed" and self._at is not None:
            return self._standing.get(self._at)
        return None

    @property
    def searching(self) -> bool:
        """Whether a list is being made."""
        return self._looking

    @property
    def outdated(self) -> bool:
        """Whether a model has looked, or much was changed, since the list was made."""
        return self._stale and self._errors is not None

    @property
    def state(self) -> str:
        """Explain why there is nothing to go through, or that the list is no longer the newest."""
        project = self._opened.project
        if project is None:
            return ""
        if project.reading.blind:
            return tr("Hidden in blind readings, to avoid bias.")
        if self._looking or self._errors is None:
            return tr("Labels are compared with the model's predictions …")
        if self._errors.source is None:
            return tr("No model has predicted these fields yet: train one, or run one (Model).")
        if self.items:
            return tr("There are newer predictions than when this list was made.") if self._stale else ""
        if self._errors.items:
            return tr("All of them are settled.")
        nothing = tr("The model agrees with all labels.")
        if not self._errors.unchecked:
            return nothing
        unchecked = tr(
            (
                "Not yet compared with other cells: {count} (label ten cells; then train, or let "
                "a model suggest)."
            ),
            count=self._errors.unchecked,
        )
        return f"{nothing} {unchecked}"

    def search(self) -> None:
        """Search again, with the predictions of the latest model."""
        project = self._opened.project
        if project is None:
            return
        self._stale = False
        if project.reading.blind:
            self._take(LabelErrors())
            return
        if self.reader is None:
            errors = self._opened.attempt(lambda: label_errors(project))
            self._take(errors if errors is not None else LabelErrors())
            return
        self._request_number += 1
        self._looking = True
        state_before = (self._request_number, self._fields.current_id, self._selection.current)
        self.changed.emit()

        def on_result(result: LabelErrors | str) -> None:
            if state_before[0] != self._request_number:
                return
            self._looking = False
            if isinstance(result, str):
                self._opened.notify("error", result)
                result = self._errors or LabelErrors()
            self._take(result, go=(self._fields.current_id, self._selection.current) == state_before[1:])

        self.reader.read(project.path, project.reading.id, on_result)

    def _take(self, errors: LabelErrors, *, go: bool = True) -> None:
        self._errors = errors
        self._standing = {key_of(item): item for item in errors.items}
        self._ranks = {place: number for number, place in enumerate(self._standing)}
        self._unjudged.clear()
        self._at = None
        self._let_go()
        self.changed.emit()
        if go and self._active:
            self._show_first()

    def forget(self) -> None:
        """Clear the list: it belongs to another project or reading."""
        self._let_go()
        self._errors, self._standing, self._ranks, self._at = None, {}, {}, None
        self._unjudged.clear()
        self._stale = self._looking = False
        self._request_number += 1
        self._active = False
        self.changed.emit()

    def _judge_again(self, fields: set[int] | None = None) -> None:
        """Judge edited fields again: resolved errors go, errors that an undo reopened come back."""
        project, errors = self._opened.project, self._errors
        field_ids = self._unjudged if fields is None else self._unjudged & fields
        self._unjudged = self._unjudged - field_ids
        if project is None or errors is None:
            return
        for field_id in field_ids:
            standing = {key_of(item): item for item in errors.now(project, field_id)}
            for place in [place for place in self._ranks if place[0] == field_id]:
                self._standing.pop(place, None)
                if place in standing:
                    self._standing[place] = standing[place]

    def _let_go(self) -> None:
        """Deselect a possible missed cell."""
        if self._selects_missed:
            self._selection.select(None)

    @property
    def _selects_missed(self) -> bool:
        current = self._selection.current
        return current is not None and current.kind == "missed"

    def note_edit(self, edit: Edit) -> None:
        """Note what is to be judged again; `notify_changed` follows when the marks were read again."""
        if edit.field_id is None:
            self._stale = True  # other words
        elif self._errors is not None and edit.field_id in self._errors.seen:
            if edit.field_id == self._fields.current_id or len(self._unjudged) < _AT_ONCE:
                self._unjudged.add(edit.field_id)
            else:
                self._stale = True  # more than is judged again in a moment
        if self._selects_missed and self.current is None:
            self._let_go()

    def notify_changed(self) -> None:
        """Emit `changed` if the review is active."""
        if self._active:
            self.changed.emit()

    def on_ranking_changed(self) -> None:
        """Mark the list as no longer the newest; make it now if it was empty."""
        self._stale = True
        if self._active and not self.items:
            self.search()
        elif self._active:
            self.changed.emit()

    # ------------------------------------------------------------------ going through it

    def show(self, item: Ranked) -> None:
        """Show a possible label error on its field; one that somebody settled meanwhile goes instead."""
        self._at = key_of(item)
        self._unjudged.add(item.field_id)
        self._judge_again({item.field_id})
        if self._at not in self._standing:
            self.changed.emit()
            return
        self._fields.show(item.field_id)
        if item.id is not None:
            self._selection.select("cell", item.id)
        elif item.prediction is not None:
            self._selection.select_missed(self._ranks[self._at], item.prediction)
        self._selection.went_on.emit()

    def _show_first(self) -> None:
        if self.items:
            self.show(self.items[0])

    def step(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) possible label error."""
        following = self._neighbour(direction)
        if following is None:
            self._opened.notify("hint", self.state)
        else:
            self.show(following)

    def _neighbour(self, step: int) -> Ranked | None:
        """Return the next error in a direction from the current one, even if that one is resolved."""
        remaining = self.items
        if not remaining:
            return None
        current = self.current  # a click on the field may have chosen another one
        at = key_of(current) if current is not None else self._at
        rank = self._ranks.get(at, -1) if at is not None else -1
        numbers = [self._ranks[key_of(item)] for item in remaining]
        if step > 0:
            return next((item for item, n in zip(remaining, numbers, strict=True) if n > rank), remaining[0])
        before = [item for item, n in zip(remaining, numbers, strict=True) if n < rank]
        return before[-1] if before else remaining[-1]

    # ------------------------------------------------------------------ kept or corrected

    @property
    def contradicted(self) -> Contradiction:
        """What the model would have the current cell say instead; empty without a possible label error."""
        item, cell, schema = self.current, self._selection.cell, self._opened.schema
        if item is None or item.prediction is None or cell is None or schema is None or self._errors is None:
            return Contradiction()
        return self._errors.contradiction(cell, item.prediction, schema)

    @property
    def model_would(self) -> str:
        """Describe in two or three words what accepting the prediction does."""
        item, cell, schema = self.current, self._selection.cell, self._opened.schema
        if item is None or schema is None:
            return ""
        if item.id is None:
            return tr("Box it")
        if item.prediction is None or cell is None:
            return tr("Delete the box")
        contradiction = self.contradicted
        if not contradiction:
            return tr("Use its box")
        if contradiction.cell_class is not None and not contradiction.attributes:
            return schema.class_title(contradiction.cell_class)
        if contradiction.cell_class is None and len(contradiction.attributes) == 1:
            ((name, value),) = contradiction.attributes.items()
            return schema.value_title(name, value)
        return tr("Its values")

    @property
    def keeping(self) -> str:
        """Describe what is kept of the current possible label error."""
        item, cell, schema = self.current, self._selection.cell, self._opened.schema
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
        """Apply the prediction for the current possible label error."""
        self._settle(self._take_prediction)

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Keep what the model contradicts."""
        if reason is RejectionReason.NOT_A_CELL:
            self._settle(self._keep)
        else:
            self._opened.notify(
                "hint",
                tr(
                    "[suggestion.not_a_cell] keeps the label, [suggestion.accept] uses the model's "
                    "prediction."
                ),
            )

    def _settle(self, action: Callable[[Project, Ranked], Any]) -> None:
        project, item = self._opened.project, self.current
        if project is None:
            return
        if item is None:
            self.step(1)  # the first press chooses, the second decides: nothing unseen is settled
            return
        if not self._opened.done(lambda: action(project, item)):
            return
        if (
            item.id is None
            and item.prediction is not None
            and item.prediction.is_unknown
            and self._selection.cell is not None
        ):
            self._suggestions.ask_its_class()
            return
        following = self._neighbour(1)
        if following is None:
            self._opened.notify("hint", tr("That was the last one. [edit.undo] undoes it."))
        elif following.field_id == item.field_id:
            self.show(following)
        else:
            # an undo belongs to its field: the user stays where it works
            name = project.fields.get(following.field_id).name
            message = tr("Settled. [suggestion.next] goes to the next one, on {name}.", name=name)
            self._opened.notify("hint", message)

    def _take_prediction(self, project: Project, item: Ranked) -> None:
        cell, predicted = self._selection.cell, item.prediction
        if item.id is None:
            if predicted is not None:
                cell_id = project.label_reviews.accept(item.field_id, predicted, model_id=self._model_asked)
                self._selection.select("cell", cell_id)
        elif predicted is None:
            project.cells.delete(item.id)
        elif cell is not None:
            contradiction = self.contradicted
            if not contradiction:
                project.cells.change(item.id, box=predicted.box, confirm=True)
            elif contradiction.cell_class is not None:
                project.cells.change(
                    item.id, cell_class=contradiction.cell_class, attributes=contradiction.attributes
                )
            else:
                project.cells.change(item.id, attributes=contradiction.attributes)

    def _keep(self, project: Project, item: Ranked) -> None:
        if item.id is not None:
            project.label_reviews.confirm(item.id)
        elif item.prediction is not None:
            project.label_reviews.reject(item.field_id, item.prediction, model_id=self._model_asked)

    @property
    def _model_asked(self) -> int | None:
        return self._errors.model_id if self._errors is not None else None

    def is_weighed(self, cell: Cell) -> bool:
        """Return whether a change of a cell is made in view of the model's prediction."""
        item = self.current
        return item is not None and item.id == cell.id

    def correct(self, changes: Mapping[str, Any]) -> int | None:
        """Make the current missed cell a cell with changes; return it."""
        project, item = self._opened.project, self.current
        if project is None or item is None or item.prediction is None:
            return None
        predicted = item.prediction
        return self._opened.attempt(
            lambda: project.label_reviews.accept(
                item.field_id, predicted, model_id=self._model_asked, **changes
            )
        )
