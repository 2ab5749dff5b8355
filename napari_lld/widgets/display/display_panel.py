"""To see right: the current cell in large, its stains, measures, and how the field is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QSlider, QWidget

from annotation_store.records import Box
from napari_lld.i18n.translate import tr
from napari_lld.imaging.display import CONTRAST, GAMMA, Pixels, White, background
from napari_lld.imaging.measure import box_size, distance, length
from napari_lld.imaging.stains import stain_channels
from napari_lld.session import user_state
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.tool import Tool
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.parts import Part, column, label, row, rule
from napari_lld.widgets.base.room import FoldingRow, Scrolling, available
from napari_lld.widgets.base.theme import Colours, stylesheet
from napari_lld.widgets.display.scale_bar import ScaleBar
from napari_lld.widgets.display.zoom_view import CropView

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext

_WIDTH = 248
_LEAST = QSize(150, 120)
_SHARE = 0.2
"""How much of the screen's width the view takes by default."""


class DisplayPanel(Part):
    """Shows the current cell or suggestion in large; what it changes is only what is shown."""

    def __init__(self, desk: DeskContext, parent: QWidget | None = None) -> None:
        super().__init__(desk.session, desk.commands, parent)
        self.setObjectName("lld_desk")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._desk = desk
        self._white: tuple[int | None, White] | None = None
        self._stained: tuple[object, tuple[Pixels, Pixels]] | None = None
        layout = column(self, 5, (6, 6, 6, 6))
        self.view = CropView(smallest=_WIDTH)
        self.view.setObjectName("lld_zoom_view")
        self.view.setAccessibleName(tr("The current cell, enlarged"))
        self.view.setToolTip(tr("Turn the wheel to zoom."))
        self.view.wheeled.connect(self._on_wheel)
        layout.addWidget(self.view, 3)
        self._caption = label(role="muted")
        self._smooth = self.tool_button("sight.smooth", hint=False)
        self._stains = self.tool_button("sight.stains")
        for button in (self._smooth, self._stains):
            button.setCheckable(True)
        layout.addWidget(self._caption)
        layout.addWidget(FoldingRow(row(self._stains), row(self._smooth, 1), stretch=1))
        self._stain_views = (
            CropView(smallest=116, title=tr("Blue stain")),
            CropView(smallest=116, title=tr("Pink stain")),
        )
        for stain_view in self._stain_views:
            stain_view.setFixedHeight(124)
        self._stain_box = QWidget()
        stains = column(self._stain_box, 0)
        stains.addLayout(row(*self._stain_views))
        layout.addWidget(self._stain_box)
        layout.addWidget(rule())
        self._ruler = self.tool_button("tool.ruler")
        self._ring = self.tool_button("tool.ring")
        self._bar = self.tool_button("sight.scale_bar", hint=False)
        layout.addWidget(label(tr("Measure"), "heading"))
        layout.addWidget(FoldingRow(row(self._ruler, self._ring), row(self._bar, 1), stretch=1))
        self._pixel = label(role="muted", wrap=True)
        layout.addWidget(self._pixel)
        layout.addWidget(rule())
        picture = label(tr("Picture"), "heading")
        picture.setToolTip(
            tr("Only the display changes; the stored pixels and the input of models stay the same.")
        )
        self._pick = self.tool_button("tool.white", hint=False)
        self._reset = self.tool_button("look.reset", hint=False)
        layout.addLayout(row(picture, 1, self._reset))
        auto = self.tool_button("look.auto", hint=False)
        layout.addWidget(FoldingRow(row(auto), row(self._pick, 1), stretch=1))
        for button in (self._ruler, self._ring, self._bar, self._pick):
            button.setCheckable(True)
        self._contrast = _slider("lld_contrast", CONTRAST)
        self._gamma = _slider("lld_gamma", GAMMA)
        self._contrast.valueChanged.connect(self._on_contrast)
        self._gamma.valueChanged.connect(self._on_gamma)
        for title, slider in ((tr("Contrast"), self._contrast), (tr("Gamma"), self._gamma)):
            slider.setAccessibleName(title)
            name = label(title)
            name.setFixedWidth(62)
            layout.addLayout(row(name, slider))
        session = self.session
        for signal in (
            session.project_changed,
            session.fields.current_changed,
            session.selection.changed,
            session.marks.changed,
            session.selection.proposed_box_changed,
            session.tool_changed,
            session.display.look_changed,
            session.display.switched,
            session.display.measured,
        ):
            self.bind(signal, self.refresh_soon)
        show_focus(self)
        self.refresh()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self.setStyleSheet(stylesheet(new))
        for view in (self.view, *self._stain_views):
            view.colours = new
            view.update()

    def heightForWidth(self, width: int) -> int:
        """Let the view of the cell shrink before anything has to be scrolled."""
        return int(self.layout().minimumHeightForWidth(width))

    def resizeEvent(self, event: object) -> None:
        """Fit the cell into the new size."""
        super().resizeEvent(event)
        self.refresh_soon()

    # ------------------------------------------------------------------ showing

    def refresh(self) -> None:
        """Show the current cell, what is switched on, and the look."""
        super().refresh()
        session, sight = self.session, self.session.display
        self._smooth.setChecked(sight["smooth"])
        self._stains.setChecked(sight["stains"])
        self._bar.setChecked(sight["scale_bar"])
        for button, tool in ((self._ruler, Tool.RULER), (self._ring, Tool.RING), (self._pick, Tool.WHITE)):
            button.setChecked(session.tool is tool)
        self._stain_box.setVisible(sight["stains"])
        self._pixel.setText(self._told_sizes())
        for slider, value, limits in (
            (self._contrast, sight.look.contrast, CONTRAST),
            (self._gamma, sight.look.gamma, GAMMA),
        ):
            slider.blockSignals(True)
            slider.setValue(_step(value, limits))
            slider.blockSignals(False)
        self._show_cell()

    def _told_sizes(self) -> str:
        """Describe what the ruler or the ring measures, else how large a pixel is."""
        sight = self.session.display
        size = sight.pixel_size_um
        if self.session.fields.current_id is None:
            return ""
        if sight.ruler is not None:
            return tr("Ruler: {length}", length=length(distance(*sight.ruler), size))
        if sight.ring is not None:
            return tr("Ring: {length}", length=length(sight.ring.diameter, size))
        if size is None:
            return tr("The pixel size is unknown: with Red cell, drag across one from edge to edge.")
        return tr("A pixel is {size:.3f} µm.", size=size)

    def _show_cell(self) -> None:
        """Show the current mark, or the box that a click proposed."""
        session, sight = self.session, self.session.display
        if not self.isVisible() or session.fields.current_id is None:
            return
        mark = session.selection.cell or session.selection.proposal
        box = mark.box if mark is not None else session.selection.proposed_box
        if box is None:
            self._clear(tr("Select a cell to see it enlarged here."))
            return
        scale = self.view.scale_for(box, sight.closer)
        area = self.view.area(box, scale)
        pixels = self._desk.layers.pixels(area)
        if pixels is None or not pixels.size:
            self._clear(tr("The pixels of this field cannot be read."))
            return
        size = sight.pixel_size_um
        self.view.smooth = sight["smooth"]
        self.view.show_crop(sight.look.shown(pixels), area[:2], box, scale, size)
        times = scale * self.view.devicePixelRatioF()
        self._caption.setText(f"{box_size(box, size)} · {times:.1f}×")
        if sight["stains"]:
            self._show_stains(pixels, area, box)

    def _show_stains(self, pixels: Pixels, area: tuple[int, int, int, int], box: Box) -> None:
        key = (self.session.fields.current_id, area)
        if self._stained is None or self._stained[0] != key:
            self._stained = (key, stain_channels(pixels, self._background()))
        for view, grey in zip(self._stain_views, self._stained[1], strict=True):
            view.smooth = self.session.display["smooth"]
            view.show_crop(grey, area[:2], box, view.scale_for(box, self.session.display.closer), None)

    def _background(self) -> White:
        """Return the colour of the field's empty background, worked out once per field."""
        field_id = self.session.fields.current_id
        if self._white is None or self._white[0] != field_id:
            self._white = (field_id, background_of_field(self._desk) or (255, 255, 255))
        return self._white[1]

    def _clear(self, hint: str) -> None:
        self._caption.setText("")
        self.view.clear(hint)
        for view in self._stain_views:
            view.clear()

    # ------------------------------------------------------------------ changing what is shown

    def _on_wheel(self, steps: int) -> None:
        self.session.display.come_closer(steps)

    def _on_contrast(self, value: int) -> None:
        sight = self.session.display
        sight.look = replace(sight.look, contrast=_value(value, CONTRAST))

    def _on_gamma(self, value: int) -> None:
        sight = self.session.display
        sight.look = replace(sight.look, gamma=_value(value, GAMMA))


class DisplayDock:
    """Puts the panel at the left of a window, and the scale bar over its canvas."""

    def __init__(self, desk: DeskContext, window: QMainWindow) -> None:
        self.panel = DisplayPanel(desk)
        self._desk = desk
        self._window = window
        self._dock = QDockWidget(tr("Zoom view"), window)
        self._dock.setObjectName("lld_sight")
        self._dock.setFeatures(
            QDockWidget.DockWidgetFeature.DockWidgetMovable
            | QDockWidget.DockWidgetFeature.DockWidgetFloatable
        )
        self._dock.setWidget(Scrolling(self.panel, _LEAST))
        window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self._dock)
        usual = min(_WIDTH, max(round(_SHARE * available(window).width()), _LEAST.width()))
        width = user_state.within(user_state.recall("sight_width"), 1, 10_000) or usual
        window.resizeDocks([self._dock], [int(width)], Qt.Orientation.Horizontal)
        canvas = window.centralWidget()
        self.bar = ScaleBar(desk, canvas) if canvas is not None else None
        self._listening = Subscriptions()
        self._listening.add(desk.session.project_changed, self._follow)
        self._listening.add(desk.session.display.switched, self._follow)
        self._listening.add(desk.session.words_changed, self._on_words)
        self._follow()

    def _follow(self) -> None:
        session = self._desk.session
        self._dock.setVisible(session.project is not None and session.display["panel"])
        self.panel.refresh_soon()

    def _on_words(self) -> None:
        """Make the panel again in another language."""
        old, frame = self.panel, self._dock.widget()
        self.panel = DisplayPanel(self._desk)
        self.panel.use_colours(old.colours)
        old.release()
        self._dock.setWindowTitle(tr("Zoom view"))
        self._dock.setWidget(Scrolling(self.panel, _LEAST))
        if frame is not None:
            frame.deleteLater()
        self._follow()

    def release(self) -> None:
        """Remove both."""
        self._listening.close()
        if self.panel.isVisible():
            user_state.remember("sight_width", self.panel.width())
        self.panel.release()
        if self.bar is not None:
            self.bar.release()
        self._window.removeDockWidget(self._dock)
        self._dock.hide()
        self._dock.deleteLater()


_STEPS = 100


def _slider(name: str, limits: tuple[float, float]) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setObjectName(name)
    slider.setRange(0, _STEPS)
    slider.setValue(_step(1.0, limits))
    slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return slider


def _step(value: float, limits: tuple[float, float]) -> int:
    """Return the place of a value on a slider, 1 in its middle."""
    low, high = limits
    share = 0.5 * (value - low) / (1 - low) if value < 1 else 0.5 + 0.5 * (value - 1) / (high - 1)
    return round(_STEPS * share)


def _value(step: int, limits: tuple[float, float]) -> float:
    low, high = limits
    share = step / _STEPS
    return low + 2 * share * (1 - low) if share < 0.5 else 1 + (2 * share - 1) * (high - 1)


def background_of_field(desk: DeskContext) -> tuple[int, int, int] | None:
    """Return the colour of the current field's empty background, from a small copy where it is large."""
    project, field = desk.session.project, desk.session.fields.current
    if project is None or field is None:
        return None
    whole = None
    if not field.is_slide:
        whole = desk.layers.pixels((0, 0, field.width, field.height))
    if whole is None:
        from annotation_store.errors import LLDError

        try:
            whole = project.pixels.thumbnail(field.id)
        except LLDError:
            return None
    return background(whole)
