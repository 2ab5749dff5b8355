"""The benchmarks measure what is shipped, and what they share does what it says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from annotation_store.records import Proposal
from training.evaluation.ground_truth import TrueCell

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "benchmarks"))

from bench import cache, data, project, scores

EXAMPLES = Path(__file__).parents[1] / "examples" / "benchmarks"

PUBLIC = (
    "training.client",
    "training.protocol",
    "training.evaluation.ground_truth",
    "training.evaluation.matching",
    "training.evaluation.metrics",
    "training.evaluation.bulk_accept",
    "training.evaluation.uncertainty",
    "training.simulate",
    "training.ranking",
)
"""What a benchmark may use of the trainer: its requests, and judges that know nothing of learning."""

STOCK = EXAMPLES / "bench" / "stock.py"
BESIDES = {
    "machines.py": ("training.cluster.connection.QUIET", "training.cluster.connection"),
    "parts.py": ("training.inference", "training.models.model", "training.networks"),
    "untaught.py": ("training.models.model", "training.models.pretrained", "training.networks.vocabulary"),
}
"""What else three of them use: one starts workers as ``--workers`` does, one times the parts of a prediction,
and one writes a model that nobody taught."""
BENCHMARKS = sorted({*EXAMPLES.glob("benchmark_*.py"), *EXAMPLES.glob("*bench*/*.py")})


def _imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("file", BENCHMARKS, ids=lambda file: file.relative_to(EXAMPLES).as_posix())
def test_a_benchmark_trains_through_the_public_requests_only(file: Path) -> None:
    """`train_starter.py`, by which the starter is made, is the one script here that uses the engine."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    ours = {name for name in _imports(tree) if name.startswith("training.")}
    allowed = PUBLIC + BESIDES.get(file.name, ())
    assert {name for name in ours if not name.startswith(allowed)} == set()
    if file == STOCK:
        return  # stock Ultralytics, whose trainer is told its own settings
    assert {name for name in _imports(tree) if name.partition(".")[0] in ("torch", "ultralytics")} == set()
    keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg}
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert {one for one in keywords | strings if one.endswith("_rate") or one in ("lr", "lr0")} == set()


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
        assert len(made.fields.all()) == 2
        assert [cell.cell_class for cell in made.cells.all()] == ["Neutrophil", "Neutrophil"]
        assert [region.shape.bounds for region in made.regions.all()] == [(0, 0, 15, 200)] * 2
