"""The gallery's window: filters, grid, and actions on the chosen crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QComboBox, QMenu, QSizePolicy, QToolButton, QWidget

from annotation_store.schema import Attribute
from annotation_store.schema.reserved import UNSURE
from napari_lld.commands.registry import Command, Commands
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.gallery import MISSING, Gallery
from napari_lld.session.gallery_order import GalleryOrder, Scope, Show
from napari_lld.session.session import Session
from napari_lld.session.slide_differential import Counted
from napari_lld.tasks.gallery_reader import Crop, CropRequest, GalleryReader
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.keys import KeyRouter
from napari_lld.widgets.base.parts import Part, column, label, row, with_key
from napari_lld.widgets.base.room import FoldingRow, available
from napari_lld.widgets.base.theme import Colours, stylesheet
from napari_lld.widgets.gallery.class_strip import ClassStrip, command_of
from napari_lld.widgets.gallery.cluster_list import ClusterList
from napari_lld.widgets.gallery.gallery_commands import class_commands, gallery_commands
from napari_lld.widgets.gallery.gallery_grid import GalleryGrid
from napari_lld.widgets.gallery.likeness_bar import LikenessBar
from napari_lld.widgets.gallery.search_line import SearchLine
from napari_lld.widgets.gallery.tile_painter import CROP

_SIZE = QSize(1130, 660)


class GalleryWindow(Part):
    """A separate window beside napari's; it stays open while one works on."""

    _read = Signal(object, object, object)
    _cut = Signal(object)
    _failed = Signal(str)
    went_to = Signal()
    """A crop's field was shown: the main window may come to the front."""

    def __init__(self, session: Session, desk_commands: Commands, parent: QWidget | None = None) -> None:
        self.gallery = Gallery(session)
        self.grid = GalleryGrid(self.gallery)
        commands = Commands(session)
        commands.key_map = desk_commands.key_map
        super().__init__(session, commands, parent)
        self.setWindowFlag(Qt.WindowType.Window)
        self.setObjectName("lld_desk")  # the style sheet's
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.resize(_SIZE.boundedTo(available(self) - QSize(8, 36)))
        self.reader: GalleryReader | None = None
        self._desk_commands = desk_commands
        self.commands.add(gallery_commands(self))
        self._build()
        self._router = KeyRouter(self, self.commands, lambda _focus: True, self._advice)
        self.bind(desk_commands.keys_changed, self._on_keys)
        self.bind(session.project_changed, self._on_project)
        self.bind(session.readings.changed, self._on_project)  # whose cells it shows
        self.bind(session.fields.current_changed, self._on_field)
        self.bind(session.notice, self._on_notice)
        self.bind(session.words_changed, self._on_words)
        self.bind(self.gallery.shown_changed, self._on_shown)
        self.bind(self.gallery.read_requested, self._on_read_requested)
        self.bind(self.gallery.likeness.progressed, self.refresh_soon)
        self._read.connect(self.gallery.take)
        self._cut.connect(self._take_crops)
        self._failed.connect(lambda sentence: session.notify("error", sentence))
        self.grid.looked.connect(self._want_crops)
        self.grid.chosen_changed.connect(self.refresh_soon)
        self.grid.doubleClicked.connect(lambda *_: self.go())
        self.grid.menu_requested.connect(lambda spot: self.crop_menu.popup(spot))
        self._on_project()

    # ------------------------------------------------------------------ building

    def _build(self) -> None:
        self.setWindowTitle(tr("Gallery"))
        layout = column(self, 6, (8, 8, 8, 6))
        self._scope = self._choice(
            "scope",
            tr("Of which fields"),
            (
                (tr("All fields"), Scope.ALL),
                (tr("This patient"), Scope.PATIENT),
                (tr("This field"), Scope.FIELD),
            ),
            self._on_scope,
        )
        self._show = self._choice(
            "show",
            tr("What is listed"),
            (
                (tr("Cells and suggestions"), Show.EVERYTHING),
                (tr("Cells"), Show.CELLS),
                (tr("Incomplete cells"), Show.INCOMPLETE),
                (tr("Pending suggestions"), Show.WAITING),
                (tr("Unknown cells"), Show.UNKNOWN),
                (tr("Rejected suggestions"), Show.REJECTED),
                (tr("Bookmarked cells"), Show.BOOKMARKED),
                (tr("Second opinion asked"), Show.SECOND_OPINION),
            ),
            self._on_filter,
        )
        self.classes = ClassStrip(self.grid.name)
        self.classes.picked.connect(self._on_class)
        self.classes.dropped.connect(lambda name: self.commands.run(command_of(name)))
        self._attribute = self._choice("attribute", tr("Attribute"), (), self._on_attribute)
        self._value = self._choice("value", tr("Value of the attribute"), (), self._on_filter)
        self._order = self._choice(
            "order",
            tr("Order"),
            (
                (tr("Most uncertain first"), GalleryOrder.UNCERTAIN),
                (tr("Surest first"), GalleryOrder.SUREST),
                (tr("Label and model disagree"), GalleryOrder.DISAGREEMENT),
                (tr("By class"), GalleryOrder.CLASS),
                (tr("By value"), GalleryOrder.VALUE),
                (tr("Similar to the current crop"), GalleryOrder.SIMILAR),
                (tr("Outliers of a class"), GalleryOrder.OUTLIERS),
                (tr("Groups of similar cells"), GalleryOrder.CLUSTERS),
                (tr("Near-duplicates"), GalleryOrder.DUPLICATES),
            ),
            self._on_order,
        )
        self._again = self.tool_button("gallery.sort")
        self._again.setProperty("others", True)
        # no higher than the choices beside it, or else all moves down as it appears
        self._again.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Ignored)
        self._again.hide()
        self._count = label(role="muted")
        filters = row(self._scope, self._show)
        line = row(self._attribute, self._value, self._order, self._again, 1, self._count)
        layout.addWidget(FoldingRow(filters, line, stretch=1))
        self.search_line = SearchLine(lambda: [s.field for s in self.session.fields.by_id.values()])
        self.search_line.searched.connect(self.gallery.search)
        self.search_line.left.connect(self.grid.setFocus)
        layout.addWidget(self.search_line)
        self._counted = label(gives_way=True)
        self._counted.setObjectName("lld_gallery_counted")
        self._all = QToolButton()
        self._all.setObjectName("lld_gallery_all")
        self._all.setText(tr("Show all"))
        self._all.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._all.clicked.connect(lambda *_: self.gallery.show_counted(None))
        counted = row(self._counted, self._all)
        counted.setStretch(0, 1)
        layout.addLayout(counted)
        back = self.tool_button("gallery.close", tr("Back"))
        back.setObjectName("lld_gallery_back")
        self.likeness = LikenessBar(self.gallery, self.grid.model_, self.commands.spelled, back)
        layout.addWidget(self.likeness)
        self.clusters = ClusterList(self.grid.model_)
        self.clusters.picked.connect(self._on_cluster)
        self.clusters.scrolled.connect(self._want_crops)
        middle = row(self.classes, self.clusters, self.grid)
        middle.setStretch(2, 1)
        layout.addLayout(middle, 1)
        self._chosen = label(role="muted")
        self._set_class = self._menu_button(
            "set_class", tr("Set class"), tr("Set the class of all selected crops; suggestions become cells")
        )
        self._set_value = self._menu_button("set_value", tr("Set value"), "")
        self._reject = self._menu_button("reject", tr("Reject"), tr("Reject the selected suggestions"))
        for command_id in ("suggestion.not_a_cell", "suggestion.duplicate", "suggestion.bad_box"):
            menu = self._reject.menu()
            if menu is not None:
                self.menu_action(menu, command_id)
        accept = self.button("suggestion.accept", primary=True)
        # as high as the tool buttons beside it, which Qt makes higher
        accept.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        acts = row(
            self._set_class,
            self._set_value,
            accept,
            self._reject,
            self.tool_button("edit.undo"),
            self.tool_button("gallery.go"),
            1,
        )
        layout.addWidget(FoldingRow(row(self._chosen, 1), acts))
        self.crop_menu = self._make_crop_menu()
        self._hint = label(role="hint")
        self._hint.setFixedHeight(22)
        layout.addWidget(self._hint)
        show_focus(self)

    def _make_crop_menu(self) -> QMenu:
        """Make the menu of a crop: what the buttons below the grid offer, and its like."""
        menu = QMenu(self)
        self.menu_action(menu, "suggestion.accept")
        for button in (self._set_class, self._set_value, self._reject):
            if button.menu() is not None:
                menu.addMenu(button.menu())
        menu.addSeparator()
        self.menu_action(menu, "gallery.similar")
        self.menu_action(menu, "gallery.go")
        menu.addSeparator()
        self.menu_action(menu, "edit.undo")
        return menu

    def _choice(
        self, name: str, about: str, choices: tuple[tuple[str, str], ...], changed: Callable[[], None]
    ) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(about)
        box.setObjectName(f"lld_gallery_{name}")
        box.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the crops
        for title, value in choices:
            box.addItem(title, value)
        box.activated.connect(lambda *_: changed())
        return box

    def _menu_button(self, name: str, title: str, about: str) -> QToolButton:
        button = QToolButton()
        button.setObjectName(f"lld_gallery_{name}")
        button.setText(f"{title} ▾")
        button.setAccessibleName(title)
        button.setToolTip(about)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setMenu(QMenu(title, button))
        return button

    def _on_words(self) -> None:
        """Make all but the crops again, in another language; what is listed and chosen stays."""
        boxes = ("_scope", "_show", "_order", "_attribute", "_value")
        indices = {name: getattr(self, name).currentIndex() for name in boxes}
        query, scroll_value = self.search_line.line.text(), self.grid.verticalScrollBar().value()
        self.forget_buttons()
        self.crop_menu.deleteLater()
        old = QWidget()
        old.setLayout(self.layout())  # takes the widgets along
        self.grid.setParent(self)
        self.commands.add(gallery_commands(self))
        self._build()
        self.grid.name_it()
        self.search_line.line.setText(query)
        self._fill_words()
        for name, index in indices.items():
            getattr(self, name).setCurrentIndex(index)
            if name == "_attribute":
                self._fill_values()
        old.deleteLater()
        self.use_colours(self.colours)
        self._on_shown()
        self.grid.verticalScrollBar().setValue(scroll_value)
        self.grid.setFocus()

    # ------------------------------------------------------------------ life

    def _on_project(self) -> None:
        self._stop_reader()
        self.grid.model_.forget()
        self.gallery.detach()
        project = self.session.project
        self._fill_words()
        if project is None:
            self.grid.show_items(())
            self.close()
            return
        side = round(CROP * min(max(self.devicePixelRatioF(), 1.0), 2.0))
        self.reader = GalleryReader(
            project.path,
            project.reading.id,
            side,
            self._read.emit,
            self._cut.emit,
            self._failed.emit,
        )
        self.reader.start()
        self.gallery.attach()
        self._fill_values()

    def _fill_words(self) -> None:
        """Fill the choices with the words of the schema."""
        schema = self.session.schema
        self.search_line.use_schema(schema)
        self.commands.remove("class.")
        self.commands.add(class_commands(self))
        for box in (self._attribute, self._value):
            box.clear()
        menu = self._set_class.menu()
        if menu is not None:
            menu.clear()
            self._actions = [(a, i) for a, i in self._actions if not i.startswith("class.")]
            for command in self.commands:
                if command.id.startswith("class."):
                    self.menu_action(menu, command.id)
        self.classes.use_schema(schema)
        self.clusters.schema = schema
        if schema is not None:
            for attribute in schema.attributes:
                self._attribute.addItem(attribute.title, attribute.name)
        has_attributes = schema is not None and bool(schema.attributes)
        for box in (self._attribute, self._value, self._set_value):
            box.setVisible(has_attributes)
        if (values := self._set_value.menu()) is not None:
            values.menuAction().setVisible(has_attributes)

    def _fill_values(self) -> None:
        """Fill the choice and the menu of values of the attribute."""
        schema, name = self.session.schema, self._attribute.currentData()
        self._value.clear()
        self._value.addItem(tr("Any value"), None)
        if schema is not None and name is not None:
            for value in schema.attribute_named(name).values:
                self._value.addItem(value.title, value.name)
            self._value.addItem(tr("Unsure"), UNSURE)
            self._value.addItem(tr("Missing"), MISSING)
            self._fill_value_menu(schema.attribute_named(name))

    def _fill_value_menu(self, attribute: Attribute) -> None:
        """Fill the menu that gives a value of the attribute."""
        menu, button = self._set_value.menu(), self._set_value
        if menu is None:
            return
        menu.clear()
        menu.setTitle(attribute.title)
        button.setText(f"{attribute.title} ▾")
        about = tr("Set {attribute} of all selected crops", attribute=attribute.title)
        button.setToolTip(about)
        button.setAccessibleName(about)
        entries: list[tuple[str, str | None, str]] = [
            (value.title, value.name, f"value.{number}") for number, value in enumerate(attribute.values, 1)
        ]
        entries += [(tr("Unsure"), UNSURE, "value.unsure"), (tr("Missing"), None, "value.clear")]
        for title, word, command_id in entries:
            key = self.commands[command_id].key if command_id in self.commands else ""
            action = menu.addAction(with_key(title, key))
            action.triggered.connect(lambda *_, word=word: self.set_word(word))

    def search_cells(self) -> None:
        """Let the user write what to search for."""
        self.search_line.start()

    def _stop_reader(self) -> None:
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.stop()

    def showEvent(self, event: Any) -> None:
        """List anew what may have changed while it was closed."""
        super().showEvent(event)
        if self.reader is None and self.session.project is not None:
            self._on_project()
        self.grid.setFocus()

    def hideEvent(self, event: Any) -> None:
        """Pause reading while the window is hidden."""
        super().hideEvent(event)
        if not event.spontaneous():
            self._stop_reader()
            self.gallery.detach()

    def release(self) -> None:
        """Disconnect from session, thread and keys before the desk closes."""
        super().release()
        self._stop_reader()
        self.gallery.detach()
        self._router.close()
        self.hide()
        self.deleteLater()

    def _on_keys(self) -> None:
        self.commands.key_map = self._desk_commands.key_map
        schema, name = self.session.schema, self._attribute.currentData()
        if schema is not None and name is not None:
            self._fill_value_menu(schema.attribute_named(name))

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self.setStyleSheet(stylesheet(new))
        self.search_line.use_colours(new)
        self.grid.painter_.colours = self.classes.colours = self.clusters.colours = new
        self.grid.update()

    # ------------------------------------------------------------------ what is listed

    def _on_scope(self) -> None:
        self.gallery.scope = Scope(self._scope.currentData())
        self.gallery.read_all()

    def _on_field(self) -> None:
        if self.gallery.scope is not Scope.ALL and self.isVisible():
            self.gallery.follow()

    def _on_attribute(self) -> None:
        self._fill_values()
        self._on_filter()

    def _on_order(self) -> None:
        order = GalleryOrder(self._order.currentData())
        if order is GalleryOrder.SIMILAR:
            if not self.commands.run("gallery.similar"):
                self.session.notify("hint", tr("Click on the crop to compare the others with."))
        else:
            self.gallery.sort_by(order)
        if order is GalleryOrder.DISAGREEMENT and not any(item.contradicted for item in self.gallery.shown):
            self.session.notify("hint", tr("No label here differs from its prediction."))
        self.refresh_soon()

    def sort_like_current(self) -> None:
        """Sort by likeness to the crop that the keyboard is on."""
        item = self.grid.current()
        if item is not None:
            self.gallery.sort_by(GalleryOrder.SIMILAR, item.key)

    def _on_cluster(self, number: int | None) -> None:
        self.gallery.show_cluster(number)
        if number is not None:
            self.grid.choose(item for item in self.gallery.shown if not item.labelled)
            self.grid.scrollToTop()

    def _take_crops(self, crops: Sequence[tuple[CropRequest, Crop | None]]) -> None:
        self.grid.model_.take_crops(crops)
        if self.gallery.in_likeness:
            self.likeness.refresh()
            self.clusters.show_rows(self.gallery.clusters, self.gallery.only_cluster)

    def _want_crops(self) -> None:
        if self.reader is not None:
            self.reader.want(
                self.grid.model_.lacking([*self.grid.items_in_sight(), *self.clusters.in_sight()])
            )

    def _on_class(self, name: str | None) -> None:
        self.gallery.only_class = name
        self.gallery.arrange()

    def _on_filter(self) -> None:
        gallery = self.gallery
        gallery.show = Show(self._show.currentData())
        gallery.attribute = self._attribute.currentData()
        gallery.only_value = self._value.currentData()
        gallery.arrange()

    def _on_read_requested(self, field_ids: list[int] | None) -> None:
        if self.reader is not None:
            self.reader.read(field_ids)

    def _on_shown(self) -> None:
        self.grid.show_items(self.gallery.shown, self.gallery.successors)
        self.clusters.show_rows(self.gallery.clusters, self.gallery.only_cluster)
        self.refresh_soon()

    def refresh(self) -> None:
        """Update the counts, and enable the actions."""
        super().refresh()
        listed, selected = len(self.gallery.shown), len(self.grid.chosen())
        self._count.setText(
            tr("Reading …") if self.gallery.reading else trn("{count} crop", "{count} crops", listed)
        )
        order = self.gallery.likeness.waiting or self.gallery.order
        self._order.setCurrentIndex(self._order.findData(order))
        self.likeness.refresh()
        self._show_counted()
        self.classes.show_counts(self.gallery.counts, self.gallery.only_class)
        self._again.setVisible(self.gallery.outdated)
        self._chosen.setText(
            tr("{count} selected", count=selected)
            if selected
            else tr(
                "Click selects, Shift and Ctrl select more, Ctrl+A all. Drag pictures onto a "
                "class to label them."
            )
        )
        for button in (self._set_class, self._set_value):
            button.setEnabled(bool(selected))
        can_reject = self.commands["suggestion.not_a_cell"].when(self.session)
        self._reject.setEnabled(can_reject)
        if (reasons := self._reject.menu()) is not None:
            reasons.menuAction().setEnabled(can_reject)

    def _show_counted(self) -> None:
        """Show whether only what a differential counted is listed, and the way back to all."""
        counted = self.gallery.counted
        for widget in (self._counted, self._all):
            widget.setVisible(counted is not None)
        self._scope.setEnabled(counted is None)
        if counted is not None:
            sentence = tr(
                "Counted on {slide}: cells to review, class by class. The differential is updated.",
                slide=counted.name,
            )
            self._counted.setText(sentence)
            self._counted.setToolTip(sentence)

    def show_counted(self, counted: Counted) -> None:
        """List what a differential has counted and nobody has reviewed."""
        self.search_line.forget()
        self._value.setCurrentIndex(0)
        self._show.setCurrentIndex(self._show.findData(Show.WAITING))
        self.gallery.show_counted(counted)

    def _on_notice(self, _level: str, sentence: str) -> None:
        self._hint.setText(self.commands.spelled(self._desk_commands.spelled(sentence)))

    # ------------------------------------------------------------------ what is done

    def back(self) -> None:
        """Leave a group or an order by likeness, else close."""
        if self.gallery.only_cluster is not None:
            self.gallery.show_cluster(None)
        elif self.gallery.likeness.trouble and self.gallery.ranking is not None:
            self.gallery.forget_trouble()  # the order before it is still shown
        elif self.gallery.in_likeness:
            self.gallery.leave_likeness()
        elif self.gallery.counted is not None:
            self.gallery.show_counted(None)
        else:
            self.close()

    def _advice(self, command: Command) -> str:
        """Describe what to choose before a command that needs crops."""
        if command.id == "gallery.similar":
            return tr("Click on the crop to compare the others with.")
        if not command.id.startswith(("class.", "value.", "suggestion.", "gallery.go")):
            return ""
        if not self.gallery.shown:
            return tr("No crops here: choose other cells above.")
        if self.grid.has_chosen:
            return tr("None of the selected crops is a pending suggestion.")
        return tr("Select crops first: click one, drag a frame around several, or press Ctrl+A for all.")

    def set_value_number(self, number: int) -> None:
        """Set the attribute of all that is chosen by the number of the value."""
        schema, name = self.session.schema, self._attribute.currentData()
        if schema is None or name is None:
            return
        values = schema.attribute_named(name).values
        if number <= len(values):
            self.set_word(values[number - 1].name)

    def set_word(self, word: str | None) -> None:
        """Set the attribute of all that is chosen; ``None`` clears it."""
        name = self._attribute.currentData()
        if name is not None:
            self.gallery.set_value(self.grid.chosen(), name, word)

    def go(self) -> None:
        """Show the current crop in its field."""
        item = self.grid.current()
        if item is not None:
            self.gallery.go_to(item)
            self.went_to.emit()
