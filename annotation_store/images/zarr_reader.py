"""OME-Zarr 0.4 and 0.5 of others: metadata judged before any library opens it, then pixels.

A Zarr array names the codecs that decode it, and one of them (pickle) runs code: only codecs that turn
numbers into numbers are let through.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store.images import colour, metadata
from annotation_store.images.colour import ColourError, Pixels
from annotation_store.images.tiff_reader import LEAST_CHUNK, MAX_CHUNK_BYTES, MAX_CHUNKS

MAX_FILES = 500_000
MAX_UNPACKED = 1_000_000_000
_MAX_JSON = 10_000_000
_MAX_LEVELS = 50
_MARKERS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_V2_TYPE = re.compile(r"[<>|][uifb][1248]")
_V3_TYPES = frozenset(
    {"bool", *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)), "float32", "float64"}
)
_V2_CODECS = frozenset(
    {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "delta", "shuffle", "packbits", "bitround"}
)
_V3_CODECS = frozenset(
    {"bytes", "transpose", "blosc", "gzip", "zstd", "crc32c", "sharding_indexed"}
    | {f"numcodecs.{name}" for name in _V2_CODECS}
)

Get = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What an OME-Zarr image holds: its levels, finest first, as paths and shapes below the group."""

    axes: str
    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    types: tuple[str, ...]
    facts: metadata.ImageMetadata

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the finest level."""
        return self.shapes[0][self.axes.index("X")], self.shapes[0][self.axes.index("Y")]


def is_zarr(folder: Path) -> bool:
    """Return whether a folder is a Zarr group or array, or is named like one."""
    return folder.suffix.lower() == ".zarr" or any((folder / name).is_file() for name in _MARKERS)


def folder_reader(folder: Path) -> Get:
    """Return what reads the metadata of a Zarr folder; links are not followed."""

    def get(key: str) -> bytes | None:
        path = folder.joinpath(*key.split("/"))
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(_MAX_JSON + 1)

    return get


def examine(get: Get, *, planes: bool = False) -> Plan:
    """Read and judge the metadata of an image group; with `planes`, focus planes are let through."""
    root = ""
    attributes = _attributes(get, root)
    if "bioformats2raw.layout" in attributes and "multiscales" not in attributes:
        root = "0/"  # the converter's wrapper: its first image
        attributes = _attributes(get, root)
    if "plate" in attributes or "well" in attributes:
        raise ColourError("is a plate of wells: give its images")
    scales = attributes.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], dict):
        raise ColourError("is not an OME-Zarr image (it has no multiscales): give the folder of one image")
    if isinstance(attributes.get("image-label"), dict):
        raise ColourError("holds labels, not an image: give the folder of the image")
    axes, units = _axes(scales[0].get("axes"))
    paths, shapes, types = [], [], []
    if len(scales[0]["datasets"]) > _MAX_LEVELS:
        raise ColourError("has an implausible number of levels: export it again")
    for dataset in scales[0]["datasets"]:
        path = str(dataset["path"])
        if not re.fullmatch(r"[\w.+-]+(/[\w.+-]+)*", path) or ".." in path:
            raise ColourError("names a path outside its folder: export it again")
        shape, kind = array_facts(get, root + path)
        if len(shape) != len(axes):
            raise ColourError("has axes that do not fit its pixels: export it again")
        paths.append(root + path)
        shapes.append(shape)
        types.append(kind)
    judged = [(axis, n) for axis, n in zip(axes, shapes[0], strict=True) if not planes or axis != "Z"]
    colour.refuse_stacks("".join(axis for axis, _ in judged), tuple(n for _, n in judged))
    size = _pixel_size(scales[0], axes, units)
    return Plan(axes, tuple(paths), tuple(shapes), tuple(types), metadata.ImageMetadata(size))


def _load(data: bytes | None) -> Mapping[str, Any]:
    if data is None:
        return {}
    if len(data) > _MAX_JSON:
        raise ColourError("has implausibly large metadata: export it again")
    content = json.loads(data)
    return content if isinstance(content, dict) else {}


def _attributes(get: Get, root: str) -> Mapping[str, Any]:
    content: Any = _load(get(f"{root}zarr.json"))  # 0.5
    content = (content.get("attributes") or {}).get("ome") if content else _load(get(f"{root}.zattrs"))
    return content if isinstance(content, dict) else {}


def _axes(axis_list: Any) -> tuple[str, list[Any]]:
    if not isinstance(axis_list, list) or len(axis_list) > 5:
        raise ColourError("does not name its axes (OME-Zarr before 0.4?): convert it to 0.4 or 0.5")
    named = [axis if isinstance(axis, dict) else {"name": axis} for axis in axis_list]
    axes = "".join(str(axis.get("name", "?"))[:1].upper() for axis in named)
    if len(set(axes)) != len(axes):
        raise ColourError("names an axis twice: export it again")
    return axes, [axis.get("unit") for axis in named]


def array_facts(get: Get, path: str) -> tuple[tuple[int, ...], str]:
    """Check the metadata of an array; return its shape and the type of its values."""
    new = _load(get(f"{path}/zarr.json"))
    old = {} if new else _load(get(f"{path}/.zarray"))
    if not new and not old:
        raise ColourError(f"has no pixels ({path}): export it again")
    if new:
        kind, chunks = new.get("data_type"), new["chunk_grid"]["configuration"]["chunk_shape"]
        allowed = kind in _V3_TYPES
        shape = new["shape"]
        _judge_codecs(new.get("codecs"), shape, depth=0)
        item = 8
    else:
        kind, chunks, shape = old.get("dtype"), old["chunks"], old["shape"]
        allowed = isinstance(kind, str) and bool(_V2_TYPE.fullmatch(kind))
        for codec in [old.get("compressor"), *(old.get("filters") or [])]:
            if codec is not None and codec.get("id") not in _V2_CODECS:
                raise ColourError(f"uses an unsupported compression ({codec.get('id')!r:.40})")
        item = 8
    if not allowed:
        raise ColourError(f"has values of type {kind!r:.40}: export it with 8 or 16 bits")
    numbers = [*shape, *chunks]
    if not all(type(n) is int and 0 < n < 2**40 for n in numbers) or len(shape) != len(chunks):
        raise ColourError("declares an implausible size: export it again")
    if int(np.prod(chunks, dtype=object)) * item > MAX_CHUNK_BYTES * 8:
        raise ColourError("declares an implausible chunk size: export it again")
    _judge_number(shape, chunks)
    return tuple(shape), str(kind)


def _judge_number(shape: Any, chunks: Any) -> None:
    """Reject many chunks of a few values: each costs as much as a thousand pixels."""
    number = math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True))
    if number > MAX_CHUNKS and math.prod(chunks) < LEAST_CHUNK:
        raise ColourError("has chunks of only a few pixels: export it with chunks of 256 to 1,024")


def _judge_codecs(codecs: Any, shape: Any, *, depth: int) -> None:
    if not isinstance(codecs, list) or depth > 2:
        raise ColourError("uses an unsupported compression: export it again")
    for codec in codecs:
        name = codec.get("name") if isinstance(codec, dict) else codec
        if name not in _V3_CODECS:
            raise ColourError(f"uses an unsupported compression ({name!r:.40})")
        if name == "sharding_indexed":
            settings = codec["configuration"]
            inner = settings["chunk_shape"]
            if not all(type(n) is int and 0 < n < 2**40 for n in inner):
                raise ColourError("declares an implausible chunk size: export it again")
            if len(inner) == len(shape) and all(type(n) is int and 0 < n < 2**40 for n in shape):
                _judge_number(shape, inner)
            for key in ("codecs", "index_codecs"):
                if settings.get(key) is not None:
                    _judge_codecs(settings[key], shape, depth=depth + 1)


def _pixel_size(scale: Mapping[str, Any], axes: str, units: list[Any]) -> float | None:
    factors = [1.0] * len(axes)
    for holder in (scale["datasets"][0], scale):
        for change in holder.get("coordinateTransformations") or ():
            factors_here = change.get("scale") if isinstance(change, dict) else None
            if isinstance(factors_here, list) and len(factors_here) == len(axes):
                factors = [a * float(b) for a, b in zip(factors, factors_here, strict=True)]
    x, y = (metadata.in_micrometres(factors[axes.index(a)], units[axes.index(a)]) for a in "XY")
    return metadata.square(x, y)


# -- one file of a folder -----------------------------------------------------------------------------


def files_of(folder: Path, *, most_bytes: int | None = None) -> Iterator[tuple[str, Path, int]]:
    """List the files of a Zarr folder by their names below it, in an order that is always the same.

    Raises
    ------
    ColourError
        It holds a link or a device, or more than `most_bytes`.
    """
    files: list[tuple[str, Path, int]] = []
    total = 0
    for place, folders, names in os.walk(folder, onerror=_fail):
        for name in [*folders, *names]:
            path = Path(place) / name
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                continue
            if not stat.S_ISREG(status.st_mode):
                raise ColourError("holds a link or a device: copy it with its files and add the copy")
            total += status.st_size
            files.append((path.relative_to(folder).as_posix(), path, status.st_size))
            if len(files) > MAX_FILES or (most_bytes is not None and total > most_bytes):
                raise ColourError("is larger than 1 GB: export fields of view from it and add those")
    yield from sorted(files)


def _fail(error: OSError) -> None:
    raise error


def pack(files: Iterator[tuple[str, Path, int]], sink: Any) -> None:
    """Write files as one zip without compression, byte for byte the same for the same files."""
    with zipfile.ZipFile(_Unseekable(sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, path, size in files:
            entry = zipfile.ZipInfo(name)
            entry.file_size = size
            entry.create_system = 3  # else the hash would tell Windows from the rest
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=size > 2**31) as target:
                while block := source.read(1 << 20):
                    target.write(block)


class _Unseekable(io.RawIOBase):
    """Hides a file's position from `ZipFile`, so that a hash is fed what a file would be."""

    def __init__(self, sink: Any) -> None:
        super().__init__()
        self._sink = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._sink.write(data)
        return len(data)


def decode_packed(data: bytes, check_size: Any) -> tuple[Pixels, metadata.ImageMetadata]:
    """Decode an OME-Zarr image that was packed by `pack` (or zipped by others: ``.ozx``)."""
    entries: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        if len(infos) > MAX_FILES or sum(info.file_size for info in infos) > MAX_UNPACKED:
            raise ColourError("unpacks to more than 1 GB: export fields of view from it and add those")
        for info in infos:
            entries[info.filename] = archive.read(info)
    plan = examine(entries.get)
    check_size(*plan.size)
    if int(np.prod(plan.shapes[0], dtype=object)) * np.dtype(plan.types[0]).itemsize > 1_600_000_000:
        raise ColourError("declares an implausible size: export it again")

    import zarr  # half a second, not needed to list cells
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    buffer = default_buffer_prototype().buffer
    prefix = f"{plan.paths[0]}/"
    store = MemoryStore({k: buffer.from_bytes(v) for k, v in entries.items() if k.startswith(prefix)})
    array = np.asarray(zarr.open_array(store=store, path=plan.paths[0], mode="r")[...])
    return colour.scaled(colour.plane(array, plan.axes)), plan.facts
