"""Domain shifts of films, and whether predictions on them were validated.

Shifts are estimated by `training.similarity.novelty`.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from training.evaluation.unchecked_films import joined_reason, needed_cells, no_classes_reason
from training.inference.predict import Move, RawProposals, novelty_of
from training.models.lineage import count_labelled, count_taught
from training.models.model import LearnedModel
from training.networks.scale import domain_of, domain_of_size
from training.protocol import Notice
from training.similarity.novelty import Novelty
from training.worker.annotated_fields import AnnotatedField
from training.worker.channel import Channel
from training.worker.embedded import vectors_of

if TYPE_CHECKING:
    from annotation_store.project import Project

_MAX_LABELLED = 100
"""Maximum number of labelled cells that estimate the shift of a film: more hardly change the mean."""

_MIN_CONFIDENCE = 0.5
"""Minimum confidence of proposals used to judge a film."""

_MAX_CELLS = 200
"""Maximum number of likely cells of a film that test it for a shift."""


class Films:
    """The films (domains) that a model is applied to, by name.

    Parameters
    ----------
    known
        Annotated fields, whose labelled cells estimate the shifts of their films.
    """

    def __init__(self, project: Project, model: LearnedModel, known: Sequence[AnnotatedField]) -> None:
        self._model = model
        self._joined = model.joined
        self._novelty = novelty_of(model)
        self._transformed: dict[str, list[np.ndarray]] = defaultdict(list)
        self._shifts: dict[str, np.ndarray] = {}
        self._labelled: dict[str, int] = {}
        self._project = project
        self._known: dict[str, list[AnnotatedField]] = defaultdict(list)
        self._of_size: dict[tuple[int, int], set[str]] = defaultdict(set)
        self._seen: Counter[str] = Counter()
        for item in known:
            self._known[domain_of(item.field)].append(item)
            self._of_size[item.field.width, item.field.height].add(domain_of(item.field))

    def of_size(self, width: int, height: int) -> str:
        """Return the film of an image of known size: the project's only film of that size."""
        films = self._of_size.get((width, height), set())
        return next(iter(films)) if len(films) == 1 else domain_of_size(width, height)

    def move(self, film: str) -> Move:
        """Return the shift of a film's features; 0 without a labelled cell of a trained class."""
        if self._novelty is None or film not in self._known:
            return 0.0
        if film not in self._shifts:
            self._shifts[film] = self._estimate_shift(self._novelty, self._known[film])
        return self._shifts[film]

    def is_unchecked(self, film: str) -> bool:
        """Return whether a film has too few labelled cells to validate predictions."""
        return self._count_labelled(film) < self.needed

    @cached_property
    def needed(self) -> int:
        """Number of labelled cells of a film from which on predictions on it count as validated."""
        return needed_cells(
            predicts_classes=self._model.predicts_classes, tells_unlike=novelty_of(self._model) is not None
        )

    def tell_without_classes(self, channel: Channel) -> None:
        """Send a notice if the suggestions of the model have no class, or never a joined one."""
        if joined := self.joined_in_vain():
            channel.send(Notice(reason=joined_reason(joined).stored()))
        classes = self._model.vocabulary.classes
        if not classes or self._model.predicts_classes:
            return
        of_cells = (cell.cell_class for items in self._known.values() for k in items for cell in k.cells)
        labelled = Counter(name for name in of_cells if name in classes)
        channel.send(Notice(reason=no_classes_reason(labelled).stored()))

    def count_later_classes(self) -> int:
        """Count the cells labelled with a class that the model has not learned, if it has learned others."""
        known, classes = self._model.trained_values()[0], self._model.vocabulary.classes
        if not classes or known is None:
            return 0
        later = {name for name, is_known in zip(classes, known, strict=True) if not is_known}
        return sum(
            cell.cell_class in later for items in self._known.values() for k in items for cell in k.cells
        )

    def joined_in_vain(self) -> list[str]:
        """Return the classes that several of the model's have become, and that it has not learned since."""
        taught = self._model.taught.get("class", {})
        return [name for name in self._joined if not taught.get(name)]

    def learn(self, model: LearnedModel) -> None:
        """Judge what was predicted by a model that has since learned from the project's labels.

        Parameters
        ----------
        model
            Made from the one that predicted: boxes, and shifts of films, are still the latter's.
        """
        self._model = model
        self._labelled.clear()
        self.__dict__.pop("needed", None)

    def trust(self) -> dict[str, Any]:
        """Return the arguments of `unchecked_films.trust_reasons`, the largest films first."""
        unchecked = [film for film in self._by_size() if self.is_unchecked(film)]
        labelled = {film: self._count_labelled(film) for film in unchecked}
        return {
            "unlike": self.unlike(),
            "unchecked": unchecked,
            "labelled": labelled,
            "needed": self.needed,
            "not_learned": {film: count for film in unchecked if (count := self._count_not_learned(film))},
            "described": any(known is not None for known in self._model.trained_values()),
        }

    def _count_labelled(self, film: str) -> int:
        if film not in self._labelled:
            model, cells = self._model, chain.from_iterable(k.cells for k in self._known.get(film, ()))
            self._labelled[film] = count_labelled(
                self._project, model.card, film, cells, model.vocabulary, model.trained_values()
            )
        return self._labelled[film]

    def _count_not_learned(self, film: str) -> int:
        """Count the cells of a film that are labelled with nothing that the model has learned."""
        cells = chain.from_iterable(k.cells for k in self._known.get(film, ()))
        return count_taught(cells, self._model.vocabulary, self._model.trained_values())[1]

    def note(self, film: str, raw: RawProposals) -> None:
        """Record the features of the likely cells of a field; mark predictions that were not validated."""
        self._seen[film] += 1
        raw.unchecked = self.is_unchecked(film)
        if raw.places is not None and sum(map(len, self._transformed[film])) < _MAX_CELLS:
            likely = self._model.calibration.confidence(raw.scores) >= _MIN_CONFIDENCE
            self._transformed[film].append(raw.places[likely])

    def unlike(self) -> list[str]:
        """Return the films with a domain shift from the training films, the largest first."""
        if self._novelty is None:
            return []
        return [
            film
            for film in self._by_size()
            if (transformed := self._transformed.get(film))
            and self._novelty.is_shifted(np.concatenate(transformed))
        ]

    def _by_size(self) -> list[str]:
        """Return the films that were predicted, those of most fields first."""
        return sorted(self._seen, key=lambda film: (-self._seen[film], film))

    def _estimate_shift(self, novelty: Novelty, known: Sequence[AnnotatedField]) -> np.ndarray:
        classes = list(self._model.vocabulary.classes)
        taught = {classes[value] for value in novelty.values}
        cells = [(k, cell) for k in known for cell in k.cells if cell.cell_class in taught]
        sample = random.Random(0).sample(cells, min(_MAX_LABELLED, len(cells)))
        if not sample:  # an empty query would take 10 ms
            return novelty.estimate_shift(np.zeros((0, self._model.describer.features), np.float32), [])
        features = vectors_of(self._project, self._model).of(
            self._project,
            self._model,
            [(item.field.id, cell.box) for item, cell in sample],
            sides={item.field.id: item.cell_side for item, _ in sample},
        )
        finite = np.isfinite(features).all(1)
        labels = np.array([classes.index(str(cell.cell_class)) for _, cell in sample], int)
        return novelty.estimate_shift(features[finite], labels[finite].tolist())
