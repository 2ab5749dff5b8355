"""The current cell: its class, and all its attributes at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QSizePolicy, QWidget

from annotation_store.records import Cell, Proposal, RegionState
from annotation_store.schema import Attribute, Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.commands.registry import Commands, class_like
from napari_lld.i18n.schema_texts import kind_title
from napari_lld.i18n.translate import tr
from napari_lld.imaging.measure import box_size
from napari_lld.layers.palette import UNSURE_COLOUR, class_colour, class_letter, set_word
from napari_lld.session.session import Session
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.base.focus import order_tabs
from napari_lld.widgets.base.parts import Part, column, label, row
from napari_lld.widgets.base.theme import Colours
from training.inference.stain_proposals import has_box_from_stain

_COLUMNS = 3
_IN_A_ROW = 4
"""An attribute of more values gets two rows."""
_HEAD = 16
"""Height of the buttons beside the headline, as the style sheet has them."""
_BETWEEN = 2
"""Pixels between buttons: on a screen of 720 pixels the list of fields needs the rest."""
_TITLE = 160
"""Pixels that an attribute's title gets at most."""


class CellPanel(Part):
    """Shows and changes the current cell, or the current suggestion (a change makes it a cell)."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self._schema: Schema | None = None
        self._classes: dict[str, ChoiceButton] = {}
        self._rows: list[AttributeRow] = []
        layout = column(self, _BETWEEN)
        self._title = label(role="heading", gives_way=True)
        self._title.setMinimumHeight(_HEAD)  # nothing moves as a cell brings its buttons
        self._facts = label(role="muted")
        self._notes = {
            command_id: self.tool_button(command_id, sign, hint=False)
            for command_id, sign in (
                ("cell.bookmark", "☆"),
                ("cell.second_opinion", "⚑"),
                ("cell.comment", "✎"),
            )
        }
        self._compare = self.tool_button("references.show", "◫", hint=False)
        for button in (*self._notes.values(), self._compare):
            button.setProperty("role", "sign")
            button.setCheckable(True)
        top = row(self._facts, self._compare, *self._notes.values(), spacing=3)
        top.insertWidget(0, self._title, 1)
        layout.addLayout(top)
        self._palette = QWidget()
        self._palette_grid = QGridLayout(self._palette)
        self._palette_grid.setContentsMargins(0, 0, 0, 0)
        self._palette_grid.setSpacing(_BETWEEN)
        layout.addWidget(self._palette)
        self._attributes = QWidget()
        self._attribute_column = column(self._attributes, _BETWEEN)
        self._kinds = KindRow(session, commands)
        self._kinds.hide()
        self._attribute_column.addWidget(self._kinds)
        layout.addWidget(self._attributes)
        self.bind(session.project_changed, self._rebuild)
        self.bind(session.selection.changed, self.refresh_soon)
        self.bind(session.selection.caret_changed, self.refresh_soon)
        self.bind(session.fields.current_changed, self.refresh_soon)
        self.bind(session.marks.changed, self._on_marks)
        self.bind(session.label_errors.changed, self.refresh_soon)
        self.bind(session.references.changed, self.refresh_soon)
        self.bind(session.candidates.changed, self.refresh_soon)
        self.bind(session.models.changed, self.refresh_soon)
        self._rebuild()

    # ------------------------------------------------------------------ building

    def _rebuild(self) -> None:
        """Make the buttons anew when the schema is another one."""
        if self.session.schema is self._schema:
            return
        self._schema = self.session.schema
        old: list[QWidget] = [*self._classes.values(), *self._rows]
        for widget in old:
            widget.setParent(None)
            widget.deleteLater()
        self._classes, self._rows = {}, []
        if self._schema is not None:
            self._build_classes(self._schema)
            metrics = self.fontMetrics()
            widest = max((metrics.horizontalAdvance(a.title) for a in self._schema.attributes), default=0)
            for number, attribute in enumerate(self._schema.attributes):
                attribute_row = AttributeRow(
                    self.session, self.commands, attribute, number, min(widest + 6, _TITLE)
                )
                self._rows.append(attribute_row)
                self._attribute_column.addWidget(attribute_row)
        self.use_colours(self.colours)
        self.refresh()

    def _build_classes(self, schema: Schema) -> None:
        names: list[tuple[str, str, str, str]] = [
            (item.name, item.title, class_colour(schema, item.name), class_letter(schema, item.name))
            for item in class_like(schema)
        ]
        names.append((UNSURE, tr("Unsure"), UNSURE_COLOUR, "?"))
        rows = -(-len(names) // _COLUMNS)
        for index, (name, title, colour, letter) in enumerate(names):
            button = ChoiceButton(title, "", colour, letter)
            button.setObjectName(f"lld_class_{name}")
            button.clicked.connect(lambda *_, chosen=name: self._choose_class(chosen))
            self._classes[name] = button
            self._palette_grid.addWidget(button, index % rows, index // rows)
        for c in range(_COLUMNS):
            self._palette_grid.setColumnStretch(c, 1)
        self._show_class_keys(schema)

    def _show_class_keys(self, schema: Schema) -> None:
        """Put key and tooltip on each class; the window's commands of a schema come before its panel."""
        about = {item.name: item.help for item in class_like(schema)}
        for name, button in self._classes.items():
            command = self.commands[f"class.{name}"]
            # The letter on the swatch is the key, so the key is written out only where it differs.
            button.hint = "" if command.key == f"⇧{button.letter.upper()}" else command.key
            button.setToolTip(f"{command.tooltip}\n{about.get(name, '')}".strip())

    def use_keys(self) -> None:
        """Show other keys."""
        if self._schema is not None and self.session.schema is self._schema:
            self._show_class_keys(self._schema)
        for attribute_row in self._rows:
            attribute_row.show_keys()
        self._kinds.show_keys()
        super().use_keys()

    def _on_marks(self, kinds: frozenset[str]) -> None:
        if "field" in kinds:  # how large a pixel is
            self.refresh_soon()

    def _choose_class(self, name: str) -> None:
        """Set a class; a click on the current one clears it."""
        cell = self.session.selection.cell
        self.session.labels.set_class(None if cell is not None and cell.cell_class == name else name)

    # ------------------------------------------------------------------ showing

    def refresh(self) -> None:
        """Show the current cell or suggestion."""
        super().refresh()
        cell, predicted = self.session.selection.cell, self.session.selection.proposal
        target = cell or predicted
        headline = self._headline(cell, predicted)
        self._title.setText(headline)
        size = box_size(target.box, self.session.display.pixel_size_um) if target is not None else ""
        self._title.setToolTip(" · ".join(filter(None, (headline, size))))
        self._facts.setText(self._fact_line(cell, predicted))
        accepts = cell is None and predicted is not None and not predicted.is_unknown
        self._facts.setToolTip(tr("A class or value key accepts with that change.") if accepts else "")
        probabilities = (
            {name: predicted.score(name) for name in predicted.class_probabilities} if predicted else {}
        )
        # groups and *unsure* are for people: no model proposes them
        contradicted, label_error = self.session.label_errors.contradicted, self.session.label_errors.current
        if (
            contradicted.cell_class is not None
            and label_error is not None
            and label_error.prediction is not None
        ):
            probabilities = {
                contradicted.cell_class: label_error.prediction.class_probabilities[contradicted.cell_class]
            }
        candidates, values = self.session.candidates, dict(contradicted.attributes)
        likely = candidates.predicted if label_error is None else None
        first = contradicted.cell_class
        if likely is not None:
            probabilities = dict(candidates.classes)
            first = next(iter(probabilities), None)
            values = candidates.values
        among = (
            set_word(self._schema, predicted, "class")
            if predicted is not None and self._schema is not None
            else ""
        )
        taught_or_not = self._schema.class_names if self._schema is not None else ()
        for name, button in self._classes.items():
            button.setEnabled(target is not None and not self.session.why_no_edits)
            probability = probabilities.get(name)
            button.show_state(
                checked=cell is not None and cell.cell_class == name,
                suggested=name == (predicted.stated_class if predicted else first),
                probability=probability if probability is not None and probability >= 0.05 else None,
                untaught=_is_described(predicted) and probability is None and name in taught_or_not,
                candidate=predicted is not None and predicted.is_unknown and probability is not None,
                among=among if predicted is not None and name in predicted.sets.get("class", ()) else "",
            )
        artefact = cell is not None and self.session.is_artefact(cell.cell_class)
        for number, attribute_row in enumerate(self._rows):
            attribute_row.show_target(
                cell,
                predicted or (label_error.prediction if label_error else likely),
                caret=self.session.selection.caret == number,
                off=artefact or bool(self.session.why_no_edits),
                instead=values,
            )
        kinds = self.session.labels.kinds
        # The kinds take the place of two rows. Hide before showing: a window that had to grow stays grown.
        if not kinds:
            self._kinds.hide()
        for attribute_row in self._rows[:2]:
            attribute_row.setHidden(bool(kinds))
        if kinds:
            self._kinds.show_kinds(kinds, cell.kind if cell is not None else None, self.colours)
        self._show_notes(cell)
        self._compare.setVisible(target is not None)
        self._compare.setChecked(self.session.references.is_open)

    def _show_notes(self, cell: Cell | None) -> None:
        noted = {
            "cell.bookmark": cell is not None and cell.bookmark,
            "cell.second_opinion": cell is not None and cell.second_opinion,
            "cell.comment": cell is not None and bool(cell.comment),
        }
        for command_id, button in self._notes.items():
            button.setChecked(noted[command_id])
            button.setVisible(cell is not None)  # only a cell has notes; other headings want the room
        comment = cell.comment if cell is not None else ""
        self._notes["cell.comment"].setToolTip(
            "\n".join(filter(None, (self.commands["cell.comment"].tooltip, comment)))
        )

    def _headline(self, cell: Cell | None, predicted: Proposal | None) -> str:
        schema = self._schema
        if cell is not None and schema is not None:
            if cell.cell_class is None:
                return tr("Cell {id} · class missing", id=cell.id)
            if cell.cell_class == UNSURE:
                return tr("Cell {id} · class unsure", id=cell.id)
            return tr("Cell {id} · {title}", id=cell.id, title=schema.class_title(cell.cell_class))
        if predicted is not None and self.session.label_errors.current is not None:
            return tr("Possible missed cell · {sure:.0%}", sure=predicted.probability)
        if predicted is not None and predicted.is_unknown:
            return tr("Unknown · unlike all training cells")
        suggestion = self.session.selection.suggestion
        if suggestion is not None:
            sure = suggestion.probability
            if has_box_from_stain(suggestion):
                chances = suggestion.proposal.class_probabilities
                if not chances:
                    return tr("From the stain alone · not measured")
                return tr("Box: stain · class: your labels, {sure:.0%}", sure=max(chances.values()))
            if suggestion.renewed:
                return tr("Predicted from your labels · {sure:.0%}", sure=sure)
            older = self.session.models.is_older(suggestion.model_id)
            if suggestion.model_id is None and self.session.suggestions.from_starter:
                if older:
                    return tr("Older: suggestion of the starter · {sure:.0%}", sure=sure)
                return tr("Suggestion of the starter · {sure:.0%}", sure=sure)
            if suggestion.model_id is None:  # imported, or made by a program
                return tr("Imported suggestion · {sure:.0%}", sure=sure)
            if older:
                return tr("Older: suggestion of model {id} · {sure:.0%}", id=suggestion.model_id, sure=sure)
            return tr("Suggestion of model {id} · {sure:.0%}", id=suggestion.model_id, sure=sure)
        region = self.session.selection.region
        if region is not None:
            draft = region.state is RegionState.DRAFT
            return (
                tr("Draft region · not finished yet")
                if draft
                else tr("Region · every white cell in it is boxed")
            )
        if self.session.selection.ignore_area is not None:
            return tr("Ignore area · unreadable")
        return tr("No cell selected")

    def _fact_line(self, cell: Cell | None, predicted: Proposal | None) -> str:
        def key(command_id: str) -> str:
            return self.commands[command_id].key

        if cell is not None:
            missing = sum(a.name not in cell.attributes for a in self.session.attributes)
            if self.session.is_artefact(cell.cell_class):
                return cell.kind or tr("no attributes")
            parts = [tr("{count} missing", count=missing) if missing else tr("complete")]
            if classes := self.session.candidates.classes:
                title = self._schema.class_title(classes[0][0]) if self._schema else classes[0][0]
                return tr("{key}: {title}", key=key("suggestion.accept"), title=title)
            if self.session.candidates.open:
                return (
                    tr("{count} missing", count=missing)
                    + " · "
                    + tr("{key} sets the next", key=key("suggestion.accept"))
                )
            if cell.cut:
                parts.append(tr("cut"))
            return " · ".join(parts)
        if predicted is not None and predicted.is_unknown:
            return tr("{key}: without a class", key=key("suggestion.accept"))
        if predicted is not None:
            return tr("{key} accepts", key=key("suggestion.accept"))
        region = self.session.selection.region
        if region is not None and region.state is RegionState.DRAFT:
            return tr("{key} finishes it", key=key("region.finish"))
        if region is not None or self.session.selection.ignore_area is not None:
            return tr("{key} deletes it", key=key("edit.delete"))
        if self.session.fields.current_id is None:
            return ""
        return tr("click one, or draw a box ({key})", key=key("tool.box"))


class KindRow(QWidget):
    """What kind of artefact the current cell is, as segments; it takes the place of two attributes."""

    def __init__(self, session: Session, commands: Commands) -> None:
        super().__init__()
        self._commands = commands
        self.setObjectName("lld_kinds")
        self.setFixedHeight(2 * AttributeRow.HEIGHT + _BETWEEN)
        self._session = session
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(14, 0, 0, 0)
        self._grid.setSpacing(_BETWEEN)
        self._buttons: dict[str, ChoiceButton] = {}

    def show_kinds(self, kinds: Sequence[str], chosen: str | None, colours: Colours) -> None:
        """Show the kinds there are, and which one is chosen."""
        if tuple(self._buttons) != tuple(kinds):
            for button in self._buttons.values():
                button.setParent(None)
                button.deleteLater()
            self._buttons = {kind: self._make(kind, number) for number, kind in enumerate(kinds)}
            order_tabs(self)
            self.show_keys()
        for kind, button in self._buttons.items():
            button.colours = colours
            button.show_state(checked=kind == chosen, suggested=False, probability=None)
        self.show()

    def _make(self, kind: str, number: int) -> ChoiceButton:
        button = ChoiceButton(_capital(kind_title(kind)))
        button.setObjectName(f"lld_kind_{kind}")
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda *_: self._session.labels.set_kind(kind))
        self._grid.addWidget(button, number // 2, number % 2)
        return button

    def show_keys(self) -> None:
        """Put the digit of each kind on it."""
        for number, (kind, button) in enumerate(self._buttons.items(), 1):
            button.hint = _value_key(self._commands, number)
            button.setToolTip(tr("Artefact: {kind} ({key})", kind=kind_title(kind), key=button.hint))
            button.update()


def _value_key(commands: Commands, number: int) -> str:
    """Return the key of the n-th value of the row of the caret."""
    return commands[f"value.{number}"].key if f"value.{number}" in commands else ""


class AttributeRow(QWidget):
    """One attribute: its values as a row of segments, *unsure*, and whether it is missing."""

    HEIGHT = ChoiceButton.HEIGHT

    def __init__(
        self, session: Session, commands: Commands, attribute: Attribute, number: int, title_width: int
    ) -> None:
        super().__init__()
        self._commands = commands
        self.setObjectName(f"lld_row_{attribute.name}")
        self._session = session
        self._attribute = attribute
        self._number = number
        self._caret = False
        self._missing = True
        self._target = False
        self._proposed = False
        rows = 1 if len(attribute.values) <= _IN_A_ROW else 2
        self.setFixedHeight(self.HEIGHT * rows + _BETWEEN * (rows - 1))
        self.setToolTip("\n".join(filter(None, (attribute.title, attribute.help))))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(14, 0, 0, 0)
        layout.setSpacing(_BETWEEN)
        self._title = label(attribute.title)
        self._title.setFixedWidth(title_width)
        layout.addWidget(self._title)
        self._values: dict[str, ChoiceButton] = {}
        grid = QGridLayout()
        grid.setSpacing(_BETWEEN)
        columns = -(-len(attribute.values) // rows)
        for index, value in enumerate(attribute.values):
            button = self._make(value.name, ChoiceButton(value.title or value.name))
            grid.addWidget(button, index // columns, index % columns)
        for button in self._values.values():
            button.beside = [value.title or value.name for value in attribute.values]
        for column_number in range(columns):
            grid.setColumnStretch(column_number, 1)
        layout.addLayout(grid, 1)
        unsure = self._make(UNSURE, ChoiceButton("?"))
        unsure.setFixedWidth(24)
        unsure.setAccessibleName(f"{attribute.title}: {tr('unsure')}")
        layout.addWidget(unsure)
        self.show_keys()

    def show_keys(self) -> None:
        """Put the digit of each value on it, and what the value means into its tooltip."""
        title = self._attribute.title
        for number, value in enumerate(self._attribute.values, 1):
            button = self._values[value.name]
            button.hint = _value_key(self._commands, number)
            named = f"{title}: {value.title or value.name}"
            named += f" ({button.hint})" if button.hint else ""
            button.setToolTip("\n".join(filter(None, (named, value.help))))
            button.setAccessibleName(f"{title}: {value.title or value.name}")
            button.update()
        key = self._commands["value.unsure"].key
        self._values[UNSURE].setToolTip(
            tr("{title}: unsure ({key})\nExamined, but uncertain.", title=title, key=key or "–")
        )

    def _make(self, value: str, button: ChoiceButton) -> ChoiceButton:
        button.setObjectName(f"lld_value_{self._attribute.name}_{value}")
        # Equal segments, however long their words; the question mark keeps its own width.
        policy = QSizePolicy.Policy.Fixed if value == UNSURE else QSizePolicy.Policy.Ignored
        button.setSizePolicy(policy, QSizePolicy.Policy.Fixed)
        button.clicked.connect(lambda *_: self._choose(value))
        self._values[value] = button
        return button

    def _choose(self, value: str) -> None:
        """Set a value; clear it if it is set already."""
        cell = self._session.selection.cell
        current = cell.attributes.get(self._attribute.name) if cell is not None else None
        self._session.labels.set_value(self._attribute.name, None if current == value else value)

    def show_target(
        self,
        cell: Cell | None,
        predicted: Proposal | None,
        *,
        caret: bool,
        off: bool,
        instead: Mapping[str, str],
    ) -> None:
        """Show this attribute of the current cell or suggestion.

        Parameters
        ----------
        predicted
            A model's prediction; for a cell only the values of `instead` are shown.
        """
        name = self._attribute.name
        current = cell.attributes.get(name) if cell is not None else None
        probabilities = predicted.attribute_probabilities.get(name, {}) if predicted else {}
        best = max(probabilities, key=probabilities.__getitem__, default=None)
        if cell is not None:
            best = instead.get(name)
            probabilities = {best: probabilities[best]} if best is not None else {}
        schema = self._session.schema
        among = (
            set_word(schema, predicted, name)
            if cell is None and predicted is not None and schema is not None
            else ""
        )
        self.setToolTip("\n".join(filter(None, (self._attribute.title, among, self._attribute.help))))
        self._target = (cell is not None or predicted is not None) and not off
        self._missing = current is None
        self._proposed = cell is None
        self._caret = caret and self._target
        self._title.setEnabled(self._target)
        for value, button in self._values.items():
            button.setEnabled(self._target)
            button.show_state(
                checked=current == value,
                suggested=value == best,
                probability=probabilities.get(value),
                untaught=cell is None
                and predicted is not None
                and bool(predicted.attribute_probabilities)  # a cell of few pixels has none
                and value != UNSURE
                and value not in probabilities,
                among=among if predicted is not None and value in predicted.sets.get(name, ()) else "",
            )
        self.update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Put the caret on this row."""
        if self._target and event.button() == Qt.MouseButton.LeftButton:
            self._session.selection.set_caret(self._number)

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Paint the caret, and a hollow ring where the value is missing."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        c = next(iter(self._values.values())).colours
        rect = QRectF(self.rect())
        if self._caret:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(c.chosen(c.window))
            painter.drawRoundedRect(rect, 3, 3)
            painter.setBrush(c.accent)
            painter.drawRoundedRect(QRectF(0, 2, 3, rect.height() - 4), 1.5, 1.5)
        if not self._target or self._proposed:
            return
        dot = QRectF(5, rect.center().y() - 3, 6, 6)
        if self._missing:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(c.warning, 1.3))
        else:
            painter.setBrush(c.good)
            painter.setPen(Qt.PenStyle.NoPen)
        painter.drawEllipse(dot)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_described(predicted: Proposal | None) -> bool:
    """Return whether a model predicted anything of a cell: of a box from the stain, none did."""
    return predicted is not None and bool(predicted.class_probabilities or predicted.attribute_probabilities)
