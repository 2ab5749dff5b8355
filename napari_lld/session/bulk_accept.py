"""Accept many suggestions at once, if held-out cells justify it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from napari_lld.i18n.translate import tr, trn
from napari_lld.session.model_choice import ModelChoice
from napari_lld.session.model_facts import bulk_refusal, class_refusal
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection
from napari_lld.session.suggestions import Suggestions
from training.evaluation.unchecked_films import MIN_CELLS_OF_NEW_CLASSES, MIN_CHECKED_CELLS


class Candidate(NamedTuple):
    """A suggestion that is to be accepted unseen: its id, its model, its class, how probable that is."""

    id: int
    model_id: int | None
    word: str | None
    probability: float
    unknown: bool = False
    unchecked: bool = False
    renewed: bool = False


def unknown_refusal(count: int) -> str:
    """Explain why so many unknown cells are not accepted at once."""
    return trn(
        "{count} is unlike all training cells: review it and set its class.",
        "{count} are unlike all training cells: review each and set its class.",
        count,
    )


def unchecked_refusal(count: int) -> str:
    """Explain why so many suggestions of films where nothing was checked are not accepted at once."""
    return trn(
        (
            "{count} is from a film that the model has not learned from: review it. Once {needed} cells of a "
            "film are labelled ({more} if the classes are new to the model), predict again."
        ),
        (
            "{count} are from films that the model has not learned from: review each. Once {needed} cells of "
            "a film are labelled ({more} if the classes are new to the model), predict again."
        ),
        count,
        needed=MIN_CHECKED_CELLS,
        more=MIN_CELLS_OF_NEW_CLASSES,
    )


def renewed_refusal(count: int) -> str:
    """Explain why so many suggestions that were predicted between rounds are not accepted at once."""
    return trn(
        "{count} was predicted again from your labels and not measured since: review it, or train.",
        ("{count} were predicted again from your labels and not measured since: review each, or train."),
        count,
    )


class BulkAccept:
    """Which suggestions may be accepted unseen, and accepting them."""

    def __init__(
        self, opened: OpenProject, selection: Selection, suggestions: Suggestions, models: ModelChoice
    ) -> None:
        self._opened = opened
        self._selection = selection
        self._suggestions = suggestions
        self._models = models

    def earned(self, candidates: Iterable[Candidate]) -> tuple[list[int], list[str]]:
        """Return which suggestions may be accepted without individual review, and why the others may not.

        They may where, on held-out cells, few enough of what is at least as probable were wrong
        (`model_facts.bulk_refusal`), and of the class too (`model_facts.class_refusal`). Unknown ones never
        may, nor those of films where nothing was checked, nor those that were predicted since the round.
        """
        allowed: list[int] = []
        unknown = unchecked = renewed = 0
        reasons: dict[str, None] = {}
        refusals: dict[tuple[int | None, str | None], str] = {}
        schema = self._opened.schema
        for candidate in candidates:
            if candidate.unknown:
                unknown += 1
                continue
            if candidate.unchecked:
                unchecked += 1
                continue
            if candidate.renewed:
                renewed += 1
                continue
            kind = (candidate.model_id, candidate.word)
            model = self._models.get(candidate.model_id)
            if kind not in refusals:
                title = schema.class_title(candidate.word) if schema and candidate.word else ""
                refusals[kind] = class_refusal(model, candidate.word, title)
            why = bulk_refusal(model, candidate.probability) or refusals[kind]
            if why:
                reasons.setdefault(why)
            else:
                allowed.append(candidate.id)
        if renewed:
            reasons.setdefault(renewed_refusal(renewed))
        if unchecked:
            reasons.setdefault(unchecked_refusal(unchecked))
        if unknown:
            reasons.setdefault(unknown_refusal(unknown))
        return allowed, list(reasons)

    def _earned_here(self) -> tuple[list[int], list[str]]:
        return self.earned(
            Candidate(
                *(s.id, s.model_id, s.stated_class, s.probability, s.is_unknown),
                *(s.proposal.unchecked, s.renewed),
            )
            for s in self._suggestions.shown
        )

    @property
    def refusal(self) -> str:
        """Explain why none of the suggestions shown may be accepted all at once; empty where some may."""
        if not self._suggestions.shown:
            return self._suggestions.why_none
        allowed, reasons = self._earned_here()
        return "" if allowed else " ".join(reasons)

    @property
    def choice(self) -> str:
        """Describe which of the shown suggestions *accept all* takes, and which it leaves, and why."""
        schema, visible = self._opened.schema, self._suggestions.shown
        if schema is None or not visible:
            return self._suggestions.why_none
        allowed, reasons = self._earned_here()
        allowed_ids = set(allowed)
        counts: dict[tuple[bool, str], int] = {}
        for suggestion in visible:
            word = suggestion.stated_class
            title = tr("class missing") if word is None else schema.class_title(word)
            if suggestion.is_unknown:
                title = tr("unknown")
            key = (suggestion.id in allowed_ids, title)
            counts[key] = counts.get(key, 0) + 1

        def listed(is_allowed: bool) -> str:
            return ", ".join(
                f"{title} {n}" for (allowed_here, title), n in counts.items() if allowed_here is is_allowed
            )

        messages = [tr("Accepts: {which}.", which=listed(True))] if allowed else []
        if reasons:
            messages.append(tr("Skips: {which}. {why}", which=listed(False), why=" ".join(reasons)))
        return "\n".join(messages)

    def accept_all(self) -> list[int]:
        """Accept the shown suggestions of this field as one edit, as far as the model justifies it."""
        project, refusal = self._opened.project, self.refusal
        if project is None or refusal:
            self._opened.notify("hint", refusal)
            return []
        allowed, reasons = self._earned_here()
        remaining = len(self._suggestions.shown) - len(allowed)
        seen = {suggestion.id: suggestion.proposal for suggestion in self._suggestions.shown}
        cells = self._opened.attempt(lambda: project.suggestions.accept_many(allowed, seen=seen)) or []
        if cells:
            self._selection.select(None)
            message = tr("{cells} suggestions accepted. [edit.undo] undoes all of them.", cells=len(cells))
            if remaining:
                message += " " + trn(
                    "{count} is skipped: {why}",
                    "{count} are skipped: {why}",
                    remaining,
                    why=" ".join(reasons),
                )
            self._opened.notify("info", message)
        return cells
