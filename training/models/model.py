"""A model: detector, describer, vocabulary, calibration; reading, writing, and deriving one from another.

``model.safetensors`` holds the weights in float16, ``model.json`` the card with their SHA-256. Nothing is
pickled; a foreign or modified file is refused before any of it becomes a tensor.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from annotation_store.files.outputs import write_file
from training.evaluation.prediction_sets import Sets
from training.models.calibration import Calibration
from training.models.card import APPEARANCE, COLOURS, FORMAT, TRUNK, VERSIONS, DescriberName
from training.models.card import ModelError as ModelError
from training.models.folder import CARD as CARD
from training.models.folder import WEIGHTS as WEIGHTS
from training.models.folder import model_files
from training.models.folder import read_card as read_card
from training.models.folder import starter_place as starter_place
from training.models.memory import Memory
from training.networks.appearance import AppearanceDescriber
from training.networks.architectures import STARTER_ARCHITECTURE, ArchitectureName
from training.networks.colours import VERSION
from training.networks.describer import Describer
from training.networks.detector import build_detector
from training.networks.scale import STARTER_SIDES
from training.networks.vocabulary import Vocabulary, shares, trained_values

_MAX_BYTES = 500_000_000
_DISCRIMINANTS = "describer.lines."
_MEMORY = "memory."

Taught = dict[str, dict[str, float]]
"""Head name to value name to the number of cells it was trained on."""


@dataclass
class LearnedModel:
    """A trained model: everything that prediction needs.

    Attributes
    ----------
    size
        Input size of the detector: the longer side in pixels of a field of ordinary scale.
    sides
        Minimum and maximum side of a cell over `size` that it was trained on: see `training.networks.scale`.
    card
        Parent, config, seed, metrics and other metadata.
    taught
        Head name to value name to the number of training cells, the parents' included. An untrained value is
        never predicted: the output of its weights means nothing.
    architecture
        The detector's. The describer's trunk is that of a YOLO26n whatever the detector, or there is none and
        cells are described by their stain (`describe_by_appearance`).
    untaught
        Whether the detector was never trained on cells here (random weights, or an Ultralytics checkpoint):
        it takes its `sides` from its first training cells.
    taught_before
        The part of `taught` that does not come from its project.
    source
        Its project, as numbered in memories (`training.models.memory.source_of`); ``None`` = no project.
    memory
        Features of cells that it and its parents were trained on.
    sets
        Calibration of its prediction sets; none if there were too few held-out cells.
    joined
        Classes of the project that several of its own have become: it predicts none of these.
    """

    detector: nn.Module
    describer: Describer
    vocabulary: Vocabulary
    size: int = 448
    calibration: Calibration = field(default_factory=Calibration)
    card: dict[str, Any] = field(default_factory=dict)
    taught: Taught = field(default_factory=dict)
    taught_before: Taught = field(default_factory=dict)
    source: int | None = None
    sides: tuple[float, float] = STARTER_SIDES
    architecture: ArchitectureName = STARTER_ARCHITECTURE
    untaught: bool = False
    sets: Sets = field(default_factory=Sets)
    joined: tuple[str, ...] = ()
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.memory = Memory.empty(self.describer.features, len(self.vocabulary.heads))

    def to(self, device: str | torch.device) -> LearnedModel:
        """Move the weights."""
        self.detector.to(device)
        self.describer.to(device)
        return self

    def eval(self) -> LearnedModel:
        """Set all modules to evaluation mode."""
        for part in (self.detector, self.describer):
            if any(module.training for module in part.modules()):  # ten times faster than to set it
                part.eval()
        return self

    @property
    def sees_by_trunk(self) -> bool:
        """Whether its describer has a trunk; otherwise it describes cells by their stain."""
        return not isinstance(self.describer, AppearanceDescriber)

    @property
    def never_taught(self) -> bool:
        """Whether it was never trained on any cell, so that its trunk has never seen one."""
        return self.untaught and not self.was_taught and not len(self.memory)

    @property
    def was_taught(self) -> bool:
        """Whether it or its parents were trained on any cell with a value of its vocabulary."""
        return any(self.taught.values())

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Return parameters and running statistics by name."""
        for prefix, module in (("detector.", self.detector), ("describer.", self.describer)):
            for name, tensor in module.state_dict().items():
                yield prefix + name, tensor

    def load_tensors(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load parameters and running statistics by name; all are required."""
        for prefix, module in (("detector.", self.detector), ("describer.", self.describer)):
            own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            module.load_state_dict(own)

    def record_training(self, allowed: Sequence[np.ndarray], weights: np.ndarray | None = None) -> None:
        """Count the project's training cells, in addition to those of `taught_before`.

        Parameters
        ----------
        allowed
            Per head ``(n, K)`` bool, of all its cells; a group counts for its members in equal parts.
        weights
            ``(n, heads)``: the weight of each label; ``None`` = 1.
        """
        vocabulary = self.vocabulary
        self.taught = {name: dict(counts) for name, counts in self.taught_before.items()}
        head_weights = [None] * len(allowed) if weights is None else list(weights.T)
        for name, values, head_allowed, weight in zip(
            vocabulary.head_names, vocabulary.heads, allowed, head_weights, strict=True
        ):
            counts = self.taught.setdefault(name, {})
            for value, n in zip(values, shares(head_allowed, weight).sum(0), strict=True):
                if n:
                    counts[value] = round(counts.get(value, 0.0) + float(n), 3)

    def trained_values(self) -> list[np.ndarray | None]:
        """Return, per head, which values it predicts (`training.networks.vocabulary.trained_values`)."""
        return trained_values(self.vocabulary, self.taught)

    @property
    def predicts_classes(self) -> bool:
        """Whether it tells classes of its schema apart."""
        return bool(self.vocabulary.classes) and self.trained_values()[0] is not None

    def trunk_digest(self) -> str:
        """Hash the trunk: models with equal digests compute equal features, read from a file or not."""
        digest = hashlib.sha256(b"features 1")  # another number where crops or views change
        for name, tensor in sorted(self.describer.trunk.state_dict().items()):
            digest.update(name.encode())
            stored = tensor.half() if tensor.is_floating_point() else tensor  # as `write_model` keeps it
            digest.update(stored.detach().cpu().contiguous().numpy().tobytes())
        if self.describer.has_colours:
            digest.update(f"colours {VERSION}".encode())
        return digest.hexdigest()[:32]

    @torch.no_grad()
    def round_to_half(self) -> None:
        """Round the weights to float16 as `write_model` does, so that `read_model` returns the same."""
        for name, tensor in self.tensors():
            if tensor.is_floating_point() and _DISCRIMINANTS not in name:
                tensor.copy_(tensor.half().to(tensor.dtype))

    def clone(self) -> LearnedModel:
        """Copy the weights too."""
        return copy.deepcopy(self)


def new_model(
    vocabulary: Vocabulary,
    *,
    seed: int = 0,
    size: int = 448,
    architecture: ArchitectureName = STARTER_ARCHITECTURE,
) -> LearnedModel:
    """Create a model with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        detector = build_detector(architecture)
        trunk_source = detector if architecture == STARTER_ARCHITECTURE else build_detector()
        describer = Describer(vocabulary, trunk_source)
    return LearnedModel(detector, describer, vocabulary, size, architecture=architecture, untaught=True)


@functools.cache
def _blank(architecture: ArchitectureName) -> nn.Module:
    """Build a detector once: copying is ten times faster than building."""
    return build_detector(architecture)


def describe_by_appearance(model: LearnedModel) -> LearnedModel:
    """Make an untrained model describe cells by their stain, not by its trunk; return it."""
    device = next(model.detector.parameters()).device
    model.describer = AppearanceDescriber(model.vocabulary).eval().to(device)
    model.memory = Memory.empty(model.describer.features, len(model.vocabulary.heads))
    return model


def _empty_model(
    vocabulary: Vocabulary, size: int, architecture: ArchitectureName, describer: DescriberName
) -> LearnedModel:
    """Create a model whose weights will be loaded."""
    with torch.random.fork_rng(devices=[]):
        detector = copy.deepcopy(_blank(architecture))
        if describer == APPEARANCE:
            describer_module: Describer = AppearanceDescriber(vocabulary)
        else:
            describer_module = Describer(
                vocabulary, _blank(STARTER_ARCHITECTURE), with_colours=describer == COLOURS
            )
        return LearnedModel(detector, describer_module, vocabulary, size, architecture=architecture)


def _describer_name(model: LearnedModel) -> DescriberName:
    if not model.sees_by_trunk:
        return APPEARANCE
    return COLOURS if model.describer.has_colours else TRUNK


def adapt(parent: LearnedModel, vocabulary: Vocabulary, source: int | None = None) -> LearnedModel:
    """Derive a model for a vocabulary from a parent: all its weights, those of the heads by name.

    The weights of values that the parent lacks, or was not trained on, are zero.

    Parameters
    ----------
    source
        The project that it will be trained on: its cells that trained the parent are not counted again.
        ``None`` = the parent's.
    """
    source = parent.source if source is None else source
    child = _empty_model(vocabulary, parent.size, parent.architecture, _describer_name(parent))
    child.sides = parent.sides
    child.untaught = parent.untaught
    child.detector.load_state_dict(parent.detector.state_dict())
    describer = child.describer.state_dict()
    trunk = {k: v for k, v in parent.describer.state_dict().items() if not k.startswith(("heads.", "lines."))}
    child.describer.load_state_dict({**describer, **trunk})
    taken = child.describer.copy_heads(vocabulary, parent.describer, parent.vocabulary, parent.taught)
    calibration = parent.calibration
    child.calibration = Calibration(
        calibration.slope,
        calibration.intercept,
        {name: t for name, t in calibration.temperatures.items() if name in taken},
        calibration.note,
    )
    same_project = source is not None and parent.source == source
    child.taught_before = _counts_in_vocabulary(
        parent.taught_before if same_project else parent.taught, vocabulary
    )
    if not same_project:
        child.describer.freeze_shifts()
    child.taught = _counts_in_vocabulary(parent.taught, vocabulary)
    child.source = source
    child.memory = parent.memory.translate(parent.vocabulary, vocabulary)
    return child


def with_vocabulary(model: LearnedModel, vocabulary: Vocabulary) -> LearnedModel:
    """Return a model that predicts in a project's vocabulary: itself, or one adapted to it."""
    if model.vocabulary.same_words(vocabulary):
        model.vocabulary = vocabulary  # its groups and digest may have changed
        return model
    model_in_vocabulary = adapt(model, vocabulary)
    model_in_vocabulary.calibration, model_in_vocabulary.size = model.calibration, model.size
    return model_in_vocabulary


def _counts_in_vocabulary(taught: Taught, vocabulary: Vocabulary) -> Taught:
    return {
        name: {v: n for v, n in taught.get(name, {}).items() if v in values}
        for name, values in zip(vocabulary.head_names, vocabulary.heads, strict=True)
    }


# --- files -----------------------------------------------------------------------------------------------


def write_model(model: LearnedModel, weights: Path, card: Path) -> dict[str, Any]:
    """Write the two files, the card last, each atomically.

    Returns
    -------
    dict
        The card as written.
    """
    tensors = {
        # the weights of a discriminant are differences of large numbers: float16 would change its output
        name: (tensor.half() if tensor.is_floating_point() and _DISCRIMINANTS not in name else tensor)
        .detach()
        .cpu()
        .contiguous()
        for name, tensor in model.tensors()
    }
    tensors.update({_MEMORY + name: tensor for name, tensor in model.memory.tensors().items()})
    describer = _describer_name(model)
    version = VERSIONS[describer]  # older programs read those that they know
    # one entry only: safetensors writes several in random order, and equal weights must be equal files
    content = save_safetensors(tensors, metadata={"format": f"{FORMAT} {version}"})
    card_content = {
        **model.card,
        "format": FORMAT,
        "version": version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": model.size,
        "cell_sides": list(model.sides),
        "detector": model.architecture,
        "describer": describer,
        "vocabulary": model.vocabulary.to_dict(),
        "schema_digest": model.vocabulary.digest,
        "calibration": model.calibration.to_dict(),
        "sets": model.sets.to_dict(),
        "taught": model.taught,
        "taught_before": model.taught_before,
        "source": model.source,
    }
    write_file(weights, content, parents=False)
    write_file(card, json.dumps(card_content, indent=1, ensure_ascii=False), parents=False)
    return card_content


def read_model(place: Path) -> LearnedModel:
    """Read a model from its folder or its ``.safetensors`` file.

    Raises
    ------
    ModelError
        If the files are missing, foreign, or were changed since they were written.
    """
    weights, card_file = model_files(place)
    card = read_card(place)
    if weights.stat().st_size > _MAX_BYTES:
        raise ModelError(f"{weights} is too large for the weights of a model: use another copy of the model.")
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise ModelError(f"{weights} is not the file its card describes: it was changed or damaged.")
    try:
        vocabulary = Vocabulary.from_dict(card["vocabulary"])
        detector, describer = card.get("detector", STARTER_ARCHITECTURE), card.get("describer", TRUNK)
        model = _empty_model(vocabulary, int(card["size"]), detector, describer)
        model.calibration = Calibration.from_dict(card["calibration"])
        model.sets = Sets.from_dict(card.get("sets"))
        low, high = card.get("cell_sides") or STARTER_SIDES
        model.sides = (float(low), float(high))
        model.taught = _counts(card.get("taught", {}))
        model.untaught = not model.taught
        model.taught_before = _counts(card.get("taught_before", {}))
        model.source = card.get("source")
        tensors = load_safetensors(content)
        if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in tensors.values()):
            raise ValueError("some weights are not finite numbers")
        memory_tensors = {n.removeprefix(_MEMORY): t for n, t in tensors.items() if n.startswith(_MEMORY)}
        if memory_tensors:
            model.memory = Memory.from_tensors(memory_tensors).validated(
                model.vocabulary, model.describer.features
            )
        parameters = {n: t for n, t in tensors.items() if not n.startswith(_MEMORY)}
        # written before there were discriminants, or shifts within a class: none was fitted
        parameters = {n: t for n, t in model.tensors() if _DISCRIMINANTS in n} | parameters
        model.load_tensors({n: t.float() if t.is_floating_point() else t for n, t in parameters.items()})
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as error:
        raise ModelError(f"{card_file} and its weights do not fit together: {error}") from error
    model.card = card
    return model.eval()


def _counts(shares: Mapping[str, Mapping[str, float]]) -> Taught:
    return {str(name): {str(v): float(n) for v, n in counts.items()} for name, counts in shares.items()}
