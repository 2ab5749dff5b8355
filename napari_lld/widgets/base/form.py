"""Rows of a dialog, made by magicgui from the dataclass of an action (`napari_lld.options`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QWidget

from napari_lld.i18n.translate import tr
from napari_lld.options import About, Option, options_of

Options = TypeVar("Options")

_SHORTEST = 46
"""Characters that a choice shows at least; more must not widen the dialog beyond a small screen."""


@dataclass(frozen=True, slots=True)
class Control:
    """What asks for an option: its widget, what was chosen there, and a signal that tells of each change.

    Attributes
    ----------
    row
        What stands in the row of the form; nothing: the dialog adds it elsewhere.
    """

    native: QWidget
    read: Callable[[], Any]
    changed: Any
    row: QWidget | None = None

    @property
    def value(self) -> Any:
        """What is chosen, a text without the blanks around it."""
        value = self.read()
        return value.strip() if isinstance(value, str) else value


def control(option: Option, choices: Mapping[Any, str] | None = None) -> Control:
    """Make the control of an option.

    Parameters
    ----------
    choices
        What may be chosen, and what it is called here; else what the option says.
    """
    about = option.about
    more: dict[str, Any] = {}
    choices = choices or about.choices
    if choices:
        more = {
            "widget_type": "ComboBox",
            "choices": [(tr(words) or value, value) for value, words in choices.items()],
            "nullable": False,  # or else it has one choice more, for None
        }
    elif option.type is int:
        more = {"min": about.least or 0, "max": about.most or 2**31 - 1}
    elif option.type is float:
        more = {"min": about.least or 0.0, "max": about.most or 1.0, "step": 0.05}
    start = option.default if about.starts is None else about.starts
    usual = {} if option.required else {"value": start}
    widget = create_widget(annotation=option.type, name=option.name, options=more, **usual)
    assert isinstance(widget, ValueWidget)
    native = widget.native
    # magicgui tells of no change to None
    changed = native.currentIndexChanged if isinstance(native, QComboBox) else widget.changed
    return Control(native, widget.get_value, changed, row=native)


def describe(native: QWidget, about: About) -> None:
    """Set the help of a control and its name for a screen reader."""
    native.setToolTip(tr(about.help))
    native.setAccessibleName(tr(about.title))
    if isinstance(native, QLineEdit):
        native.setPlaceholderText(tr(about.empty))


def add_row(form: QFormLayout, option: Option, control: Control) -> None:
    """Add the control of an option to a form, with its help; a switch carries its title itself."""
    title = tr(option.about.title)
    describe(control.native, option.about)
    if control.row is None:
        return
    if isinstance(control.native, QComboBox):
        control.native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        control.native.setMinimumContentsLength(_SHORTEST)
    if isinstance(control.native, QCheckBox):
        control.native.setText(title)
        form.addRow("", control.row)
    else:
        form.addRow(title, control.row)


class OptionsForm(Generic[Options]):
    """A control for each option of an action, added to a form in the order of its dataclass.

    Parameters
    ----------
    choices
        For an option: its choices in this form, with their titles.
    own
        Controls that the dialog made itself.
    """

    changed = Signal()

    def __init__(
        self,
        action: type[Options],
        form: QFormLayout,
        *,
        choices: Mapping[str, Mapping[Any, str]] | None = None,
        custom: Mapping[str, Control] | None = None,
    ) -> None:
        self._action = action
        self.controls: dict[str, Control] = {}
        for option in options_of(action):
            option_control = (custom or {}).get(option.name) or control(
                option, (choices or {}).get(option.name)
            )
            add_row(form, option, option_control)
            option_control.changed.connect(self._emit_changed)
            self.controls[option.name] = option_control

    def value(self) -> Options:
        """Return what is chosen."""
        return self._action(**{name: control.value for name, control in self.controls.items()})

    def combo(self, name: str) -> QComboBox:
        """Return the combo box of an option with choices."""
        combo = self.controls[name].native
        assert isinstance(combo, QComboBox)
        return combo

    def _emit_changed(self) -> None:
        self.changed.emit()
