"""Suggestions say how like the taught classes a cell is; labels of its film are taken into account."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import formats
from annotation_store.project import Project
from napari_lld import sample
from training.evaluation.unchecked_films import trust_reasons
from training.inference.predict import RawProposals, novelty_of, propose_raw
from training.models.model import read_model, starter_place
from training.networks.scale import domain_of
from training.protocol import EvaluateRequest, PredictRequest
from training.worker.annotated_fields import AnnotatedField, annotated_fields
from training.worker.embedded import vectors_of
from training.worker.films import Films
from training.worker.models import resolve
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
        known = annotated_fields(opened)
        model = read_model(starter_place())
        films = Films(opened, model, known)
        by_film = {domain_of(one.field): one for one in known if one.field.name.startswith("pbc")}
        (film,) = by_film
        move = films.move(film)
        told = novelty_of(model)
        assert told is not None
        there, here = told.transform(np.stack((np.zeros(model.describer.features), -np.asarray(move))))
        assert 0 < np.linalg.norm(here - there) < 1.5  # the sample's fields look like those of the starter
        assert films.move("never labelled") == 0.0
        assert films.unlike() == []


def test_more_than_ten_labelled_cells_move_a_film(project: Path) -> None:
    with Project.open(project, annotator="tester") as opened:
        model = read_model(starter_place())
        told = novelty_of(model)
        assert told is not None
        classes = list(model.vocabulary.classes)
        known = [one for one in annotated_fields(opened) if one.field.name.startswith("pbc")][:6]
        cells = [
            (one, cell)
            for one in known
            for cell in one.cells
            if classes.index(cell.cell_class) in told.values
        ]
        assert 10 < len(cells) <= 100
        features = vectors_of(opened, model).of(
            opened,
            model,
            [(one.field.id, cell.box) for one, cell in cells],
            sides={one.field.id: one.cell_side for one in known},
        )
        by_all = told.estimate_shift(features, [classes.index(cell.cell_class) for _, cell in cells])
        move = Films(opened, model, known).move(domain_of(known[0].field))
        assert np.asarray(move) == pytest.approx(by_all, abs=1e-4)


def test_a_film_is_checked_from_ten_labelled_cells_of_taught_classes_on(project: Path) -> None:
    with Project.open(project, annotator="tester") as opened:
        known, model = annotated_fields(opened), read_model(starter_place())
        (film,) = {domain_of(one.field) for one in known if one.field.name.startswith("pbc")}

        def with_cells(count: int, **changes: Any) -> list[AnnotatedField]:
            cells = [replace(c, **changes) for k in known if domain_of(k.field) == film for c in k.cells]
            return [replace(known[0], cells=tuple(cells[:count]))]

        first = replace(known[0].field, domain=film)
        for count, changes, unchecked in (
            (9, {}, True),
            (10, {}, False),
            (99, {"cell_class": "Promonocyte", "attributes": {}}, True),
            (99, {"cell_class": None, "attributes": {}}, True),
        ):
            some = [replace(one, field=first) for one in with_cells(count, **changes)]
            films = Films(opened, model, some)
            assert films.is_unchecked(film) == unchecked, (count, changes)
            films.note(film, RawProposals(np.zeros((0, 4)), np.zeros(0), []))
            told = films.trust()
            assert told["labelled"] == ({film: 9 if not changes else 0} if unchecked else {})
            others = sum(len(one.cells) for one in some) if changes.get("cell_class") else 0
            assert told["not_learned"] == ({film: others} if others else {})
            assert bool(others) == any("with what the model has not" in one for one in trust_reasons(told))
        assert Films(opened, model, ()).is_unchecked("never labelled")
        model.card = {"learnt_films": {opened.pseudonyms.of_domain("of another reading"): 10}}
        assert not Films(opened, model, ()).is_unchecked("of another reading")
        assert Films(opened, model, ()).is_unchecked("never labelled")


def test_a_model_that_cannot_tell_unlike_cells_needs_more_labels_before_it_is_certain(project: Path) -> None:
    with Project.open(project, annotator="tester") as opened:
        known, model = annotated_fields(opened), read_model(starter_place())
        (film,) = {domain_of(one.field) for one in known if one.field.name.startswith("pbc")}
        cells = [cell for k in known if domain_of(k.field) == film for cell in k.cells]
        first = replace(known[0].field, domain=film)
        model.memory = model.memory.subset(np.arange(10))
        assert novelty_of(model) is None
        for count, unchecked in ((10, True), (39, True), (40, False)):
            some = [replace(known[0], cells=tuple((cells * 40)[:count]), field=first)]
            films = Films(opened, model, some)
            assert films.is_unchecked(film) == unchecked, count
            films.note(film, RawProposals(np.zeros((0, 4)), np.zeros(0), []))
            (reason,) = trust_reasons(films.trust()) or [None]
            assert (reason is not None) == unchecked
            assert reason is None or f"({count} of 40 cells labelled)" in str(reason)


def test_all_films_are_named_if_they_are_few_else_the_largest_and_the_number_of_the_others(
    project: Path,
) -> None:
    with Project.open(project, annotator="tester") as opened:
        films = Films(opened, read_model(starter_place()), ())
        for fields, film in enumerate("ABCDEFG", 1):
            for _ in range(fields):
                films.note(film, RawProposals(np.zeros((0, 4)), np.zeros(0), []))
        told = films.trust()
    assert told["unchecked"] == list("GFEDCBA")
    (reason,) = trust_reasons(told)
    named = ", ".join(f"{film} (0 of 10 cells labelled)" for film in "GFEDC")
    assert f"on the films {named} and 2 more, and none" in reason
    (reason,) = trust_reasons(told | {"unchecked": told["unchecked"][2:]})
    assert "A (0 of 10 cells labelled), and none" in reason
    (reason,) = trust_reasons({"unlike": list("ABCDEF")})
    assert "The films A, B, C, D, E and 1 more look unlike" in reason


def test_an_image_is_of_the_one_film_that_has_fields_of_its_size(project: Path) -> None:
    with Project.open(project, annotator="tester") as opened:
        known = annotated_fields(opened)[:2]
        sized = [replace(k.field, width=70, height=50, domain="lab") for k in known]
        films = [replace(k, field=f) for k, f in zip(known, sized, strict=True)]
        model = read_model(starter_place())
        assert Films(opened, model, films).of_size(70, 50) == "lab"
        assert Films(opened, model, films).of_size(71, 50) == "71×50 px"
        two = [films[0], replace(films[1], field=replace(sized[1], domain="other"))]
        assert Films(opened, model, two).of_size(70, 50) == "70×50 px"


def test_suggestions_carry_it(tmp_path: Path) -> None:
    empty = tmp_path / "project"
    with Project.create(empty, "lld", annotator="tester") as made:
        made.fields.add(sorted((sample.truth().parent / "fields").glob("pbc*"))[:2])
    quiet: Any = Quiet()
    done = run(PredictRequest(project=str(empty), device="cpu"), quiet, time.monotonic())
    assert done.result["unlike"] == []
    assert (done.result["unchecked"], done.result["sets"]) == (["800×600 px"], None)
    assert done.result["labelled"] == {"800×600 px": 0}
    with Project.open(empty) as opened:
        suggested = [one.proposal for one in opened.suggestions.find()]
    values = [one.novelty for one in suggested]
    assert all(one.unchecked for one in suggested)
    assert max(max(one.class_probabilities.values()) for one in suggested) <= 0.9, "nothing is called sure"
    assert len(values) >= 20
    assert all(value is not None and 0 < value <= 1 for value in values)
    assert sum(value is not None and value < 0.05 for value in values) <= 3


def test_evaluation_judges_what_prediction_shows(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[list[RawProposals]] = []
    monkeypatch.setattr(
        "training.worker.evaluate.measure", lambda _model, _truths, raws: judged.append(raws) or {}
    )
    images = sample.truth().parent / "fields"
    (one,) = sorted(images.glob("pbc*"))[:1]
    empty = tmp_path / "project"
    Project.create(empty, "lld", annotator="tester").close()
    quiet: Any = Quiet()
    told = []
    for folder in (project, empty):
        request = EvaluateRequest(
            project=str(folder),
            model="starter",
            truth=str(sample.truth()),
            images=str(images),
            fields=[one.name],
            device="cpu",
        )
        told.append(run(request, quiet, time.monotonic()).metrics["unchecked"])
    assert told == [[], ["800×600 px"]]
    (here,), (elsewhere,) = judged
    assert (here.unchecked, elsewhere.unchecked) == (False, True)
    with Project.open(project, annotator="tester") as opened:
        known, model = annotated_fields(opened), resolve(opened, "starter")[0]
        (field,) = [k for k in known if k.field.name == one.name]
        (shown,) = propose_raw(
            model,
            [lambda: opened.pixels.read(field.field.id)],
            cell_sides=[field.cell_side],
            moves=[Films(opened, model, known).move(domain_of(field.field))],
        )
    np.testing.assert_array_equal(here.boxes, shown.boxes)
    np.testing.assert_allclose(here.places, shown.places, atol=1e-4)
    assert np.abs(here.places[:12] - elsewhere.places[:12]).max() > 0.01, "its film is not moved there"
