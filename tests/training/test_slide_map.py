"""The map of a slide says where glass, monolayer and thick areas are, whatever the stain and the lamp."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage
from scipy.signal import fftconvolve

from annotation_store.images import Slide, open_slide
from training.inference.slide_map import SlideMap, map_slide

SIDE = 2048
RED = 32
"""Pixels across a red cell: 0.225 µm each."""
STAINS = {
    "pink": ((250, 240, 225), (0.06, 0.2, 0.14), (0.4, 0.75, 0.25)),
    "grey lamp": ((205, 205, 200), (0.08, 0.12, 0.1), (0.3, 0.5, 0.1)),
    "violet": ((222, 190, 180), (0.2, 0.28, 0.12), (0.45, 0.9, 0.35)),
}
"""Glass, and the density of a red cell and of a nucleus, in red, green and blue."""

Write = Callable[..., Slide]


@cache
def film(stain: str, *, seed: int = 0, blank: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Paint four quarters (glass, sparse, monolayer, thick); give the pixels and the nuclei's places."""
    glass, red, nuclear = (np.array(values, np.float32) for values in STAINS[stain])
    rng = np.random.default_rng(seed)
    half = SIDE // 2
    spots = np.zeros((SIDE, SIDE), np.float32)
    kinds = {} if blank else {(0, 1): 2.4, (1, 0): 1.12, (1, 1): 0.6}
    for (row, column), pitch in kinds.items():
        n = int(half / (pitch * RED))
        y, x = np.mgrid[:n, :n].reshape(2, -1) * pitch * RED + RED / 2 + rng.uniform(-4, 4, (2, n * n))
        at = np.rint([y + row * half, x + column * half]).astype(int).clip(0, SIDE - 1)
        np.add.at(spots, tuple(at), 1)
    disc = np.hypot(*np.mgrid[-RED // 2 : RED // 2 + 1, -RED // 2 : RED // 2 + 1]) < RED / 2
    layers = np.rint(fftconvolve(spots, disc.astype(np.float32), mode="same")).clip(0)
    nuclei = np.empty((0, 2), int)
    if not blank:
        # apart from each other and from the edges of their quarter
        grid = np.stack(np.mgrid[100:900:200, 100:900:200].reshape(2, -1), 1) + rng.integers(-30, 30, (16, 2))
        nuclei = np.concatenate([grid[:9] + np.array([half, 0]), grid[9:12] + np.array([0, half])])
    mark = np.zeros((SIDE, SIDE), bool)
    mark[tuple(nuclei.T)] = True
    nucleus = ndimage.distance_transform_edt(~mark) < 20 if len(nuclei) else mark
    density = layers[..., None] * red + nucleus[..., None] * nuclear
    pixels = glass * 10**-density + rng.normal(0, 1.5, (SIDE, SIDE, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8), nuclei


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write pixels as a slide of three levels, and open it."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)

    def do(pixels: np.ndarray, *, sized: bool = True) -> Slide:
        with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
            for n in range(3):
                small = np.ascontiguousarray(pixels[:: 2**n, :: 2**n])
                options = (
                    {"resolution": (44_444 / 2**n,) * 2, "resolutionunit": "CENTIMETER"} if sized else {}
                )
                levels = {"subifds": 2} if n == 0 else {"subfiletype": 1}
                tiff.write(small, tile=(256, 256), photometric="rgb", compression="zlib", **options, **levels)
        return open_slide(tmp_path / "slide.tif")

    return do


@pytest.mark.parametrize("stain", STAINS)
def test_zones_and_nuclei_are_found_in_any_stain(write: Write, stain: str) -> None:
    pixels, nuclei = film(stain)
    with write(pixels) as slide:
        found = map_slide(slide, cell_side=256)
    assert found.kinds.shape == found.nuclei.shape == (8, 8)
    wanted = np.kron(
        [[SlideMap.GLASS, SlideMap.SPARSE], [SlideMap.MONOLAYER, SlideMap.THICK]], np.ones((4, 4))
    )
    assert (found.kinds == wanted).mean() > 0.95, found.kinds
    there = np.zeros((8, 8))
    np.add.at(there, tuple(nuclei.T // 256), 1)
    thin = wanted < SlideMap.THICK
    assert np.abs(found.nuclei - there)[thin].sum() <= 2, found.nuclei
    assert found.nuclei.dtype == np.float32
    assert found.read_share < 0.1


def test_the_monolayer_with_most_nuclei_comes_first(write: Write) -> None:
    pixels, _ = film("pink")
    with write(pixels) as slide:
        found = map_slide(slide, cell_side=256)
    order = found.order()
    assert len(order) == len(set(order)) == (found.kinds != SlideMap.GLASS).sum()
    kinds = [int(found.kinds[place]) for place in order]
    assert kinds == sorted(kinds, key=[SlideMap.MONOLAYER, SlideMap.SPARSE, SlideMap.THICK].index)
    assert found.nuclei[order[0]] > 0
    assert found.box(7, 7) == (1792, 1792, 256, 256)


def test_the_edge_of_the_monolayer_comes_after_its_inside() -> None:
    kinds = np.full((5, 6), SlideMap.MONOLAYER, np.uint8)
    kinds[:, 5] = SlideMap.GLASS
    nuclei = np.arange(30, dtype=np.float32).reshape(5, 6)
    found = SlideMap(512, 6 * 512, 5 * 512, kinds, nuclei, nuclei)
    assert found.order()[:6] == [(3, 3), (3, 2), (3, 1), (2, 3), (2, 2), (2, 1)]
    assert found.order()[9:12] == [(4, 4), (4, 3), (4, 2)]


def test_areas_that_were_not_scanned_are_glass_and_change_nothing(write: Write) -> None:
    pixels, _ = film("grey lamp")
    wide = np.full((SIDE, 2 * SIDE, 3), 255, np.uint8)
    wide[:, :SIDE] = pixels
    with write(wide) as slide:
        found = map_slide(slide, cell_side=256)
    with write(pixels) as slide:
        alone = map_slide(slide, cell_side=256)
    assert (found.kinds[:, 8:] == SlideMap.GLASS).all()
    assert (found.kinds[:, :8] == alone.kinds).mean() > 0.97


def test_empty_glass_offers_nothing(write: Write) -> None:
    pixels, _ = film("pink", blank=True)
    with write(pixels) as slide:
        found = map_slide(slide)
    assert found.order() == []
    assert not found.nuclei.any()


def test_the_grid_follows_the_size_of_a_pixel_where_it_is_known(write: Write) -> None:
    pixels, _ = film("pink")
    with write(pixels) as slide:
        assert map_slide(slide).side == 192
    with write(pixels, sized=False) as slide:
        unknown = map_slide(slide)
        assert unknown.side == 512
        last = unknown.box(3, 3)
        assert (last[0] + last[2], last[1] + last[3]) == (SIDE, SIDE)


def test_mapping_ends_where_its_caller_says_so(write: Write) -> None:
    pixels, _ = film("pink", blank=True)
    shares: list[float] = []

    def tick(share: float) -> None:
        shares.append(share)
        if share > 0.5:
            raise InterruptedError

    with write(pixels) as slide:
        with pytest.raises(InterruptedError):
            map_slide(slide, progress=tick)
        assert slide.read((0, 0, 9, 9)).shape == (9, 9, 3), "the slide is still open"
    assert shares == sorted(shares)


def test_a_map_needs_no_torch() -> None:
    code = "import sys, training.inference.slide_map; assert not {'torch', 'skimage'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
