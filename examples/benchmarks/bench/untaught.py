"""Quality of suggestions before each round, with a model that was never trained on white cells.

The model has only the COCO weights of a YOLO26n. The simulated annotator follows the program: boxes are stain
proposals, the largest clusters of them are labelled first, then fields are reviewed in the order of the
ranking, and pending suggestions are updated after each answer.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation_store import Project, Suggestion, load_schema
from annotation_store.geometry import iou
from annotation_store.records import Shape
from bench import project
from bench.data import Field
from bench.worker import ask
from training import ranking
from training.evaluation.ground_truth import TrueCell
from training.protocol import LikenessRequest, PredictRequest, RenewRequest, TrainRequest

FIELDS = 60
"""Number of fields of the project."""

CLUSTERS = 8
"""Number of clusters that are labelled first, the largest."""

MAJORITY = 0.6
"""Minimum share of the majority class in a cluster that is labelled."""

REVIEWED = 72
"""Number of suggestions reviewed before each round."""

ROUNDS = 3
RENEWED_EACH = 6
"""Answers between updates of pending suggestions; the window updates after each."""

SAME = 0.5
"""Minimum overlap (IoU) with a true cell for a box to need no correction."""


def never_taught(weights: Path, folder: Path) -> Path:
    """Write a model with the COCO weights of ``yolo26n.pt``, without training."""
    from training.models.model import new_model, write_model
    from training.models.pretrained import with_coco_weights
    from training.networks.vocabulary import Vocabulary

    model = with_coco_weights(new_model(Vocabulary.from_schema(load_schema("lld"))), weights)
    file = folder / "coco.safetensors"
    write_model(model, file, file.with_suffix(".json"))
    return file


def work(
    fields: Sequence[Field], weights: Path, *, budget: float, clusters: int = CLUSTERS, rounds: int = ROUNDS
) -> dict[str, Any]:
    """Annotate unlabelled fields in rounds; return the quality of the suggestions before each round.

    Parameters
    ----------
    clusters
        Number of clusters to label first.
    budget
        Budget of each training in seconds.
    """
    # a low-priority process may still be writing graphs of the last model
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        start = never_taught(weights, folder)
        with project.new(folder / "project") as made:
            files = [project.put(field, folder, number) for number, field in enumerate(fields)]
            made.fields.add(files)
            made.models.activate(project.adopt(made, start))
            ask(PredictRequest(project=str(made.path), annotator="benchmark"))
            person = Person(made, fields)
            outcome: dict[str, Any] = {"boxes": person.boxes()}
            if clusters:
                outcome["clusters"] = person.label_clusters(clusters)
            for number in range(1, rounds + 1):
                shown = person.review(REVIEWED)
                waiting = person.waiting()
                outcome[f"before round {number}"] = {"shown": shown, "waiting": waiting}
                if number < rounds:
                    begun = time.monotonic()
                    init = str(start) if number == 1 else "active"
                    ask(TrainRequest(project=str(made.path), init=init, budget=budget, annotator="benchmark"))
                    outcome[f"before round {number}"]["seconds of training"] = round(
                        time.monotonic() - begun, 1
                    )
            outcome["labelled"] = len(made.cells.all())
    return outcome


class Person:
    """Simulates an annotator who reviews suggestions; counts those that are correct."""

    def __init__(self, made: Project, fields: Sequence[Field]) -> None:
        self.made = made
        self.truth = {field.id: list(fields[int(Path(field.name).stem)].cells) for field in made.fields.all()}
        self.sizes = {field.id: (field.width, field.height) for field in made.fields.all()}

    def boxes(self) -> dict[str, float]:
        """Return precision and recall of the pending boxes."""
        waiting = self.made.suggestions.find()
        right = [item for item in waiting if self._cell(item) is not None]
        cells = sum(map(len, self.truth.values()))
        return {"precision": len(right) / max(1, len(waiting)), "recall": len(right) / cells}

    def label_clusters(self, most: int) -> dict[str, int]:
        """Label the largest clusters of pending suggestions, except for their outliers."""
        path = str(self.made.path)
        done = ask(LikenessRequest(project=path, what="clusters", most=most, annotator="benchmark"))
        counts = Counter[str]()
        for item in done.result["clusters"]:
            pairs = [(number, self._class_of(number)) for _, number in item["keys"]]
            name, count = Counter(given for _, given in pairs).most_common(1)[0]
            counts["glances"] += len(pairs)
            if name is None or count < MAJORITY * len(pairs):
                continue
            counts["labels"] += 1
            counts["taken out"] += len(pairs) - count
            counts["labelled"] += count
            self.made.bulk_edits.label((), [i for i, given in pairs if given == name], cell_class=name)
        self._renew(None)
        return dict(counts)

    def review(self, most: int) -> dict[str, Any]:
        """Review the suggestions of fields in the order of the ranking, each field completely."""
        right = Counter[str]()
        shown = answered = 0
        while shown < most:
            order = ranking.order(self.made)
            if not order:
                break
            field_id = order[0].field_id
            assert field_id is not None
            while waiting := self.made.suggestions.find(field_id):
                item = waiting[0]
                shown += 1
                right.update(self._judged(item))
                self._answer(item)
                answered += 1
                if answered % RENEWED_EACH == 0:
                    self._renew(field_id)
            self._finish(field_id)
        self._renew(None)
        return {"suggestions": shown, **_shares(right, shown)}

    def waiting(self) -> dict[str, Any]:
        """Evaluate all pending suggestions on unfinished fields."""
        right = Counter[str]()
        waiting = self.made.suggestions.find()
        for item in waiting:
            right.update(self._judged(item))
        return {"suggestions": len(waiting), **_shares(right, len(waiting))}

    def _judged(self, item: Suggestion) -> list[str]:
        cell = self._cell(item)
        if cell is None:
            return []
        right = ["box"]
        if item.stated_class == cell.cell_class:
            values = item.proposal.best_attributes
            right.append("class")
            if all(values.get(name) == value for name, value in cell.attributes.items()):
                right.append("class and values")
        return right

    def _answer(self, item: Suggestion) -> None:
        cell = self._cell(item)
        if cell is None:
            self.made.suggestions.reject(item.id)
        else:
            given = {"cell_class": cell.cell_class, "attributes": dict(cell.attributes)}
            self.made.suggestions.correct(item.id, **given)

    def _finish(self, field_id: int) -> None:
        """Box missed cells, set attributes of cells labelled in clusters, and finish the field."""
        for item in self.truth[field_id]:
            same = [c for c in self.made.cells.all(field_id) if iou(c.box, item.box) >= SAME]
            given = {"cell_class": item.cell_class, "attributes": dict(item.attributes)}
            if same:
                self.made.cells.change(same[0].id, **given)
            else:
                self.made.cells.add(field_id, item.box, **given)
        width, height = self.sizes[field_id]
        self.made.regions.add(field_id, Shape.rectangle(0, 0, width, height))

    def _renew(self, field_id: int | None) -> None:
        first = [] if field_id is None else [field_id]
        ask(RenewRequest(project=str(self.made.path), annotator="benchmark", first=first))
        self.made.refresh()

    def _class_of(self, suggestion_id: int) -> str | None:
        cell = self._cell(self.made.suggestions.get(suggestion_id))
        return None if cell is None else cell.cell_class

    def _cell(self, item: Suggestion) -> TrueCell | None:
        """Return the true cell in the box of a suggestion, if any."""
        cells: list[TrueCell] = self.truth[item.field_id]
        best = max(cells, key=lambda cell: iou(cell.box, item.box), default=None)
        return best if best is not None and iou(best.box, item.box) >= SAME else None


def _shares(right: Mapping[str, int], of: int) -> dict[str, float]:
    return {name: round(right[name] / max(1, of), 4) for name in ("box", "class", "class and values")}
