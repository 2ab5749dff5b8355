"""The benchmarks measure what is shipped, and what they share does what it says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annotation_store.records import Proposal
from training.evaluate import TrueCell

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from bench import cache, data, project, scores


def field(name: str, *classes: str | None, side: int = 200) -> data.Field:
    """Cells in a row, ten pixels wide and twenty apart."""
    cells = tuple(TrueCell((20.0 * i, 20.0, 10.0, 10.0), one) for i, one in enumerate(classes))
    return data.Field(name, Path(name), side, side, cells, ((0, 0, side, side),))


def said(place: int, name: str, confidence: float = 0.9) -> Proposal:
    return Proposal((20.0 * place, 20.0, 10.0, 10.0), confidence, {name: 1.0}, {})


def test_a_run_that_is_done_is_not_done_again_until_the_sources_change(tmp_path: Path) -> None:
    config, done = {"arm": "ours", "subset": 0}, []

    def work() -> dict[str, int]:
        done.append(1)
        return {"run": len(done)}

    file = tmp_path / "folder" / "runs.jsonl"
    assert cache.Cache(file).kept(config, work, "old") == {"run": 1}
    assert cache.Cache(file).kept(config, work, "old") == {"run": 1}
    assert cache.Cache(file).kept({**config, "subset": 1}, work, "old") == {"run": 2}
    assert cache.Cache(file).kept(config, work, "new") == {"run": 3}
    newest = cache.Cache(file).latest(config)
    assert newest is not None
    assert (newest["sources"], newest["result"]) == ("new", {"run": 3})
    assert cache.Cache(file).latest({"arm": "other"}) is None


def test_subsets_are_other_fields_and_the_same_each_time() -> None:
    fields = [field(f"{i}.png") for i in range(40)]
    first, second = data.studied(fields, 0)[:10], data.studied(fields, 1)[:10]
    assert first == data.studied(reversed(fields), 0)[:10]
    assert {one.name for one in first} != {one.name for one in second}


def test_so_many_cells_of_each_class_are_picked_each_in_a_region_of_its_own() -> None:
    fields = [field("a.png", "x", "y", "x"), field("b.png", "y", "y"), field("c.png", "x")]
    some = data.picked(fields, {"x": 3, "y": 1})
    assert [[cell.cell_class for cell in one.cells] for one in some] == [["x", "y", "x"], ["x"]]
    assert [len(one.regions) for one in some] == [3, 1]
    assert some[0].regions[1] == (19.0, 19.0, 12.0, 12.0)
    with pytest.raises(ValueError, match=r"too few cells: \{'x': 2\}"):
        data.picked(fields, {"x": 5})


def test_a_cell_that_is_not_found_is_not_named_rightly() -> None:
    told = scores.naming(
        [field("a.png", "x", "x", "y", None).truth(), field("b.png", "y").truth()],
        [[said(0, "x"), said(1, "y"), said(2, "y"), said(3, "x"), said(5, "x")], []],
    )
    assert told["recall"] == {"x": 0.5, "y": 0.5}
    assert told["cells"] == {"x": 2, "y": 2}
    assert told["found"] == pytest.approx(4 / 5)
    # x: one of two, none wrongly; y: one of two, one wrongly
    assert told["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_project_gets_the_regions_and_cells_of_every_folder(tmp_path: Path) -> None:
    from PIL import Image

    fields = []
    for name in ("one/a.png", "two/a.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (200, 200), (len(fields), 0, 0)).save(tmp_path / name)
        one = field("a.png", "Neutrophil", "Monocyte")
        fields.append(data.Field("a.png", tmp_path / name, 200, 200, one.cells, ((0, 0, 15, 200),)))
    with project.new(tmp_path / "project") as made:
        project.annotate(made, [data.within(one, one.regions) for one in fields])
        assert len(made.fields()) == 2
        assert [cell.cell_class for cell in made.cells()] == ["Neutrophil", "Neutrophil"]
        assert [region.shape.bounds for region in made.regions()] == [(0, 0, 15, 200)] * 2
