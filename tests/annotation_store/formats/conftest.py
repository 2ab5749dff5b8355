"""Projects and places for exports, as many as a test likes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation_store import Project


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project without fields, to be copied."""
    folder = tmp_path_factory.mktemp("empty") / "project"
    Project.create(folder, annotator="Eve").close()
    return folder


@pytest.fixture
def blank(empty: Path, tmp_path: Path) -> Callable[[], Project]:
    """Make as many projects without fields as a test likes."""
    count = 0

    def make() -> Project:
        nonlocal count
        count += 1
        return Project.open(shutil.copytree(empty, tmp_path / f"blank{count}"), annotator="Eve")

    return make


@pytest.fixture
def room(tmp_path: Path) -> Callable[..., Path]:
    """Give a new path for an export at each call."""
    count = 0

    def make(suffix: str = "") -> Path:
        nonlocal count
        count += 1
        return tmp_path / f"export{count}{suffix}"

    return make


def put(path: Path, text: str) -> Path:
    """Write a text file, with the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path
