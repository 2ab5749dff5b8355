"""Instant learning: after each label, pending suggestions are predicted anew without a round; no Qt."""

from __future__ import annotations

from typing import Any

from psygnal import Signal

from annotation_store.records import Edit
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.assistant import Assistant
from napari_lld.session.fields import Fields
from napari_lld.session.open_project import OpenProject
from napari_lld.session.preferences import Preferences


class InstantLearning:
    """Asks for new predictions after each label, and has them shown (`Marks.hold`: except under the hand).

    Attributes
    ----------
    cells
        How many labelled cells taught what is predicted now; 0 = nothing was learnt since the round.
    """

    changed = Signal()

    def __init__(
        self,
        opened: OpenProject,
        fields: Fields,
        preferences: Preferences,
        assistant: Assistant,
    ) -> None:
        self._opened, self._fields = opened, fields
        self._preferences, self._assistant = preferences, assistant
        self.cells = 0
        self._failed = self._told_of_others = False

    def on_project(self) -> None:
        """Reset for another project."""
        self._assistant.forget()
        self.cells, self._failed, self._told_of_others = 0, False, False
        self.changed.emit()

    def on_edited(self, edit: Edit) -> None:
        """Ask for new predictions where a label changed."""
        project = self._opened.project
        if project is None or project.read_only or not self._preferences.instant or self._failed:
            return
        if "cell" in edit.touched:
            self.learn()

    def learn(self) -> bool:
        """Request predictions from the labels so far; return whether there is an assistant."""
        from training.protocol import RenewRequest

        field = self._fields.current
        if self._opened.project is None:
            return False
        request = RenewRequest(
            **self._assistant.of_project,
            first=[] if field is None or field.is_slide else [field.id],
        )
        return self._assistant.ask(request, self._on_answer, self._on_message)

    def _on_message(self, message: Any) -> None:
        project = self._opened.project
        if message.type == "renewed" and message.field_ids and project is not None:
            project.events.suggestions_changed.emit(message.field_ids)

    def _on_answer(self, message: Any) -> None:
        if message.type == "failed":
            self._failed = True  # the same would be said after each label
            why = in_the_window(f"{message.cause} {message.cure}".strip())
            self._opened.notify(
                "warning",
                tr("Labels are learned in rounds only, until you reopen the project: {why}", why=why),
            )
            return
        self.cells = int(message.result.get("cells", 0))
        others = int(message.result.get("of_another_model", 0))
        if others and not self._told_of_others:
            self._told_of_others = True
            self._opened.notify(
                "hint",
                trn(
                    "{count} suggestion is not of the active model: [training.suggest] replaces it.",
                    "{count} suggestions are not of the active model: [training.suggest] replaces them.",
                    others,
                ),
            )
        self.changed.emit()
