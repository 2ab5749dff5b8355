"""Compose many large slides with known cells from a library of painted blocks.

Painting 40,000 x 40,000 pixels takes half an hour. A block of 2,048 is painted once, as a pyramidal TIFF;
a slide is then composed of the compressed tiles of blocks, which takes seconds. Cells do not cross block
borders.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from bench.film import BLOCK, GLASS, MONOLAYER, SPARSE, THICK, Cells, Film, tongue

SIDE = 2048
_LEVELS = (512, 512, 512, 256)
"""Tile sizes of the shared levels; coarser levels are computed for each slide."""
_COARSER = 3
_COARSE_TILE = 256
_LIKE_JPEG: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}}

_CLASSES = ("Neutrophil", "Lymphocyte", "Monocyte", "Eosinophil", "Basophil")
KINDS: dict[str, dict[str, float]] = {
    kind: dict(zip(_CLASSES, shares, strict=True))
    for kind, shares in {
        "healthy": (0.6, 0.28, 0.07, 0.04, 0.01),
        "lymphocytes": (0.2, 0.7, 0.05, 0.04, 0.01),
        "eosinophils": (0.35, 0.2, 0.05, 0.38, 0.02),
        "monocytes": (0.35, 0.2, 0.4, 0.03, 0.02),
    }.items()
}
"""Shares of the classes in the blocks of each kind; slides mix the kinds."""


@dataclass
class Block:
    """A painted block: its file, and its white cells' boxes and classes."""

    file: Path
    zone: int
    kind: str
    cells: list[dict[str, Any]]
    _tiles: list[list[bytes]] | None = field(default=None, repr=False)
    _coarse: np.ndarray | None = field(default=None, repr=False)

    def tiles(self) -> list[list[bytes]]:
        """Return the compressed tiles of each level."""
        if self._tiles is None:
            with tifffile.TiffFile(self.file) as tiff:
                self._tiles = [_segments(tiff, level.keyframe) for level in tiff.series[0].levels]
        return self._tiles

    def coarse(self) -> np.ndarray:
        """Return the block downsampled to a sixteenth of its side."""
        if self._coarse is None:
            with tifffile.TiffFile(self.file) as tiff:
                self._coarse = _halved(tiff.series[0].levels[-1].asarray())
        return self._coarse


def _segments(tiff: tifffile.TiffFile, page: Any) -> list[bytes]:
    found = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        tiff.filehandle.seek(offset)
        found.append(tiff.filehandle.read(count))
    return found


def _halved(pixels: np.ndarray) -> np.ndarray:
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def paint(
    folder: Path,
    cells: Cells,
    *,
    many: Mapping[int, int],
    apart: float,
    kinds: Sequence[str] = tuple(KINDS),
    side: int = SIDE,
    seed: int = 0,
) -> list[Block]:
    """Paint a library, or load it if it exists.

    Parameters
    ----------
    many
        Number of blocks of each kind, by zone; glass has no kinds.
    apart
        Distance between white cells in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (zone, kind, n)
        for zone, number in many.items()
        for kind in (kinds if zone != GLASS else kinds[:1])
        for n in range(number)
    ]
    return [
        _painted(folder, cells, zone, kind, apart, side, (seed, zone, list(KINDS).index(kind), n))
        for zone, kind, n in wanted
    ]


def _painted(
    folder: Path,
    cells: Cells,
    zone: int,
    kind: str,
    apart: float,
    side: int,
    key: tuple[int, ...],
) -> Block:
    name = "-".join(map(str, (side, round(apart), *key)))
    file, truth = folder / f"{name}.tif", folder / f"{name}.json"
    if not truth.is_file():
        number = int(np.random.default_rng(key).integers(2**31))
        film = Film(cells, side, number, source="pbc", apart=apart, shares=KINDS[kind], all_of=zone)
        pixels = np.concatenate([film.strip(row) for row in range(-(-side // BLOCK))])
        with tifffile.TiffWriter(file) as tiff:
            for n, tile in enumerate(_LEVELS):
                more = {"subifds": len(_LEVELS) - 1} if n == 0 else {"subfiletype": 1}
                tile = min(tile, len(pixels))
                tiff.write(pixels, tile=(tile, tile), metadata=None, **more, **_LIKE_JPEG)
                pixels = _halved(pixels)
        truth.write_text(json.dumps(film.truth()), encoding="utf-8")
    return Block(file, zone, kind, json.loads(truth.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Laid:
    """A slide as a grid ``(rows, columns)`` of blocks."""

    blocks: Sequence[Block]
    places: np.ndarray
    side: int
    pixel_size_um: float

    def cells(self, zone: int | None = None) -> list[dict[str, Any]]:
        """Return the white cells of one zone or of all, in pixels of the slide."""
        found = []
        for row, column in np.ndindex(*self.places.shape):
            block = self.blocks[self.places[row, column]]
            for item in block.cells if zone in (None, block.zone) else ():
                x, y, w, h = item["bbox"]
                found.append({**item, "bbox": [x + column * self.side, y + row * self.side, w, h]})
        return found

    def coco(self, file_name: str, regions: Sequence[Sequence[float]] = ()) -> dict[str, Any]:
        """Return the truth of regions as COCO; see ``docs/formats.md``."""
        rows, columns = self.places.shape
        image = {
            "id": 1, "file_name": file_name, "width": columns * self.side, "height": rows * self.side,
            "annotated_regions": [list(item) for item in regions],
        }  # fmt: skip
        names = sorted({item["name"] for item in self.cells()})
        annotations = [
            {
                "id": n + 1,
                "image_id": 1,
                "category_id": names.index(item["name"]) + 1,
                "bbox": item["bbox"],
                "area": item["bbox"][2] * item["bbox"][3],
                "iscrowd": 0,
            }
            for n, item in enumerate(self.cells())
            if any(_centred(item["bbox"], region) for region in regions)
        ]
        categories = [{"id": n + 1, "name": name} for n, name in enumerate(names)]
        return {"images": [image], "categories": categories, "annotations": annotations}

    def write(self, file: Path) -> None:
        """Write the slide as a pyramidal TIFF."""
        rows, columns = self.places.shape
        with tifffile.TiffWriter(file, bigtiff=True) as tiff:
            for n, tile in enumerate(_LEVELS):
                size = self.side >> n
                tiff.write(
                    self._tiles(n, max(1, size // tile)),
                    shape=(rows * size, columns * size, 3),
                    dtype="uint8",
                    tile=(min(tile, size), min(tile, size)),
                    subifds=len(_LEVELS) + _COARSER - 1 if n == 0 else None,
                    **self._of_level(n),
                )
            coarse = np.concatenate(
                [np.concatenate([self.blocks[b].coarse() for b in row], 1) for row in self.places]
            )
            for n in range(_COARSER):
                tile = (_COARSE_TILE, _COARSE_TILE)
                tiff.write(coarse, tile=tile, **self._of_level(len(_LEVELS) + n))
                coarse = _halved(coarse)

    def _of_level(self, n: int) -> dict[str, Any]:
        per_cm = 10_000 / (self.pixel_size_um * 2**n)
        of_level = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER", "metadata": None}
        return {**of_level, "subfiletype": 1 if n else 0, **_LIKE_JPEG}

    def _tiles(self, level: int, across: int) -> Iterator[bytes]:
        for row in self.places:
            of_row = [self.blocks[b].tiles()[level] for b in row]
            for down in range(across):
                for tiles in of_row:
                    yield from tiles[down * across : (down + 1) * across]


def _centred(box: Sequence[float], region: Sequence[float]) -> bool:
    x, y = box[0] + box[2] / 2 - region[0], box[1] + box[3] / 2 - region[1]
    return 0 <= x < region[2] and 0 <= y < region[3]


def lay(blocks: Sequence[Block], across: int, pixel_size_um: float, seed: int, *, side: int = SIDE) -> Laid:
    """Compose a slide: a tongue of blood on glass whose mixture of classes changes along it.

    Parameters
    ----------
    across
        Number of blocks along a side.
    """
    rng = np.random.default_rng((7, seed))
    waves = rng.uniform(0, 2 * np.pi, (3, 6))
    kinds = sorted({block.kind for block in blocks if block.zone != GLASS})
    weights, drift = rng.dirichlet(np.ones(len(kinds))), rng.normal(0, 1.5, len(kinds))
    middle = (np.arange(across) + 0.5) / across
    zones = tongue(*np.meshgrid(middle, middle), waves)
    of = {
        (zone, kind): [n for n, block in enumerate(blocks) if (block.zone, block.kind) == (zone, kind)]
        for zone in (SPARSE, MONOLAYER, THICK)
        for kind in kinds
    }
    glass = [n for n, block in enumerate(blocks) if block.zone == GLASS]
    places = np.empty((across, across), int)
    for row, column in np.ndindex(across, across):
        zone = int(zones[row, column])
        if zone == GLASS:
            places[row, column] = rng.choice(glass)
            continue
        shares = weights * np.exp(drift * (middle[column] - 0.5))
        kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
        places[row, column] = rng.choice(of[zone, kind])
    return Laid(blocks, places, side, pixel_size_um)


def sheet(blocks: Sequence[Block], across: int, pixel_size_um: float, *, side: int = SIDE) -> Laid:
    """Compose a slide of each monolayer block once, with glass in the rest."""
    single = [n for n, block in enumerate(blocks) if block.zone == MONOLAYER]
    glass = next(n for n, block in enumerate(blocks) if block.zone == GLASS)
    rows = max(across, -(-len(single) // across))
    places = np.full(rows * across, glass, int)
    places[: len(single)] = single
    return Laid(blocks, places.reshape(rows, across), side, pixel_size_um)
