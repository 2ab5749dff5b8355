"""Feature vectors of boxes: what a describer's trunk sees of cells and suggestions, computed once.

A cache, no truth: it lies in a file of its own, belongs to no backup, and may be deleted at any time. A
vector is found again by what it was computed from: the trunk, the content of the field's image, and the
box. A cell that was moved, a field whose number another image has since a restore, or a model with another
trunk finds nothing, and its vector is computed anew.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields
from annotation_store.files.layout import FEATURES, inside
from annotation_store.records import Box

_FILE = "features.db"
_BLOCK = 64
"""Numbers that share a scale: channels of one layer are of one magnitude."""
_MOST_ON_A_FIELD = 600
"""Boxes that are kept of a field, and of each part of a large one: the newest."""
_PART = 1024
"""Side of such a part in pixels: each is a row, or all of a slide would be written anew for each box."""
_MARK = "@"
"""Stands between the content's hash and the part; the first part of a field has none."""
_BUSY_SECONDS = 5.0
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_NOMEM,
    }
)
"""Errors that say nothing of what the file holds: a full disk, another writer, no right to write."""
_CHECK = 4
"""Bytes of the check sum behind a row: SQLite notices no damage within one."""
_KINDS = ("<f4", "<f2", "i1")
"""Types of the parts of a row: see `_Quantised`."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS features (trunk TEXT, content TEXT, count INTEGER NOT NULL, "
    "length INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (trunk, content)) WITHOUT ROWID"
)


@dataclass(frozen=True, slots=True, eq=False)
class BoxFeatures:
    """Feature vectors of boxes on one field.

    Attributes
    ----------
    boxes
        ``(n, 4)`` float32: x, y, width, height in the field's pixels.
    vectors
        ``(n, F)`` float32; 99% of the numbers are within 1% of the greatest of their 64 neighbours.
    """

    boxes: np.ndarray
    vectors: np.ndarray

    def places(self) -> dict[Box, int]:
        """Return the row of each box, rounded as `box_key` does."""
        return {box_key(box): row for row, box in enumerate(self.boxes.tolist())}

    def as_stored(self) -> BoxFeatures:
        """Return what is read once they are stored: numbers are rounded."""
        return _quantised(self).features()


def box_key(box: Collection[float]) -> Box:
    """Return a box to a hundredth of a pixel, by which its vector is found."""
    x, y, w, h = (round(float(np.float32(v)), 2) for v in box)
    return (x, y, w, h)


class Features:
    """`Project.features`: vectors that models computed of boxes, kept beside the database."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db
        self._made = False  # its folder: one that has gone is not made again, the project may be going too

    def of(self, trunk: str, field_ids: Collection[int] | None = None) -> dict[int, BoxFeatures]:
        """Return the stored vectors of a trunk, by field; fields without any are absent.

        Parameters
        ----------
        trunk
            The digest of what computed them.
        field_ids
            Of these fields only.
        """
        contents = self._contents(field_ids)
        by_field: dict[int, BoxFeatures] = {}
        with self._connection() as connection:
            if connection is None:
                return {}
            query = "SELECT content, count, length, data FROM features WHERE trunk = ?"
            if len(contents) == 1:  # and its parts
                query += " AND (content = ? OR (content > ? AND content < ?))"
            (content_hash,) = contents if len(contents) == 1 else ("",)
            values = (trunk, content_hash, content_hash + _MARK, content_hash + chr(ord(_MARK) + 1))
            parts: dict[int, list[BoxFeatures]] = {}
            for content, count, length, data in connection.execute(query, values[: query.count("?")]):
                content = content.partition(_MARK)[0]
                if content in contents and (features := unpack(count, length, data)) is not None:
                    parts.setdefault(contents[content], []).append(features)
        for field_id, parts_of_field in parts.items():
            length = parts_of_field[-1].vectors.shape[1]
            same = [part for part in parts_of_field if part.vectors.shape[1] == length]
            by_field[field_id] = (
                same[0]
                if len(same) == 1
                else BoxFeatures(
                    np.concatenate([part.boxes for part in same]),
                    np.concatenate([part.vectors for part in same]),
                )
            )
        return by_field

    def save(self, trunk: str, vectors: Mapping[int, BoxFeatures]) -> None:
        """Store vectors of boxes beside those that are there; one of the same box is replaced.

        Without room on the disk, or where nothing may be written, nothing is stored: they are computed again.
        """
        if self._db.read_only or not vectors:
            return
        with self._connection(write=True) as connection:
            if connection is None:
                return
            connection.execute("BEGIN IMMEDIATE")
            for content, field_id in self._contents(vectors).items():
                for part, new in _split_by_part(content, vectors[field_id]):
                    query = "SELECT count, length, data FROM features WHERE trunk = ? AND content = ?"
                    row = connection.execute(query, (trunk, part)).fetchone()
                    both = _merge(_read(*row) if row else None, _quantised(new))
                    values = (trunk, part, len(both.boxes), both.codes.shape[1], _written(both))
                    connection.execute("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?, ?)", values)
            connection.execute("COMMIT")

    def _contents(self, field_ids: Collection[int] | None) -> dict[str, int]:
        query = sa.select(fields.c.id, fields.c.content_hash)
        among = None if field_ids is None else {int(field_id) for field_id in field_ids}
        cached = self._db.cached_fields
        if among is not None and among <= cached.keys():
            return {cached[field_id].content_hash: field_id for field_id in among}
        if among is not None and len(among) < 1000:
            query = query.where(fields.c.id.in_(sorted(among)))
        rows = self._db.rows(query)
        return {row.content_hash: row.id for row in rows if among is None or row.id in among}

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sqlite3.Connection | None]:
        """Open the cache; ``None`` if there is none or it cannot be used. A damaged cache is deleted."""
        self._db.check_present()
        file = inside(self._db.path, FEATURES, _FILE)
        try:
            connection = _connect(file, write=write, make=not self._made)
            self._made |= write
        except (sqlite3.Error, OSError) as error:
            self._give_up(file, error)
            connection = None
        if connection is None:
            yield None
            return
        try:
            with closing(connection):
                yield connection
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._give_up(file, error)

    def _give_up(self, file: Path, error: Exception) -> None:
        """Delete a file that is not our database; `_PASSING` lists errors that are no reason to."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        passes = isinstance(error, OSError | sqlite3.ProgrammingError) or code in _PASSING
        if not passes and not self._db.read_only:
            for path in (file, file.with_name(f"{file.name}-journal")):
                with suppress(OSError):
                    path.unlink(missing_ok=True)


def _connect(file: Path, *, write: bool, make: bool) -> sqlite3.Connection | None:
    if not write and not file.is_file():
        return None
    if write and make:
        file.parent.mkdir(exist_ok=True)  # not those above it: the project may be gone
    uri = f"{file.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    if write:
        try:
            connection.execute("PRAGMA synchronous = OFF")  # after a power cut it is made again
            connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def _split_by_part(content: str, new: BoxFeatures) -> Iterator[tuple[str, BoxFeatures]]:
    """Return the rows that boxes of a field are kept in."""
    places = (np.asarray(new.boxes, np.float64).reshape(-1, 4)[:, :2] // _PART).astype(int)
    for column, row in sorted(set(map(tuple, places.tolist()))):
        rows = np.flatnonzero((places == (column, row)).all(1))
        key = f"{content}{_MARK}{column},{row}" if column or row else content
        yield key, new if len(rows) == len(places) else BoxFeatures(new.boxes[rows], new.vectors[rows])


class _Quantised(NamedTuple):
    """Features as they are stored: boxes ``(n, 4)``, a float16 scale for each block of a vector, and int8."""

    boxes: np.ndarray
    scales: np.ndarray
    codes: np.ndarray

    def features(self) -> BoxFeatures:
        """Return boxes and vectors as float32."""
        wide = np.repeat(self.scales.astype(np.float32), _BLOCK, axis=1)[:, : self.codes.shape[1]]
        return BoxFeatures(self.boxes.astype(np.float32), self.codes * wide)


def _quantised(features: BoxFeatures) -> _Quantised:
    vectors = np.asarray(features.vectors, np.float32)
    starts = np.arange(0, vectors.shape[1], _BLOCK)
    scales = np.maximum.reduceat(np.abs(vectors), starts, axis=1) / 127 if vectors.size else vectors[:, :0]
    scales = np.minimum(np.nextafter(scales.astype(np.float16), np.float16(np.inf)), np.float16(60_000))
    wide = np.repeat(scales.astype(np.float32), _BLOCK, axis=1)[:, : vectors.shape[1]]
    codes = np.clip(np.rint(vectors / wide), -127, 127).astype(np.int8)
    return _Quantised(np.asarray(features.boxes, np.float32), scales, codes)


def _merge(old: _Quantised | None, new: _Quantised) -> _Quantised:
    """Put new rows in place of those of the same boxes; the others stay as they are, to the last bit."""
    if old is None or old.codes.shape[1] != new.codes.shape[1]:
        return new
    again = BoxFeatures(new.boxes, new.codes).places()
    places = BoxFeatures(old.boxes, old.codes).places()
    rest = [row for box, row in places.items() if box not in again]
    joined = (np.concatenate((a[rest], b))[-_MOST_ON_A_FIELD:] for a, b in zip(old, new, strict=True))
    return _Quantised(*joined)


def pack(features: BoxFeatures) -> bytes:
    """Return the bytes that are stored of features."""
    return _written(_quantised(features))


def unpack(count: object, length: object, data: object) -> BoxFeatures | None:
    """Read what `pack` wrote; ``None`` if the row is not valid."""
    quantised = _read(count, length, data)
    return None if quantised is None else quantised.features()


def _written(quantised: _Quantised) -> bytes:
    """Return the bytes of a row, the check sum last."""
    data = b"".join(part.astype(kind).tobytes() for part, kind in zip(quantised, _KINDS, strict=True))
    return data + zlib.crc32(data).to_bytes(_CHECK, "little")


def _read(count: object, length: object, data: object) -> _Quantised | None:
    """Read what `_written` wrote; ``None`` if the row is not valid."""
    if not (isinstance(count, int) and isinstance(length, int) and isinstance(data, bytes)):
        return None
    blocks = -(-length // _BLOCK)
    if (
        not 0 < count <= _MOST_ON_A_FIELD
        or length < 1
        or len(data) != count * (16 + 2 * blocks + length) + _CHECK
    ):
        return None
    if zlib.crc32(memoryview(data)[:-_CHECK]) != int.from_bytes(data[-_CHECK:], "little"):
        return None
    boxes = np.frombuffer(data, "<f4", 4 * count).reshape(count, 4)
    scales = np.frombuffer(data, "<f2", blocks * count, 16 * count).reshape(count, blocks)
    codes = np.frombuffer(data, np.int8, length * count, count * (16 + 2 * blocks)).reshape(count, length)
    if not (np.isfinite(boxes).all() and np.isfinite(scales).all()):
        return None
    return _Quantised(boxes, scales, codes)
