"""What the folders promise: no import cycle, few modules beside them, walks as short as drawn."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("annotation_store", "training", "napari_lld")
MOST_BESIDE_FOLDERS = {"annotation_store": 8, "training": 5, "napari_lld": 5}
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in OURS
    for path in (ROOT / package).rglob("*.py")
}


def imports(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a file imports: anywhere in it, for type checkers too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES or node.module in MODULES:
                    yield inner if inner in MODULES else node.module


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: {one for one in imports(path) if one != name} for name, path in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("package", OURS)
def test_few_modules_stand_beside_the_folders(package: str) -> None:
    beside = [path.name for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"]
    assert len(beside) <= MOST_BESIDE_FOLDERS[package], beside


@pytest.mark.parametrize(("walk", "most"), [("Walk 1", 12), ("Walk 2", 15)])
def test_the_walks_of_the_map_are_short_and_lead_through_files_that_exist(walk: str, most: int) -> None:
    text = MAP.partition(f"## {walk}")[2].partition("\n## ")[0]
    files = re.findall(r"`([\w/]+\.py)`", text)
    names = {path.name for path in MODULES.values()}
    assert {file for file in files if "/" in file and not (ROOT / file).is_file()} == set()
    assert {file for file in files if Path(file).name not in names} == set()
    assert 5 < len({Path(file).name for file in files}) <= most


def test_the_map_fits_on_a_few_pages() -> None:
    assert len(MAP.splitlines()) <= 150


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples").rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_examples_use_public_faces_only(file: Path) -> None:
    """No module or folder whose name begins with an underscore."""
    private = {name for name in imports(file) if any(part.startswith("_") for part in name.split("."))}
    assert private == set()
