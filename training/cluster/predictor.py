"""Run models on a cluster; validate the results, and yield them in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from training.cluster.model_files import read_files
from training.cluster.results import read_features, read_proposals
from training.cluster.units import Cluster
from training.inference.predict import LIKELY, Pixels, RawProposals, seen_side
from training.inference.predictor import Boxes, View
from training.models.model import LearnedModel

T = TypeVar("T")

_SEEN_AT_ONCE = 3
"""Fields per unit when the scale is estimated: dask's overhead per unit exceeds the time for a field."""


@dataclass
class ClusterPredictor:
    """Runs models on a cluster, for one task."""

    cluster: Cluster
    _models: dict[str, Any] = field(default_factory=dict)

    batch, domains_at_once = 4, 4

    def propose(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[View]]], *, min_score: float
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Predict batches on the cluster, and yield the results in order."""
        tasks = ((key, [_asked(view) for view in views]) for key, views in batches)
        for key, results in self._proposed(model, tasks, {"min_score": min_score, "describe": True}):
            yield key, [None if result is None else result[1] for result in results]

    def features(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[Boxes]]]
    ) -> Iterator[tuple[T, list[np.ndarray | None]]]:
        """Embed boxes on the cluster, and yield their features in the order of the batches."""
        tasks = (
            (
                key,
                [
                    (item.pixels, {"boxes": item.boxes, "against": item.against, "side": item.side})
                    for item in boxes
                ],
            )
            for key, boxes in batches
        )
        read = partial(read_features, width=model.describer.features)
        yield from self.cluster.run("features", tasks, read, model=self._sent(model))

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Estimate the side of a white cell from a few of the fields."""

        def find(sample: Sequence[Pixels], zoom: float) -> list[tuple[int, np.ndarray]]:
            options = {"min_score": model.calibration.raw(LIKELY), "describe": False, "zoom": zoom}
            views = [_asked(View(pixels)) for pixels in sample]
            size = 1 if zoom > 1 else _SEEN_AT_ONCE
            units = ((None, views[start : start + size]) for start in range(0, len(views), size))
            detections = []
            for _, results in self._proposed(model, units, options):
                # ``None`` = damaged
                detections += [(max(r[0]), r[1].boxes) for r in results if r is not None]
            return detections

        return seen_side(model, fields, find)

    def _proposed(self, model: LearnedModel, tasks: Iterable[tuple[T, Any]], options: dict[str, Any]) -> Any:
        read = partial(read_proposals, model=model)
        return self.cluster.run("propose", tasks, read, model=self._sent(model), options=options)

    def _sent(self, model: LearnedModel) -> tuple[dict[str, Any], Any]:
        """Return the description of a model for workers, and the future of its weights file."""
        cluster = self.cluster
        sent = read_files(model, device=cluster.device, proof=cluster.sender.proof)
        if sent.key not in self._models:
            name = f"model-{sent.key[:16]}"
            handle = None if sent.weights is None else cluster.hold(sent.weights, name)
            self._models.setdefault(sent.key, handle)
        more = {
            "size": model.size,
            "sides": [float(side) for side in model.sides],
            "by_appearance": not model.sees_by_trunk,
        }
        return {**sent.described, **more}, self._models[sent.key]


def _asked(view: View) -> tuple[Pixels, dict[str, Any]]:
    return view.pixels, {"side": view.side, "move": view.move}


def _described(boxes: Boxes) -> dict[str, Any]:
    return {"boxes": boxes.boxes, "against": boxes.against, "side": boxes.side}
