"""Rows of a dialog, made by magicgui from the dataclass of an action (`napari_lld.options`)."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QFormLayout, QLineEdit

from napari_lld.i18n.translate import tr
from napari_lld.options import options_of

Options = TypeVar("Options")


class OptionsForm(Generic[Options]):
    """A control for each option of an action, added to a form in the order of its dataclass."""

    changed = Signal()

    def __init__(self, action: type[Options], form: QFormLayout) -> None:
        self._action = action
        self.controls: dict[str, ValueWidget[Any]] = {}
        for option in options_of(action):
            about = option.about
            control = create_widget(value=option.default, annotation=option.type, name=option.name)
            assert isinstance(control, ValueWidget)
            native, title = control.native, tr(about.title)
            native.setToolTip(tr(about.help))
            native.setAccessibleName(title)
            if isinstance(native, QCheckBox):
                native.setText(title)
                form.addRow("", native)
            else:
                form.addRow(title, native)
            if isinstance(native, QLineEdit):
                native.setPlaceholderText(tr(about.empty))
            control.changed.connect(self._tell)
            self.controls[option.name] = control

    def value(self) -> Options:
        """Return what is chosen, texts without the blanks around them."""
        given = {name: control.value for name, control in self.controls.items()}
        return self._action(**{n: v.strip() if isinstance(v, str) else v for n, v in given.items()})

    def _tell(self) -> None:
        self.changed.emit()
