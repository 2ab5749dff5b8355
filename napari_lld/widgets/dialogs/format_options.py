"""The options of a format as controls that say in words what they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFormLayout, QLineEdit, QSpinBox, QWidget

from napari_lld.i18n.format_texts import OPTIONS, Choice, Number, Option, Share, Text
from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.parts import label


class FormatOptions(QWidget):
    """A control for each option of a format."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._form = QFormLayout(self)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._shown: tuple[str, tuple[str, ...]] = ("", ())
        self.controls: dict[str, QWidget] = {}

    def offer(self, form: str, options: Mapping[str, str], *, none: bool = False) -> None:
        """Offer the options of a format; `none`: say so if it has none."""
        if self._shown == (form, tuple(options)):
            return
        self._shown = (form, tuple(options))
        while self._form.rowCount():
            self._form.removeRow(0)
        self.controls = {}
        # what is to be decided comes before numbers
        first = sorted(options, key=lambda name: not isinstance(OPTIONS.get((form, name)), Choice))
        for name, help_ in ((name, options[name]) for name in first):
            option = OPTIONS.get((form, name), Text(name))
            self.controls[name] = control = self._control(option, help_)
            self._form.addRow(tr(option.title) if (form, name) in OPTIONS else name, control)
        if none and not options:
            self._form.addRow(label(tr("none"), "muted"))
        self._form.activate()

    def values(self) -> dict[str, str]:
        """Return the options that differ from a format's defaults."""
        form, names = self._shown
        found: dict[str, str] = {}
        for name in names:
            control, option = self.controls[name], OPTIONS.get((form, name), Text(name))
            if isinstance(control, QComboBox) and isinstance(option, Choice):
                value, usual = str(control.currentData()), option.values[0][0]
            elif isinstance(control, QDoubleSpinBox) and isinstance(option, Share):
                value, usual = f"{control.value():.4g}", f"{option.usual:.4g}"
            elif isinstance(control, QSpinBox) and isinstance(option, Number):
                value, usual = str(control.value()), str(option.usual)
            else:
                assert isinstance(control, QLineEdit)
                value, usual = control.text().strip(), ""
            if value != usual:
                found[name] = value
        return found

    def retitle(self, name: str, titles: Iterable[tuple[str, str]], *, chosen: str | None = None) -> None:
        """Set what the values of a choice are called here, and choose one."""
        control = self.controls.get(name)
        if not isinstance(control, QComboBox):
            return
        for value, title in titles:
            control.setItemText(control.findData(value), title)
        if chosen is not None:
            control.setCurrentIndex(control.findData(chosen))

    def _control(self, option: Option, help_: str) -> QWidget:
        match option:
            case Choice():
                combo = QComboBox()
                # long words must not widen the dialog beyond a small screen
                combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
                combo.setMinimumContentsLength(46)
                for value, title in option.values:
                    combo.addItem(tr(title), value)
                combo.currentIndexChanged.connect(lambda *_: self.changed.emit())
                return combo
            case Share():
                share = QDoubleSpinBox()
                share.setRange(0.0, option.most)
                share.setSingleStep(0.05)
                share.setValue(option.usual)
                share.valueChanged.connect(lambda *_: self.changed.emit())
                return share
            case Number():
                number = QSpinBox()
                number.setRange(0, 2**31 - 1)
                number.setValue(option.usual)
                number.valueChanged.connect(lambda *_: self.changed.emit())
                return number
        line = QLineEdit()
        line.setPlaceholderText(option.usual or help_)
        line.setToolTip(help_)
        line.textChanged.connect(lambda *_: self.changed.emit())
        return line
