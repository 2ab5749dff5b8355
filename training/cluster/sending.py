"""What a client sends: pixels by path or as bytes, and models by hash; no dask.

A worker reads pixels itself if it can prove that it sees the same files: for a field, by a file with a secret
word that the client has just written into the project; for a slide, by samples of the file. Otherwise it asks
the client to send them.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store.errors import ImageError, ProjectError
from annotation_store.files.layout import RUNS, inside
from annotation_store.images import read_bytes
from annotation_store.images.slide_files import parts
from annotation_store.images.zarr_reader import is_zarr
from annotation_store.images.zarr_writer import nameless
from training.inference.sources import ImageFile, SlideArea, StoredField

Pixels = Callable[[], np.ndarray]
Sent = dict[str, Any]
"""Pixels in the form that `training.cluster.remote.read_pixels_of` takes."""

_PREFIX = "shared-"
_STALE = 24 * 3600.0
_SAMPLES, _SAMPLE = 64, 65_536
"""Number of samples of a slide's file that are compared, and the bytes of each."""


@dataclass
class Sender:
    """Describes pixels for workers.

    Attributes
    ----------
    by_place
        Whether to send paths first, and bytes only if a worker cannot read them.
    proof
        A file in the project, and the word in it; ``None`` if none could be written.
    """

    by_place: bool = True
    proof: tuple[str, str] | None = None
    _slides: dict[Path, str] = field(default_factory=dict)

    def place_of(self, pixels: Pixels) -> Sent | None:
        """Describe pixels by their path; ``None`` if a worker cannot use one."""
        if not self.by_place:
            return None
        if isinstance(pixels, StoredField) and self.proof is not None:
            return {"kind": "field", "folder": str(pixels.folder.absolute()), "proof": self.proof}
        if isinstance(pixels, SlideArea):
            path = pixels.slide.path.absolute()
            if path not in self._slides:
                self._slides[path] = samples_of(path)
            options = asdict(pixels.slide.options)
            source = {"path": str(path), "samples": self._slides[path], "options": options}
            return {"kind": "slide", "box": list(pixels.box), **source}
        return None

    def content_of(self, pixels: Pixels) -> Sent | None:
        """Return pixels to send, as stored on disk if that is smaller; ``None`` if they cannot be read."""
        with suppress(ProjectError, ImageError, OSError):
            if isinstance(pixels, StoredField):
                return {"kind": "stored", "files": _stored_files(pixels.folder)}
            if isinstance(pixels, ImageFile) and pixels.path.is_file():
                # the file name may contain a patient's name
                return {
                    "kind": "file",
                    "name": f"image{pixels.path.suffix.lower()}",
                    "data": read_bytes(pixels.path),
                }
            return {"kind": "pixels", "pixels": np.ascontiguousarray(pixels())}
        return None


def size_of(sent: Sent) -> int:
    """Return the approximate number of bytes that pixels take to send."""
    if sent["kind"] == "stored":
        return sum(map(len, sent["files"].values()))
    return len(sent["data"]) if sent["kind"] == "file" else int(getattr(sent.get("pixels"), "nbytes", 0))


def _stored_files(folder: Path) -> dict[str, bytes]:
    """Read the finest level of a stored field, without its name, which may be a patient's."""
    return {
        path.relative_to(folder).as_posix(): (
            nameless(path.read_bytes()) if path.parent == folder else path.read_bytes()
        )
        for path in finest_level(folder)
    }


def finest_level(folder: Path) -> list[Path]:
    """List the files of a stored field that hold its finest level, and its metadata."""
    return [folder / "zarr.json", *(path for path in sorted((folder / "0").rglob("*")) if path.is_file())]


@contextmanager
def proof_in(project: Path, *, read_only: bool) -> Iterator[tuple[str, str] | None]:
    """Put a file with a secret word into a project while the block runs."""
    runs = inside(project, RUNS)
    file, word = runs / f"{_PREFIX}{secrets.token_hex(8)}", secrets.token_hex(16)
    written = False
    if not read_only:
        with suppress(OSError):
            runs.mkdir(exist_ok=True)
            for old in runs.glob(f"{_PREFIX}*"):  # left by killed processes
                if time.time() - old.stat().st_mtime > _STALE:
                    old.unlink(missing_ok=True)
            file.write_text(word, encoding="ascii")
            written = True
    try:
        yield (str(file.absolute()), word) if written else None
    finally:
        with suppress(OSError):
            file.unlink(missing_ok=True)


def samples_of(path: Path) -> str:
    """Return a hash of the sizes and of samples of a slide's files, which identifies the slide."""
    digest = hashlib.sha256()
    if path.is_dir() and is_zarr(path):
        files = sorted(file for file in path.rglob("*.json") if file.is_file())[:_SAMPLES]
        files += sorted(file for file in path.glob(".z*") if file.is_file())
    else:
        files = parts(path)
    each = max(1, _SAMPLES // max(1, len(files)))
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode("utf-8", "replace"))
        with file.open("rb") as content:
            for number in range(each):
                content.seek(max(0, (size - _SAMPLE) * number // max(1, each - 1)))
                digest.update(content.read(_SAMPLE))
    return digest.hexdigest()
