"""The order in which things came changes no ranking; what a ranking costs grows no faster than the fields."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_store import Embedding, Project, Proposal, Shape
from annotation_store._db.tables import fields, suggestions
from annotation_store.records import Cell, Field, Suggestion, SuggestionState
from annotation_store.schema import load_schema
from tests.database import engine, writing
from training import ranking
from training.ranking import diversity
from training.ranking.cells import Queue, rank_cells
from training.ranking.label_errors import find_label_errors
from training.ranking.label_statistics import PredictedField
from training.worker.annotated_fields import annotated_fields

from .conftest import candidate

SCHEMA = load_schema("lld")
VECTOR = np.ones(4, np.float32)


# --- order -----------------------------------------------------------------------------------------------


def test_the_order_in_which_fields_were_added_changes_nothing(tmp_path: Path, pictures: list[Path]) -> None:
    """The same pictures, the other way round: the same order by name, the same ones drawn at random."""
    told = []
    for number, some in enumerate((pictures, pictures[::-1])):
        with Project.create(tmp_path / f"{number}.lld", "lld", annotator="Ada") as project:
            project.fields.add(some)
            names = {field.id: field.name for field in project.fields.all()}
            for field_id, name in sorted(names.items()):
                which = int(name[1:3])
                doubt = [candidate(20 + 9 * i, 40, Monocyte=0.5, Lymphocyte=0.5) for i in range(which)]
                project.suggestions.replace(field_id, doubt, model_id=None)
                vector = np.eye(4, dtype=np.float32)[which % 4] + which / 100
                project.embeddings.save("starter", {field_id: Embedding(vector)})
            ranked = ranking.update(project)
            told.append(
                [(names[one.field_id], round(one.score, 9), one.reasons, one.drawn) for one in ranked]
            )
            told.append(sorted(names[i] for i in project.random_sample.fields()))
    assert told[0] == told[2]
    assert told[1] == told[3]
    assert len(told[1]) == 2


places = st.tuples(st.integers(0, 5), st.integers(0, 3)).map(lambda p: (24.0 * p[0], 24.0 * p[1], 20.0, 20.0))
labels = st.sampled_from(["Monocyte", "Lymphocyte", "blast", "unsure", None])


@st.composite
def said(draw: st.DrawFn) -> Proposal:
    share = draw(st.sampled_from([0.02, 0.5, 0.98]))
    sure = draw(st.sampled_from([0.5, 0.8, 0.95]))
    return Proposal(draw(places), sure, {"Monocyte": share, "Lymphocyte": 1 - share})


@st.composite
def seen(draw: st.DrawFn, number: int) -> PredictedField:
    where = draw(st.lists(places, max_size=5, unique=True))
    return PredictedField(
        Field(number, f"f{number}", 160, 120, f"hash{number}", ""),
        tuple(Cell(10 * number + i, number, 1, box, draw(labels)) for i, box in enumerate(where)),
        tuple(draw(st.lists(said(), max_size=5))),
        (Shape.rectangle(0, 0, 160, 120),),
        learnt=draw(st.sampled_from([None, 15.0])),
    )


@settings(max_examples=40, deadline=None)
@given(st.tuples(seen(1), seen(2), seen(3)), st.randoms(use_true_random=False))
def test_the_order_of_fields_changes_no_likely_label_error(
    some: tuple[PredictedField, ...], random: Any
) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)
    assert find_label_errors(shuffled, SCHEMA) == find_label_errors(some, SCHEMA)


@settings(max_examples=40, deadline=None)
@given(st.lists(said(), max_size=8), st.randoms(use_true_random=False), st.sampled_from(Queue))
def test_the_order_of_suggestions_changes_no_queue(some: list[Proposal], random: Any, queue: Queue) -> None:
    waiting = [Suggestion(i, 1, None, one, SuggestionState.PENDING) for i, one in enumerate(some, 1)]
    shuffled = list(waiting)
    random.shuffle(shuffled)
    assert rank_cells(shuffled, queue) == rank_cells(waiting, queue)


# --- size ------------------------------------------------------------------------------------------------

EACH = 3
"""Suggestions on each field."""


class Counted:
    """How often what costs was done: the same for every machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
        self.statements = self.informations = self.pairs_of_boxes = self.distances = 0
        sa.event.listen(engine(project), "before_cursor_execute", self._statement)
        # by their names: the package has functions that are called as some of its modules
        module = import_module("training.ranking.acquisition")
        monkeypatch.setattr(module, "uncertainty", self._once(module.uncertainty))
        for name in ("project", "label_errors", "label_statistics"):
            module = import_module(f"training.ranking.{name}")
            monkeypatch.setattr(module, "iou_matrix", self._pairs(module.iou_matrix))
        original = diversity._distances
        monkeypatch.setattr(diversity, "_distances", self._rows(original))

    def _statement(self, *_: object) -> None:
        self.statements += 1

    def _once(self, original: Any) -> Any:
        def count(*args: Any, **more: Any) -> Any:
            self.informations += 1
            return original(*args, **more)

        return count

    def _pairs(self, original: Any) -> Any:
        def count(a: Any, b: Any) -> Any:
            self.pairs_of_boxes += len(a) * len(b)
            return original(a, b)

        return count

    def _rows(self, original: Any) -> Any:
        def count(vectors: Any, one: Any) -> Any:
            self.distances += len(vectors)
            return original(vectors, one)

        return count


def fill(project: Project, count: int) -> None:
    """Put fields into the database without pixels, with suggestions, cells' places and looks."""
    rng = np.random.default_rng(0)
    with writing(project) as connection:
        connection.execute(
            fields.insert(),
            [
                {
                    "id": i,
                    "name": f"{i}.png",
                    "width": 160,
                    "height": 120,
                    "content_hash": f"{i:064x}",
                    "suffix": ".png",
                    "source_path": "",
                    "added": "2026-01-01T00:00:00+00:00",
                }
                for i in range(1, count + 1)
            ],
        )
        waiting = []
        for i in range(count * EACH):
            p = float(rng.uniform(0.5, 1))
            x, y = (float(v) for v in rng.uniform(0, [140, 100]))
            waiting.append(
                {
                    "field_id": i // EACH + 1,
                    "model_id": None,
                    "x": x,
                    "y": y,
                    "w": 20.0,
                    "h": 20.0,
                    "confidence": 0.9,
                    "probability": 0.9 * max(p, 1 - p),
                    "class_probabilities": {"Monocyte": p, "Lymphocyte": 1 - p},
                    "attribute_probabilities": {},
                    "state": "pending",
                    "created": "2026-01-01T00:00:00+00:00",
                }
            )
        connection.execute(suggestions.insert(), waiting)
    prediction = (Proposal((5, 5, 20, 20), 0.95, {"Monocyte": 1.0, "Lymphocyte": 0.0}),)
    vectors = rng.normal(size=(count, 16)).astype(np.float32)
    project.embeddings.save("starter", {i + 1: Embedding(vectors[i], prediction) for i in range(count)})
    for field_id in range(1, 21):  # some are worked on
        project.regions.add(field_id, Shape.rectangle(0, 0, 60, 60))
        project.cells.add(field_id, (5, 5, 20, 20), cell_class="Lymphocyte")


ASKED: dict[str, Callable[[Project], object]] = {
    "update": ranking.update,
    "order": ranking.order,
    "label_errors": ranking.label_errors,
    "regions": lambda project: ranking.regions(project, 30),
    "knowledge": annotated_fields,  # what training and the pass over the fields begin with
}


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Counted]:
    """What the rankings of 250 and of 1,000 fields cost."""
    found = {}
    for count in (250, 1000):
        folder = tmp_path_factory.mktemp("many") / "project"
        with Project.create(folder, "lld", annotator="Ada") as project:
            fill(project, count)
            for what, ask in ASKED.items():
                with pytest.MonkeyPatch.context() as patch:
                    counted = Counted(patch, project)
                    ask(project)
                    sa.event.remove(engine(project), "before_cursor_execute", counted._statement)
                    found[what, count] = counted
    return found


@pytest.mark.parametrize("what", list(ASKED))
def test_a_thousand_fields_take_as_many_statements_as_a_few(
    costs: dict[tuple[str, int], Counted], what: str
) -> None:
    assert costs[what, 1000].statements == costs[what, 250].statements
    assert costs[what, 1000].statements < 30


def test_the_work_on_a_thousand_fields_grows_with_them_and_nothing_compares_field_with_field(
    costs: dict[tuple[str, int], Counted],
) -> None:
    few, many = costs["update", 250], costs["update", 1000]
    assert 0 < many.informations <= 1000 * EACH, "each suggestion is judged once"
    assert many.pairs_of_boxes <= 20 * EACH, "boxes are compared within a field, and where some are known"
    assert 0 < many.distances == few.distances, "those that differ are chosen from the best, not from all"
    few, many = costs["label_errors", 250], costs["label_errors", 1000]
    assert many.pairs_of_boxes == few.pairs_of_boxes > 0
    for count in (250, 1000):
        alone = costs["regions", count]
        assert alone.informations <= EACH
        assert alone.distances == 0
