"""Projects with suggestions, for the rankings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, Proposal

WIDTH, HEIGHT = 160, 120


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve different small pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(12):
        base = np.full((HEIGHT, WIDTH, 3), rng.integers(120, 250, 3), np.float32)
        noisy = (base + rng.normal(0, 5, base.shape)).clip(0, 255).astype(np.uint8)
        paths.append(folder / f"f{i:02}.png")
        Image.fromarray(noisy).save(paths[-1])
    return paths


@pytest.fixture
def project(tmp_path: Path, pictures: list[Path]) -> Iterator[Project]:
    with Project.create(tmp_path / "project", "lld", annotator="Ada") as made:
        made.fields.add(pictures)
        yield made


@pytest.fixture
def statements(
    project: Project, statements: Callable[[Project], AbstractContextManager[list[str]]]
) -> Iterator[list[str]]:
    """The statements that the project's database is asked, as they come."""
    with statements(project) as seen:
        yield seen


Candidate = Callable[..., Proposal]


def candidate(x: float, y: float, *, confidence: float = 0.9, **classes: float) -> Proposal:
    """A proposal of 16 × 16 pixels centred at a place."""
    return Proposal((x - 8, y - 8, 16.0, 16.0), confidence, classes)


def says(x: float, y: float, confidence: float = 0.95, **classes: float) -> Proposal:
    """A proposal of 20 × 20 pixels from a corner on."""
    return Proposal((x, y, 20.0, 20.0), confidence, classes)
