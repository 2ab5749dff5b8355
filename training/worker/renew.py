"""Learning between rounds: heads fitted on the labels so far, on features that are known already.

A round takes minutes; the heads alone are fitted in less than a second (`training.engine.recipe`). What they
predict is written over class and values of what is pending, box and confidence stay, and the suggestions are
marked: nothing of what was measured of their model holds for them. No model is made of it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from annotation_store.project import Project
from annotation_store.records import Proposal, Suggestion
from training import ranking
from training.engine.data import Labels, labelled_cells
from training.engine.recipe import Cells, Mixing, fit_heads
from training.inference.stain_proposals import has_box_from_stain
from training.models.memory import Memory, source_of
from training.models.model import LearnedModel, adapt
from training.networks.vocabulary import Vocabulary
from training.protocol import DescribeRequest, Done, Renewed, RenewRequest, Started
from training.worker.annotated_fields import AnnotatedField, knowledge
from training.worker.box_predictor import BoxPredictor, tell_looking
from training.worker.channel import Channel
from training.worker.embedded import model_of, vectors_of

if TYPE_CHECKING:
    from training.models.calibration import Calibration
    from training.models.model import Taught

_MOST_A_VALUE = 200
"""Cells of each value that heads are fitted on between rounds: more cost time, and hardly move them."""

_GROWN = 1.2
"""How discriminants are mixed with their heads is chosen anew when a value has so many times the cells."""

_AT_ONCE = 250
"""Suggestions that are predicted and written before it is asked whether to stop: a tenth of a second."""

_NOTICEABLE = 0.01
"""A suggestion is written anew if a probability has moved by as much, or what it states is another."""


def renew(request: RenewRequest, channel: Channel, device: torch.device) -> Done:
    """Fit the heads and predict what is pending anew; see `RenewRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        heads = _heads_of(project, request.model, device)
        known = knowledge(project)
        channel.send(Started(task="renew", device=str(device), fields=len(known)))
        taught = heads.fit(project, known, channel)
        predicting = BoxPredictor(project, heads.model, known, channel)
        seen = set(request.first)
        looked_at = set(project.embeddings.fields(ranking.STARTER)) if heads.number is None else set()
        # these are on the screen: they do not wait for the others
        shown = [one for field_id in sorted(seen) for one in project.suggestions.find(field_id)]
        count = _renew(project, heads, predicting, shown, looked_at, channel)
        if seen and not count:
            channel.send(Renewed(field_ids=[], count=0))  # what is on the screen is as it should be
        channel.check()
        every = project.suggestions.find()
        others = sum(not heads.predicted(one, looked_at) for one in every)
        rest = [one for one in every if one.field_id not in seen]
        count += _renew(project, heads, predicting, rest, looked_at, channel)
        channel.check()
        if request.rank and count:
            ranking.update(project, on_field=channel.check)
        result = {
            "cells": taught,
            "count": count,
            "of_another_model": others,
            "damaged": sorted(predicting.damaged),
        }
    return Done(task="renew", model_id=heads.number, result=result)


def describe(request: DescribeRequest, channel: Channel, device: torch.device) -> Done:
    """Predict class and values of boxes; see `DescribeRequest`."""
    with Project.open(request.project, reading=request.reading, annotator=request.annotator) as project:
        heads = _heads_of(project, request.model, device)
        field = project.fields.get(request.field)
        known = knowledge(project)
        channel.send(Started(task="describe", device=str(device), fields=1))
        if not heads.fitted:
            heads.fit(project, known, channel)
        places = [(field.id, box) for box in request.boxes]
        found = BoxPredictor(project, heads.model, known, channel).of(places, np.ones(len(places)))
    result: dict[str, Any] = {
        "field": field.id,
        "boxes": [
            None
            if one is None
            else {
                "class": dict(one.class_probabilities),
                "attributes": {name: dict(values) for name, values in one.attribute_probabilities.items()},
                "novelty": one.novelty,
                "unchecked": one.unchecked,
            }
            for one in found
        ],
    }
    return Done(task="describe", model_id=heads.number, result=result)


# --- the heads -------------------------------------------------------------------------------------------


class _Heads:
    """A model's heads between rounds: fitted again and again, each time from where the model left them.

    Attributes
    ----------
    fitted
        How many labelled cells they were fitted on; 0 = they are the model's own.
    """

    def __init__(self, parent: LearnedModel, number: int | None, vocabulary: Vocabulary, source: int) -> None:
        self.number = number
        self.fitted = 0
        self._mixing: dict[int, Mixing] = {}
        self._mixed_at: dict[tuple[int, int], int] = {}
        self.model = adapt(parent, vocabulary, source)
        self.model.size, self.model.card = parent.size, parent.card
        self.model.vocabulary = vocabulary
        self._begun = _Begun.of(self.model)

    def fit(self, project: Project, known: Sequence[AnnotatedField], channel: Channel) -> int:
        """Fit them on the project's labelled cells, and return on how many; without any they are reset."""
        self._begun.restore(self.model)
        self.fitted = 0
        fields = [one.training_field(project) for one in known]
        places, labels = labelled_cells(fields, self.model.vocabulary, most=_MOST_A_VALUE)
        some = [(i, j) for i, of_field in enumerate(places) for j in of_field]
        if not some:
            return 0
        features = vectors_of(project, self.model).of(
            project,
            self.model,
            [(known[i].field.id, known[i].on_field(fields[i].cells[j].box)) for i, j in some],
            sides={one.field.id: one.cell_side for one in known},
            on_field=tell_looking(channel),
        )
        whole = np.isfinite(features).all(1)
        if not whole.any():
            return 0
        rows, of = labels.rows_of(np.flatnonzero(whole))
        labels = replace(
            labels, allowed=[head[rows] for head in labels.allowed], weights=labels.weights[rows], cell_ids=of
        )
        some = [one for one, is_whole in zip(some, whole, strict=True) if is_whole]
        units = np.array([known[i].patient for i, _ in some], str)
        counts = self._count(labels)
        if any(count > _GROWN * self._mixed_at.get(value, 0) for value, count in counts.items()):
            self._mixing, self._mixed_at = {}, counts
        self._mixing = fit_heads(self.model, Cells(features[whole], labels, units, some), mixing=self._mixing)
        self.fitted = len(some)
        return self.fitted

    def predicted(self, suggestion: Suggestion, looked_at: Collection[int]) -> bool:
        """Return whether the heads predict a suggestion: the model's own, or a box from the stain.

        The stain names no class, so whatever the labels so far teach is all that is known of its boxes.

        Parameters
        ----------
        looked_at
            Ids of the fields that the starter has looked at.
        """
        one = suggestion.proposal
        if has_box_from_stain(suggestion):
            return True
        if suggestion.model_id is not None or self.number is not None:
            return suggestion.model_id == self.number
        # In a schema of words that the starter was never taught, it says nothing of class and novelty.
        silent = not one.class_probabilities and suggestion.field_id in looked_at
        return one.novelty is not None or suggestion.renewed or silent

    def _count(self, labels: Labels) -> dict[tuple[int, int], int]:
        """Count the cells of each head's values that the project shows, the remembered ones too."""
        return {
            (head, value): int(count) + int((self.model.memory.labels[:, head] == value).sum())
            for head, allowed in enumerate(labels.allowed)
            for value, count in enumerate(allowed.sum(0))
            if count
        }


@dataclass
class _Begun:
    """What fitting heads changes of a model, as it was before."""

    lines: dict[str, torch.Tensor]
    memory: Memory
    calibration: Calibration
    taught: Taught

    @classmethod
    def of(cls, model: LearnedModel) -> _Begun:
        lines = copy.deepcopy(model.describer.lines.state_dict())
        return cls(lines, model.memory, model.calibration, model.taught)

    def restore(self, model: LearnedModel) -> None:
        model.describer.lines.load_state_dict(self.lines)
        model.memory, model.calibration, model.taught = self.memory, self.calibration, self.taught


_kept: tuple[LearnedModel, _Heads] | None = None
"""The model of the last request, and its heads: of a project one model is in use."""


def _heads_of(project: Project, choice: str | int, device: torch.device) -> _Heads:
    global _kept
    parent, number = model_of(project, choice, str(device))
    if _kept is None or _kept[0] is not parent:
        vocabulary = Vocabulary.from_schema(project.schema)
        heads = _Heads(parent, number, vocabulary, source_of(project.uid))
        heads.model.to(device)
        _kept = (parent, heads)
    return _kept[1]


# --- what is pending -------------------------------------------------------------------------------------


def _renew(
    project: Project,
    heads: _Heads,
    predicting: BoxPredictor,
    suggestions: Sequence[Suggestion],
    looked_at: Collection[int],
    channel: Channel,
) -> int:
    """Write what is predicted of the model's suggestions over what was; return how many changed.

    Of a box from the stain nothing is said that no label taught.
    """
    every = [s for s in suggestions if heads.predicted(s, looked_at)]
    count = 0
    for start in range(0, len(every), _AT_ONCE):
        channel.check()
        mine = every[start : start + _AT_ONCE]
        confidences = np.array([s.confidence for s in mine])
        found = predicting.of([(s.field_id, s.box) for s in mine], confidences)
        if not heads.fitted:
            found = [
                Proposal(s.box, s.confidence) if has_box_from_stain(s) else one
                for s, one in zip(mine, found, strict=True)
            ]
        new = {
            suggestion.id: one
            for suggestion, one in zip(mine, found, strict=True)
            if one is not None and _differs(suggestion.proposal, one)
        }
        if not new:
            continue
        channel.check()
        done = set(project.suggestions.renew(new))
        count += len(done)
        field_ids = sorted({suggestion.field_id for suggestion in mine if suggestion.id in done})
        channel.send(Renewed(field_ids=field_ids, count=len(done)))
    return count


def _differs(old: Proposal, new: Proposal) -> bool:
    if (old.stated_class, old.unchecked) != (new.stated_class, new.unchecked):
        return True
    pairs = [(old.class_probabilities, new.class_probabilities)]
    pairs += [
        (old.attribute_probabilities.get(name, {}), values)
        for name, values in new.attribute_probabilities.items()
    ]
    return old.attribute_probabilities.keys() != new.attribute_probabilities.keys() or any(
        _moved(one, other) for one, other in pairs
    )


def _moved(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    return old.keys() != new.keys() or any(abs(p - old[name]) > _NOTICEABLE for name, p in new.items())
