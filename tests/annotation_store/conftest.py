"""Small images and projects for the tests of the store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project

MakeImage = Callable[..., Path]


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small images: a.png and b.png of 100 x 80 pixels, c.jpg of 64 x 64."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (80, 100)), ("b.png", (80, 100)), ("c.jpg", (64, 64))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Path:
    """A project with the fields a.png (1) and b.png (2), to be copied."""
    folder = tmp_path_factory.mktemp("template") / "project"
    with Project.create(folder, annotator="Ada") as project:
        project.add_fields([image_folder / "a.png", image_folder / "b.png"])
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A project folder of the test's own."""
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    """An open project of the test's own."""
    with Project.open(folder, annotator="Ada") as opened:
        yield opened


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Callable[[], Project]:
    """Make as many projects as a test likes (hypothesis calls it once an example)."""
    count = 0

    def make() -> Project:
        nonlocal count
        count += 1
        copy = shutil.copytree(template, tmp_path / f"project{count}")
        return Project.open(copy, annotator="Ada")

    return make
