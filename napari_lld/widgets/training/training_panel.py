"""Training in its own process: start, progress, cancel; the models it made."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QProgressBar, QPushButton, QToolButton, QWidget

from annotation_store.records import Model
from napari_lld.commands.registry import Commands
from napari_lld.i18n.durations import duration
from napari_lld.i18n.translate import later, tr
from napari_lld.options import TrainOptions, option_of
from napari_lld.session.model_facts import about, damages, model_title
from napari_lld.session.session import Session
from napari_lld.session.training_state import TrainingPhase
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.widgets.base.form import control, describe
from napari_lld.widgets.base.parts import Part, column, label, row
from napari_lld.widgets.base.room import FoldingRow
from napari_lld.widgets.training.rounds_menu import RoundsMenu

_BUDGETS: dict[float | None, str] = {
    120.0: later("2 minutes"),
    300.0: later("5 minutes"),
    900.0: later("15 minutes"),
    3600.0: later("1 hour"),
    None: later("no limit"),
}


class TrainingPanel(Part):
    """Start and stop the worker, see it at work, choose the active model."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_training")
        self._rounds = session.training.rounds
        self._listed: list[Model] = []
        self._damaged: dict[int, str] = {}
        self._check = LatestTask("models", self)
        self._looking = False
        layout = column(self, 2, (0, 4, 0, 0))
        self._start = self.button("training.start", primary=True, hint=False)
        self._suggest = self.button("training.suggest")
        self._slides = self.button("slides.search")
        self._slides.setProperty("others", True)
        self._cancel = self.button("training.cancel")
        option = option_of(TrainOptions, "budget")
        self._seconds = control(option, _BUDGETS)
        self.budget = self._seconds.native
        describe(self.budget, option.about)
        self.budget.setObjectName("lld_budget")
        self.budget.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._seconds.changed.connect(self._on_budget)
        self._plan = QToolButton()
        self._plan.setObjectName("lld_rounds")
        self._plan.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._plan.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._plan.setToolTip(tr("Automatic rounds, and the queue behind the running training"))
        menu = RoundsMenu(session, commands, self._plan)
        self._plan.setMenu(menu)
        begin = row(self._start, self.budget, 1)
        layout.addWidget(FoldingRow(begin, row(self._plan, self._suggest, self._slides, self._cancel, 1)))
        self._bar = QProgressBar()
        self._bar.setObjectName("lld_progress")
        self._bar.setTextVisible(False)
        self._bar.setProperty("role", "thin")
        policy = self._bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # nothing moves when a training starts
        self._bar.setSizePolicy(policy)
        layout.addWidget(self._bar)
        self._message = label(role="muted", wrap=True, gives_way=True)
        self._message.setObjectName("lld_told")
        # Two lines, whatever is said: the panel must not push the classes out of a small screen.
        self._message.setFixedHeight(2 * self._message.fontMetrics().lineSpacing())
        self._message.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._message)
        self._models = QComboBox()
        self._models.setObjectName("lld_models")
        self._models.setAccessibleName(tr("Models"))
        self._models.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._models.activated.connect(self._on_look)
        self._activate = QPushButton(tr("Activate"))
        self._activate.setObjectName("lld_activate")
        self._activate.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._activate.clicked.connect(lambda *_: self._on_activate())
        curves = self.tool_button("training.curves", hint=False)
        # Titles of models are long; they are cut in the row, never in the list.
        self._models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._models.setMinimumContentsLength(12)
        models = row(self._models, self._activate, curves)
        models.setStretch(0, 1)
        layout.addLayout(models)
        layout.addStretch(1)
        self.bind(session.project_changed, self._on_models)
        self.bind(session.models.changed, self._on_models)
        self.bind(session.training.state.changed, self.refresh_soon)
        self.bind(session.training.rounds.changed, self.refresh_soon)
        self.bind(session.training.slides_changed, self.refresh_soon)
        self.bind(session.preferences.events.automatic, self.refresh_soon)
        self.bind(session.preferences.events.budget, self.refresh_soon)
        self.bind(session.fields.summaries_changed, self.refresh_soon)
        self._on_models()
        self.refresh()

    def refresh(self) -> None:
        """Show the state of the training."""
        super().refresh()
        training = self.session.training.state
        busy = training.busy
        budget = self.session.preferences.seconds_to_train
        if budget in _BUDGETS:
            self.budget.setCurrentIndex(list(_BUDGETS).index(budget))
        self._suggest.setVisible(not busy)
        self._slides.setVisible(not busy and bool(self.session.training.slides_left))
        waiting = len(self._rounds.queue)
        automatic = self.session.preferences.automatic
        title = tr("Auto {cells}", cells=automatic) if automatic else tr("Rounds")
        self._plan.setText(f"{title} · {tr('{count} queued', count=waiting)}" if waiting else title)
        self._cancel.setVisible(busy)
        self._bar.setVisible(busy)
        progress = training.progress
        fraction = progress.fraction
        if busy and (fraction is None or training.phase is not TrainingPhase.RUNNING):
            self._bar.setRange(0, 0)
        else:
            self._bar.setRange(0, 1000)
            self._bar.setValue(round(1000 * (fraction or 0)))
        self._looking = self._looking and not busy  # a training that begins is what is to be told
        role = "notice" if training.failed and not self._looking else "muted"
        if self._message.property("role") != role:  # a restyle costs more than all else here
            self._message.setProperty("role", role)
            self._message.style().unpolish(self._message)
            self._message.style().polish(self._message)
        text = self._about() if self._looking and not busy else self._sentence()
        text = self.commands.spelled(text)
        self._message.setText(text)
        self._message.setToolTip(text)

    def _on_budget(self, *_args: object) -> None:
        self.session.preferences.budget = int(self._seconds.value or 0)

    def _sentence(self) -> str:
        training = self.session.training.state
        progress = training.progress
        if training.phase is not TrainingPhase.RUNNING or not progress.stage:
            return " ".join(filter(None, (training.message, self._rounds.outlook()))) or self._about()
        parts = [progress.title]
        if progress.total:
            parts[0] += f" {progress.done}/{progress.total}"
        if training.where:
            parts.append(tr("on {address}", address=training.where))
        if progress.seconds_left is not None:
            parts.append(tr("{time} left", time=duration(progress.seconds_left)))
        parts += [
            f"{name.replace('_', ' ')} {value:.2f}" for name, value in list(progress.losses.items())[:3]
        ]
        return " · ".join(parts)

    def _on_models(self) -> None:
        """List the models, and read their files meanwhile: megabytes each."""
        self._list_models()
        project = self.session.project
        if project is None or not self._listed:
            self._check.drop()
            return
        folders = {model.id: project.models.folder(model.id) for model in self._listed}
        self._check.start(lambda: damages(folders), self._on_checked, lambda _why: None)

    def release(self) -> None:
        """Disconnect from the session, and close the files being read."""
        super().release()
        self._check.close()

    def _on_checked(self, damaged: dict[int, str]) -> None:
        if damaged != self._damaged:
            self._damaged = damaged
            self._list_models()

    def _list_models(self) -> None:
        """List the models, newest first, and show the active one."""
        project = self.session.project
        self._listed = list(reversed(project.models.all())) if project is not None else []
        self._models.clear()
        if not any(model.active for model in self._listed):
            self._models.addItem(tr("Starter (bundled) · active") if project is not None else "–", None)
        for model in self._listed:
            self._models.addItem(model_title(model, damaged=model.id in self._damaged), model.id)
            if model.active:
                self._models.setCurrentIndex(self._models.count() - 1)
        self._models.setEnabled(bool(self._listed))
        self._show_model()
        self.refresh_soon()

    def _show_model(self) -> None:
        """Offer to activate the model that is looked at."""
        self._models.setToolTip(self._models.currentText())
        model = self._looked_at()
        usable = model is not None and model.id not in self._damaged
        self._activate.setVisible(model is not None and not model.active and usable)
        self._activate.setToolTip(
            tr("Use this model for suggestions from now on, and as the start of the next training")
        )

    def _on_look(self) -> None:
        self._looking = True
        self._show_model()
        self.refresh()

    def _about(self) -> str:
        model = self._looked_at()
        if model is None:
            return tr("The model learns only inside finished regions; you can continue annotating.")
        return about(model, self._damaged.get(model.id))

    def _looked_at(self) -> Model | None:
        return next((m for m in self._listed if m.id == self._models.currentData()), None)

    def _on_activate(self) -> None:
        model_id = self._models.currentData()
        if model_id is not None:
            self.session.models.activate(model_id)
            self.refresh_soon()
