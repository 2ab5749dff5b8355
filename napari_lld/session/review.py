"""Going through what a model proposes: suggestions, or possible label errors in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from annotation_store.records import Cell, RejectionReason
from napari_lld.session.label_errors import LabelErrorReview
from napari_lld.session.selection import Selection
from napari_lld.session.suggestions import Suggestions


class ReviewStrategy(Protocol):
    """One way to go through what a model proposes."""

    def step(self, direction: int) -> None:
        """Go to the next (1) or previous (-1) item."""

    def accept(self) -> None:
        """Do what the model proposes, and go on."""

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Refuse what the model proposes, and go on."""

    def correct(self, changes: Mapping[str, Any]) -> int | None:
        """Make the current item a cell with changes; return it, or ``None`` where that was refused."""


class Review:
    """The keys of reviewing, given to whichever strategy they are for now."""

    def __init__(
        self, selection: Selection, suggestions: Suggestions, label_errors: LabelErrorReview
    ) -> None:
        self._selection = selection
        self._suggestions = suggestions
        self._label_errors = label_errors

    def next(self) -> None:
        """Go to the next item."""
        self._list.step(1)

    def previous(self) -> None:
        """Go to the previous item."""
        self._list.step(-1)

    def accept(self) -> None:
        """Make the current suggestion a cell, or apply the prediction for the possible label error."""
        self._decided_by.accept()

    def reject(self, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject the current suggestion, or keep what the model contradicts."""
        self._decided_by.reject(reason)

    def correct(self, changes: Mapping[str, Any]) -> int | None:
        """Make what is proposed a cell with changes; return it, or ``None`` where that was refused."""
        current = self._selection.current
        missed = current is not None and current.kind == "missed"
        strategy: ReviewStrategy = self._label_errors if missed else self._suggestions
        return strategy.correct(changes)

    def is_weighed(self, cell: Cell) -> bool:
        """Return whether a change of a cell is made in view of the model's prediction."""
        return self._label_errors.is_weighed(cell)

    @property
    def _list(self) -> ReviewStrategy:
        return self._label_errors if self._label_errors.active else self._suggestions

    @property
    def _decided_by(self) -> ReviewStrategy:
        """Who decides: also among label errors a suggestion that was clicked on is a suggestion."""
        current = self._selection.current
        suggestion = current is not None and current.kind == "suggestion"
        return self._label_errors if self._label_errors.active and not suggestion else self._suggestions
