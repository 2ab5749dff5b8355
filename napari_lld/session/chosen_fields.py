"""Several fields at once: which are chosen, and what was done to them together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psygnal import Signal

from annotation_store.records import Field
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.fields import SessionFields


class ChosenFields(SessionFields):
    """The fields chosen in the list, and edits that undo takes back together."""

    chosen_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._chosen: set[int] = set()
        self._together: list[tuple[int, ...]] = []

    def close(self) -> None:
        """Close the project."""
        self._chosen, self._together = set(), []
        super().close()

    # ------------------------------------------------------------------ which

    @property
    def chosen_fields(self) -> Sequence[int]:
        """The fields chosen in the list, in its order; none where one alone is meant, the one shown."""
        return [field_id for field_id in self._listed if field_id in self._chosen]

    @property
    def fields_meant(self) -> list[Field]:
        """The fields that something is said of: those chosen, else the one shown."""
        ids = self.chosen_fields or ([] if self._field_id is None else [self._field_id])
        return [self.all_summaries[field_id].field for field_id in ids]

    def choose_fields(self, ids: Iterable[int]) -> None:
        """Choose fields of the list."""
        chosen = set(ids)
        if chosen != self._chosen:
            self._chosen = chosen
            self.chosen_changed.emit()

    def choose_field(self) -> None:
        """Choose the field that is shown too; on a chosen one, take that back."""
        if self._field_id is not None:
            self.choose_fields(self._chosen ^ {self._field_id})
            self._say_chosen()

    def choose_all_fields(self) -> None:
        """Choose all fields of the list; once more, none."""
        every = set(self._listed)
        self.choose_fields(set() if self._chosen >= every else every)
        self._say_chosen()

    def _say_chosen(self) -> None:
        count = len(self.chosen_fields)
        if count:
            self.tell("hint", trn("{count} field is chosen.", "{count} fields are chosen.", count))
        else:
            self.tell("hint", tr("No field is chosen but the one shown."))

    # ------------------------------------------------------------------ taken back together

    def join_edits(self, ids: Sequence[int]) -> None:
        """Have undo take back edits of several fields together, as long as each is the last of its field."""
        if len(ids) > 1:
            self._together.append(tuple(ids))

    def _undo_together(self, field_id: int) -> bool:
        """Undo what was done to several fields at once, if it is the last thing done on this one."""
        project = self.project
        if project is None or not self._together:
            return False
        last = project.undo_step(field_id)
        batch = next((ids for ids in self._together if last in ids), None)
        if batch is None:
            return False
        self._together.remove(batch)  # where it is refused, the next undo takes back this field's alone
        undone = self._try(lambda: project.bulk_edits.undo(batch))
        if undone:
            self.tell("hint", trn("Undone on {count} field.", "Undone on {count} fields.", len(undone)))
        return True
