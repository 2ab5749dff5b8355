"""Between rounds: labels change what is pending at once, and nothing else."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from annotation_store import Project, Proposal, Schema, Suggestion
from annotation_store.records import Shape, SuggestionState
from annotation_store.schema.model import CellClass
from training.evaluation.unchecked_films import trust_reasons
from training.inference.stain_proposals import STAIN_CONFIDENCE, has_box_from_stain
from training.models.model import starter_place
from training.protocol import DescribeRequest, Notice, PredictRequest, Renewed, RenewRequest, TrainRequest
from training.reasons import Reason
from training.worker.embedded import Vectors
from training.worker.models import resolve
from training.worker.predict import predict
from training.worker.renew import describe, renew
from training.worker.train import train

from .conftest import Heard

NEW = "Lymphoblast"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project of four sample fields with the starter's suggestions, and no label."""
    from napari_lld import sample

    folder = tmp_path_factory.mktemp("renew") / "project"
    images = sorted(Path(sample.__file__).parent.rglob("*.jpg"))[:4]
    with Project.create(folder, annotator="Ada") as project:
        assert project.fields.add(images).added
    predict(PredictRequest(project=str(folder), annotator="Ada"), Heard(), CPU)  # type: ignore[arg-type]
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    place = tmp_path / "project"
    shutil.copytree(template, place)
    return place


def once(folder: Path, **more: Any) -> tuple[Any, list[Any]]:
    heard = Heard()
    done = renew(RenewRequest(project=str(folder), annotator="Ada", **more), heard, CPU)  # type: ignore[arg-type]
    return done.result, heard.messages


def pending(folder: Path) -> list[Suggestion]:
    with Project.open(folder, annotator="Ada") as project:
        return sorted(project.suggestions.find(), key=lambda s: s.id)


def label(folder: Path, suggestions: Sequence[Suggestion], cell_class: str) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.bulk_edits.label((), [s.id for s in suggestions], cell_class=cell_class)


def test_a_class_the_starter_never_saw_is_predicted_after_a_few_labels_and_boxes_stay(folder: Path) -> None:
    before = pending(folder)
    assert not any(NEW in s.proposal.class_probabilities for s in before)
    label(folder, before[:4], NEW)
    result, _ = once(folder)
    after = pending(folder)
    assert result["cells"] == 4
    assert result["count"] == sum(s.renewed for s in after) > 0
    assert any(s.proposal.class_probabilities.get(NEW, 0) > 0 for s in after)
    rest = {s.id: s for s in before}
    for one in after:
        assert one.box == rest[one.id].box
        assert one.confidence == rest[one.id].confidence
        assert one.model_id == rest[one.id].model_id


def test_features_are_the_same_in_the_process_that_computes_them_and_in_the_next(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        model, _ = resolve(project, "starter")
        boxes = [(1, (x, 40.0, 60.0, 60.0)) for x in (50.0, 150.0, 250.0)]
        first = Vectors(model.trunk_digest()).of(project, model, boxes)
        Vectors(model.trunk_digest()).of(project, model, [(1, (350.0, 40.0, 60.0, 60.0))])
        again = Vectors(model.trunk_digest())
        assert np.array_equal(again.of(project, model, boxes), first)
        assert again.computed == 0


def test_a_project_without_a_label_changes_nothing(folder: Path) -> None:
    before = pending(folder)
    result, messages = once(folder)
    assert result["cells"] == result["count"] == 0
    assert pending(folder) == before
    assert not [m for m in messages if isinstance(m, Renewed)]


def test_labels_that_are_taken_back_take_back_what_they_taught(folder: Path) -> None:
    before = pending(folder)
    label(folder, before[:3], NEW)
    once(folder)
    with Project.open(folder, annotator="Ada") as project:
        for field in project.fields.all():
            while project.undoable(field.id):
                project.undo(field.id)
    once(folder)
    first = {s.id: s.proposal for s in before}
    for one in pending(folder):
        then = first[one.id].class_probabilities
        assert one.proposal.class_probabilities.keys() == then.keys()
        assert all(abs(p - then[name]) < 0.05 for name, p in one.proposal.class_probabilities.items())


def test_the_field_on_the_screen_comes_first(folder: Path) -> None:
    label(folder, pending(folder)[:4], NEW)
    shown = pending(folder)[-1].field_id
    _, messages = once(folder, first=[shown])
    told = [m.field_ids for m in messages if isinstance(m, Renewed)]
    assert told[0] == [shown]
    assert len(told) > 1


def test_what_others_proposed_or_a_person_settled_is_left(folder: Path) -> None:
    before = pending(folder)
    with Project.open(folder, annotator="Ada") as project:
        field = project.fields.all()[-1].id
        project.suggestions.replace(field, [Proposal((9, 9, 40, 40), 0.8, {"Monocyte": 1.0})], model_id=None)
        imported = project.suggestions.find(field)[0]
        rejected = before[0]
        project.suggestions.reject(rejected.id)
        project.bulk_edits.label((), [s.id for s in before[1:4]], cell_class=NEW)
        result, _ = once(folder)
        assert result["of_another_model"] == 1
        assert project.suggestions.get(imported.id) == imported
        assert project.suggestions.get(rejected.id).state is SuggestionState.REJECTED
        assert project.suggestions.get(rejected.id).proposal == rejected.proposal
        assert not project.suggestions.get(rejected.id).renewed


def test_boxes_from_the_stain_get_a_class_from_labels_alone_and_lose_it_with_them(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        field = project.fields.all()[0].id
        boxes = [s.box for s in project.suggestions.find(field)]
        by_stain = [Proposal(box, STAIN_CONFIDENCE) for box in boxes]
        ids = project.suggestions.replace(field, by_stain, model_id=None)
    once(folder)
    assert not any(s.renewed or s.stated_class for s in pending(folder) if s.id in ids)  # no label, no class
    label(folder, [s for s in pending(folder) if s.field_id != field][:4], NEW)
    once(folder)
    named = [s for s in pending(folder) if s.id in ids]
    assert len(named) == len(boxes) > 0
    assert all(s.renewed and NEW in s.proposal.class_probabilities for s in named)
    assert all(has_box_from_stain(s) and s.confidence == STAIN_CONFIDENCE for s in named)
    assert {s.box for s in named} == set(boxes)
    with Project.open(folder, annotator="Ada") as project:
        for cell in project.cells.all():
            project.cells.delete(cell.id)
    once(folder)
    alone = [s for s in pending(folder) if s.id in ids]
    assert all(has_box_from_stain(s) and s.stated_class is None for s in alone)


def test_renewing_twice_writes_nothing_the_second_time(folder: Path) -> None:
    label(folder, pending(folder)[:4], NEW)
    assert once(folder)[0]["count"] > 0
    assert once(folder)[0]["count"] == 0


def test_with_another_model_in_use_or_rolled_back_each_predicts_its_own_suggestions_only(
    folder: Path,
) -> None:
    some = pending(folder)
    with Project.open(folder, annotator="Ada") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True)
        for file in ("model.safetensors", "model.json"):
            shutil.copyfile(
                starter_place().with_suffix(Path(file).suffix), project.models.folder(number) / file
            )
        card = json.loads((project.models.folder(number) / "model.json").read_text("utf-8"))
        project.models.add(number, parent="elsewhere", card=card, activate=True)
    label(folder, some[:4], NEW)
    result, _ = once(folder)
    assert (result["count"], result["of_another_model"]) == (0, len(some) - 4)
    assert pending(folder) == some[4:]
    with Project.open(folder, annotator="Ada") as project:
        project.models.activate(None)
    result, _ = once(folder)
    assert result["count"] > 0
    assert result["of_another_model"] == 0


def test_a_drawn_box_is_described_by_the_heads_that_learnt_last(folder: Path) -> None:
    some = pending(folder)
    label(folder, some[:4], NEW)
    once(folder)
    first = some[0]
    request = DescribeRequest(project=str(folder), field=first.field_id, boxes=[first.box], annotator="Ada")
    (box,) = describe(request, Heard(), CPU).result["boxes"]  # type: ignore[arg-type]
    assert NEW in box["class"]
    assert abs(sum(box["class"].values()) - 1) < 1e-6
    assert set(box) == {"class", "attributes", "novelty", "unchecked"}


def test_a_schema_that_grew_is_learnt_from_at_once(folder: Path) -> None:
    label(folder, pending(folder)[:2], "Monocyte")
    once(folder)
    with Project.open(folder, annotator="Ada") as project:
        schema = project.schema
        hairy = CellClass(id=99, name="Hairy cell", letter="hc", colour="#123456")
        project.schema_versions.change(schema.model_copy(update={"classes": (*schema.classes, hairy)}))
    label(folder, pending(folder)[:3], "Hairy cell")
    once(folder)
    assert any("Hairy cell" in s.proposal.class_probabilities for s in pending(folder))


@pytest.fixture
def own_classes(tmp_path: Path) -> Path:
    """Make a project of two sample fields with classes that the starter does not know, and predict it."""
    from napari_lld import sample

    classes = tuple(
        CellClass(id=i, name=name, letter=name[-1], colour=f"#{i}{i}4466")
        for i, name in enumerate(("Type A", "Type B"))
    )
    folder = tmp_path / "project"
    images = sorted(Path(sample.__file__).parent.rglob("*.jpg"))[:2]
    with Project.create(folder, Schema(name="own", classes=classes), annotator="Ada") as project:
        project.fields.add(images)
    predict_again(folder)
    return folder


def predict_again(folder: Path, **more: Any) -> tuple[dict[str, Any], list[str]]:
    heard = Heard()
    done = predict(PredictRequest(project=str(folder), annotator="Ada", **more), heard, CPU)  # type: ignore[arg-type]
    return done.result, notices_of(heard.messages)


def of_classes(folder: Path) -> list[tuple[Any, dict[str, float]]]:
    return sorted((s.box, dict(s.proposal.class_probabilities)) for s in pending(folder))


def test_a_schema_of_words_that_the_starter_was_never_taught_is_learnt_from_the_first_labels(
    own_classes: Path,
) -> None:
    some = pending(own_classes)
    assert not any(s.proposal.class_probabilities or s.novelty is not None for s in some)
    label(own_classes, some[:3], "Type A")
    label(own_classes, some[3:6], "Type B")
    result, messages = once(own_classes)
    assert notices_of(messages) == []
    assert result["of_another_model"] == 0
    assert all(set(s.proposal.class_probabilities) == {"Type A", "Type B"} for s in pending(own_classes))
    assert once(own_classes)[0]["count"] == 0


def test_predicting_again_gives_the_classes_that_the_labels_taught_and_counts_these_labels(
    own_classes: Path,
) -> None:
    some = pending(own_classes)
    label(own_classes, some[:3], "Type A")
    label(own_classes, some[3:6], "Type B")
    once(own_classes)
    taught = of_classes(own_classes)
    result, notices = predict_again(own_classes)
    assert notices == []
    assert (result["needed"], result["described"]) == (40, True)
    assert sum(result["labelled"].values()) == 6
    assert (told := str(*trust_reasons(result))).count("of 40 cells labelled") == len(result["unchecked"]) > 0
    assert "label 40" in told
    again = of_classes(own_classes)
    assert [box for box, _ in again] == [box for box, _ in taught]
    for (_, one), (_, other) in zip(again, taught, strict=True):
        assert one == pytest.approx(other, abs=0.01)
    assert all(s.renewed for s in pending(own_classes)), "no model was measured on them"
    assert once(own_classes)[0]["count"] == 0


def test_before_the_labels_teach_a_class_it_is_said_how_many_there_are_and_nothing_of_probabilities(
    own_classes: Path, tmp_path: Path
) -> None:
    result, (notice,) = predict_again(own_classes)
    assert "have none: label some cells of each class, then renew the suggestions or train" in notice
    assert (result["described"], trust_reasons(result)) == (False, [])
    some = pending(own_classes)
    label(own_classes, some[:3], "Type A")
    _, (notice,) = predict_again(own_classes)
    assert "3 cells are labelled, all of one class" in notice
    label(own_classes, pending(own_classes)[:3], "Type B")
    with Project.open(own_classes) as project:
        image = project.path / "field.png"
        Image.fromarray(project.pixels.read(1)).save(image)
    out = str(tmp_path / "out.json")
    _, (notice,) = predict_again(own_classes, images=[str(image)], out=out)
    assert "6 cells are labelled, train on them" in notice


def notices_of(messages: Sequence[Any]) -> list[str]:
    return [str(Reason.read(m.reason)) for m in messages if isinstance(m, Notice)]


def test_renewing_and_training_too_say_why_no_suggestion_has_a_class(own_classes: Path) -> None:
    assert notices_of(once(own_classes)[1]) == []  # it is said already that no cell is labelled
    label(own_classes, pending(own_classes)[:3], "Type A")
    with Project.open(own_classes, annotator="Ada") as project:
        for field in project.fields.all():
            project.regions.add(field.id, Shape.rectangle(0, 0, field.width, field.height))
    (notice,) = notices_of(once(own_classes)[1])
    assert "3 cells are labelled, all of one class" in notice
    request = TrainRequest(project=str(own_classes), annotator="Ada", epochs=1, size=96, device="cpu")
    heard = Heard()
    done = train(request, heard, CPU, time.monotonic())  # type: ignore[arg-type]
    assert notice in notices_of(heard.messages)
    assert sum(done.result["not_learned"].values()) == 3
    assert not any(done.result["labelled"].values())


def test_without_a_trained_model_a_prediction_shows_what_labels_taught_of_a_known_schema_too(
    folder: Path,
) -> None:
    label(folder, pending(folder)[:4], NEW)
    once(folder)
    taught = of_classes(folder)
    predict_again(folder)
    again = of_classes(folder)
    assert any(chances.get(NEW, 0) > 0.2 for _, chances in again)
    for (_, one), (_, other) in zip(again, taught, strict=True):
        assert one == pytest.approx(other, abs=0.01)
    assert once(folder)[0]["count"] == 0


def test_a_trained_model_predicts_as_it_was_measured_whatever_was_labelled_since(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        number = project.models.reserve_id()
        place = project.models.folder(number)
        place.mkdir(parents=True)
        for file in ("model.safetensors", "model.json"):
            shutil.copyfile(starter_place().with_suffix(Path(file).suffix), place / file)
        card = json.loads((place / "model.json").read_text("utf-8"))
        project.models.add(number, parent="starter", card=card, activate=True)
    label(folder, pending(folder)[:4], NEW)
    for model in (number, "active", "starter"):
        predict_again(folder, model=model)
        assert not any(s.renewed or NEW in s.proposal.class_probabilities for s in pending(folder)), model
    _, notices = predict_again(folder, model=number)
    assert notices == [], "nothing was renewed"
    assert once(folder)[0]["count"] > 0
    _, (notice,) = predict_again(folder, model=number)
    assert "has not learned the classes of 4 labelled cells: to get them suggested again, renew" in notice
