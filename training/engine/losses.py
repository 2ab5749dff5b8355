"""The detector's loss for partially annotated fields: unknown area is masked.

It uses Ultralytics' assigner, box losses and binary cross-entropy, with one difference: an anchor that is
neither in known area nor assigned to a cell does not contribute. Known area is the area of finished regions
and of boxes rejected as not a cell; the rest of a field, ignore areas and padding are unknown.

*Rim rule.* A cell centred just outside a region covers anchors inside it, which are then not certainly
background. An unassigned anchor is therefore background only if the centre of *the box it predicts* lies in
known area too: an anchor that predicts the neighbour outside is ignored. Shrinking the region by half a cell
instead would cost most of the negatives.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from training.networks.ultralytics_api import make_anchors, v8DetectionLoss


class MaskedDetectionLoss:
    """Box, score and distance loss of a batch, masked to the known area.

    Parameters
    ----------
    detector
        The model; its strides and gains are read.
    rim_rule
        Whether an unassigned anchor must also predict a box centred in known area to be background.

    Notes
    -----
    Pseudo-labels (`training.inference.pseudo_labels`) have smaller weights than cells that people drew.
    """

    def __init__(self, detector: nn.Module, *, rim_rule: bool = True) -> None:
        self._parts: Any = v8DetectionLoss(detector)
        self._rim_rule = rim_rule

    def __call__(
        self,
        raw: dict[str, Any],
        boxes: torch.Tensor,
        image_index: torch.Tensor,
        known: torch.Tensor,
        weights: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Compute the loss.

        Parameters
        ----------
        raw
            What `training.networks.detector.raw_predictions` returns for ``(B, 3, H, W)`` pixels.
        boxes
            ``(n, 4)`` centre x, centre y, width, height, as shares of the canvas (0 to 1).
        image_index
            ``(n,)`` the image of the batch that each box is in, ascending.
        known
            ``(B, H, W)`` bool: known area in the pixels of the canvas.
        weights
            ``(n, 2)``: weight of each box in the score and in the box terms; ``None`` = 1.
        labels
            ``(n,)``: class of each box, for a detector with several (in the benchmark); ``None`` = 0.

        Returns
        -------
        tuple
            The loss summed over its parts (a mean over cells), and the parts by name.
        """
        parts = self._parts
        device = raw["scores"].device
        distances = raw["boxes"].permute(0, 2, 1).contiguous()
        logits = raw["scores"].permute(0, 2, 1).contiguous()
        anchors, strides = make_anchors(raw["feats"], parts.stride, 0.5)
        anchors, strides = anchors.float(), strides.float()
        batch = logits.shape[0]
        canvas = torch.tensor(known.shape[1:], device=device, dtype=torch.float32)  # height, width

        if weights is None:
            weights = torch.ones(len(boxes), 2, device=device)
        if labels is None:
            labels = torch.zeros(len(boxes), device=device)
        rows = torch.cat((image_index.view(-1, 1).float(), labels.view(-1, 1).float(), boxes, weights), 1)
        targets = parts.preprocess(rows, batch, scale_tensor=canvas[[1, 0, 1, 0]])
        target_labels, true_boxes, weight = targets.split((1, 4, 2), 2)
        valid = true_boxes.sum(2, keepdim=True).gt_(0.0)

        predicted = parts.bbox_decode(anchors, distances)  # (B, A, 4) x1 y1 x2 y2 in strides
        predicted_px = predicted.detach() * strides
        _, target_boxes, target_scores, assigned, target_index = parts.assigner(
            logits.detach().sigmoid(),
            predicted_px.type(true_boxes.dtype),
            anchors * strides,
            target_labels,
            true_boxes,
            valid,
        )
        target_scores = target_scores.to(logits.dtype)
        if weight.shape[1]:
            weight = weight.gather(1, target_index.long().unsqueeze(-1).expand(-1, -1, 2))
        else:  # no box in the whole batch
            weight = torch.ones(*target_index.shape, 2, device=device)
        score_weight, box_weight = weight.unbind(-1)
        total = (target_scores.sum(-1) * score_weight).sum().clamp(min=1)

        background = self._background(known, anchors * strides, predicted_px)
        score_mask = torch.where(assigned, score_weight, background.float())
        score = nn.functional.binary_cross_entropy_with_logits(logits, target_scores, reduction="none")
        score = (score.sum(-1) * score_mask).sum() / total
        box, distance = parts.bbox_loss(
            distances,
            predicted,
            anchors,
            target_boxes / strides,
            target_scores * box_weight.unsqueeze(-1),
            total,
            assigned,
            canvas,
            strides,
        )
        gains = parts.hyp
        losses = {"box": box * gains.box, "score": score * gains.cls, "distance": distance * gains.dfl}
        total_loss = losses["box"] + losses["score"] + losses["distance"]
        return total_loss, {name: float(value.detach()) for name, value in losses.items()}

    def _background(
        self, known: torch.Tensor, anchors: torch.Tensor, predicted: torch.Tensor
    ) -> torch.Tensor:
        """Return which anchors, if unassigned, are background: ``(B, A)`` bool.

        `anchors` ``(A, 2)`` and `predicted` ``(B, A, 4)`` are in pixels of the canvas.
        """
        height, width = known.shape[1:]
        flat_known = known.flatten(1)

        def at(points: torch.Tensor) -> torch.Tensor:
            x = points[..., 0].long().clamp(0, width - 1)
            y = points[..., 1].long().clamp(0, height - 1)
            return flat_known.gather(1, y * width + x)

        anchor_known = at(anchors.expand(len(known), -1, -1))
        if not self._rim_rule:
            return anchor_known
        return anchor_known & at((predicted[..., :2] + predicted[..., 2:]) / 2)
