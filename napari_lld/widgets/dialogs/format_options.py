"""The options of a format as labelled controls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from annotation_store import formats
from napari_lld.i18n.translate import tr
from napari_lld.options import About, Option
from napari_lld.widgets.base.form import Control, add_row, control
from napari_lld.widgets.base.parts import label


class FormatOptions(QWidget):
    """A control for each option of a format."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._shown: tuple[formats.Option[Any], ...] | None = None
        self.controls: dict[str, Control] = {}

    def offer(self, options: tuple[formats.Option[Any], ...], *, none: bool = False) -> None:
        """Show the options of a format; with `none`, state if it has none."""
        if self._shown == options:
            return
        self._shown = options
        while self._form.rowCount():
            self._form.removeRow(0)
        self.controls = {}
        for format_option in options:
            about = About(format_option.title, format_option.help, choices=format_option.values)
            option = Option(format_option.name, type(format_option.default), format_option.default, about)
            self.controls[format_option.name] = option_control = control(option)
            option_control.changed.connect(self._emit_changed)
            add_row(self._form, option, option_control)
        if none and not options:
            self._form.addRow(label(tr("none"), "muted"))
        self._form.activate()

    def values(self) -> dict[str, str]:
        """Return the options that differ from a format's defaults."""
        values = {
            option.name: (self.controls[option.name].value, option.default) for option in self._shown or ()
        }
        return {name: f"{value}" for name, (value, usual) in values.items() if value != usual}

    def control(self) -> Control:
        """Return it as the control of an action's option."""
        return Control(self, self.values, self.changed)

    def retitle(self, name: str, titles: Iterable[tuple[str, str]], *, chosen: str | None = None) -> None:
        """Set the titles of a choice's values, and choose one."""
        combo = self.controls[name].native if name in self.controls else None
        if not isinstance(combo, QComboBox):
            return
        for value, title in titles:
            combo.setItemText(combo.findData(value), title)
        if chosen is not None:
            combo.setCurrentIndex(combo.findData(chosen))

    def _emit_changed(self) -> None:
        self.changed.emit()
