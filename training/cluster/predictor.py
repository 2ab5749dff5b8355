"""Models run on a cluster; what comes back is checked, and handed to the one who writes in order."""

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
"""Fields that go in one unit to judge a scale: one takes a worker less time than dask takes for a unit."""


@dataclass
class ClusterPredictor:
    """Runs models on a cluster, for one task."""

    cluster: Cluster
    _models: dict[str, Any] = field(default_factory=dict)

    batch, domains_at_once = 4, 4

    def propose(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[View]]], *, min_score: float
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Have batches predicted, and yield them in their order."""
        tasks = ((key, [_asked(view) for view in views]) for key, views in batches)
        for key, results in self._proposed(model, tasks, {"min_score": min_score, "describe": True}):
            yield key, [None if result is None else result[1] for result in results]

    def features(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[Boxes]]]
    ) -> Iterator[tuple[T, list[np.ndarray | None]]]:
        """Have boxes looked at, and yield their features in the order of the batches."""
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
        """Have a few of the fields searched."""

        def find(sample: Sequence[Pixels], zoom: float) -> list[tuple[int, np.ndarray]]:
            options = {"min_score": model.calibration.raw(LIKELY), "describe": False, "zoom": zoom}
            views = [_asked(View(pixels)) for pixels in sample]
            few = 1 if zoom > 1 else _SEEN_AT_ONCE
            units = ((None, views[start : start + few]) for start in range(0, len(views), few))
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
        """Return a model as it is described to workers, and what stands for its file."""
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
