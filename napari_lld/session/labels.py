"""Labels of the current cell: class, values, box, kind, comment; by mouse, key and caret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation_store.records import Box, Cell
from annotation_store.schema import Attribute
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.review import Review
from napari_lld.session.selection import Selection


class Labels:
    """The label of the current cell. On a current suggestion, every change corrects and accepts it."""

    def __init__(self, opened: OpenProject, marks: Marks, selection: Selection, review: Review) -> None:
        self._opened = opened
        self._marks = marks
        self._selection = selection
        self._review = review
        self._described: list[int] = []  # the cells described last, at most two

    # ------------------------------------------------------------------ boxes

    def move_box(self, box: Box) -> None:
        """Change the box of the current cell; a current suggestion is accepted with it."""
        self._change(box=box)

    # ------------------------------------------------------------------ values

    def _change(self, **changes: Any) -> bool:
        """Change the current cell, or correct the current suggestion (it becomes a cell)."""
        project, cell = self._opened.project, self._selection.cell
        if project is None or (cell is None and self._selection.proposal is None):
            self._opened.notify("hint", tr("Select a cell first: click on one, or draw a box."))
            return False
        caret = self._selection.caret
        if cell is not None:
            cell_id: int | None = cell.id
            weighed = self._review.is_weighed(cell)
            if not self._opened.done(lambda: project.cells.change(cell.id, **changes, confirm=weighed)):
                return False
        else:
            cell_id = self._review.correct(changes)
            if cell_id is None:
                return False
        if cell_id is not None and {"cell_class", "attributes"} & set(changes):
            self._described = [*(i for i in self._described if i != cell_id), cell_id][-2:]
        self._selection.select("cell", cell_id)
        self._selection.set_caret(caret)
        return True

    def copy_previous(self) -> None:
        """Fill what the current cell lacks from the cell described before it.

        What was said of the cell stays. A suggestion says nothing yet for a person: there all is copied.
        """
        project, cell = self._opened.project, self._selection.cell
        current = cell.id if cell is not None else None
        source_id = next((i for i in reversed(self._described) if i != current), None)
        if project is None or source_id is None:
            self._opened.notify("hint", tr("No other cell has values yet: there is nothing to copy."))
            return
        source = self._opened.attempt(lambda: project.cells.get(source_id))
        if source is None:
            return
        cell_class, attributes = source.cell_class, dict(source.attributes)
        if cell is not None:
            attributes = {n: v for n, v in attributes.items() if n not in cell.attributes}
            # an artefact has no values: to become one would take away those that are here
            if cell.cell_class is not None or (cell.attributes and self._opened.is_artefact(cell_class)):
                cell_class = cell.cell_class
            if self._opened.is_artefact(cell_class):
                attributes = {}
            if cell_class == cell.cell_class and not attributes:
                self._opened.notify("hint", tr("Nothing to fill in: the values of this cell stay."))
                return
        if self._change(cell_class=cell_class, attributes=attributes):
            self._selection.set_caret(self._selection.first_row())

    def _go_on(self, cell: Cell) -> None:
        """After the last value of a cell that lacks nothing, go to the next cell that does."""
        following = None if self._opened.is_incomplete(cell) else self._incomplete_after(cell)
        if following is not None:
            self._selection.select("cell", following.id)
            self._selection.went_on.emit()
            self._opened.notify("hint", tr("Complete. This is the next cell; [edit.undo] goes back."))

    def set_class(self, name: str | None) -> None:
        """Set the class of the current cell: a class, a group, ``unsure``, or ``None`` for missing."""
        if self._change(cell_class=name) and self._opened.is_artefact(name):
            self._selection.set_caret(None)

    def set_all(self, cell_class: str | None, attributes: Mapping[str, str]) -> None:
        """Set several values of the current cell at once, and its class; ``None`` = the class stays."""
        changes: dict[str, Any] = {"attributes": dict(attributes)} if attributes else {}
        if cell_class is not None:
            changes["cell_class"] = cell_class
        if not self._change(**changes):
            return
        self._selection.set_caret(self._selection.first_row())
        cell = self._selection.cell
        if cell is not None:
            self._go_on(cell)

    def set_value(self, attribute: str, value: str | None) -> None:
        """Set an attribute of the current cell: a value, ``unsure``, or ``None`` for missing."""
        row = next((i for i, a in enumerate(self._opened.attributes) if a.name == attribute), None)
        if row is None:
            return
        was_proposal = self._selection.proposal is not None
        if not self._change(attributes={attribute: value}):
            return
        cell = self._selection.cell
        if cell is None or value is None:
            self._selection.set_caret(row)
            return
        following = self._opened.missing_row(cell, row + 1)
        if following is None and was_proposal and row + 1 < len(self._opened.attributes):
            # All values came with the suggestion: go down row by row, to correct the next one.
            following = row + 1
        self._selection.set_caret(following)
        if following is None and not was_proposal:
            self._go_on(cell)

    def set_value_number(self, number: int) -> None:
        """Fill the row of the caret with its n-th value (from 1) and go on to the next row.

        An artefact has no attributes: there the digit says its kind.
        """
        if self.kinds:
            if 1 <= number <= len(self.kinds):
                self.set_kind(self.kinds[number - 1])
            else:
                self._opened.notify("hint", tr("There are {kinds} kinds of artefact.", kinds=len(self.kinds)))
            return
        attribute = self._caret_attribute()
        if attribute is None:
            return
        if not 1 <= number <= len(attribute.values):
            self._opened.notify(
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
        cell = self._selection.cell
        if cell is None or not self._opened.attributes:
            return
        row = len(self._opened.attributes) - 1 if self._selection.caret is None else self._selection.caret
        if self._opened.attributes[row].name not in cell.attributes and row > 0:
            row -= 1
        name = self._opened.attributes[row].name
        if name in cell.attributes:
            self.set_value(name, None)
        else:
            self._selection.set_caret(row)

    def _caret_attribute(self) -> Attribute | None:
        if not self._selection.cell and not self._selection.proposal:
            self._opened.notify("hint", tr("Select a cell first: click on one, or draw a box."))
        elif self._selection.caret is None:
            self._opened.notify(
                "hint", tr("All values are set. ↓ selects a row, Tab goes to what is missing.")
            )
        else:
            return self._opened.attributes[self._selection.caret]
        return None

    def _incomplete_after(self, cell: Cell | None) -> Cell | None:
        """Return the next incomplete cell, row by row; the cell itself comes last."""
        order = sorted(self._marks.cells, key=lambda c: (round(c.box[1] / 64), c.box[0]))
        ids = [c.id for c in order]
        start = ids.index(cell.id) + 1 if cell is not None and cell.id in ids else 0
        incomplete = next(
            (c for c in [*order[start:], *order[:start]] if self._opened.is_incomplete(c)), None
        )
        return incomplete or self._incomplete_out_of_sight()

    def _incomplete_out_of_sight(self) -> Cell | None:
        """Return the first cell of a slide that lacks something: where none in sight does."""
        project, slide, schema = self._opened.project, self._marks.slide, self._opened.schema
        if project is None or slide is None or schema is None:
            return None
        artefacts = [item.name for item in schema.classes if item.artefact]
        number = len(self._opened.attributes)
        return project.cells.first_incomplete(slide, attributes=number, artefacts=artefacts)

    def next_missing(self) -> None:
        """Go to the next missing value: in this cell, else in the next incomplete one."""
        cell = self._selection.cell
        if cell is not None and self._selection.caret is not None:
            row = self._opened.missing_row(cell, self._selection.caret + 1)
            if row is not None and row > self._selection.caret:
                self._selection.set_caret(row)
                return
        following = self._incomplete_after(cell)
        if following is not None:
            if cell is not None and following.id == cell.id:
                self._selection.set_caret(self._opened.missing_row(following, 0))
            self._selection.select("cell", following.id)
            self._selection.went_on.emit()
            return
        self._opened.notify(
            "hint",
            tr("Nothing is missing on this field.")
            if self._marks.cells or self._marks.slide is not None
            else tr("No cell on this field yet."),
        )

    # ------------------------------------------------------------------ notes on a cell

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of artefact that the current cell's class knows."""
        cell, schema = self._selection.cell, self._opened.schema
        if cell is None or schema is None or cell.cell_class not in schema.class_names:
            return ()
        return tuple(schema.class_named(cell.cell_class).kinds)

    def set_kind(self, kind: str | None) -> None:
        """Set the kind of artefact of the current cell; the same once more clears it."""
        cell = self._selection.cell
        self._note(kind=None if cell is not None and cell.kind == kind else kind)

    def set_comment(self, text: str) -> None:
        """Write a comment on the current cell."""
        self._note(comment=text.strip())

    def toggle_bookmark(self) -> None:
        """Bookmark the current cell, or take the bookmark away."""
        self._note(bookmark=not (self._selection.cell is not None and self._selection.cell.bookmark))

    def toggle_second_opinion(self) -> None:
        """Ask for a second opinion on the current cell, or stop asking."""
        self._note(
            second_opinion=not (self._selection.cell is not None and self._selection.cell.second_opinion)
        )

    def _note(self, **changes: Any) -> None:
        project, cell, caret = self._opened.project, self._selection.cell, self._selection.caret
        if project is None or cell is None:
            self._opened.notify("hint", tr("Select a cell first: click on one, or draw a box ([tool.box])."))
        elif self._opened.done(lambda: project.cells.change(cell.id, **changes)):
            self._selection.set_caret(caret)
