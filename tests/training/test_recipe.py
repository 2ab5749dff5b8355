"""Heads taught on frozen features: a new class from twenty cells, and nothing forgotten."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from functools import cache, partial

import numpy as np
import pytest
import torch
from PIL import Image

import napari_lld.sample as sample
from annotation_store.records import Shape
from training.engine.cell_features import Cells, embed_cells
from training.engine.data import LabelledCell, Labels, TrainingField
from training.engine.recipe import Mixing, fit_heads, out_of_fold
from training.models.memory import Memory, source_of
from training.models.model import LearnedModel, adapt, new_model, read_model, starter_place
from training.networks.vocabulary import Vocabulary

NEW = "Eosinophil"
SOURCE = source_of("a project")


@cache
def start(*, knows_new: bool) -> LearnedModel:
    """Give the starter, or one that no eosinophil has taught."""
    starter = read_model(starter_place())
    if knows_new:
        return starter
    own = starter.vocabulary
    without = dataclasses.replace(own, classes=tuple(name for name in own.classes if name != NEW))
    return adapt(adapt(starter, without), own)


@cache
def sample_cells() -> tuple[Cells, tuple[str, ...]]:
    """Give the features of the sample's cells, and their classes."""
    content = json.loads(sample.truth().read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in content["categories"]}
    fields = []
    for image in content["images"]:
        pixels = np.asarray(Image.open(sample.truth().parent / "fields" / image["file_name"]).convert("RGB"))
        cells = tuple(
            LabelledCell(tuple(one["bbox"]), names[one["category_id"]])
            for one in content["annotations"]
            if one["image_id"] == image["id"] and one["category_id"] is not None
        )
        whole = (Shape.rectangle(0, 0, pixels.shape[1], pixels.shape[0]),)
        fields.append(TrainingField(image["file_name"], lambda pixels=pixels: pixels, cells, whole))
    cells = embed_cells(start(knows_new=True), fields)
    classes = start(knows_new=True).vocabulary.classes
    return cells, tuple(classes[row.argmax()] for row in cells.labels.allowed[0])


def part(cells: Cells, rows: np.ndarray) -> Cells:
    places = [cells.positions[row] for row in rows]
    labels = Labels.single([head[rows] for head in cells.labels.allowed])
    return Cells(cells.features[rows], labels, cells.units[rows], places)


def named(model: LearnedModel, features: np.ndarray) -> list[str]:
    known = model.trained_values()[0]
    assert known is not None
    model.eval()  # as prediction does: with dropout some cells would be named by chance
    with torch.inference_mode():
        said = model.describer.combined_logits(torch.from_numpy(features))[0].numpy()
    return [model.vocabulary.classes[i] for i in np.where(known, said, -np.inf).argmax(1)]


def right(model: LearnedModel, rows: np.ndarray) -> Counter[str]:
    """Count the cells named rightly, by class."""
    cells, names = sample_cells()
    said = named(model, cells.features[rows])
    return Counter(names[row] for row, word in zip(rows, said, strict=True) if word == names[row])


def test_a_class_that_the_start_never_saw_is_learnt_from_twenty_cells_and_the_others_stay() -> None:
    cells, names = sample_cells()
    new = np.flatnonzero([name == NEW for name in names])
    old = np.flatnonzero([name != NEW for name in names])
    model = adapt(start(knows_new=False), start(knows_new=True).vocabulary, SOURCE)
    before = right(model, old)
    assert (len(new), len(old)) == (48, 96)
    assert before.total() >= 90
    fit_heads(model, part(cells, new[:20]))
    assert right(model, new[20:])[NEW] >= 26  # of 28
    assert right(model, old).total() >= before.total() - 2
    assert model.taught["class"][NEW] == 20


def test_without_a_memory_the_classes_that_a_project_does_not_show_would_be_forgotten() -> None:
    cells, names = sample_cells()
    shown = np.flatnonzero([name in (NEW, "Lymphocyte") for name in names])
    unseen = np.flatnonzero([name in ("Neutrophil", "Monocyte", "Basophil") for name in names])
    model = adapt(start(knows_new=False), start(knows_new=True).vocabulary, SOURCE)
    before = right(model, unseen).total()
    for _ in range(3):  # rounds, each from the model of the last
        fit_heads(model, part(cells, shown))
        model = adapt(model, model.vocabulary, SOURCE)
    assert right(model, unseen).total() >= before - 1  # of 76
    assert before >= 71
    # and what the project taught is neither counted nor remembered three times
    assert model.taught["class"][NEW] == 48
    assert (model.memory.sources == SOURCE).sum() <= len(shown)


def test_cells_are_counted_once_though_the_schema_grows_between_rounds() -> None:
    cells, names = sample_cells()
    new = part(cells, np.flatnonzero([name == NEW for name in names]))
    own = start(knows_new=True).vocabulary
    more = dataclasses.replace(own, classes=(*own.classes, "Plasma cell"))
    model = adapt(start(knows_new=False), own, SOURCE)
    fit_heads(model, new)
    grown = adapt(adapt(model, more), more, SOURCE)  # as read for the new words, then to be taught
    assert grown.taught == model.taught | {"class": model.taught["class"]}
    grown.record_training([np.pad(head, ((0, 0), (0, i == 0))) for i, head in enumerate(new.labels.allowed)])
    assert grown.taught["class"][NEW] == 48


def clusters(words: Vocabulary, features: int, of: dict[int, int], seed: int = 0) -> Cells:
    """Make cells whose features tell their class; the other heads have no labels."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(0, 1, (len(words.classes), features))
    labels = np.repeat(np.array([*of], int), [*of.values()])
    allowed = [np.zeros((len(labels), len(values)), bool) for values in words.heads]
    allowed[0][np.arange(len(labels)), labels] = True
    spread = rng.normal(0, 1, (len(labels), features))
    units = np.array([str(i % 7) for i in range(len(labels))])
    places = [(i % 7, i // 7) for i in range(len(labels))]
    return Cells((centres[labels] + spread).astype(np.float32), Labels.single(allowed), units, places)


def test_a_group_teaches_the_member_that_its_cells_resemble(words: Vocabulary) -> None:
    model = new_model(words)
    cells = clusters(words, model.describer.features, {0: 30, 1: 30, 2: 10})
    cells.labels.allowed[0][40:70, 1:] = (
        True  # twenty of the one blast and all of the other are called "blast"
    )
    cells.labels.allowed[0][65:70] = [False, False, True]  # but for five
    fit_heads(model, cells)
    fresh = clusters(words, model.describer.features, {0: 20, 1: 20, 2: 20}, seed=5)
    said = named(model, fresh.features)
    assert said == [words.classes[row.argmax()] for row in fresh.labels.allowed[0]]
    assert model.taught["class"] == {"Neutrophil": 30, "Lymphoblast": 30, "Myeloblast": 10}


def test_a_group_of_which_no_member_was_shown_teaches_none(words: Vocabulary) -> None:
    model = new_model(words)
    cells = clusters(words, model.describer.features, {0: 9, 1: 9})
    cells.labels.allowed[0][9:, 1:] = True
    fit_heads(model, cells)
    assert model.taught["class"] == {"Neutrophil": 9}
    assert model.trained_values()[0] is None


def test_one_value_or_no_cell_teaches_no_discriminant(words: Vocabulary) -> None:
    for of in ({0: 12}, {}):
        model = new_model(words)
        before = {name: tensor.clone() for name, tensor in model.tensors()}
        cells = clusters(words, model.describer.features, of)
        fit_heads(model, cells)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.tensors())
        assert len(model.memory) == len(cells.units)


def test_two_cells_of_two_classes_are_enough_to_begin(words: Vocabulary) -> None:
    model = new_model(words)
    cells = clusters(words, model.describer.features, {0: 1, 1: 1})
    fit_heads(model, cells)
    assert named(model, cells.features) == ["Neutrophil", "Lymphoblast"]


def test_among_values_the_heads_know_better_the_heads_decide(words: Vocabulary) -> None:
    """And by the discriminant where the heads are wrong."""
    shares = {}
    for wrong in (False, True):
        model = new_model(words)
        cells = clusters(words, model.describer.features, {0: 40, 1: 40})
        logits = torch.from_numpy(np.where(cells.labels.allowed[0] != wrong, 9.0, -9.0).astype(np.float32))
        nothing = [torch.zeros(80, len(values)) for values in words.heads[1:]]
        model.describer.head_logits = partial(lambda said, _: said, [logits, *nothing])  # type: ignore[method-assign, assignment]
        model.describer.lines[0].own[:2] = 1  # type: ignore[index]
        fit_heads(model, cells)
        shares[wrong] = float(model.describer.lines[0].share)  # type: ignore[arg-type]
    assert shares[False] == 0 < shares[True]


def test_how_heads_are_mixed_is_chosen_unless_it_is_given(words: Vocabulary) -> None:
    model = new_model(words)
    cells = clusters(words, model.describer.features, {0: 40, 1: 40})
    chosen = fit_heads(model, cells)
    given = {i: Mixing(one.temperature * 2, 1.0, 0.5) for i, one in chosen.items()}
    weight = model.describer.lines[0].weight.clone()  # type: ignore[operator]
    assert fit_heads(model, cells, mixing=given) == given
    assert torch.allclose(model.describer.lines[0].weight * 2, weight)  # type: ignore[operator, arg-type]
    some = {i: one for i, one in given.items() if i}
    assert fit_heads(model, cells, mixing=some) == chosen  # it lacks a head: all are chosen


def test_a_memory_of_old_vectors_is_of_no_use_to_another_trunk(words: Vocabulary) -> None:
    model = new_model(words)
    model.memory = Memory(
        np.zeros((2, model.describer.features), np.float16), np.zeros((2, 3), np.int16), np.zeros(2, np.int64)
    )
    cells = clusters(words, model.describer.features, {0: 3})
    from training.engine.cell_features import remember

    remember(model, cells)
    assert len(model.memory) == 3


def test_what_is_said_of_a_cell_out_of_fold_was_not_learnt_from_it_nor_from_its_patient(
    words: Vocabulary,
) -> None:
    model = new_model(words)
    cells = clusters(words, model.describer.features, {0: 30, 1: 30})
    cells.labels.allowed[0][3] = [False, True, False]  # one of the first class is called the second
    alone = np.flatnonzero(cells.units == "2")[0]
    cells.labels.allowed[0][alone] = [False, False, True]  # and one the third, which no other cell is
    said = out_of_fold(model, cells, SOURCE)[0]
    assert said is not None
    assert said[3, 0] > 0.9
    assert (said[30:, 1] > 0.9).all()
    assert said[alone, 2] == 0, "no other cell shows it"
    before = {name: tensor.clone() for name, tensor in model.tensors()}
    assert all((tensor == before[name]).all() for name, tensor in model.tensors())
    assert len(model.memory) == 0


def test_of_few_cells_nothing_is_said_out_of_fold_and_those_of_one_patient_judge_each_other(
    words: Vocabulary,
) -> None:
    model = new_model(words)
    few = clusters(words, model.describer.features, {0: 4, 1: 4})
    assert out_of_fold(model, few, SOURCE)[0] is None
    cells = clusters(words, model.describer.features, {0: 20, 1: 20})
    cells.units[:] = "one"
    said = out_of_fold(model, cells, SOURCE)[0]
    assert said is not None
    assert (said[:20, 0] > 0.5).all()


@pytest.mark.parametrize(("first", "second"), [(0, 0), (3, 7), (11, 5)])
def test_one_cell_of_each_of_two_own_classes_tells_them_apart(first: int, second: int) -> None:
    cells, names = sample_cells()
    of = [np.flatnonzero([name == wanted for name in names]) for wanted in ("Lymphocyte", "Eosinophil")]
    own = Vocabulary(("Own A", "Own B"), {}, {})
    model = adapt(start(knows_new=True), own, SOURCE)
    assert not len(model.memory)
    rows = np.array([of[0][first], of[1][second]])
    taught = part(cells, rows)
    fit_heads(model, dataclasses.replace(taught, labels=Labels.single([np.eye(2, dtype=bool)])))
    said = named(model, cells.features)
    for wanted, these in zip(own.classes, of, strict=True):
        assert sum(said[row] == wanted for row in these) >= 0.8 * len(these)
