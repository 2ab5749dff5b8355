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


def private(file: Path) -> Iterator[str]:
    """Yield what a test names that begins with one underscore: attributes, imports, patches.

    The modules of a package are known to the tests in the folder of its name.
    """
    folder = file.relative_to(ROOT / "tests").parts[0]
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os")):
                yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            hidden = "._" in str(node.module) and not str(node.module).startswith(f"{folder}.")
            yield from (f"{node.module}.{a.name}" for a in node.names if hidden or re.match(r"_[^_]", a.name))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".setattr", ".delattr")):
            names = [str(a.value) for a in node.args[:2] if isinstance(a, ast.Constant)]
            yield from (name for name in names if re.search(r"(^|\.)_[^_.][^.]*$", name))


ALLOWED_PRIVATE = {
    "annotation_store/images/test_pixel_size.py": 2,
    "annotation_store/test_creating.py": 1,
    "annotation_store/test_hostile_input.py": 1,
    "annotation_store/test_intake.py": 2,
    "annotation_store/test_network_share.py": 2,
    "annotation_store/test_probability.py": 1,
    "annotation_store/test_two_processes.py": 2,
    "annotation_store/test_work.py": 1,
    "cli/conftest.py": 1,
    "cli/test_restore.py": 1,
    "cli/test_words.py": 3,
    "database.py": 4,
    "e2e/conftest.py": 2,
    "e2e/test_fields_and_regions.py": 5,
    "e2e/test_repaint.py": 4,
    "napari_lld/test_areas_and_notes.py": 1,
    "napari_lld/test_class_colours.py": 1,
    "napari_lld/test_click_box.py": 1,
    "napari_lld/test_export_dialog.py": 2,
    "napari_lld/test_field_details.py": 5,
    "napari_lld/test_field_list.py": 5,
    "napari_lld/test_field_order.py": 1,
    "napari_lld/test_folder_gone.py": 8,
    "napari_lld/test_gallery.py": 1,
    "napari_lld/test_import_dialog.py": 2,
    "napari_lld/test_jobs.py": 1,
    "napari_lld/test_key_map.py": 1,
    "napari_lld/test_log.py": 1,
    "napari_lld/test_message_bar.py": 3,
    "napari_lld/test_mistakes.py": 3,
    "napari_lld/test_new_project.py": 1,
    "napari_lld/test_preferences.py": 1,
    "napari_lld/test_prefetch.py": 5,
    "napari_lld/test_proposed_region.py": 1,
    "napari_lld/test_readings_and_conflicts.py": 4,
    "napari_lld/test_ready_worker.py": 4,
    "napari_lld/test_room.py": 3,
    "napari_lld/test_save_place.py": 1,
    "napari_lld/test_sight_panel.py": 7,
    "napari_lld/test_training_process.py": 1,
    "napari_lld/test_training_window.py": 1,
    "napari_lld/test_where_to_look.py": 8,
    "performance/test_add_fields.py": 1,
    "performance/test_large_projects.py": 1,
    "test_active_benchmark.py": 2,
    "test_options.py": 2,
    "training/agreement/test_measures.py": 1,
    "training/ranking/test_fields.py": 2,
    "training/ranking/test_order_and_size.py": 5,
    "training/test_checkpoints.py": 2,
    "training/test_lineage.py": 1,
    "training/test_onnx_export.py": 2,
    "training/test_truth.py": 1,
    "training/test_warm_worker.py": 1,
}
"""How often a test may name what is private to the program, by file: these numbers only become smaller."""


@pytest.mark.parametrize("file", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.name)
def test_tests_know_no_private_name(file: Path) -> None:
    found = list(private(file))
    allowed = ALLOWED_PRIVATE.get(file.relative_to(ROOT / "tests").as_posix(), 0)
    assert len(found) == allowed, f"{len(found)} where {allowed} were (fewer: lower the number): {found}"


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("napari_lld/session", {("Session", "OpenProject")}),
        ("annotation_store/_collections", set()),
    ],
)
def test_parts_are_composed_not_inherited(folder: str, allowed: set[tuple[str, str]]) -> None:
    classes = {
        node.name: [base.id for base in node.bases if isinstance(base, ast.Name)]
        for path in (ROOT / folder).glob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    inherited = {(name, base) for name, bases in classes.items() for base in bases if base in classes}
    assert inherited <= allowed
