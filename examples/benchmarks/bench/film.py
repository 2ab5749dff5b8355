"""Compose a blood film of any size with known truth: cells cut from real fields, placed on glass.

A cell absorbs light, so it is stored as its transmittance (its pixels divided by the empty film around it),
and overlapping cells multiply: there are no seams, and thick areas are dark as on a real film. A film is
determined by its seed, on any machine.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

ZONES = ("glass", "sparse", "monolayer", "thick")
GLASS, SPARSE, MONOLAYER, THICK = range(4)

RED_UM = 7.2
"""Diameter of a red cell in µm, from which pixel sizes are computed: the fields have none."""
MARGIN = 8
"""Margin of a cell in pixels over which its transmittance increases to 1."""

LOOKS = {"txl": ((360, 363), (416, 416), (575, 575), (640, 480)), "pbc": ((800, 600),)}
"""Field sizes by source: each size comes from a different microscope."""
RED_PIXELS = {"txl": 75.0, "pbc": 50.0}
"""Diameter of red cells on the composed film, about that in the smallest fields."""
SHARES = {"Neutrophil": 0.6, "Lymphocyte": 0.28, "Monocyte": 0.07, "Eosinophil": 0.04, "Basophil": 0.01}
"""Shares of white cells in healthy blood."""

TILES = {"pbc": 200}
"""Side of the photographs that a field was composed of: cells at their edges may be cut off."""

_PITCH = {SPARSE: 2.4, MONOLAYER: 1.12, THICK: 0.62}
"""Distance between red cells in diameters."""


@dataclass(frozen=True, slots=True)
class Sprite:
    """A cell: its transmittance ``(height, width, 3)``, its box in it, its class and its source field."""

    light: np.ndarray
    box: tuple[float, float, float, float]
    name: str
    file_name: str


@dataclass(frozen=True, slots=True)
class Cells:
    """The components of a film: white and red cells of one microscope, and the colour of its glass."""

    white: list[Sprite]
    red: list[Sprite]
    glass: np.ndarray
    pixel_size_um: float


def _empty(around: np.ndarray, everywhere: np.ndarray) -> np.ndarray:
    """Return the colour of the empty film around a cell, since illumination is uneven."""
    return np.maximum(np.percentile(around.reshape(-1, 3), 92, axis=0), 0.85 * everywhere)


def _light(pixels: np.ndarray, empty: np.ndarray, round_: bool) -> np.ndarray:
    """Return the transmittance of a crop, 1 at its edge."""
    light = np.clip(pixels / empty, 0.02, 1)
    height, width = light.shape[:2]
    y, x = (np.abs(np.linspace(-1, 1, n)) for n in (height, width))
    if round_:
        # cells fill an ellipse; the corners of their boxes belong to other cells
        far = np.hypot(y[:, None], x[None]) * min(height, width) / 2
        inside = np.clip((min(height, width) / 2 - far) / MARGIN, 0, 1)
    else:
        edges = [np.clip((1 - a) * n / 2 / MARGIN, 0, 1) for a, n in ((y, height), (x, width))]
        inside = np.minimum(edges[0][:, None], edges[1][None])
        # as above, with corners only
        corner = np.hypot(y[:, None], x[None])
        inside = np.minimum(inside, np.clip((1.2 - corner) / 0.15, 0, 1))
    return (1 - (1 - light) * inside[..., None]).astype(np.float32)


def _red_cells(
    pixels: np.ndarray, white: list[list[float]], tile: int | None
) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes (y0, x0, y1, x1) of isolated red cells."""
    dark = 255 - pixels[..., 1].astype(np.float32)
    mask = ndimage.binary_fill_holes(ndimage.binary_opening(dark > threshold_otsu(dark), iterations=2))
    for x, y, w, h in white:
        mask[max(0, int(y) - 4) : int(y + h) + 4, max(0, int(x) - 4) : int(x + w) + 4] = False
    height, width = mask.shape
    parts = [part for part in regionprops(label(mask)) if 0.003 < part.area / mask.size < 0.12]
    typical = float(np.median([part.area for part in parts])) if parts else 0.0
    for part in parts:
        y0, x0, y1, x1 = part.bbox
        fits = 0.6 < part.area / typical < 1.6 and part.solidity > 0.94 and part.eccentricity < 0.7
        whole = tile is None or (
            (y0 - 3) // tile == (y1 + 2) // tile and (x0 - 3) // tile == (x1 + 2) // tile
        )
        if fits and whole and min(y0, x0) > 1 and y1 < height - 1 and x1 < width - 1:
            yield y0, x0, y1, x1


def _read(folder: Path, file: str) -> tuple[list[dict[str, Any]], dict[int, list[dict[str, Any]]]]:
    coco = json.loads((folder / file).read_text(encoding="utf-8"))
    names = {item["id"]: item["name"] for item in coco["categories"]}
    cells: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for item in coco["annotations"]:
        name = names.get(item["category_id"])
        if name not in (None, "RBC", "Platelets"):
            cells[item["image_id"]].append({"box": item["bbox"], "name": name})
    return coco["images"], cells


def cut_cells(folder: Path, file: str, source: str, size: tuple[int, int] | None, most: int = 400) -> Cells:
    """Cut the cells from the fields of one size.

    Parameters
    ----------
    folder
        Folder of the COCO file and, in ``images`` or ``fields``, of the images.
    source
        ``txl`` or ``pbc``.
    size
        Width and height of the fields; ``None`` = all whose name contains the source.
    most
        Maximum number of fields to read.
    """
    images, cells = _read(folder, file)
    pictures = folder / ("images" if (folder / "images").is_dir() else "fields")
    found: list[tuple[np.ndarray, np.ndarray, dict[str, Any], list[tuple[int, int, int, int]]]] = []
    for image in images:
        if (image["width"], image["height"]) != size if size else source not in image["file_name"]:
            continue
        with Image.open(pictures / image["file_name"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        empty = np.percentile(pixels.reshape(-1, 3), 90, axis=0)
        white = [item["box"] for item in cells[image["id"]]]
        found.append((pixels, empty, image, list(_red_cells(pixels, white, TILES.get(source)))))
        if len(found) == most:
            break
    sides = [max(y1 - y0, x1 - x0) for *_, boxes in found for y0, x0, y1, x1 in boxes]
    if not sides:
        raise SystemExit(f"{folder / file} has no fields of {size or source} with single red cells.")
    scale = RED_PIXELS[source] / float(np.median(sides))
    white_cells, red_cells = [], []
    for pixels, empty, image, boxes in found:
        height, width = pixels.shape[:2]
        for cell in cells[image["id"]]:
            x, y, w, h = cell["box"]
            if min(x, y) < 2 or x + w > width - 2 or y + h > height - 2:
                continue  # cut off by the edge of the field
            around = MARGIN / scale
            x0, y0 = max(0, round(x - around)), max(0, round(y - around))
            x1, y1 = min(width, round(x + w + around)), min(height, round(y + h + around))
            crop = _scaled(pixels[y0:y1, x0:x1], scale)
            wide = round(0.3 * max(w, h))
            glass = _empty(pixels[max(0, y0 - wide) : y1 + wide, max(0, x0 - wide) : x1 + wide], empty)
            box = ((x - x0) * scale, (y - y0) * scale, w * scale, h * scale)
            white_cells.append(Sprite(_light(crop, glass, False), box, cell["name"], image["file_name"]))
        for y0, x0, y1, x1 in boxes:
            around = round(MARGIN / scale)
            part = (slice(max(0, y0 - around), y1 + around), slice(max(0, x0 - around), x1 + around))
            crop = _scaled(pixels[part], scale)
            side = crop.shape[:2]
            light = _light(crop, _empty(crop, empty), True)
            red_cells.append(Sprite(light, (0.0, 0.0, side[1], side[0]), "RBC", image["file_name"]))
    glass = np.median([empty for _, empty, *_ in found], axis=0)
    return Cells(white_cells, red_cells, glass.astype(np.float32), RED_UM / RED_PIXELS[source])


def _scaled(crop: np.ndarray, scale: float) -> np.ndarray:
    height, width = crop.shape[:2]
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.LANCZOS), np.float32)


def tongue(u: np.ndarray, v: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Return the zones at points of a film, in 0 to 1 across and down; `waves` are ``(3, 6)`` phases."""

    def wave(row: int, along: np.ndarray) -> np.ndarray:
        return sum(0.012 / k * np.sin(2 * np.pi * (k + 1) * along + waves[row][k]) for k in range(1, 6))

    across = np.abs(v - 0.5 + wave(0, u)) * (1 + 0.5 * u)
    film = (u > 0.1 + wave(1, v)) & (u < 0.84 + wave(2, v)) & (across < 0.36)
    zone = np.full(u.shape, GLASS, np.uint8)
    edge = u + wave(1, v)
    zone[film] = THICK
    zone[film & (edge > 0.35)] = MONOLAYER
    zone[film & (edge > 0.68)] = SPARSE
    return zone


class Film:
    """A square film of `side` pixels: a tongue of blood on glass, thick at the left, thin at the right.

    Attributes
    ----------
    placed
        One row per cell: x and y of the upper left corner, index of its sprite (white cells first, then red
        ones), and index of its orientation (one of eight).

    Parameters
    ----------
    shares
        Shares of the classes; ``None`` = `SHARES`.
    all_of
        A zone that fills the whole film.
    """

    def __init__(
        self,
        cells: Cells,
        side: int,
        seed: int,
        *,
        source: str,
        apart: float = 600,
        shares: Mapping[str, float] | None = None,
        all_of: int | None = None,
    ) -> None:
        self.cells, self.side = cells, side
        self._shares, self._all_of = shares or SHARES, all_of
        rng = np.random.default_rng(seed)
        self._waves = rng.uniform(0, 2 * np.pi, (3, 6))
        self._sprites = cells.white + cells.red
        self._noise = rng.normal(0, 1.3, (2, 1024, 1024)).astype(np.float32)
        white = self._white(rng, source, apart)
        red = self._red(rng, white)
        self.placed = np.concatenate([white, red])
        self.n_white = len(white)
        self._by_block = self._blocks()

    def zone(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the zone at points of the film, as a number: see `ZONES`."""
        if self._all_of is not None:
            return np.full(np.shape(x), self._all_of, np.uint8)
        return tongue(np.asarray(x) / self.side, np.asarray(y) / self.side, self._waves)

    def _grid(self, rng: np.random.Generator, pitch: float, jitter: float) -> np.ndarray:
        n = max(1, int(self.side / pitch))
        y, x = np.mgrid[:n, :n].reshape(2, -1) + 0.5
        points = np.stack([x, y], 1) + rng.uniform(-jitter, jitter, (n * n, 2))
        return points * pitch

    def _white(self, rng: np.random.Generator, source: str, apart: float) -> np.ndarray:
        points = self._grid(rng, min(apart, self.side / 3), 0.3)
        zones = self.zone(*points.T)
        kept = rng.random(len(points)) < np.array([0, 0.5, 0.9, 1.0])[zones]
        points = points[kept]
        names = sorted({item.name for item in self.cells.white})
        of = {name: [n for n, item in enumerate(self.cells.white) if item.name == name] for name in names}
        shares = np.array([self._shares.get(name, 0.02) if source == "pbc" else 1.0 for name in names])
        drawn = rng.choice(len(names), len(points), p=shares / shares.sum())
        number = np.array([of[names[k]][rng.integers(len(of[names[k]]))] for k in drawn], np.int64)
        return self._rows(rng, points, number)

    def _red(self, rng: np.random.Generator, white: np.ndarray) -> np.ndarray:
        diameter = RED_UM / self.cells.pixel_size_um
        found = []
        for zone, pitch in _PITCH.items():
            points = self._grid(rng, pitch * diameter, 0.32)
            found.append(points[self.zone(*points.T) == zone])
        # clumps: cells moved together in the thick area
        centres = self._grid(rng, 7 * diameter, 0.5)
        centres = centres[self.zone(*centres.T) == THICK]
        found.append(np.repeat(centres, 9, 0) + rng.normal(0, 0.9 * diameter, (9 * len(centres), 2)))
        points = np.concatenate(found)
        if len(white):
            boxes = np.array([self._box(row) for row in white])
            distance, nearest = cKDTree(boxes[:, :2] + boxes[:, 2:] / 2).query(points)
            clear = distance > boxes[nearest, 2:].max(1) / 2 + 0.42 * diameter
            points = points[clear]
        reds = len(self.cells.white) + rng.integers(len(self.cells.red), size=len(points))
        return self._rows(rng, points, reds)

    def _rows(self, rng: np.random.Generator, centres: np.ndarray, sprites: np.ndarray) -> np.ndarray:
        turns = rng.integers(8, size=len(centres))
        shapes = np.array([item.light.shape[:2] for item in self._sprites])[sprites].reshape(-1, 2)
        shapes = np.where((turns & 1)[:, None] == 1, shapes[:, ::-1], shapes)
        corner = np.rint(centres.reshape(-1, 2) - shapes[:, ::-1] / 2).astype(np.int64)
        rows = np.column_stack([corner, sprites, turns])
        inside = (corner >= 0).all(1) & (corner + shapes[:, ::-1] <= self.side).all(1)
        return rows[inside]

    def _box(self, row: np.ndarray) -> tuple[float, float, float, float]:
        """Return the box of a placed cell on the film."""
        x, y, number, turn = (int(v) for v in row)
        sprite = self._sprites[number]
        left, top, w, h = sprite.box
        height, width = sprite.light.shape[:2]
        if turn & 1:  # transposed
            left, top, w, h, height, width = top, left, h, w, width, height
        if turn & 2:
            left = width - left - w
        if turn & 4:
            top = height - top - h
        return x + left, y + top, w, h

    def truth(self) -> list[dict[str, Any]]:
        """Return the white cells: box, class, zone."""
        listed = []
        for row in self.placed[: self.n_white]:
            x, y, w, h = self._box(row)
            sprite = self._sprites[int(row[2])]
            zone = ZONES[int(self.zone(np.array([x + w / 2]), np.array([y + h / 2]))[0])]
            box = [round(v, 2) for v in (x, y, w, h)]
            listed.append({"bbox": box, "name": sprite.name, "zone": zone, "cut_from": sprite.file_name})
        return listed

    def _blocks(self) -> dict[tuple[int, int], list[int]]:
        blocks: dict[tuple[int, int], list[int]] = defaultdict(list)
        for n, (x, y, number, turn) in enumerate(self.placed.tolist()):
            h, w = self._sprites[number].light.shape[:2]
            if turn & 1:
                h, w = w, h
            for row in range(y // BLOCK, (y + h - 1) // BLOCK + 1):
                for column in range(x // BLOCK, (x + w - 1) // BLOCK + 1):
                    blocks[row, column].append(n)
        return blocks

    def strip(self, row: int) -> np.ndarray:
        """Paint one row of blocks: ``(height, side, 3)`` uint8 from ``row * BLOCK`` on."""
        top = row * BLOCK
        height = min(BLOCK, self.side - top)
        strip = np.empty((height, self.side, 3), np.uint8)
        for column in range(-(-self.side // BLOCK)):
            left = column * BLOCK
            width = min(BLOCK, self.side - left)
            strip[:, left : left + width] = self._block(row, column)[:height, :width]
        return strip

    def _block(self, row: int, column: int) -> np.ndarray:
        light = np.ones((BLOCK, BLOCK, 3), np.float32)
        for n in self._by_block.get((row, column), ()):
            x, y, number, turn = (int(v) for v in self.placed[n])
            sprite = self._sprites[number].light
            if turn & 1:
                sprite = sprite.transpose(1, 0, 2)
            sprite = sprite[:: -1 if turn & 4 else 1, :: -1 if turn & 2 else 1]
            x, y = x - column * BLOCK, y - row * BLOCK
            h, w = sprite.shape[:2]
            y0, y1, x0, x1 = max(0, y), min(BLOCK, y + h), max(0, x), min(BLOCK, x + w)
            light[y0:y1, x0:x1] *= sprite[y0 - y : y1 - y, x0 - x : x1 - x]
        grain = self._noise[(row + column) % 2, :BLOCK, :BLOCK, None]
        return np.clip(light * self.cells.glass + grain, 0, 255).astype(np.uint8)


BLOCK = 512
"""Side of a block, the unit of painting, in pixels."""
