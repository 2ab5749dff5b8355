"""Whole slides in the order of fields: by their best place, searched or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import Embedding, Project, Proposal, Searched, Shape, TileState
from training import ranking
from training.inference.slide_tiles import Tiling

SIDE = 40


def film(nuclei: list[tuple[int, int]]) -> np.ndarray:
    """A film of 1200 x 900 pixels: pale glass at the left, a monolayer with dark nuclei at the right."""
    rng = np.random.default_rng(0)
    pixels = np.full((900, 1200, 3), (245, 240, 235), np.float32)
    y, x = np.mgrid[:900, :1200]
    for cx in range(430, 1190, 44):
        for cy in range(30, 880, 44):
            pixels[(x - cx) ** 2 + (y - cy) ** 2 < 15**2] = (205, 150, 150)
    for cx, cy in nuclei:
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < 14**2] = (80, 30, 120)
    return np.asarray((pixels + rng.normal(0, 3, pixels.shape)).clip(0, 255), np.uint8)


@pytest.fixture
def slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project of two slides, the second with more nuclei close together; nobody has looked at them."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 500 * 500)
    few, many = [(800, 400)], [(760 + 60 * (i % 4), 300 + 60 * (i // 4)) for i in range(12)]
    for name, nuclei in (("few.tif", few), ("many.tif", many)):
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            tiff.write(film(nuclei), tile=(128, 128), photometric="rgb", compression="zlib")
    with Project.create(tmp_path / "project", "lld", annotator="Ada") as made:
        made.fields.add([tmp_path / "few.tif", tmp_path / "many.tif"])
        for slide in made.slides.all():
            made.fields.update(slide.id, pixel_size_um=13 / SIDE)
        yield made


def test_slides_are_ranked_by_the_map_before_a_search_and_by_suggestions_after_it(slides: Project) -> None:
    unseen = ranking.update(slides)
    assert {str(one.reasons[0]) for one in unseen} == {"Whole slide, neither mapped nor searched yet"}
    assert ranking.regions(slides, 2) == []
    looked = ranking.embed_slides_by_stain(slides)
    assert sorted(looked) == [1, 2]
    assert ranking.embed_slides_by_stain(slides) == {}, "they are looked at once"
    ranked = ranking.update(slides)
    assert [one.field_id for one in ranked] == [2, 1]
    counts = [int(str(one.reasons[0]).removeprefix("Not searched yet: ").split()[0]) for one in ranked]
    assert counts[0] > 6 * counts[1] > 0, "12 and one were painted; those that touch are told apart or not"
    assert [one.field_id for one in ranking.order(slides)] == [2, 1]
    (place,) = ranking.regions(slides, 2)
    assert place.box is not None
    inside = Shape(place.box)
    assert sum(inside.contains_centre(p.box) for p in looked[2].predictions) >= 6, "where the nuclei are"
    unsure = {"Monocyte": 0.5, "Neutrophil": 0.5}
    found = [Proposal((500.0 + 50 * i, 100, 40, 40), 0.9, unsure) for i in range(3)]
    slides.suggestions.replace(1, found, model_id=None)
    slides.embeddings.save(ranking.STARTER, {one: Embedding(np.ones(4, np.float32)) for one in (1, 2)})
    ranked = ranking.update(slides)
    assert ranked[0].field_id == 1
    assert "likely cells" in str(ranked[0].reasons[0])
    assert not slides.random_sample.fields(), "no slide is drawn at random: where on it would chance look?"


def test_a_slide_whose_search_was_cut_off_is_ranked_by_the_map_where_it_was_not_searched(
    slides: Project,
) -> None:
    looked = ranking.embed_slides_by_stain(slides)
    tiling = Tiling.of(1200, 900, SIDE)
    kinds = [tiling.at(p.box[0] + 20, p.box[1] + 20) for p in looked[2].predictions]
    tile = max(set(kinds), key=kinds.count)
    search = slides.searches.begin(2, model_id=None, about={"tiling": tiling.stored()})
    x, y, *_ = tiling.core_of(next(t for t in range(len(tiling)) if t != tile))
    found = [Proposal((x + 5, y + 5, 40, 40), 0.9, {"Monocyte": 1.0})]
    slides.searches.add(search, next(t for t in range(len(tiling)) if t != tile), found)
    share = 1 / len(tiling)
    assert slides.searches.progress() == {2: Searched(None, share)}
    assert slides.searches.left(None) == [1, 2]
    first = ranking.update(slides)[0]
    assert first.field_id == 2
    assert str(first.reasons[0]) == f"{share:.0%} of the slide searched"
    (place,) = ranking.regions(slides, 2)
    assert place.box is not None
    inside = Shape(place.box)
    assert sum(inside.contains_centre(p.box) for p in looked[2].predictions) >= 6, "nuclei nobody searched"
    slides.searches.mark(search, [t for t in range(len(tiling)) if t != tile], TileState.EMPTY)
    slides.searches.add(search, tile, [])
    slides.embeddings.save(ranking.STARTER, {2: Embedding(np.ones(4, np.float32))})
    assert slides.searches.progress()[2].share == 1
    assert slides.searches.left(None) == [1]
    assert not any("searched" in str(one.reasons) for one in ranking.update(slides) if one.field_id == 2)


def test_a_slide_that_is_gone_is_passed_over_and_a_skipped_one_is_not_looked_at(slides: Project) -> None:
    slides.fields.update(1, skipped=True)
    Path(slides.fields.get(2).source_path).unlink()
    assert ranking.embed_slides_by_stain(slides) == {}
    assert [one.field_id for one in ranking.update(slides)] == [2]


def test_fields_that_only_a_slide_was_searched_beside_keep_their_ranking_by_the_stain(
    slides: Project, tmp_path: Path
) -> None:
    nuclei = {"none.png": [], "two.png": [(700, 300), (900, 500)], "seen.png": [(700, 500)]}
    for name, places in nuclei.items():
        Image.fromarray(film(places)[:600, 400:1000]).save(tmp_path / name)
    none, two, seen = slides.fields.add([tmp_path / name for name in nuclei]).added
    found = [Proposal((500.0, 100, 40, 40), 0.9, {"Monocyte": 1.0})]
    slides.suggestions.replace(1, found, model_id=None)
    slides.embeddings.save(ranking.STARTER, {i: Embedding(np.ones(4, np.float32)) for i in (1, 2, seen)})
    reasons = {one.field_id: str(one.reasons[-1]) for one in ranking.update(slides)}
    assert reasons[two] == reasons[none] == "Not yet predicted by the model"
    assert reasons[seen] == "No cell is suggested here: check whether one was missed"
    assert {str(ranking.regions(slides, i)[0].reasons[0]) for i in (none, two)} <= {
        "Not yet predicted by the model",
        "Drawn at random: such places show, without bias, how good the model is",
    }
    assert [field.id for field in ranking.unsearched(slides)] == [none, two]
    assert sorted(ranking.embed_by_stain(slides)) == [none, two], "what was searched needs no stain"
    ranked = ranking.update(slides)
    reasons = {one.field_id: str(one.reasons[-1]) for one in ranked}
    assert reasons[two] == "2 likely cells"
    assert reasons[seen] == "No cell is suggested here: check whether one was missed"
