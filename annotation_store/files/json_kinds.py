"""Recognise JSON files of annotations by their two ends; imports little, for readers that must be fast."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

JsonKind = Literal["coco", "geojson", "labelstudio"]

_BESIDE_IMAGES = (b'"annotations"', b'"categories"', b'"image_id"')


def ends_of(path: Path, head: int, tail: int) -> bytes:
    """Read so many bytes of a file's beginning and end: what tells a format occurs in every annotation."""
    with path.open("rb") as opened:
        text = opened.read(head)
        size = os.fstat(opened.fileno()).st_size
        if size > head:
            opened.seek(max(head, size - tail))
            text += opened.read(tail)
    return text


def kind_of_json(ends: bytes, *, certain: bool = False) -> JsonKind | None:
    """Return the kind of a JSON file by its ends; ``None`` if unknown.

    Parameters
    ----------
    certain
        Whether a list of images alone is not enough: other programs have such files too.
    """
    begins = ends.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if b'"FeatureCollection"' in ends or (b'"Feature"' in ends and b'"geometry"' in ends):
        return "geojson"
    if begins == b"[":
        return "labelstudio" if b'"data"' in ends else None
    if begins != b"{" or b'"images"' not in ends:
        return None
    return "coco" if not certain or any(word in ends for word in _BESIDE_IMAGES) else None
