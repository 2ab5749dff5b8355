"""The training loop of detector and describer: can be stopped at any step and resumed by epoch.

It does not use Ultralytics' Trainer (``docs/adr/0001``). Random numbers depend on the seed and the epoch's
number alone, so an interrupted and resumed run gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from annotation_store.errors import LLDError
from annotation_store.files.outputs import write_file
from training.engine.augment import jitter, sample_crop, sample_window
from training.engine.data import CellPatches, PreparedField, log_priors
from training.engine.losses import MaskedDetectionLoss
from training.engine.optimiser import AdamW
from training.models.model import LearnedModel
from training.networks.describer import description_loss
from training.networks.detector import raw_predictions
from training.networks.devices import autocast, to_tensor

_MAX_SAVING_SHARE = 0.05
"""Maximum share of the time for saving: 60 MB each epoch would double a round of short epochs."""


class DivergedError(LLDError):
    """The loss is not finite."""

    cure = (
        "Train again with another --seed or from --init starter; if it happens again, look for boxes without "
        "area and for damaged images."
    )


class StoppedError(Exception):
    """The loop was stopped by its caller."""


@dataclass(frozen=True)
class LearningConfig:
    """Hyperparameters of the training loop.

    Attributes
    ----------
    epochs
        An epoch is one view of every training field.
    window
        Side in pixels of the views of fields, a multiple of 32.
    batch, crops
        Number of views of fields and of crops of cells in a step.
    detector_rate, describer_rate, head_rate
        Maximum learning rates (AdamW) of the detector, of the describer's trunk and hidden layer, and of its
        heads; linear warm-up over the share `warmup` of the steps, then cosine decay.
    frozen_layers
        Number of first layers of the detector that are frozen.
    frozen_norms
        Whether batch norms keep their running statistics: those of few cells are noisy.
    scales
        Range of factors on the working scale of a view.
    balance
        See `training.networks.describer.description_loss`.
    stain, blur, camera
        Strengths of `training.engine.augment.jitter_stain`, `jitter_blur` and `jitter_camera`.
    squeeze
        See `training.engine.augment.sample_crop`.
    average
        Decay of the exponential moving average of the weights, which is the result.
    rim_rule
        See `training.engine.losses`.
    """

    epochs: int = 20
    window: int = 320
    batch: int = 8
    crops: int = 32
    detector_rate: float = 1e-3
    describer_rate: float = 1e-3
    head_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.1
    frozen_layers: int = 0
    frozen_norms: bool = False
    scales: tuple[float, float] = (0.8, 1.25)
    balance: float = 0.5
    stain: float = 1.0
    blur: float = 0.0
    camera: float = 0.0
    squeeze: float = 0.0
    average: float = 0.995
    rim_rule: bool = True
    seed: int = 0


@dataclass(frozen=True)
class StepReport:
    """Progress after a step.

    Attributes
    ----------
    done, total
        Number of steps; `total` changes if the epochs are fitted to a deadline.
    losses
        Name of a loss to its running mean.
    """

    done: int
    total: int
    epoch: int
    epochs: int
    losses: dict[str, float]
    seconds_left: float
    seconds_a_step: float


class Loop:
    """A training run of a model, which is changed in place.

    Parameters
    ----------
    model
        The initial model, on its device.
    fields, patches
        The training data.
    state
        Checkpoint file to resume from, written after the first epoch, and then so rarely that writing takes
        at most 5% of the time; ``None`` = no checkpoint.
    identity
        Digest of everything beyond `config` that determines the result: only a checkpoint with the same
        identity is resumed.
    deadline
        `time.monotonic` time by which the loop should end; the number of epochs is fitted to it.
    """

    def __init__(
        self,
        model: LearnedModel,
        fields: Sequence[PreparedField],
        patches: CellPatches,
        config: LearningConfig,
        *,
        state: Path | None = None,
        identity: str = "",
        deadline: float | None = None,
    ) -> None:
        self._model = model
        self._fields = fields
        self._patches = patches
        self._config = config
        self._state = state
        self._identity = identity
        self._deadline = deadline
        self._device = next(model.detector.parameters()).device
        labels = patches.labels
        self._priors = [
            torch.from_numpy(log_priors(allowed, weight)).to(self._device)
            for allowed, weight in zip(labels.allowed, labels.weights.T, strict=True)
        ]
        self._average = {name: tensor.detach().clone() for name, tensor in model.tensors()}
        self._optimiser = self._make_optimiser()
        self._loss = MaskedDetectionLoss(model.detector, rim_rule=config.rim_rule)
        self._steps_per_epoch = max(1, math.ceil(len(fields) / config.batch)) if fields else 1
        self._epochs = config.epochs
        self._epoch = 0
        self._step = 0
        self._step_seconds = 0.0
        self._timed_steps = 0
        self._next_save = 0.0
        self._losses: dict[str, float] = {}

    # --- running -----------------------------------------------------------------------------------------

    def run(
        self,
        *,
        on_step: Callable[[StepReport], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> int:
        """Train to the end, or to the deadline.

        Returns
        -------
        int
            Number of epochs done.

        Raises
        ------
        StoppedError
            If `should_stop` returned true.
        DivergedError
            If the loss is not finite.
        """
        while self._epoch < self._epochs:
            self._run_epoch(on_step, should_stop)
            self._epoch += 1
            if self._state is not None and time.monotonic() >= self._next_save:
                started = time.monotonic()
                self._save_state(self._state)
                self._next_save = time.monotonic() + (time.monotonic() - started) / _MAX_SAVING_SHARE
        self._finish()
        return self._epoch

    def _run_epoch(
        self, on_step: Callable[[StepReport], None] | None, should_stop: Callable[[], bool] | None
    ) -> None:
        config = self._config
        rng = np.random.default_rng([config.seed, self._epoch])
        torch.manual_seed(int(rng.integers(2**31)))  # dropout
        self._set_modes()
        order = rng.permutation(len(self._fields))
        for number in range(self._steps_per_epoch):
            if should_stop is not None and should_stop():
                raise StoppedError
            started = time.monotonic()
            chosen = order[number * config.batch : (number + 1) * config.batch]
            self._train_step([self._fields[i] for i in chosen], rng)
            self._step += 1
            self._fit_budget(time.monotonic() - started, number)
            if on_step is not None:
                total = self._epochs * self._steps_per_epoch
                left = (total - self._step) * self._step_seconds
                on_step(
                    StepReport(
                        self._step,
                        total,
                        self._epoch,
                        self._epochs,
                        dict(self._losses),
                        left,
                        self._step_seconds,
                    )
                )
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._epochs = self._epoch + 1
                return

    def _train_step(self, fields: Sequence[PreparedField], rng: np.random.Generator) -> None:
        config = self._config
        self._set_learning_rates()
        losses: dict[str, float] = {}
        if fields:
            loss, parts = self._detector_loss(fields, rng)
            self._backward(loss)
            losses.update(parts)
        if len(self._patches):
            loss, parts = self._describer_loss(rng)
            self._backward(loss)
            losses.update(parts)
        nn.utils.clip_grad_norm_(self._model.detector.parameters(), 10.0)
        nn.utils.clip_grad_norm_(self._model.describer.parameters(), 10.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._update_average(min(config.average, (1 + self._step) / (10 + self._step)))
        for name, value in losses.items():
            previous = self._losses.get(name, value)
            self._losses[name] = 0.9 * previous + 0.1 * value

    def _backward(self, loss: torch.Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            raise DivergedError("Training diverged: the loss is not a finite number.")
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def _detector_loss(
        self, fields: Sequence[PreparedField], rng: np.random.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        config = self._config
        images, boxes, weights, index, known = [], [], [], [], []
        for i, field in enumerate(fields):
            image, box, weight, mask = sample_window(field, rng, config.window, config.scales, config.squeeze)
            images.append(image)
            known.append(mask)
            weights.append(weight)
            boxes.append(
                np.concatenate(((box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]), 1) / config.window
            )
            index += [i] * len(box)
        pixels = self._to_tensor(images, rng)
        with autocast(self._device):
            raw = raw_predictions(self._model.detector, pixels)
        return self._loss(
            raw,
            torch.from_numpy(np.concatenate(boxes).astype(np.float32)).to(self._device),
            torch.tensor(index, dtype=torch.long, device=self._device),
            torch.from_numpy(np.stack(known) > 0).to(self._device),
            torch.from_numpy(np.concatenate(weights)).to(self._device),
        )

    def _describer_loss(self, rng: np.random.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        config, patches = self._config, self._patches
        n = min(config.crops, len(patches))
        chosen = rng.choice(len(patches), n, replace=False)
        pixels = self._to_tensor([sample_crop(patches.patches[i], rng, config.squeeze) for i in chosen], rng)
        sizes = torch.from_numpy(patches.sizes[chosen]).to(self._device)
        with autocast(self._device):
            describer = self._model.describer
            logits = describer.head_logits(describer.embed(pixels, sizes))
        rows, indices = patches.labels.rows_of(chosen)
        allowed = [torch.from_numpy(head[rows]).to(self._device) for head in patches.labels.allowed]
        weights = torch.from_numpy(patches.labels.weights[rows]).to(self._device)
        outputs = [head[torch.from_numpy(indices).to(self._device)] for head in logits]
        loss, parts = description_loss(
            outputs, allowed, self._priors, balance=config.balance, weights=weights
        )
        names = self._model.vocabulary.head_names
        return loss, {names[i]: value for i, value in parts.items()}

    def _to_tensor(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> torch.Tensor:
        """Move images to the device and jitter them."""
        tensor = to_tensor(images, self._device)
        config = self._config
        tensor = jitter(tensor, rng, stain=config.stain, blur=config.blur, camera=config.camera)
        return tensor.contiguous(memory_format=torch.channels_last)

    # --- weights -----------------------------------------------------------------------------------------

    def _make_optimiser(self) -> torch.optim.Optimizer:
        config, model = self._config, self._model
        groups = []
        layers: Any = model.detector.model
        for module in (model.detector, model.describer):
            module.requires_grad_(True)
        for layer in layers[: config.frozen_layers]:
            layer.requires_grad_(False)
        heads = list(model.describer.heads.parameters())
        head_ids = {id(p) for p in heads}
        body = [p for p in model.describer.parameters() if id(p) not in head_ids]
        for parameters, rate in (
            (list(model.detector.parameters()), config.detector_rate),
            (body, config.describer_rate),
            (heads, config.head_rate),
        ):
            for decays in (True, False):  # no weight decay of biases and norms
                chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decays]
                decay = config.weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": rate, "highest": rate, "weight_decay": decay})
        return AdamW(groups, betas=(0.9, 0.99))

    def _set_modes(self) -> None:
        config, model = self._config, self._model
        model.detector.train()
        model.describer.train(bool(len(self._patches)))  # otherwise its batch norms must not change
        layers: Any = model.detector.model
        for layer in layers[: config.frozen_layers]:
            layer.eval()
        if config.frozen_norms:
            for module in [*model.detector.modules(), *model.describer.modules()]:
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _set_learning_rates(self) -> None:
        progress = self._step / max(1, self._epochs * self._steps_per_epoch)
        warmup = self._config.warmup
        if progress < warmup:
            factor = (progress + 1e-3) / warmup
        else:
            factor = 0.02 + 0.98 * 0.5 * (
                1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup)))
            )
        for group in self._optimiser.param_groups:
            group["lr"] = group["highest"] * min(1.0, factor)

    @torch.no_grad()
    def _update_average(self, decay: float) -> None:
        for name, tensor in self._model.tensors():
            average = self._average[name]
            if tensor.is_floating_point():
                average.lerp_(tensor.detach(), 1 - decay)
            else:
                average.copy_(tensor)

    def _finish(self) -> None:
        """Load the averaged weights into the model."""
        self._model.load_tensors(self._average)
        if len(self._patches):
            self._model.record_training(self._patches.labels.allowed, self._patches.labels.weights)
        self._model.eval()

    # --- time and state ----------------------------------------------------------------------------------

    def _fit_budget(self, seconds: float, number: int) -> None:
        """Update the estimated time of a step and fit the number of epochs to the deadline."""
        self._timed_steps += 1
        if self._timed_steps <= 2:  # the first step warms up caches
            self._step_seconds = seconds
        else:
            self._step_seconds += 0.1 * (seconds - self._step_seconds)
        if self._deadline is None or self._timed_steps < 2:
            return
        left = self._deadline - time.monotonic()
        rest_of_epoch = (self._steps_per_epoch - number - 1) * self._step_seconds
        epoch_seconds = max(
            1e-6, self._step_seconds * self._steps_per_epoch
        )  # a step may take 0 s on a coarse clock
        epochs_left = int(max(0.0, left - rest_of_epoch) / epoch_seconds)
        self._epochs = max(self._epoch + 1, min(self._config.epochs, self._epoch + 1 + epochs_left))

    def _fingerprint(self) -> str:
        content = json.dumps(
            [dataclasses.asdict(self._config), len(self._fields), len(self._patches), self._identity],
            sort_keys=True,
        )
        return hashlib.sha256(content.encode()).hexdigest()

    def _save_state(self, file: Path) -> None:
        tensors = {"weights." + n: t for n, t in self._model.tensors()}
        tensors.update({"average." + n: t for n, t in self._average.items()})
        for i, slots in self._optimiser.state_dict()["state"].items():
            tensors.update({f"optimiser.{i}.{name}": torch.as_tensor(value) for name, value in slots.items()})
        metadata = {
            "epoch": str(self._epoch),
            "step": str(self._step),
            "epochs": str(self._epochs),
            "fingerprint": self._fingerprint(),
            "identity": self._identity,
        }
        content = {n: t.detach().cpu().clone().contiguous() for n, t in tensors.items()}
        write_file(file, save_safetensors(content, metadata=metadata), parents=False)

    def resume(self, file: Path) -> bool:
        """Resume from a checkpoint, if it is of the same run; otherwise change nothing.

        Returns
        -------
        bool
            Whether the loop was resumed.
        """
        if not file.is_file():
            return False
        try:
            with safetensors.safe_open(str(file), framework="pt") as opened:
                metadata = opened.metadata() or {}
                if metadata.get("fingerprint") != self._fingerprint():
                    return False
                tensors = {name: opened.get_tensor(name).to(self._device) for name in opened.keys()}  # noqa: SIM118
        except safetensors.SafetensorError:
            return False
        weights = {n.removeprefix("weights."): t for n, t in tensors.items() if n.startswith("weights.")}
        self._model.load_tensors(weights)
        self._average = {
            n.removeprefix("average."): t for n, t in tensors.items() if n.startswith("average.")
        }
        content = self._optimiser.state_dict()
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, i, slot = name.split(".", 2)
                slots.setdefault(int(i), {})[slot] = tensor.cpu() if slot == "step" else tensor
        content["state"] = slots
        self._optimiser.load_state_dict(content)
        self._epoch, self._step = int(metadata["epoch"]), int(metadata["step"])
        self._epochs = int(metadata["epochs"])  # a deadline may have reduced it
        return True
