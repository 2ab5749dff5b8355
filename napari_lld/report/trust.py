"""How far suggestions can be relied on: sets that are claimed, films the model has not learned from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from annotation_store import Project
from napari_lld.report.facts import Facts
from napari_lld.report.numbers import Part
from training.evaluation.unchecked_films import CHECKED
from training.models.lineage import learnt_from
from training.networks.scale import domain_of


@dataclass(frozen=True, slots=True)
class SetRow:
    """What the model claims of sets of the class, or of an attribute.

    Attributes
    ----------
    coverage, size
        Share of held-out cells whose set holds the true value, and values of a set on average; ``None`` where
        too few cells allow no estimate.
    claimed
        Whether sets are claimed.
    """

    title: str
    cells: int
    patients: int
    claimed: bool
    coverage: float | None
    size: float | None


def set_rows(facts: Facts) -> list[SetRow]:
    """Give a row for the class and each attribute that held-out cells are labelled with."""
    heads = Part({} if facts.model is None else facts.model.card).part("sets", "heads")
    rows = []
    for name in heads:
        one = heads.part(name)
        rows.append(
            SetRow(
                "Class" if name == "class" else facts.words.attribute(name),
                one.count("cells"),
                one.count("patients"),
                one.number("mass") is not None,
                one.number("coverage"),
                one.number("size"),
            )
        )
    return rows


def films_not_learned(project: Project, facts: Facts) -> list[tuple[str, int]]:
    """Name the films of which the model has learned from fewer than `CHECKED` cells, with their fields.

    Without a model they are those of all fields, where the starter's suggestions wait. Empty for a model of a
    version that kept no account of it.
    """
    card = {} if facts.model is None else facts.model.card
    waiting = any(one.pending_suggestions for one in facts.summaries)
    if "learnt_films" not in card and (facts.model is not None or not waiting):
        return []
    fields = Counter(domain_of(one.field) for one in facts.summaries if not one.field.is_slide)
    return [
        (facts.words.domain(film), count)
        for film, count in fields.items()
        if learnt_from(project, card, film) < CHECKED
    ]
