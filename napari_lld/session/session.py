"""The one evented session of the desk, without Qt: what is open, what is current, what can be done.

Widgets and layers bind to its signals and call its methods; they keep nothing. `SessionState` is what is
open and current, `MarkActions` adds what is drawn, `ReviewActions` what is done with suggestions,
`MistakeActions` what is looked at again, `Session` what is said of a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from annotation_store.records import Box, Cell, Edit
from annotation_store.schema import Attribute
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.edit_texts import edit_in_words
from napari_lld.i18n.translate import tr
from napari_lld.session.display import FieldDisplay
from napari_lld.session.label_errors import LabelErrorActions
from napari_lld.session.model_facts import rollback
from napari_lld.session.project_log import log_error
from napari_lld.session.state import DEFAULT_THRESHOLD, Kind, Level, Selection, Tool

__all__ = ["DEFAULT_THRESHOLD", "Kind", "Level", "Selection", "Session", "Tool"]


class Session(LabelErrorActions):
    """The state with all its actions.

    Every action is a method and says in a `notice` why it could not be done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.display = FieldDisplay(self)
        self._described: list[int] = []  # the cells described last, at most two
        self.training.told.connect(self._on_worker_message)

    # ------------------------------------------------------------------ boxes

    def move_box(self, box: Box) -> None:
        """Change the box of the current cell; a current suggestion is accepted with it."""
        self._change(box=box)

    # ------------------------------------------------------------------ values

    def _change(self, **changes: Any) -> bool:
        """Change the current cell, or correct the current suggestion (it becomes a cell)."""
        project, cell, suggestion = self.project, self.cell, self.suggestion
        if project is None or (cell is None and suggestion is None):
            self.tell("hint", tr("Choose a cell first: click on one, or draw a box."))
            return False
        caret = self._caret
        if cell is not None:
            cell_id: int | None = cell.id
            weighed = self._weighed(cell)
            if not self._done(lambda: project.cells.change(cell.id, **changes, **weighed)):
                return False
        else:
            assert suggestion is not None
            cell_id = self._try(lambda: self._correct(project, suggestion, changes))
            if cell_id is None:
                return False
        if cell_id is not None and {"cell_class", "attributes"} & set(changes):
            self._described = [*(i for i in self._described if i != cell_id), cell_id][-2:]
        self.select("cell", cell_id)
        self.set_caret(caret)
        return True

    def copy_previous(self) -> None:
        """Fill what the current cell lacks from the cell described before it.

        What was said of the cell stays. A suggestion says nothing yet for a person: there all is copied.
        """
        project, cell = self.project, self.cell
        current = cell.id if cell is not None else None
        source_id = next((i for i in reversed(self._described) if i != current), None)
        if project is None or source_id is None:
            self.tell("hint", tr("No other cell was described yet: there is nothing to copy."))
            return
        source = self._try(lambda: project.cells.get(source_id))
        if source is None:
            return
        cell_class, attributes = source.cell_class, dict(source.attributes)
        if cell is not None:
            attributes = {n: v for n, v in attributes.items() if n not in cell.attributes}
            # an artefact has no values: to become one would take away those that are here
            if cell.cell_class is not None or (cell.attributes and self.is_artefact(cell_class)):
                cell_class = cell.cell_class
            if self.is_artefact(cell_class):
                attributes = {}
            if cell_class == cell.cell_class and not attributes:
                self.tell("hint", tr("Nothing to fill in: the values of this cell stay."))
                return
        if self._change(cell_class=cell_class, attributes=attributes):
            self.set_caret(self._first_row())

    def _go_on(self, cell: Cell) -> None:
        """After the last value of a cell that lacks nothing, go to the next cell that does."""
        following = None if self.is_incomplete(cell) else self._incomplete_after(cell)
        if following is not None:
            self.select("cell", following.id)
            self.went_on.emit()
            self.tell("hint", tr("Complete. This is the next cell; [edit.undo] goes back."))

    def set_class(self, name: str | None) -> None:
        """Set the class of the current cell: a class, a group, ``unsure``, or ``None`` for missing."""
        if self._change(cell_class=name) and self.is_artefact(name):
            self.set_caret(None)

    def set_value(self, attribute: str, value: str | None) -> None:
        """Set an attribute of the current cell: a value, ``unsure``, or ``None`` for missing."""
        row = next((i for i, a in enumerate(self.attributes) if a.name == attribute), None)
        if row is None:
            return
        was_suggestion = self.suggestion is not None
        if not self._change(attributes={attribute: value}):
            return
        cell = self.cell
        if cell is None or value is None:
            self.set_caret(row)
            return
        following = self._missing_row(cell, row + 1)
        if following is None and was_suggestion and row + 1 < len(self.attributes):
            # All values came with the suggestion: go down row by row, to correct the next one.
            following = row + 1
        self.set_caret(following)
        if following is None and not was_suggestion:
            self._go_on(cell)

    def set_value_number(self, number: int) -> None:
        """Fill the row of the caret with its n-th value (from 1) and go on to the next row.

        An artefact has no attributes: there the digit says its kind.
        """
        if self.kinds:
            if number <= len(self.kinds):
                self.set_kind(self.kinds[number - 1])
            else:
                self.tell("hint", tr("There are {kinds} kinds of artefact.", kinds=len(self.kinds)))
            return
        attribute = self._caret_attribute()
        if attribute is None:
            return
        if number > len(attribute.values):
            self.tell(
                "hint",
                tr("{title} has {values} values.", title=attribute.title, values=len(attribute.values)),
            )
            return
        self.set_value(attribute.name, attribute.values[number - 1].name)

    def set_value_unsure(self) -> None:
        """Set the row of the caret to *unsure*: looked at, cannot be told."""
        attribute = self._caret_attribute()
        if attribute is not None:
            self.set_value(attribute.name, UNSURE)

    def clear_value(self) -> None:
        """Make the row of the caret missing; on an empty row step back and clear that one, as in typing."""
        cell = self.cell
        if cell is None or not self.attributes:
            return
        row = len(self.attributes) - 1 if self._caret is None else self._caret
        if self.attributes[row].name not in cell.attributes and row > 0:
            row -= 1
        name = self.attributes[row].name
        if name in cell.attributes:
            self.set_value(name, None)
        else:
            self.set_caret(row)

    def _caret_attribute(self) -> Attribute | None:
        if not self.cell and not self.suggestion:
            self.tell("hint", tr("Choose a cell first: click on one, or draw a box."))
        elif self._caret is None:
            self.tell("hint", tr("All is given here. ↓ picks a row to change, Tab goes to what is missing."))
        else:
            return self.attributes[self._caret]
        return None

    # ------------------------------------------------------------------ history

    @property
    def undoable(self) -> str | None:
        """What undo would take back."""
        return self.project.undoable(self._field_id) if self.project and self._field_id is not None else None

    @property
    def redoable(self) -> str | None:
        """What redo would bring back."""
        return self.project.redoable(self._field_id) if self.project and self._field_id is not None else None

    def undo(self) -> None:
        """Undo the user's last edit on this field."""
        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return
        if not self._undo_together(field_id):
            self._travel(lambda: project.undo(field_id), tr("Nothing to undo on this field."))

    def redo(self) -> None:
        """Redo what was undone last on this field."""
        project, field_id = self.project, self._field_id
        if project is not None and field_id is not None:
            self._travel(lambda: project.redo(field_id), tr("Nothing to redo on this field."))

    def _travel(self, action: Callable[[], Edit | None], nothing: str) -> None:
        edit = self._try(lambda: (action(),))
        if edit is None:
            return
        if edit[0] is None:
            self.tell("hint", nothing)
            return
        self.tell("hint", f"{edit_in_words(edit[0].command)}.")
        self._select_touched(edit[0])

    def _select_touched(self, edit: Edit) -> None:
        """Show what an undo or redo brought back."""
        present: Iterable[tuple[Kind, Sequence[Any]]] = (
            ("suggestion", self.suggestions),
            ("cell", self.cells),
            ("region", self.regions),
            ("ignore_area", self.ignore_areas),
        )
        for kind, marks in present:
            ids = {mark.id for mark in marks}.intersection(edit.touched.get(kind, ()))
            if ids:
                self.select(kind, min(ids))
                return

    # ------------------------------------------------------------------ training

    def start_training(self, **options: Any) -> bool:
        """Start a training in its own process; options are the fields of the train request."""
        project = self.project
        if project is None or self.training.busy:
            return False
        if self.trainer is None:
            self.tell("error", tr("This window has no training process."))
            return False
        if not any(summary.finished_regions for summary in project.fields.summaries()):
            self.tell(
                "warning",
                tr(
                    "No finished region yet. Draw one ([tool.region]), box its white cells ([tool.box]), "
                    "then train: a region tells the model where it may learn what is background."
                ),
            )
            return False
        from training.protocol import TrainRequest

        request = TrainRequest(
            project=str(project.path), annotator=project.annotator, reading=project.reading.id, **options
        )
        self.training.begin("train")
        self.trainer.start(request)
        return True

    def start_suggesting(self, **options: Any) -> bool:
        """Let the active model (or the starter) propose cells, without training."""
        project = self.project
        if project is None or self.training.busy or self.trainer is None:
            return False
        from training.protocol import PredictRequest

        self.training.begin("predict")
        request = PredictRequest(
            project=str(project.path), annotator=project.annotator, reading=project.reading.id, **options
        )
        self.trainer.start(request)
        return True

    def cancel_training(self) -> None:
        """Stop the training; the worker is gone within seconds."""
        if self.training.busy and self.trainer is not None:
            self.training.cancelling()
            self.trainer.cancel()

    def activate_model(self, model_id: int | None) -> None:
        """Make a model the active one; ``None`` = the bundled starter."""
        project = self.project
        if project is not None and self._done(lambda: project.models.activate(model_id)):
            self.tell("hint", tr("It makes the suggestions from now on; press Suggest to run it."))

    def roll_back(self) -> None:
        """Go back to the model before the active one."""
        back = rollback(self.project.models.all()) if self.project is not None else None
        if back is None:
            self.tell("hint", tr("The starter suggests already: there is nothing to go back to."))
        else:
            self.activate_model(back.model.id if back.model is not None else None)

    def _on_worker_message(self, message: Any) -> None:
        if message.type in {"saved", "suggested", "done"}:
            self.refresh()
        if message.type == "done":
            self.tell("info", self.training.message)
        elif message.type == "failed":
            self.tell("error", f"{self.training.message}{self._keep_details(message)}")

    def _keep_details(self, message: Any) -> str:
        """Keep a failed worker's last words in the project; say where."""
        if self.project is None or not message.details:
            return ""
        known = [summary.field for summary in self.all_summaries.values()]
        file = log_error(self.project.path, "training", self.training.message, message.details, known)
        return (
            " " + tr("Details: {file} in the project's folder.", file=f"{file.parent.name}/{file.name}")
            if file
            else ""
        )
