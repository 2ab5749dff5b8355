"""The training in curves, and all models side by side: a separate window, open while one works."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from annotation_store.records import Model
from napari_lld.i18n.translate import later, tr
from napari_lld.layers.palette import readable
from napari_lld.session.model_facts import MEASURES, about, damages, held_out, number, rollback
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.widgets.base.parts import label
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, stylesheet

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, told apart by the colour-blind; the marks differ too."""
_MARKS = ("o", "s", "t", "d", "+", "x")
_DASHES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
)
_COLUMNS = (
    later("Model"),
    later("Made"),
    later("From"),
    later("Held-out cells"),
    *(title for _key, title in MEASURES),
    later("In use"),
)
_EVERY_MS = 500


class TrainingWindow(QDialog):
    """Losses of the training that runs, held-out numbers of the models, and the models in a table."""

    def __init__(self, session: Session, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_desk")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet(stylesheet(colours))
        self.setWindowTitle(tr("Training and models"))
        self.resize(860, 560)
        self._session = session
        self._colours = colours
        self._models: list[Model] = []
        self._damaged: dict[int, str] = {}
        self._check = LatestTask("models", self)
        self._curves: dict[str, Any] = {}
        self.losses = self._plot(tr("Loss by minutes of the current training"))
        self.held_out = self._plot(tr("Measured on held-out cells, by model"), legend=(-8, -8))
        self.held_out.setYRange(0, 1)
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setObjectName("lld_model_table")
        self.table.setAccessibleName(tr("Models"))
        self.table.setTabKeyNavigation(False)
        self.table.setHorizontalHeaderLabels([tr(title) for title in _COLUMNS])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        header, side = self.table.horizontalHeader(), self.table.verticalHeader()
        if header is not None and side is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setStretchLastSection(True)
            side.hide()
        self.about = label(role="muted", wrap=True)
        self.about.setMinimumHeight(2 * self.about.fontMetrics().lineSpacing())
        self.activate = QPushButton(tr("Activate"))
        self.back = QPushButton(tr("Roll back"))
        close = QPushButton(tr("Close"))
        layout = QVBoxLayout(self)
        plots = QHBoxLayout()
        plots.addWidget(self.losses)
        plots.addWidget(self.held_out)
        layout.addLayout(plots, 3)
        layout.addWidget(self.table, 2)
        layout.addWidget(self.about)
        foot = QHBoxLayout()
        foot.addWidget(self.activate)
        foot.addWidget(self.back)
        foot.addStretch(1)
        foot.addWidget(close)
        layout.addLayout(foot)
        keep_on_screen(self)
        close.clicked.connect(lambda *_: self.close())
        self.activate.clicked.connect(lambda *_: self._activate())
        self.back.clicked.connect(lambda *_: self._session.models.roll_back())
        self.table.itemSelectionChanged.connect(self._on_row)
        # Messages come several a second: the curves are drawn at most twice a second.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_EVERY_MS)
        self._soon.timeout.connect(self.draw_losses)
        self._listening = Subscriptions()
        self._listening.add(session.training.state.changed, self._on_training)
        self._listening.add(session.models.changed, self.show_models)
        self._listening.add(session.project_changed, self.show_models)
        self.finished.connect(lambda *_: self.release())
        self.show_models()
        self.draw_losses()

    def release(self) -> None:
        """Disconnect from the session."""
        self._soon.stop()
        self._listening.close()
        self._check.close()

    # ------------------------------------------------------------------ curves

    def _plot(self, title: str, legend: tuple[int, int] = (-8, 8)) -> Any:
        import pyqtgraph  # a second of import: only whoever looks at curves pays for it

        plot = pyqtgraph.PlotWidget(background=self._colours.raised)
        text = self._colours.text.name()
        plot.setTitle(title, color=text, size="10pt")
        plot.setAccessibleName(title)
        plot.addLegend(offset=legend, labelTextColor=text)
        plot.showGrid(x=False, y=True, alpha=0.2)
        plot.setMenuEnabled(False)
        # It makes its menu all the same, without a parent: it would outlive this window.
        menu = plot.getPlotItem().ctrlMenu
        menu.setParent(plot, menu.windowFlags())  # without the flags it would lie on the plot, open
        plot.hideButtons()
        for side in ("left", "bottom"):
            plot.getAxis(side).setTextPen(text)
        return plot

    def _pen(self, index: int) -> dict[str, Any]:
        """Return colour and dashes of a curve; no two of the first 24 share both."""
        colour = readable(_COLOURS[index % len(_COLOURS)], self._colours.raised.name())
        return {"color": colour, "width": 2, "style": _DASHES[index // len(_COLOURS) % len(_DASHES)]}

    def _on_training(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def draw_losses(self) -> None:
        """Draw the losses so far."""
        history = self._session.training.state.loss_history
        names = list(dict.fromkeys(name for _at, losses in history for name in losses))
        for gone in set(self._curves) - set(names):
            self.losses.removeItem(self._curves.pop(gone))
        for index, name in enumerate(names):
            points = [(at / 60, losses[name]) for at, losses in history if name in losses]
            if name not in self._curves:
                self._curves[name] = self.losses.plot(name=name.replace("_", " "))
            self._curves[name].setPen(self._pen(index))
            self._curves[name].setData(*zip(*points, strict=True))

    def _draw_held_out(self) -> None:
        self.held_out.clear()
        for index, (key, title) in enumerate(MEASURES):
            points = [
                (model.id, value)
                for model in self._models
                if (value := number(held_out(model).get(key))) is not None
            ]
            if points:
                colour = self._pen(index)["color"]
                self.held_out.plot(
                    *zip(*points, strict=True),
                    name=tr(title),
                    pen=self._pen(index),
                    symbol=_MARKS[index % len(_MARKS)],
                    symbolBrush=colour,
                    symbolSize=8,
                )
        axis = self.held_out.getAxis("bottom")
        axis.setTicks([[(model.id, str(model.id)) for model in self._models]])

    # ------------------------------------------------------------------ models

    def show_models(self) -> None:
        """List the models, and read their files meanwhile: megabytes each."""
        self._list_models()
        project = self._session.project
        if project is not None and self._models:
            folders = {model.id: project.models.folder(model.id) for model in self._models}
            self._check.start(lambda: damages(folders), self._on_checked, lambda _why: None)

    def _on_checked(self, damaged: dict[int, str]) -> None:
        if damaged != self._damaged:
            self._damaged = damaged
            self._list_models()

    def _list_models(self) -> None:
        """List the models, newest first."""
        project = self._session.project
        selected = self._chosen()
        self._models = project.models.all() if project is not None else []
        rows = list(reversed(self._models))
        self.table.setRowCount(len(rows))
        for row, model in enumerate(rows):
            for column, text in enumerate(self._cells_of(model)):
                item = QTableWidgetItem(text)
                item.setData(Qt.ItemDataRole.UserRole, model.id)
                self.table.setItem(row, column, item)
        current = selected.id if selected is not None else None
        at = next((i for i, model in enumerate(rows) if model.id == current), 0 if rows else -1)
        if at >= 0:
            self.table.selectRow(at)
        self._draw_held_out()
        self._on_row()

    def _cells_of(self, model: Model) -> list[str]:
        numbers = held_out(model)
        measured = [number(numbers.get(key)) for key, _title in MEASURES]
        if model.active:
            state = tr("in use")
        elif model.card.get("why_not_active"):
            state = tr("not promoted")
        else:
            state = ""
        if model.id in self._damaged:
            state = ", ".join(filter(None, (state, tr("damaged"))))
        cells = numbers.get("cells")
        return [
            str(model.id),
            f"{model.created.astimezone():%Y-%m-%d %H:%M}",
            tr("the starter") if model.parent == "starter" else model.parent,
            "–" if cells is None else str(cells),
            *("–" if value is None else f"{value:.2f}" for value in measured),
            state,
        ]

    def _chosen(self) -> Model | None:
        item = self.table.item(self.table.currentRow(), 0)
        model_id = item.data(Qt.ItemDataRole.UserRole) if item is not None else None
        return next((model for model in self._models if model.id == model_id), None)

    def _on_row(self) -> None:
        model = self._chosen()
        text = about(model, self._damaged.get(model.id)) if model else ""
        self.about.setText(text or tr("No model yet: the bundled starter predicts."))
        usable = model is not None and model.id not in self._damaged
        self.activate.setEnabled(model is not None and not model.active and usable)
        back = rollback(self._models)
        self.back.setEnabled(back is not None)
        self.back.setText(back.title if back is not None else tr("Roll back"))

    def _activate(self) -> None:
        model = self._chosen()
        if model is not None:
            self._session.models.activate(model.id)
