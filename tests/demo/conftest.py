"""A worker that is no process: it proposes from the truth; so the loop is quick and its numbers known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project
from annotation_store.records import Proposal
from napari_lld import sample
from napari_lld.demo import Settings, loop
from napari_lld.demo.report import Round
from napari_lld.demo.truth import best_overlap, read_truth
from training.protocol import Done, Message, PredictRequest, Progress, Request, TrainRequest


@dataclass
class Witness:
    """Hears what the demonstration tells."""

    stages: list[str] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    messages: int = 0

    def stage(self, title: str) -> None:
        self.stages.append(title)

    def tick(self, done: int, total: int) -> None:
        assert done <= total

    def hear(self, message: object) -> None:
        self.messages += 1

    def round(self, finished: Round) -> None:
        self.rounds.append(finished)


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def some() -> Callable[..., Settings]:
    """Settings for a few of the sample fields, by stem."""

    def choose(*names: str, truth: Path | None = None) -> Settings:
        fields = [path for path in sample.fields() if path.stem in names]
        return Settings(fields, truth or sample.truth(), sample.sparse())

    return choose


@pytest.fixture
def quick_worker(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Replace the worker: it finds every second true cell and calls all of them eosinophils of large size."""
    requests: list[Request] = []
    monkeypatch.setattr(
        loop.PersistentWorker, "ask", lambda _self, request, **given: work(request, requests, **given)
    )
    return requests


def work(request: Request, requests: list[Request], *, on_message: Callable[[Message], None]) -> Done:
    requests.append(request)
    on_message(Progress(stage="train", done=1, total=1))
    if isinstance(request, PredictRequest) and request.images is not None:
        Path(str(request.out)).write_text(json.dumps(to_file(request.images)), "utf-8")
        return Done(task="predict", model_id=None)
    with Project.open(request.project, annotator="worker") as project:
        number = None
        if isinstance(request, TrainRequest):
            number = project.models.reserve_id()
            project.models.folder(number).mkdir(parents=True)
            project.models.add(number, parent="starter", card={}, activate=True)
        for one in project.fields.all():
            taken = [cell.box for cell in project.cells.all(one.id)]
            new = [p for p in proposals(one.name) if best_overlap(p.box, taken)[1] < 0.5]
            project.suggestions.replace(one.id, new, model_id=number)
    return Done(task=request.task, model_id=number)


def proposals(name: str) -> list[Proposal]:
    cells = read_truth(sample.truth())[name][::2]
    return [
        Proposal(cell.box, 0.9 - 0.01 * i, {"Eosinophil": 1.0}, {"cell_size": {"large": 1.0}})
        for i, cell in enumerate(cells)
    ]


def to_file(images: list[str]) -> dict[str, Any]:
    names = [Path(image).name for image in images]
    return {
        "categories": [],
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [
            {
                "image_id": i,
                "bbox": list(one.box),
                "score": one.confidence,
                "class_probabilities": one.class_probabilities,
                "attribute_probabilities": one.attribute_probabilities,
            }
            for i, name in enumerate(names)
            for one in proposals(name)
        ],
    }
