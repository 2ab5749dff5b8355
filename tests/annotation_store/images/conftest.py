"""Slides small enough for tests: the size from which an image is one is lowered."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import Project

RGB = np.random.default_rng(2).integers(0, 255, (24, 32, 3), np.uint8)

Slide = Callable[..., tuple[Path, np.ndarray]]


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Colours that change slowly, so that JPEG keeps them."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 250, (height // 64 + 2, width // 64 + 2, 3)).astype(float)
    rows = np.linspace(0, coarse.shape[0] - 1.001, height)
    columns = np.linspace(0, coarse.shape[1] - 1.001, width)
    r, c = rows.astype(int), columns.astype(int)
    fr, fc = (rows - r)[:, None, None], (columns - c)[None, :, None]
    top = coarse[r][:, c] * (1 - fc) + coarse[r][:, c + 1] * fc
    bottom = coarse[r + 1][:, c] * (1 - fc) + coarse[r + 1][:, c + 1] * fc
    return (top * (1 - fr) + bottom * fr).astype(np.uint8)


@pytest.fixture
def small_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of more than 400 x 400 pixels are slides, if tiled."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)


@pytest.fixture
def make_slide(tmp_path: Path, small_slides: None) -> Slide:
    """Write a pyramidal tiled TIFF of three levels; give it and its full resolution."""

    def make(
        name: str = "slide.tif",
        *,
        height: int = 768,
        width: int = 1024,
        seed: int = 0,
        levels: int = 3,
        folder: Path = tmp_path,
        **options: Any,
    ) -> tuple[Path, np.ndarray]:
        pixels = smooth(height, width, seed)
        options = {"tile": (128, 128), "photometric": "rgb"} | options
        folder.mkdir(exist_ok=True)
        with tifffile.TiffWriter(folder / name) as tiff:
            tiff.write(pixels, subifds=levels - 1, **options)
            options.pop("description", None)
            for level in range(1, levels):
                tiff.write(pixels[:: 2**level, :: 2**level], subfiletype=1, **options)
        return folder / name, pixels

    return make


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Project]:
    """An empty project, open."""
    with Project.create(tmp_path / "own" / "project", annotator="Ada") as project:
        yield project


def by_pillow(kind: str, array: Any = RGB, **options: Any) -> bytes:
    """Give the bytes of an image as Pillow writes it."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()
