"""Fit the heads between training rounds: on the labels so far, on stored features.

A round takes minutes; the heads alone are fitted in less than a second (`training.engine.recipe`). Their
predictions replace class and values of pending suggestions, not box and confidence, and the suggestions are
marked: the evaluation of their model does not apply to them. No model is saved.
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
from training.engine.cell_features import Cells
from training.engine.data import Labels, labelled_cells
from training.engine.recipe import Mixing, fit_heads
from training.inference.stain_proposals import has_box_from_stain
from training.models.memory import Memory, source_of
from training.models.model import LearnedModel, adapt
from training.networks.vocabulary import Vocabulary
from training.protocol import DescribeRequest, Done, Renewed, RenewRequest, Started
from training.worker.annotated_fields import AnnotatedField, annotated_fields
from training.worker.box_predictor import BoxPredictor, tell_looking
from training.worker.channel import Channel
from training.worker.embedded import model_of, vectors_of

if TYPE_CHECKING:
    from training.models.calibration import Calibration
    from training.models.model import Taught
    from training.worker.films import Films

_MAX_PER_VALUE = 200
"""Maximum number of cells of each value that heads are fitted on between rounds: more hardly change them."""

_GROWN = 1.2
"""The mixing of discriminants and heads is selected again if a value has this many times the cells."""

_BATCH_SIZE = 250
"""Number of suggestions in a batch, after which the task can be cancelled: a tenth of a second."""

_NOTICEABLE = 0.01
"""A suggestion is updated if a probability has changed by more, or the predicted class has changed."""


def renew(request: RenewRequest, channel: Channel, device: torch.device) -> Done:
    """Fit the heads and update the pending suggestions; see `RenewRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        heads = _heads_of(project, request.model, device)
        known = annotated_fields(project)
        channel.send(Started(task="renew", device=str(device), fields=len(known)))
        taught = heads.fit(project, known, channel)
        predicting = BoxPredictor(project, heads.model, known, channel)
        first = set(request.first)
        starter_fields = set(project.embeddings.fields(ranking.STARTER)) if heads.number is None else set()
        # update the current field first
        on_screen = [
            suggestion for field_id in sorted(first) for suggestion in project.suggestions.find(field_id)
        ]
        count = _renew(project, heads, predicting, on_screen, starter_fields, channel)
        if first and not count:
            channel.send(Renewed(field_ids=[], count=0))  # the current field is up to date
        channel.check()
        all_suggestions = project.suggestions.find()
        others = sum(not heads.predicted(suggestion, starter_fields) for suggestion in all_suggestions)
        rest = [suggestion for suggestion in all_suggestions if suggestion.field_id not in first]
        count += _renew(project, heads, predicting, rest, starter_fields, channel)
        channel.check()
        if request.rank and count:
            ranking.update(project, on_field=channel.check)
        if taught:
            predicting.films.tell_without_classes(channel)
        result = {
            "cells": taught,
            "count": count,
            "of_another_model": others,
            "damaged": sorted(predicting.damaged),
        }
    return Done(task="renew", model_id=heads.number, result=result)


def learn_from_labels(
    project: Project,
    model: LearnedModel,
    number: int | None,
    channel: Channel,
    films: Films,
    field_ids: Collection[int],
) -> int:
    """Update what a model has just suggested on fields from the labels, as `renew` does afterwards.

    Only of a model without measured classes: the starter, in a project without a trained model, or a model
    that tells no classes of the schema apart. Of the others, what the measured model says is shown.

    Parameters
    ----------
    model, number
        The model that suggested, and its number; ``None`` = the starter.
    films
        Those that it suggested on: they are judged with what was learned.

    Returns
    -------
    int
        How many more of the suggestions are unknown than before.
    """
    active = project.models.active()
    if number != (None if active is None else active.id) or (number is not None and model.predicts_classes):
        return 0
    known = annotated_fields(project)
    if not any(cell.cell_class or cell.attributes for item in known for cell in item.cells):
        return 0
    heads = _heads_of(project, "active", next(model.detector.parameters()).device)
    if not heads.fit(project, known, channel):
        return 0
    predicting = BoxPredictor(project, heads.model, known, channel)
    starter_fields = set(project.embeddings.fields(ranking.STARTER)) if number is None else set()
    wanted = set(field_ids)
    before = [one for one in project.suggestions.find() if one.field_id in wanted]
    _renew(project, heads, predicting, before, starter_fields, channel)
    films.learn(heads.model)
    after = [one for one in project.suggestions.find() if one.field_id in wanted]
    return sum(one.is_unknown for one in after) - sum(one.is_unknown for one in before)


def describe(request: DescribeRequest, channel: Channel, device: torch.device) -> Done:
    """Predict class and attributes of boxes; see `DescribeRequest`."""
    with Project.open(request.project, reading=request.reading, annotator=request.annotator) as project:
        heads = _heads_of(project, request.model, device)
        field = project.fields.get(request.field)
        known = annotated_fields(project)
        channel.send(Started(task="describe", device=str(device), fields=1))
        if not heads.fitted:
            heads.fit(project, known, channel)
        boxes = [(field.id, box) for box in request.boxes]
        proposals = BoxPredictor(project, heads.model, known, channel).of(boxes, np.ones(len(boxes)))
    result: dict[str, Any] = {
        "field": field.id,
        "boxes": [
            None
            if proposal is None
            else {
                "class": dict(proposal.class_probabilities),
                "attributes": {
                    name: dict(values) for name, values in proposal.attribute_probabilities.items()
                },
                "novelty": proposal.novelty,
                "unchecked": proposal.unchecked,
            }
            for proposal in proposals
        ],
    }
    return Done(task="describe", model_id=heads.number, result=result)


# --- the heads -------------------------------------------------------------------------------------------


class _Heads:
    """A model's heads between rounds: fitted repeatedly, each time from the model's own state.

    Attributes
    ----------
    fitted
        Number of labelled cells they were fitted on; 0 = they are the model's own.
    """

    def __init__(self, parent: LearnedModel, number: int | None, vocabulary: Vocabulary, source: int) -> None:
        self.number = number
        self.fitted = 0
        self._mixing: dict[int, Mixing] = {}
        self._mixed_at: dict[tuple[int, int], int] = {}
        self.model = adapt(parent, vocabulary, source)
        self.model.size, self.model.card = parent.size, parent.card
        self.model.vocabulary = vocabulary
        self._initial = _InitialState.of(self.model)

    def fit(self, project: Project, known: Sequence[AnnotatedField], channel: Channel) -> int:
        """Fit them on the project's labelled cells; return their number. Without any, the heads are reset."""
        self._initial.restore(self.model)
        self.fitted = 0
        fields = [item.training_field(project) for item in known]
        chosen, labels = labelled_cells(fields, self.model.vocabulary, most=_MAX_PER_VALUE)
        positions = [(i, j) for i, of_field in enumerate(chosen) for j in of_field]
        if not positions:
            return 0
        features = vectors_of(project, self.model).of(
            project,
            self.model,
            [(known[i].field.id, known[i].on_field(fields[i].cells[j].box)) for i, j in positions],
            sides={item.field.id: item.cell_side for item in known},
            on_field=tell_looking(channel),
        )
        finite = np.isfinite(features).all(1)
        if not finite.any():
            return 0
        rows, cell_ids = labels.rows_of(np.flatnonzero(finite))
        labels = replace(
            labels,
            allowed=[head[rows] for head in labels.allowed],
            weights=labels.weights[rows],
            cell_ids=cell_ids,
        )
        positions = [position for position, is_whole in zip(positions, finite, strict=True) if is_whole]
        units = np.array([known[i].patient for i, _ in positions], str)
        counts = self._count(labels)
        if any(count > _GROWN * self._mixed_at.get(value, 0) for value, count in counts.items()):
            self._mixing, self._mixed_at = {}, counts
        self._mixing = fit_heads(
            self.model, Cells(features[finite], labels, units, positions), mixing=self._mixing
        )
        self.fitted = len(positions)
        return self.fitted

    def predicted(self, suggestion: Suggestion, starter_fields: Collection[int]) -> bool:
        """Return whether the heads update a suggestion: one of the model, or a box from the stain.

        Boxes from the stain have no class otherwise.

        Parameters
        ----------
        starter_fields
            Ids of the fields that the starter has predicted.
        """
        proposal = suggestion.proposal
        if has_box_from_stain(suggestion):
            return True
        if suggestion.model_id is not None or self.number is not None:
            return suggestion.model_id == self.number
        # with a schema that shares no class with the starter, its suggestions have neither class nor novelty
        silent = not proposal.class_probabilities and suggestion.field_id in starter_fields
        return proposal.novelty is not None or suggestion.renewed or silent

    def _count(self, labels: Labels) -> dict[tuple[int, int], int]:
        """Count the cells of each head's values, in the project and in the memory."""
        return {
            (head, value): int(count) + int((self.model.memory.labels[:, head] == value).sum())
            for head, allowed in enumerate(labels.allowed)
            for value, count in enumerate(allowed.sum(0))
            if count
        }


@dataclass
class _InitialState:
    """The parts of a model that fitting the heads changes, before the fit."""

    lines: dict[str, torch.Tensor]
    memory: Memory
    calibration: Calibration
    taught: Taught

    @classmethod
    def of(cls, model: LearnedModel) -> _InitialState:
        lines = copy.deepcopy(model.describer.lines.state_dict())
        return cls(lines, model.memory, model.calibration, model.taught)

    def restore(self, model: LearnedModel) -> None:
        model.describer.lines.load_state_dict(self.lines)
        model.memory, model.calibration, model.taught = self.memory, self.calibration, self.taught


_cached: tuple[LearnedModel, _Heads] | None = None
"""The model of the last request, and its heads."""


def _heads_of(project: Project, choice: str | int, device: torch.device) -> _Heads:
    global _cached
    parent, number = model_of(project, choice, str(device))
    if _cached is None or _cached[0] is not parent:
        vocabulary = Vocabulary.from_schema(project.schema)
        heads = _Heads(parent, number, vocabulary, source_of(project.uid))
        heads.model.to(device)
        _cached = (parent, heads)
    return _cached[1]


# --- pending suggestions ---------------------------------------------------------------------------------


def _renew(
    project: Project,
    heads: _Heads,
    predicting: BoxPredictor,
    suggestions: Sequence[Suggestion],
    starter_fields: Collection[int],
    channel: Channel,
) -> int:
    """Update the model's suggestions; return the number of changed ones.

    Boxes from the stain have no class if the heads were not fitted.
    """
    own_suggestions = [s for s in suggestions if heads.predicted(s, starter_fields)]
    count = 0
    for start in range(0, len(own_suggestions), _BATCH_SIZE):
        channel.check()
        batch = own_suggestions[start : start + _BATCH_SIZE]
        confidences = np.array([s.confidence for s in batch])
        proposals = predicting.of([(s.field_id, s.box) for s in batch], confidences)
        if not heads.fitted:
            proposals = [
                Proposal(s.box, s.confidence) if has_box_from_stain(s) else proposal
                for s, proposal in zip(batch, proposals, strict=True)
            ]
        new = {
            suggestion.id: proposal
            for suggestion, proposal in zip(batch, proposals, strict=True)
            if proposal is not None and _differs(suggestion.proposal, proposal)
        }
        if not new:
            continue
        channel.check()
        done = set(project.suggestions.renew(new))
        count += len(done)
        field_ids = sorted({suggestion.field_id for suggestion in batch if suggestion.id in done})
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
        _has_changed(before, after) for before, after in pairs
    )


def _has_changed(old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    return old.keys() != new.keys() or any(abs(p - old[name]) > _NOTICEABLE for name, p in new.items())
