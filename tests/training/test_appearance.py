"""What a cell looks like by its stain, for models that began without having been taught a cell."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import softmax

from annotation_store import load_schema
from annotation_store.errors import LLDError
from annotation_store.images import read_image
from annotation_store.project import Project
from napari_lld import sample
from training.cluster import remote
from training.cluster.arrays import unpack
from training.cluster.model_files import read_files
from training.cluster.versions import own_versions
from training.engine.cell_features import Cells
from training.engine.data import Labels
from training.engine.recipe import fit_heads
from training.inference.engine import engine_of, remember_files
from training.inference.engine_graph import digest_of, make
from training.inference.onnx_export import NoTrunkError, export_onnx
from training.inference.predict import RawProposals, propose_raw
from training.inference.stain_proposals import has_box_from_stain
from training.models.calibration import Calibration
from training.models.memory import source_of
from training.models.model import (
    LearnedModel,
    adapt,
    describe_by_appearance,
    new_model,
    read_model,
    starter_place,
    write_model,
)
from training.networks.appearance import LENGTH, AppearanceDescriber, appearance
from training.networks.describer import CROP, Describer, features_of
from training.networks.vocabulary import Vocabulary
from training.worker.annotated_fields import annotated_fields
from training.worker.films import Films
from training.worker.models import initial_model
from training.worker.suggest import suggest_on

from .conftest import Heard

WORDS = Vocabulary.from_schema(load_schema("lld"))


def cell(nucleus: tuple[int, int, int], radius: int, seed: int = 0) -> np.ndarray:
    """Draw a round nucleus in a pale cell, with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:CROP, :CROP] - CROP / 2
    crop = np.full((CROP, CROP, 3), 235.0)
    crop[np.hypot(x, y) < 40] = (215, 205, 225)
    crop[np.hypot(x, y) < radius] = nucleus
    return np.asarray((crop + rng.normal(0, 4, crop.shape)).clip(0, 255), np.uint8)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_crop_without_any_cell_gives_finite_numbers(value: int) -> None:
    blank = appearance(np.full((CROP, CROP, 3), value, np.uint8))
    noise = appearance(np.random.default_rng(value).integers(0, 256, (CROP, CROP, 3)).astype(np.uint8))
    assert blank.shape == noise.shape == (LENGTH,)
    assert np.isfinite(blank).all()
    assert np.isfinite(noise).all()


def test_rotated_cells_look_the_same_and_others_differ() -> None:
    one, again = appearance(cell((90, 50, 140), 25)), appearance(np.rot90(cell((90, 50, 140), 25)).copy())
    other = appearance(cell((150, 80, 120), 12))
    assert np.abs(one - again).max() < 0.03
    assert np.abs(one - other).max() > 0.1


def test_features_of_a_model_never_taught_are_not_those_of_its_trunk() -> None:
    model = new_model(WORDS)
    trunk = model.trunk_digest()
    describe_by_appearance(model)
    assert isinstance(model.describer, AppearanceDescriber)
    assert model.trunk_digest() != trunk
    found = features_of(model.describer, [cell((90, 50, 140), 25)] * 3, [0.5, 1.0, 2.0])
    assert found.shape == (3, LENGTH + 1)
    assert found[:, -1].tolist() == [0.5, 1.0, 2.0]  # the size stands last, as in other describers
    assert features_of(model.describer, [], []).shape == (0, LENGTH + 1)
    assert all(not logits.any() for logits in model.describer.head_logits(found))
    assert torch.isfinite(found).all()


KINDS = ("safetensors", "json")
PALE, DARK = (150, 80, 120), (90, 50, 140)


@pytest.fixture(scope="module")
def taught() -> LearnedModel:
    """A model that began untaught, after a round with pale monocytes and dark, small lymphocytes."""
    model = adapt(describe_by_appearance(new_model(WORDS, size=160)), WORDS, source=7)
    model.detector.load_state_dict(read_model(starter_place()).detector.state_dict())  # one that finds cells
    crops = [cell(PALE, 26, seed) for seed in range(8)] + [cell(DARK, 18, seed) for seed in range(8)]
    of = ["Monocyte"] * 8 + ["Lymphocyte"] * 8
    targets = [
        WORDS.targets(name, {"cell_size": "small" if name == "Lymphocyte" else "large"}) for name in of
    ]
    labels = Labels.single([np.stack(head) for head in zip(*targets, strict=True)])
    features = features_of(model.describer, crops, np.linspace(0.3, 0.7, 16).tolist()).numpy()
    places = [(i, 0) for i in range(16)]
    fit_heads(model, Cells(features, labels, np.arange(16).astype(str), places))
    return model


@pytest.fixture(scope="module")
def saved(taught: LearnedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("taught")
    write_model(taught, *(folder / f"model.{kind}" for kind in KINDS))
    return folder


def said(model: LearnedModel) -> list[torch.Tensor]:
    with torch.inference_mode():
        shown = np.stack([cell(PALE, 26, 99), cell(DARK, 18, 98)])
        crops = torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255
        return list(model.eval().describer(crops, torch.full((2,), 0.5)))


def found(model: LearnedModel) -> RawProposals:
    image = np.asarray(read_image(sample.fields()[0]))
    return propose_raw(model, [lambda: image], cell_sides=[None], min_score=0.05)[0]


def test_what_a_round_taught_by_the_stain_comes_back_from_its_files(
    taught: LearnedModel, saved: Path
) -> None:
    again = read_model(saved)
    assert again.card["version"] == 2, "programs of before are told to update, not that the file is damaged"
    assert not again.sees_by_trunk
    assert not again.never_taught
    assert again.trunk_digest() == taught.trunk_digest(), "what is stored of its cells is found again"
    assert len(again.memory) == 16
    for one, other in zip(said(taught), said(again), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    names = [WORDS.classes[i] for i in said(again)[0].argmax(1)]
    assert names == ["Monocyte", "Lymphocyte"]


def test_the_next_round_sees_by_the_stain_too_and_heads_claim_nothing(
    taught: LearnedModel,
) -> None:
    child = adapt(taught, WORDS, source=8)
    assert not child.sees_by_trunk
    assert len(child.memory) == 16
    assert child.describer.is_by_discriminant(0)
    assert not read_model(starter_place()).describer.is_by_discriminant(0), "its heads were taught"
    assert [child.describer.own_values(head) for head in range(len(WORDS.heads))] == [0] * len(WORDS.heads)


def test_cards_without_a_word_on_it_mean_a_trunk_and_another_word_is_refused(tmp_path: Path) -> None:
    model = new_model(WORDS, size=96)
    earlier = LearnedModel(model.detector, Describer(WORDS, model.detector, with_colours=False), WORDS, 96)
    write_model(earlier, tmp_path / "model.safetensors", tmp_path / "model.json")
    card = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert card["version"] == 1, "programs of before read it"
    (tmp_path / "model.json").write_text(json.dumps({k: v for k, v in card.items() if k != "describer"}))
    assert read_model(tmp_path).sees_by_trunk
    (tmp_path / "model.json").write_text(json.dumps({**card, "describer": "hearsay"}))
    with pytest.raises(LLDError, match="describer"):
        read_model(tmp_path)


def test_a_round_begins_by_the_stain_where_the_start_was_never_taught(tmp_path: Path) -> None:
    start = tmp_path / "start"
    write_model(new_model(WORDS, size=96), start / "model.safetensors", start / "model.json")
    with Project.create(tmp_path / "project", schema="lld", annotator="Ada") as project:
        model, parent = initial_model(project, str(start), size=96, seed=0)
        assert (parent, model.sees_by_trunk) == ("file", False)
        number = project.models.reserve_id()
        card = write_model(model, *(project.models.folder(number) / f"model.{kind}" for kind in KINDS))
        project.models.add(number, parent=parent, card=card, activate=True)
        model, parent = initial_model(project, "active", size=96, seed=0)
        assert (parent, model.sees_by_trunk) == (str(number), False), "there is nothing it would forget"
        assert initial_model(project, "starter", size=96, seed=0)[0].sees_by_trunk


def test_with_an_engine_and_on_a_cluster_cells_are_seen_by_the_stain_too(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = read_model(saved)
    expected = found(model)
    assert len(expected.boxes)
    assert softmax(expected.logits[0], 1).max() > 0.5, "something is said of them"
    (tmp_path / "project").mkdir()
    assert make(saved, tmp_path / "project" / "engine", digest_of(model))
    remember_files(model, saved, tmp_path / "project" / "engine")
    engine = engine_of(model)
    assert engine is not None
    assert not engine.has_trunk
    by_engine = found(model)
    described = read_files(model, device="cpu", proof=None).described
    described |= {"size": model.size, "sides": list(model.sides), "by_appearance": True}
    monkeypatch.setattr(remote, "read_pixels_of", lambda _: np.asarray(read_image(sample.fields()[0])))
    weights = (saved / "model.safetensors").read_bytes()
    asked = [{"sent": {}, "side": None, "move": 0.0}]
    options = {"min_score": 0.05, "describe": True, "stain_below": None}
    (there,) = unpack(remote.compute("propose", own_versions(), described, weights, asked, options), 1)
    logits_there = [there[f"logits.{head}"] for head in range(len(expected.logits))]
    for boxes, logits in ((by_engine.boxes, by_engine.logits), (there["boxes"], logits_there)):
        assert np.abs(boxes - expected.boxes).max() < 0.5
        for one, other in zip(logits, expected.logits, strict=True):
            assert np.abs(softmax(one, 1) - softmax(other, 1)).max() < 0.02


def test_boxes_from_the_stain_that_a_round_leaves_are_named_by_what_it_learnt(
    taught: LearnedModel, tmp_path: Path
) -> None:
    with Project.create(tmp_path / "project", schema="lld", annotator="Ada") as project:
        project.fields.add(sample.fields()[:1])
        known, heard = annotated_fields(project), Heard()
        for source in (source_of(project.uid), 8):
            model = adapt(taught, WORDS, source)
            model.calibration = Calibration(intercept=-50.0)  # it finds nothing
            films = Films(project, model, known)
            suggest_on(project, model, 1, known, heard, films=films, min_confidence=0.25)  # type: ignore[arg-type]
            found = project.suggestions.find()
            assert found
            assert all(has_box_from_stain(one) for one in found)
            ours = source != 8
            assert {bool(one.proposal.class_probabilities) for one in found} == {ours}, (
                "others' labels do not"
            )
            assert {bool(one.proposal.attribute_probabilities) for one in found} == {ours}


def test_a_model_without_a_trunk_is_not_exported_and_the_cure_is_named(taught: LearnedModel) -> None:
    with pytest.raises(NoTrunkError, match="measures of their stain") as refused:
        export_onnx(taught)
    assert "--init starter" in refused.value.cure
