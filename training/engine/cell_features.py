"""Embed a project's cells, and store what a model remembers of them (`training.models.memory`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from training.engine.augment import OTHER_LOOKS, jitter
from training.engine.data import Labels, TrainingField, each_cell, labelled_cells
from training.models.memory import OUTSIDE, Memory, single_labels
from training.models.model import LearnedModel
from training.networks.describer import cut_crop, features_of
from training.networks.devices import to_tensor

MAX_PER_VALUE = 1500
"""Maximum number of cells of each value that are embedded: more would hardly change the mean of a class."""
_SHIFTED_CELLS, _SHIFTS_PER_CELL, _SHIFT_RANK = 240, 4, 64
"""Number of cells, simulated domain shifts per cell, and rank of their second moment: 95% of the variance."""


@dataclass
class Cells:
    """A project's labelled cells as features.

    Attributes
    ----------
    features
        ``(n, F)`` float32.
    labels
        Of these cells.
    units
        ``(n,)`` str: the unit (`annotation_store.splits.units`) of each.
    places
        Of each the number of its field, and its place among that field's cells.
    """

    features: np.ndarray
    labels: Labels
    units: np.ndarray
    positions: list[tuple[int, int]]


def embed_cells(
    model: LearnedModel,
    fields: Sequence[TrainingField],
    *,
    most: int = MAX_PER_VALUE,
    seed: int = 0,
    on_field: Callable[[int], None] | None = None,
    embed: Callable[[Sequence[tuple[TrainingField, list[int]]]], list[np.ndarray]] | None = None,
) -> Cells:
    """Embed all labelled cells, or `most` of each value if there are more.

    The pixels of one field at a time are held in memory.

    Parameters
    ----------
    embed
        Return the features of cells of fields, given by their indices; ``None`` = compute them here.
    """
    model.eval()  # in training mode, batch norms would mix the cells of a batch
    chosen, labels = labelled_cells(fields, model.vocabulary, most=most, seed=seed)
    features = [np.zeros((0, model.describer.features), np.float32)]
    if embed is not None:
        features += embed(list(zip(fields, chosen, strict=True)))
    for i, field in enumerate(fields if embed is None else ()):
        cells = list(each_cell(field, chosen[i], cut_crop))
        embedded = features_of(model.describer, [crop for crop, _ in cells], [size for _, size in cells])
        features.append(embedded.cpu().numpy())
        if on_field is not None:
            on_field(i + 1)
    positions = [(i, index) for i, indices in enumerate(chosen) for index in indices]
    units = np.array([fields[i].patient or fields[i].name for i, _ in positions], str)
    return Cells(np.concatenate(features), labels, units, positions)


def joined(cells: Cells, other: Cells, fields: int) -> Cells:
    """Append cells of other fields to those of the first `fields`."""
    return Cells(
        np.concatenate((cells.features, other.features)),
        cells.labels.joined(other.labels, len(cells.units)),
        np.concatenate((cells.units, other.units)),
        [*cells.positions, *((fields + i, index) for i, index in other.positions)],
    )


def remember(model: LearnedModel, cells: Cells, *, seed: int = 0) -> None:
    """Store the cells that a trunk was trained on; others were embedded by another trunk."""
    nothing = Memory.empty(model.describer.features, len(model.vocabulary.heads))
    model.memory = add_to_memory(nothing, cells, single_labels(cells.labels.allowed), model.source, seed)


def add_to_memory(memory: Memory, cells: Cells, labels: np.ndarray, source: int | None, seed: int) -> Memory:
    """Add a project's cells to a memory, with the given label of each row."""
    cell_ids = cells.labels.cell_ids
    return memory.with_cells(
        cells.features[cell_ids], labels, source, seed=seed, weights=cells.labels.weights, cell_ids=cell_ids
    )


def estimate_domain_shifts(model: LearnedModel, fields: Sequence[TrainingField], *, seed: int = 0) -> None:
    """Estimate the second moment of domain shifts between laboratories, and store it in the memory.

    Some cells are jittered as other stains, lamps and cameras might show them. The change of their features
    says nothing about the cells.
    """
    rng = np.random.default_rng(seed)
    crops, sizes = _sample_cells(fields, _SHIFTED_CELLS, rng)
    if not crops:
        return
    original = features_of(model.describer, crops, sizes).cpu().numpy()
    shifts = []
    for _ in range(_SHIFTS_PER_CELL):
        jittered = jitter(to_tensor(crops, torch.device("cpu")), rng, **OTHER_LOOKS)
        pixels = (jittered.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        shifts.append(features_of(model.describer, list(pixels), sizes).cpu().numpy() - original)
    stacked = np.concatenate(shifts).astype(np.float64)
    lengths, axes = np.linalg.svd(stacked / max(1, len(stacked)) ** 0.5, full_matrices=False)[1:]
    looks = (lengths[:, None] * axes)[:_SHIFT_RANK].astype(np.float16)
    model.memory = replace(model.memory, looks=looks)


def remember_untaught(model: LearnedModel, fields: Sequence[TrainingField], *, seed: int = 0) -> None:
    """Store up to `OUTSIDE` cells of classes that are not in the model's vocabulary."""
    crops, sizes = _sample_cells(fields, OUTSIDE, np.random.default_rng(seed))
    embedded = features_of(model.describer, crops, sizes).cpu().numpy()
    model.memory = replace(model.memory, outside=embedded.astype(np.float16))


def _sample_cells(
    fields: Sequence[TrainingField], most: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[float]]:
    """Sample cells of fields, labelled or not; return their crops and sizes."""
    cells = [
        crop_and_size
        for field in fields
        for crop_and_size in each_cell(field, range(len(field.cells)), cut_crop)
    ]
    chosen = [cells[i] for i in rng.permutation(len(cells))[:most]]
    return [crop for crop, _ in chosen], [size for _, size in chosen]
