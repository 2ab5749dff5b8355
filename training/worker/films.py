"""How films look to a model, and whether what it says of them was ever checked.

How far off their cells lie from those it learnt is told by `training.similarity.novelty`.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.records import Cell
from training.evaluation.unchecked_films import MIN_CHECKED_CELLS
from training.inference.predict import Move, RawProposals, novelty_of
from training.models.lineage import learnt_from
from training.models.model import LearnedModel
from training.networks.scale import domain_of, domain_of_size
from training.similarity.novelty import Novelty
from training.worker.annotated_fields import AnnotatedField
from training.worker.embedded import vectors_of

if TYPE_CHECKING:
    from annotation_store.project import Project

_LABELLED = 10
"""Labelled cells of a film that are looked at: more hardly move the mean."""

_LIKELY = 0.5
"""Minimum confidence of proposals used to judge a film."""

_KEPT = 200
"""Likely cells of a film that are kept to judge its look by."""


class Films:
    """The films (domains) that a model is shown, by name.

    Parameters
    ----------
    known
        Fields with labelled cells among them; those of a film show how far its cells are moved.
    """

    def __init__(self, project: Project, model: LearnedModel, known: Sequence[AnnotatedField]) -> None:
        self._model = model
        self._novelty = novelty_of(model)
        self._places: dict[str, list[np.ndarray]] = defaultdict(list)
        self._moves: dict[str, np.ndarray] = {}
        self._labelled: dict[str, int] = {}
        self._project = project
        self._known: dict[str, list[AnnotatedField]] = defaultdict(list)
        self._of_size: dict[tuple[int, int], set[str]] = defaultdict(set)
        self._seen: set[str] = set()
        for one in known:
            self._known[domain_of(one.field)].append(one)
            self._of_size[one.field.width, one.field.height].add(domain_of(one.field))

    def of_size(self, width: int, height: int) -> str:
        """Return the film of an image of known size: the project's only film of that size."""
        films = self._of_size.get((width, height), set())
        return next(iter(films)) if len(films) == 1 else domain_of_size(width, height)

    def move(self, film: str) -> Move:
        """Return the shift of a film's features; 0 without a labelled cell of a trained class."""
        if self._novelty is None or film not in self._known:
            return 0.0
        if film not in self._moves:
            self._moves[film] = self._look(self._novelty, self._known[film])
        return self._moves[film]

    def is_unchecked(self, film: str) -> bool:
        """Return whether what is said of a film rests on too few labelled cells of it."""
        return self._count_labelled(film) < MIN_CHECKED_CELLS

    def trust(self) -> dict[str, Any]:
        """Return what `training.evaluation.unchecked_films.trust_reasons` takes."""
        unchecked = sorted(film for film in self._seen if self.is_unchecked(film))
        labelled = {film: self._count_labelled(film) for film in unchecked}
        return {"unlike": self.unlike(), "unchecked": unchecked, "labelled": labelled}

    def _count_labelled(self, film: str) -> int:
        """Count the labelled cells of a film, of the reading or of those that the model has learnt from."""
        if film not in self._labelled:
            labelled = sum(
                map(self._teaches, chain.from_iterable(k.cells for k in self._known.get(film, ())))
            )
            learnt = learnt_from(self._project, self._model.card, film)
            self._labelled[film] = max(labelled, learnt)
        return self._labelled[film]

    def _teaches(self, cell: Cell) -> bool:
        targets = self._model.vocabulary.targets(cell.cell_class, cell.attributes)
        return any(
            known is not None and bool((known & target).any())
            for known, target in zip(self._model.trained_values(), targets, strict=True)
        )

    def note(self, film: str, raw: RawProposals) -> None:
        """Record where the likely cells of a film's field lie; mark predictions that were not validated."""
        self._seen.add(film)
        raw.unchecked = self.is_unchecked(film)
        if raw.places is not None and sum(map(len, self._places[film])) < _KEPT:
            likely = self._model.calibration.confidence(raw.scores) >= _LIKELY
            self._places[film].append(raw.places[likely])

    def unlike(self) -> list[str]:
        """List the films that look unlike those that the model learnt from."""
        if self._novelty is None:
            return []
        return sorted(
            film
            for film, places in self._places.items()
            if places and self._novelty.is_shifted(np.concatenate(places))
        )

    def _look(self, novelty: Novelty, known: Sequence[AnnotatedField]) -> np.ndarray:
        classes = list(self._model.vocabulary.classes)
        taught = {classes[value] for value in novelty.values}
        cells = [(k, cell) for k in known for cell in k.cells if cell.cell_class in taught]
        some = random.Random(0).sample(cells, min(_LABELLED, len(cells)))
        if not some:  # to ask for nothing takes ten milliseconds
            return novelty.estimate_shift(np.zeros((0, self._model.describer.features), np.float32), [])
        seen = vectors_of(self._project, self._model).of(
            self._project,
            self._model,
            [(one.field.id, cell.box) for one, cell in some],
            sides={one.field.id: one.cell_side for one, _ in some},
        )
        whole = np.isfinite(seen).all(1)
        labels = np.array([classes.index(str(cell.cell_class)) for _, cell in some], int)
        return novelty.estimate_shift(seen[whole], labels[whole].tolist())
