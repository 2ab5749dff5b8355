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

_BATCH, _LAST = 8, 2
"""Fields of the first units, as many as suit the networks, and of the last: a unit costs client and scheduler
some 10 ms of CPU time, but at the end workers wait for the one that computes the last unit."""
_SEEN_AT_ONCE = 3
"""Fields per unit when the scale is estimated at the ordinary scale."""


@dataclass
class ClusterPredictor:
    """Runs models on a cluster, for one task."""

    cluster: Cluster
    _models: dict[str, Any] = field(default_factory=dict)

    domains_at_once = 8

    def batch(self, remaining: int) -> int:
        """Return half of a worker's share of the rest, but at least a field for each of its threads."""
        threads = self.cluster.threads() or {"": 1}
        share = -(-remaining // (2 * len(threads)))
        return min(_BATCH, max(_LAST, share, *threads.values()), remaining)

    def propose(
        self,
        model: LearnedModel,
        batches: Iterable[tuple[T, Sequence[View]]],
        *,
        min_score: float,
        stain_below: float | None = None,
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Predict batches on the cluster, and yield the results in order."""
        tasks = ((key, [_asked(view) for view in views]) for key, views in batches)
        options = {"min_score": min_score, "describe": True, "stain_below": stain_below}
        for key, results in self._proposed(model, tasks, options):
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
            options: dict[str, Any] = {"min_score": model.calibration.raw(LIKELY), "describe": False}
            options |= {"stain_below": None, "zoom": zoom}
            views = [_asked(View(pixels)) for pixels in sample]
            size = round(_SEEN_AT_ONCE / zoom)
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
