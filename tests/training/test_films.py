"""Suggestions say how like the taught classes a cell is; labels of its film are taken into account."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import formats
from annotation_store.project import Project
from napari_lld import sample
from training.engine.model import read_model, starter_place
from training.engine.scale import domain_of
from training.predict import novelty_of
from training.protocol import PredictRequest
from training.worker.films import Films
from training.worker.project_data import knowledge
from training.worker.run import run


class Quiet:
    cancelled = False

    def send(self, _message: object) -> None: ...

    def check(self) -> None: ...


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films") / "project"
    with Project.create(folder, "lld", annotator="tester") as made:
        formats.read("coco", made, sample.truth(), images=sample.truth().parent / "fields")
    return folder


def test_only_labelled_cells_of_a_film_move_it_and_like_ones_hardly(project: Path) -> None:
    with Project.open(project, annotator="tester") as opened:
        known = knowledge(opened)
        model = read_model(starter_place())
        films = Films(opened, model, known)
        by_film = {domain_of(one.field): one for one in known if one.field.name.startswith("pbc")}
        (film,) = by_film
        move = films.move(film)
        told = novelty_of(model)
        assert told is not None
        there, here = told.places(np.stack((np.zeros(model.describer.features), -np.asarray(move))))
        assert 0 < np.linalg.norm(here - there) < 1.5  # the sample's fields look like those of the starter
        assert films.move("never labelled") == 0.0
        assert films.unlike() == []


def test_suggestions_carry_it(tmp_path: Path) -> None:
    empty = tmp_path / "project"
    with Project.create(empty, "lld", annotator="tester") as made:
        made.add_fields(sorted((sample.truth().parent / "fields").glob("pbc*"))[:2])
    quiet: Any = Quiet()
    done = run(PredictRequest(project=str(empty), device="cpu"), quiet, time.monotonic())
    assert done.result["unlike"] == []
    with Project.open(empty) as opened:
        values = [one.novelty for one in opened.suggestions()]
    assert len(values) >= 20
    assert all(value is not None and 0 < value <= 1 for value in values)
    assert sum(value is not None and value < 0.05 for value in values) <= 3
