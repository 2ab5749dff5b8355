"""Compose a whole slide with known truth from the shared data sets' fields.

    python examples/benchmarks/build_slide.py --data ../shared/data --side 40000 --out slide
    python examples/benchmarks/build_slide.py --quick                   # a small one from the bundled sample

``OUT/slide.tif`` (pyramidal, tiles in JPEG), ``OUT/slide.ome.zarr`` (the same before JPEG, without loss),
``OUT/truth.json`` (COCO: every white cell's box in pixels of the slide, its class, its zone and its source
field) and ``OUT/zones.png`` (0 glass, 1 sparse, 2 monolayer, 3 thick; one pixel per 64).
Half of the slide is glass. ``--source txl`` has white cells without classes; ``pbc`` has classes, sampled
with the shares of healthy blood. Cells come from ``val``, which no bundled weights were trained on.
The slide is painted and written in strips: memory stays below 2 GB for any side.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tifffile
import zarr
from bench.film import BLOCK, LOOKS, ZONES, Film, cut_cells
from PIL import Image

TILE = 512
SHARD = 2048
COARSEST = 1024
SAMPLE = Path(__file__).parents[2] / "napari_lld" / "sample"


def sizes_of_levels(side: int) -> list[int]:
    """Return the sides of the levels in pixels, finest first."""
    sides = [side]
    while sides[-1] > COARSEST:
        sides.append(sides[-1] // 2)
    return sides


def write_zarr(film: Film, path: Path) -> zarr.Group:
    """Write the film and its coarser levels as OME-Zarr 0.5."""
    sides = sizes_of_levels(film.side)
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "yx"]
    datasets = []
    for n, side in enumerate(sides):
        size = film.cells.pixel_size_um * film.side / side
        scale = [{"type": "scale", "scale": [1.0, size, size]}]
        datasets.append({"path": str(n), "coordinateTransformations": scale})
    scales = [{"name": "slide", "axes": axes, "datasets": datasets}]
    ome = {"version": "0.5", "multiscales": scales}
    group = zarr.create_group(store=str(path), attributes={"ome": ome}, overwrite=True)
    levels: list[Any] = []
    for n, side in enumerate(sides):
        level = group.create_array(
            str(n),
            shape=(3, side, side),
            dtype="uint8",
            chunks=(3, TILE, TILE),
            shards=(3, SHARD, SHARD) if side > SHARD else None,
            compressors=zarr.codecs.ZstdCodec(level=1),
            dimension_names=("c", "y", "x"),
        )
        levels.append(level)
        # write whole shards: a shard written in parts is read again for each part
        for top in range(0, side, SHARD):
            bottom = min(side, top + SHARD)
            if n == 0:
                strips = [film.strip(row) for row in range(top // BLOCK, -(-bottom // BLOCK))]
                level[:, top:bottom] = np.concatenate(strips).transpose(2, 0, 1)
                continue
            strips = [
                halved(levels[n - 1][:, 2 * y : 2 * min(bottom, y + TILE), : 2 * side])
                for y in range(top, bottom, TILE)
            ]
            level[:, top:bottom] = np.concatenate(strips, axis=1)
    return group


def halved(planes: np.ndarray) -> np.ndarray:
    """Return ``(3, height, width)`` downsampled by averaging blocks of 2 x 2 pixels."""
    _, height, width = planes.shape
    blocks = planes.reshape(3, height // 2, 2, width // 2, 2)
    return ((blocks.sum(axis=(2, 4), dtype=np.uint16) + 2) // 4).astype(np.uint8)


def tiles(level: Any) -> Iterator[np.ndarray]:
    """Yield the tiles of a level, row by row, padded at its edges."""
    side = level.shape[1]
    for top in range(0, side, TILE):
        strip = np.full((TILE, -(-side // TILE) * TILE, 3), 255, np.uint8)
        part = level[:, top : top + TILE].transpose(1, 2, 0)
        strip[: part.shape[0], : part.shape[1]] = part
        for left in range(0, side, TILE):
            yield strip[:, left : left + TILE]


def write_tiff(group: zarr.Group, path: Path, pixel_size_um: float) -> None:
    """Write the levels of an OME-Zarr as a pyramidal TIFF."""
    levels: list[Any] = [group[str(n)] for n in range(len(list(group.array_keys())))]
    with tifffile.TiffWriter(path, bigtiff=levels[0].shape[1] > 20_000) as tiff:
        for n, level in enumerate(levels):
            side = level.shape[1]
            per_cm = 10_000 / (pixel_size_um * levels[0].shape[1] / side)
            tiff.write(
                tiles(level),
                shape=(side, side, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="rgb",  # which JPEG keeps as YCbCr
                compression="jpeg",
                compressionargs={"level": 90},
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                subifds=len(levels) - 1 if n == 0 else None,
                subfiletype=1 if n else 0,
                metadata=None,
                maxworkers=2,
            )


def write_truth(film: Film, folder: Path, source: str, seed: int) -> list[dict[str, Any]]:
    """Write boxes, classes and zones."""
    cells = film.truth()
    names = sorted({cell["name"] for cell in cells})
    image = {"id": 1, "file_name": "slide.tif", "width": film.side, "height": film.side}
    annotations = [
        {
            "id": n + 1,
            "image_id": 1,
            "category_id": names.index(cell["name"]) + 1,
            "bbox": cell["bbox"],
            "area": round(cell["bbox"][2] * cell["bbox"][3], 1),
            "iscrowd": 0,
            "zone": cell["zone"],
            "cut_from": cell["cut_from"],
        }
        for n, cell in enumerate(cells)
    ]
    coco = {
        "info": {"description": f"composed from {source}, seed {seed}", "zones": list(ZONES)},
        "images": [{**image, "pixel_size_um": film.cells.pixel_size_um}],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(coco, indent=1) + "\n", encoding="utf-8")
    places = np.arange(32, film.side, 64)
    Image.fromarray(film.zone(*np.meshgrid(places, places))).save(folder / "zones.png")
    return cells


def build(
    out: Path,
    side: int,
    *,
    data: Path | None = None,
    source: str = "txl",
    look: int | None = None,
    seed: int = 0,
    split: str = "val",
    apart: float = 600,
    kinds: tuple[str, ...] = ("tiff", "zarr"),
) -> Film:
    """Compose a slide and write it to a folder.

    Parameters
    ----------
    data
        The shared data; ``None`` = the bundled sample.
    look
        Index of the microscope of the source; ``None`` = chosen by the seed.
    apart
        Distance between white cells in pixels.
    kinds
        Kinds of files to write: ``tiff``, ``zarr``.
    """
    sizes = LOOKS[source]
    number = seed % len(sizes) if look is None else look % len(sizes)
    if data is None:
        cells = cut_cells(SAMPLE, "truth.json", source, None if source == "pbc" else (575, 575))
    else:
        cells = cut_cells(data / source, f"{split}.json", source, sizes[number])
    film = Film(cells, side, seed, source=source, apart=apart)
    out.mkdir(parents=True, exist_ok=True)
    path = out / "slide.ome.zarr"
    if "zarr" in kinds:
        group = write_zarr(film, path)
        if "tiff" in kinds:
            write_tiff(group, out / "slide.tif", cells.pixel_size_um)
    else:
        with tempfile.TemporaryDirectory(dir=out) as folder:
            write_tiff(write_zarr(film, Path(folder) / "slide"), out / "slide.tif", cells.pixel_size_um)
    write_truth(film, out, source, seed)
    return film


def main() -> None:
    """Compose a slide as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the shared data sets")
    parser.add_argument("--out", type=Path, default=Path("slide"))
    parser.add_argument("--side", type=int, default=40_000, help="side of the slide in pixels")
    parser.add_argument("--source", choices=sorted(LOOKS), default="txl")
    parser.add_argument("--look", type=int, help="microscope of the source; chosen by the seed without it")
    parser.add_argument("--split", choices=("train", "val"), default="val")
    parser.add_argument("--apart", type=float, default=600, help="pixels between white cells")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("tiff", "zarr"), help="write one of both files")
    parser.add_argument("--quick", action="store_true", help="2,048 pixels from the bundled sample")
    given = parser.parse_args()
    if given.data is None and not given.quick:
        parser.error("give --data FOLDER, or --quick")
    begun = time.perf_counter()
    film = build(
        given.out,
        2048 if given.quick else given.side,
        data=None if given.quick else given.data,
        source="pbc" if given.quick else given.source,
        look=given.look,
        seed=given.seed,
        split=given.split,
        apart=given.apart,
        kinds=(given.only,) if given.only else ("tiff", "zarr"),
    )
    cells = film.truth()
    print(f"{given.out}: {film.side:,} x {film.side:,} pixels of {film.cells.pixel_size_um:.3f} µm")
    print("white cells by zone:", dict(Counter(cell["zone"] for cell in cells)))
    print("white cells by class:", dict(Counter(cell["name"] for cell in cells)))
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", memory.rss) / 1e9
    print(f"{len(film.placed):,} cells painted; {time.perf_counter() - begun:.0f} s; {peak:.2f} GB in memory")


if __name__ == "__main__":
    main()
