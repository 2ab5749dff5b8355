"""The describer: class and attributes of a cell from its own pixels.

A crop around the box at full resolution goes through the first layers of YOLO26n's backbone (its own copy,
initialised with COCO weights). Early, high-resolution feature maps are pooled as well as late ones, because
vacuoles and chromatin are texture of a few pixels; there is one softmax head for the class and one for each
attribute. The logarithm of the box's size is a separate feature, since a resized crop has lost it. So are the
cell's colours (`training.networks.colours`), which only the discriminants and the novelty detection use.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from training.networks.colours import N_COLOURS, colours
from training.networks.devices import to_tensor
from training.networks.vocabulary import Vocabulary

CROP = 112
"""Side of the describer's input in pixels."""

CONTEXT = 1.3
"""Side of the square crop over the longer side of the box."""

TRUNK_LAYERS = 9
"""Layers 0 to 8 of the detector's backbone."""

TAPS = {2: 64, 4: 128, 6: 128, 8: 256}
"""Layers whose feature maps are pooled (strides 4, 8, 16, 32), to their number of channels."""

POOLED = 2 * sum(TAPS.values())
"""Number of features pooled from the feature maps."""

_HIDDEN = 256

NEVER = -1e4
"""Logit of an impossible value; finite, so that nothing becomes NaN, and within float16."""


class Discriminant(nn.Module):
    """A linear discriminant combined with a head, fitted on frozen features (`training.engine.recipe`).

    The discriminant gives the probability of each value that the head was not trained on, and of all values
    that it was trained on (its own values) together. Among its own values, the head and the discriminant are
    interpolated.

    Attributes
    ----------
    weight, bias
        ``(K, features)`` and ``(K,)``; a value without any cell has weight 0 and bias `NEVER`.
    own
        ``(K,)``, 1 for the values that the head was trained on.
    share
        Interpolation weight of the discriminant among the head's own values, 0 to 1.
    temperature
        Temperature of the head's logits.
    used
        0 = not fitted: the head's logits are returned as they are.
    shift
        ``(classes, K)``: log-odds added to an attribute's values in a cell of each class
        (`training.engine.within_class`); it has no rows for the class itself, and without classes.
    shift_before
        The shift before the current project: the prior of `shift`.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    own: torch.Tensor
    share: torch.Tensor
    temperature: torch.Tensor
    used: torch.Tensor
    shift: torch.Tensor
    shift_before: torch.Tensor

    def __init__(self, features: int, values: int, classes: int = 0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(values, features))
        self.register_buffer("bias", torch.full((values,), NEVER))
        self.register_buffer("own", torch.zeros(values))
        self.register_buffer("share", torch.zeros(()))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("used", torch.zeros(()))
        self.register_buffer("shift", torch.zeros(classes, values))
        self.register_buffer("shift_before", torch.zeros(classes, values))

    def forward(self, logits: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return log probabilities ``(N, K)`` from a head's logits ``(N, K)`` and the features."""
        with torch.autocast(features.device.type, enabled=False):  # sums of a thousand products
            return self.mixed(logits, nn.functional.linear(features, self.weight, self.bias))

    def mixed(self, logits: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return log probabilities from the scores ``(N, K)`` of any discriminant instead of the features."""
        log_p = torch.log_softmax(scores, 1)
        own = self.own > 0
        head_log_p = torch.log_softmax((logits / self.temperature).masked_fill(~own, NEVER), 1)
        own_log_p = torch.log_softmax(log_p.masked_fill(~own, NEVER), 1)
        mixed = torch.log_softmax(torch.lerp(head_log_p, own_log_p, self.share), 1)
        own_total = log_p.masked_fill(~own, NEVER).logsumexp(1, keepdim=True)
        return torch.where(self.used > 0, torch.where(own, own_total + mixed, log_p), logits)


def discriminants(vocabulary: Vocabulary, features: int) -> nn.ModuleList:
    """Create an unfitted discriminant for each head."""
    classes = len(vocabulary.classes)
    return nn.ModuleList(
        Discriminant(features, len(values), 0 if classes and not i else classes)
        for i, values in enumerate(vocabulary.heads)
    )


class Describer(nn.Module):
    """Class and attribute logits from crops.

    Parameters
    ----------
    vocabulary
        The heads: see `Vocabulary.heads`.
    detector
        The model whose backbone is copied (weights too).
    with_colours
        Whether its features contain the cell's colours: those of models of before did not.

    Attributes
    ----------
    colours
        The columns of the features that are colours.
    heads_learn
        Whether its heads are trained by gradient descent; if not, the discriminants alone predict.
    """

    heads_learn = True

    def __init__(self, vocabulary: Vocabulary, detector: nn.Module, *, with_colours: bool = True) -> None:
        super().__init__()
        layers: Sequence[nn.Module] = detector.model  # type: ignore[assignment]
        self.trunk = nn.ModuleList(copy.deepcopy(layer) for layer in list(layers)[:TRUNK_LAYERS])
        self.colours = slice(POOLED, POOLED + (N_COLOURS if with_colours else 0))
        self.features = self.colours.stop + 1
        self.norm = nn.LayerNorm(POOLED + 1)
        self.hidden = nn.Linear(POOLED + 1, _HIDDEN)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.ModuleList(nn.Linear(_HIDDEN, len(values)) for values in vocabulary.heads)
        self.lines = discriminants(vocabulary, self.features)

    def embed(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return the features ``(N, features)`` of crops ``(N, 3, CROP, CROP)`` and sizes ``(N,)``."""
        return self.assemble(self._pool(crops), crops, sizes)

    def assemble(self, pooled: torch.Tensor, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return the features: those pooled from feature maps ``(N, POOLED)``, colours, and size."""
        own_colours = [colours(crops, side=CROP, cell=1 / CONTEXT)] if self.has_colours else []
        return torch.cat([pooled, *own_colours, sizes.float().view(-1, 1)], 1)

    @property
    def has_colours(self) -> bool:
        """Whether its features contain the cell's colours."""
        return self.colours.stop > self.colours.start

    def _pool(self, crops: torch.Tensor) -> torch.Tensor:
        """Pool the feature maps of crops."""
        pooled = []
        x = crops
        for number, layer in enumerate(self.trunk):
            x = layer(x)
            if number in TAPS:
                pooled += [x.mean((2, 3)).float(), x.amax((2, 3)).float()]
        return torch.cat(pooled, 1)

    def embed_augmented(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return `embed` with the feature maps of all eight rotations and flips (test-time augmentation)."""
        flipped = [crops, crops.flip(2), crops.flip(3), crops.flip(2, 3)]
        views = [*flipped, *(view.transpose(2, 3) for view in flipped)]
        pooled = self._pool(torch.cat(views).contiguous(memory_format=torch.channels_last))
        return self.assemble(pooled.reshape(8, -1, POOLED).mean(0), crops, sizes)

    def hidden_features(self, features: torch.Tensor) -> torch.Tensor:
        """Return the hidden layer shared by the heads: ``(N, 256)`` float32 from ``(N, features)``."""
        features = torch.cat((features[:, :POOLED], features[:, -1:]), 1)
        return nn.functional.silu(self.hidden(self.norm(features)).float())

    def head_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return the logits of the heads alone: per head ``(N, n values)`` float32 from ``(N, features)``."""
        x = self.dropout(self.hidden_features(features))
        return [head(x).float() for head in self.heads]

    def combined_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return the combined logits of heads and discriminants: per head ``(N, n values)`` float32.

        Those of an attribute are shifted by its expected shift under the predicted class probabilities.
        """
        pairs = list(zip(self.lines, self.head_logits(features), strict=True))
        combined = [lines(logits, features) for lines, logits in pairs]
        if len(combined) < 2 or not self._has_classes():
            return combined
        with torch.autocast(features.device.type, enabled=False):
            classes = torch.softmax(combined[0].float(), 1)
            shifts = [cast(Discriminant, lines).shift for lines in self.lines]
            return [
                combined[0],
                *(x + classes @ shift for x, shift in zip(combined[1:], shifts[1:], strict=True)),
            ]

    def own_values(self, head: int) -> int:
        """Count the values that a head itself was trained on, not its discriminant alone."""
        return int((cast(Discriminant, self.lines[head]).own > 0).sum())

    def is_by_discriminant(self, head: int) -> bool:
        """Return whether a discriminant alone predicts a head's values."""
        return bool(cast(Discriminant, self.lines[head]).used > 0) and not self.own_values(head)

    def _has_classes(self) -> bool:
        """Return whether the first head is the class."""
        return len(cast(Discriminant, self.lines[-1]).shift) > 0

    def forward(self, crops: torch.Tensor, sizes: torch.Tensor) -> list[torch.Tensor]:
        """Return logits.

        Parameters
        ----------
        crops
            ``(N, 3, CROP, CROP)``, 0 to 1.
        sizes
            ``(N,)`` as `size_feature` gives them.

        Returns
        -------
        list
            Per head ``(N, n values)`` float32, in the order of `Vocabulary.heads`.
        """
        return self.combined_logits(self.embed_augmented(crops, sizes))

    def copy_heads(
        self, own: Vocabulary, other: Describer, others: Vocabulary, taught: Mapping[str, Mapping[str, float]]
    ) -> list[str]:
        """Copy another describer's heads and discriminants for values of the same names.

        New and untrained values get zero weights.

        Parameters
        ----------
        taught
            Head name to value name to the number of training cells.

        Returns
        -------
        list
            The names of the heads with at least one copied value.
        """
        for parameter in self.heads.parameters():
            nn.init.zeros_(parameter)
        taken = []
        for i, (name, values) in enumerate(zip(own.head_names, own.heads, strict=True)):
            if name not in others.head_names:
                continue
            j = others.head_names.index(name)
            index = {value: k for k, value in enumerate(others.heads[j])}
            trained = [value in index and taught.get(name, {}).get(value, 0) > 0 for value in values]
            rows = [k for k, known in enumerate(trained) if known]
            theirs = [index[values[k]] for k in rows]
            if rows:
                taken.append(name)
            head, their_head = self.heads[i], other.heads[j]
            discriminant, their_discriminant = self.lines[i], other.lines[j]
            assert isinstance(head, nn.Linear)
            assert isinstance(their_head, nn.Linear)
            assert isinstance(discriminant, Discriminant)
            assert isinstance(their_discriminant, Discriminant)
            with torch.no_grad():
                head.weight[rows] = their_head.weight[theirs]
                head.bias[rows] = their_head.bias[theirs]
                discriminant.weight[rows] = their_discriminant.weight[theirs]
                discriminant.bias[rows] = their_discriminant.bias[theirs]
                # without a fitted discriminant, a head's own values are those that it was trained on
                by_head = torch.full((len(rows),), float(other.heads_learn))
                discriminant.own[rows] = torch.where(
                    their_discriminant.used > 0, their_discriminant.own[theirs], by_head
                )
                for scalar in ("share", "temperature", "used"):
                    getattr(discriminant, scalar).copy_(getattr(their_discriminant, scalar))
                classes = [k for k, one in enumerate(own.classes) if one in others.classes]
                if len(discriminant.shift) and len(their_discriminant.shift):
                    their_classes = [others.classes.index(own.classes[k]) for k in classes]
                    for shift in ("shift", "shift_before"):
                        values_of_shift = getattr(their_discriminant, shift)[their_classes][:, theirs]
                        getattr(discriminant, shift)[np.ix_(classes, rows)] = values_of_shift
        return taken

    @torch.no_grad()
    def freeze_shifts(self) -> None:
        """Make the current shifts the prior of those of the next project."""
        for discriminant in self.lines:
            assert isinstance(discriminant, Discriminant)
            discriminant.shift_before.copy_(discriminant.shift)


_BATCH_SIZE = 32
"""Crops in a forward pass, eight views of each."""


@torch.inference_mode()
def features_of(
    describer: Describer, crops: Sequence[np.ndarray], sizes: Sequence[float], *, once: bool = False
) -> torch.Tensor:
    """Return the features of crops ``(CROP, CROP, 3)`` uint8: ``(n, features)`` float32 on its device.

    Parameters
    ----------
    sizes
        As `size_feature` gives them.
    once
        Whether to embed the crop as it is, without averaging over rotations and flips.
    """
    device = next(describer.parameters()).device
    embed = describer.embed if once else describer.embed_augmented
    parts = [torch.zeros((0, describer.features), device=device)]
    for start in range(0, len(crops), _BATCH_SIZE):
        batch = slice(start, start + _BATCH_SIZE)
        batch_sizes = torch.tensor(sizes[batch], dtype=torch.float32, device=device)
        parts.append(embed(to_tensor(crops[batch], device), batch_sizes))
    return torch.cat(parts)


def size_feature(box_side: float, field_side: float) -> float:
    """Return the size feature of a box: the log2 of its side over the reference side, plus 3.

    Parameters
    ----------
    box_side, field_side
        The box's longer side and the reference side (`training.networks.scale.field_side`), in the same unit:
        their ratio does not depend on the camera's pixels.
    """
    return float(np.log2(max(box_side, 1e-3) / field_side) + 3)


def cut_crop(
    pixels: np.ndarray, box: Sequence[float], side: int = CROP, context: float = CONTEXT
) -> np.ndarray:
    """Crop the square around a box at full resolution and resize it.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8.
    box
        x, y, width, height in pixels.
    side
        Side of the result in pixels.
    context
        Side of the square over the longer side of the box.

    Returns
    -------
    numpy.ndarray
        ``(side, side, 3)`` uint8; what lies outside the field repeats its edge.
    """
    import cv2

    x, y, w, h = box
    half = max(w, h, 1.0) * context / 2
    cx, cy = x + w / 2, y + h / 2
    scale = side / (2 * half)
    if scale < 0.5:  # strong downsampling: average, or texture turns into noise
        x0, y0 = int(np.floor(cx - half)), int(np.floor(cy - half))
        n = max(1, int(np.ceil(2 * half)))
        return np.asarray(cv2.resize(_square(pixels, x0, y0, n), (side, side), interpolation=cv2.INTER_AREA))
    # pixel centres are at +0.5 in our coordinates and at 0 in OpenCV's
    shift = side / 2 - 0.5
    matrix = np.array([[scale, 0, shift - scale * (cx - 0.5)], [0, scale, shift - scale * (cy - 0.5)]])
    return np.asarray(
        cv2.warpAffine(pixels, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _square(pixels: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """Return the square of pixels from (x, y) on; what lies outside repeats the edge."""
    height, width = pixels.shape[:2]
    if 0 <= x <= width - side and 0 <= y <= height - side:
        return pixels[y : y + side, x : x + side]  # to index it row by row takes as long as to resize it
    rows = np.clip(np.arange(y, y + side), 0, height - 1)
    columns = np.clip(np.arange(x, x + side), 0, width - 1)
    return pixels[np.ix_(rows, columns)]


def description_loss(
    logits: Sequence[torch.Tensor],
    allowed: Sequence[torch.Tensor],
    log_priors: Sequence[torch.Tensor],
    *,
    balance: float,
    weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[int, float]]:
    """Compute the heads' loss: the negative log of the summed probability of the values the label allows.

    The logits are shifted by `balance` times the log prior of each value (logit adjustment, Menon et al.
    2021, arXiv 2007.07314): rare values are then worth learning, and at prediction, without the shift, they
    are predicted as often as on a balanced set.

    Parameters
    ----------
    logits
        Per head ``(N, K)``.
    allowed
        Per head ``(N, K)`` bool; a row without any ``True`` is ignored.
    log_priors
        Per head ``(K,)``.
    balance
        0 = as the data are, 1 = as if all values were equally frequent.
    weights
        ``(N, heads)``: the share of a cell's votes of each row; ``None`` = 1.

    Returns
    -------
    tuple
        The mean over heads of the mean over their labelled cells, and each head's part by its index.
    """
    parts: dict[int, torch.Tensor] = {}
    for i, (logit, allow, prior) in enumerate(zip(logits, allowed, log_priors, strict=True)):
        rows = allow.any(1)
        if not bool(rows.any()):
            continue
        log_p = torch.log_softmax(logit[rows] + balance * prior, 1)
        losses = -log_p.masked_fill(~allow[rows], -torch.inf).logsumexp(1)
        weight = torch.ones_like(losses) if weights is None else weights[rows, i]
        parts[i] = (losses * weight).sum() / weight.sum()
    if not parts:
        zero = sum((logit.sum() * 0 for logit in logits), torch.zeros(()))
        return torch.as_tensor(zero), {}
    return torch.stack(list(parts.values())).mean(), {i: float(v.detach()) for i, v in parts.items()}
