"""The compared strategies: which fields and regions are annotated next, and with what help."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np

from annotation_store import Project
from annotation_store.records import Box, Field, Suggestion
from training import ranking
from training.evaluation.uncertainty import uncertainty
from training.ranking import acquisition as ranking_worth
from training.ranking.cells import rank_cells
from training.ranking.fields import BUDGET
from training.ranking.project import SHARE, groups_of, stored_words
from training.ranking.windows import best_windows
from training.simulate import AnnotationWork, SimulatedAnnotator


@dataclass(frozen=True)
class Arm:
    """A strategy.

    Attributes
    ----------
    fields
        Order of the fields: ``"random"``, ``"uncertain"`` (sum of uncertainty only) or ``"ranked"``.
    place
        Part of a field that is annotated: ``"whole"``, ``"random"`` (a region of a fifth) or ``"best"``.
    suggestions
        Whether the annotator reviews suggestions, or draws all boxes by hand.
    queue
        Number of suggestions of *teach me* reviewed per field, in addition to the region.
    diverse, rare
        Whether the ranking skips similar fields, and adds the bonus for rare classes and values.
    half
        Whether a round lasts only `Setting.half` of its seconds.
    """

    fields: str
    place: str
    suggestions: bool = True
    queue: int = 0
    diverse: bool = True
    rare: bool = True
    half: bool = False


QUEUE = 9

OURS = Arm("ranked", "best", queue=QUEUE, half=True)

ARMS: dict[str, Arm] = {
    "whole fields": Arm("random", "whole", suggestions=False),
    "random regions": Arm("random", "random", suggestions=False),
    "ours": OURS,
    "ours, by hand": replace(OURS, suggestions=False, queue=0, half=False),
    "uncertainty only": Arm("uncertain", "best", half=True),
    "ours, fields at random": replace(OURS, fields="random"),
    "ours, place at random": replace(OURS, place="random"),
    "ours, no teach-me queue": replace(OURS, queue=0),
    "ours, no diversity": replace(OURS, diverse=False),
    "ours, no rare bonus": replace(OURS, rare=False),
}
"""Strategies by name."""

MAIN = ("whole fields", "random regions", "ours", "ours, by hand")
"""Arms that are run by default."""


def without_bonus(arm: Arm) -> Any:
    """Return a context without the bonus for rare classes and values, if the arm has none."""
    return nullcontext() if arm.rare else mock.patch.multiple(ranking_worth, RARE_BONUS=0.0, VALUE_BONUS=0.0)


def work(
    project: Project, arm: Arm, person: SimulatedAnnotator, rng: np.random.Generator
) -> Iterator[AnnotationWork]:
    """Annotate one region after another; yield the work of each."""
    with without_bonus(arm):
        for field_id, box in _places(project, arm, rng):
            done = person.finish(field_id, box)
            if arm.queue:
                done += person.review(_teaching(project, field_id, arm.queue))
            yield done


def _teaching(project: Project, field_id: int, count: int) -> list[Suggestion]:
    """Return the suggestions outside the finished regions with the highest acquisition value."""
    waiting = {item.id: item for item in _open(project, field_id)}
    words, groups = stored_words(project), groups_of(project.schema)
    ranked = rank_cells(list(waiting.values()), ranking.Queue.TEACH, words=words, groups=groups)
    return [waiting[item.id] for item in ranked[:count] if item.id is not None]


def _places(project: Project, arm: Arm, rng: np.random.Generator) -> Iterator[tuple[int, Box | None]]:
    fields = {field.id: field for field in project.fields.all()}
    if arm.fields == "ranked":
        ranked = ranking.update(project, budget=BUDGET if arm.diverse else 0)
        order = [item.field_id for item in ranked]
    elif arm.fields == "uncertain":
        order = _by_doubt(project)
    else:
        order = [int(i) for i in rng.permutation(sorted(fields))]
        if arm.place == "whole":  # a finished field is skipped
            order = [i for i in order if not project.regions.all(i)]
    for field_id in order:
        if arm.place == "whole":
            yield field_id, None
        elif arm.place == "random":
            box = _random_region(project, fields[field_id], rng)
            if box is not None:
                yield field_id, box
        elif arm.fields == "uncertain":
            box = _doubtful_region(project, fields[field_id])
            if box is not None:
                yield field_id, box
        else:
            for item in ranking.regions(project, field_id):
                yield field_id, item.box


def _open(project: Project, field_id: int) -> list[Suggestion]:
    """Return the pending suggestions outside the finished regions."""
    finished = [region.shape for region in project.regions.all(field_id)]
    return [
        item
        for item in project.suggestions.find(field_id)
        if not any(shape.contains_centre(item.box) for shape in finished)
    ]


def _by_doubt(project: Project) -> list[int]:
    sums = {
        field.id: sum(uncertainty(item.proposal) for item in _open(project, field.id))
        for field in project.fields.all()
    }
    return sorted(sums, key=lambda field_id: (-sums[field_id], field_id))


def _random_region(project: Project, field: Field, rng: np.random.Generator) -> Box | None:
    return _region(project, field, rng.uniform(0, 1, (1, 2)) * (field.width, field.height), np.ones(1))


def _doubtful_region(project: Project, field: Field) -> Box | None:
    some = [item.proposal for item in _open(project, field.id)]
    centres = np.array([(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) for p in some]).reshape(-1, 2)
    return _region(project, field, centres, np.array([uncertainty(p) for p in some]))


def _region(project: Project, field: Field, centres: np.ndarray, weights: np.ndarray) -> Box | None:
    """Return the window of a fifth of the field with the highest sum of weights, outside its regions."""
    known = [region.shape for region in project.regions.all(field.id)]
    size, side = (field.width, field.height), SHARE**0.5
    found = best_windows(size, (side * field.width, side * field.height), centres, weights, known)
    return found[0][0] if found else None
