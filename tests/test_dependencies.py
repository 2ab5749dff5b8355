"""What is imported is declared, what is declared is used, and files that the documents name exist."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OURS = ("annotation_store", "training", "napari_lld")

NOT_IMPORTED = {
    "pyarrow": "pandas writes Parquet with it",
    "imagecodecs": "tifffile looks for it to decode the tiles of whole slides",
    "openslide-bin": "the library behind openslide-python",
}
"""Declared without an import of ours, and why."""


def imported(*places: str) -> dict[str, set[str]]:
    """The packages of others that the modules under some folders import, and where."""
    found: dict[str, set[str]] = {}
    for place in places:
        for root, files in _imported(place).items():
            found.setdefault(root, set()).update(files)
    return found


@cache
def _imported(place: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    beside = [*(ROOT / place).iterdir(), *(ROOT / "examples").rglob("*")]
    ours = {*OURS, "tests", *(path.stem for path in beside if path.suffix in ("", ".py"))}
    for file in (ROOT / place).rglob("*.py"):
        for name in _names(ast.parse(file.read_text("utf-8"))):
            root = name.partition(".")[0]
            if root not in sys.stdlib_module_names and root not in ours:
                found.setdefault(root, set()).add(str(file.relative_to(ROOT)))
    return found


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def declared(requirements: list[str]) -> set[str]:
    return {normal(re.split(r"[\[<>=!~; ]", one)[0]) for one in requirements}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


RUNTIME = declared(PYPROJECT["project"]["dependencies"])
EXTRAS = {name: declared(some) for name, some in PYPROJECT["project"]["optional-dependencies"].items()}
OPTIONAL = set().union(*EXTRAS.values())
DEV = declared(PYPROJECT["dependency-groups"]["dev"])


@cache
def modules(distribution: str) -> frozenset[str]:
    """What a distribution lets one import; its RECORD is read, since asking for all of them takes seconds."""
    record = metadata.distribution(distribution).read_text("RECORD") or ""
    first = {line.partition(",")[0].partition("/")[0] for line in record.splitlines()}
    return frozenset(name.partition(".")[0] for name in first if "-info" not in name and name != "..")


def provided(by: set[str]) -> set[str]:
    return {module for distribution in by for module in modules(distribution)}


def test_every_import_of_the_program_is_declared() -> None:
    found = imported(*OURS)
    assert {m: found[m] for m in found.keys() - provided(RUNTIME | OPTIONAL)} == {}


def test_every_declared_dependency_is_imported() -> None:
    used = set(imported(*OURS))
    unused = {one for one in RUNTIME if not modules(one) & used}
    assert unused == set(NOT_IMPORTED)


COMPARED_WITH = {"cleanlab"}
"""What a benchmark compares with where it is installed, and says so where it is not."""

IN_THEIR_OWN = {"datasets", "datumaro", "geopandas", "label_studio_sdk"}
"""What `.ci/run` gives an environment of its own: they ask for other versions of what we stand on."""


def test_every_import_of_tests_and_examples_is_declared() -> None:
    found = imported("tests", "examples", ".ci")
    assert {
        m: found[m] for m in found.keys() - provided(RUNTIME | OPTIONAL | DEV) - COMPARED_WITH - IN_THEIR_OWN
    } == {}


def test_modules_that_mypy_passes_over_are_imported() -> None:
    used = set(imported(*OURS))
    for override in PYPROJECT["tool"]["mypy"]["overrides"]:
        modules = {one.partition(".")[0] for one in override["module"]} - set(OURS)
        assert modules <= used, sorted(modules - used)


_PATH = re.compile(
    r"`((?:\.ci|annotation_store|training|napari_lld|tests|examples|docs)/[\w./-]*)`"
    r"|\]\((?!https?:)([\w./-]+\.md)(?:#[\w-]*)?\)"
)


@pytest.mark.parametrize(
    "document", ["CONTRIBUTING.md", "README.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
)
def test_files_that_a_document_names_exist(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    for path, link in _PATH.findall(text):
        place = ROOT / path if path else (ROOT / document).parent / link
        assert place.exists(), f"{document} names {path or link}"


def test_modules_that_the_architecture_lists_exist() -> None:
    """The first column of the tables of docs/architecture.md, under the heading of each package."""
    section = ""
    missing = []
    for line in (ROOT / "docs" / "architecture.md").read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:].strip().strip("`")
        if not (line.startswith("| `") and section in OURS):
            continue
        for name in re.findall(r"`([\w./*]+(?:\.py|/))`", line.split(" | ")[0]):
            if not list((ROOT / section).glob(name.rstrip("/"))):
                missing.append(f"{section}/{name}")
    assert not missing


def test_the_constraints_fit_what_is_declared_and_name_no_registry() -> None:
    text = (ROOT / "install" / "constraints.txt").read_text("utf-8")
    assert "://" not in text
    pinned: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            version = str(requirement.specifier).removeprefix("==")
            pinned.setdefault(normal(requirement.name), []).append(version)
    project = PYPROJECT["project"]
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        requirement = Requirement(line)
        if normal(requirement.name) != "napari-lld":
            assert pinned[normal(requirement.name)], line
            for version in pinned[normal(requirement.name)]:
                assert requirement.specifier.contains(version, prereleases=True), (
                    f"{line}: pinned to {version}"
                )


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == PYPROJECT["project"]["version"]
    assert cited["license"] == PYPROJECT["project"]["license"]
