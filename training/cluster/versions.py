"""What a client and its workers must have in common."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PROTOCOL = 2
"""Of `training.cluster.remote`: another number where what is sent or given back means something else."""

_TITLES = {"napari-lld": "napari-lld", "protocol": "the protocol of clusters", "ultralytics": "Ultralytics"}


@functools.cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a folder of sources
        return "unknown"


def own_versions() -> dict[str, str]:
    """Return what decides what this process predicts, without importing any of it."""
    return {
        "napari-lld": _installed("napari-lld"),
        "protocol": str(PROTOCOL),
        "ultralytics": _installed("ultralytics-opencv-headless"),
    }


def difference(theirs: Mapping[str, str]) -> str | None:
    """Describe in words how a worker's versions differ; ``None`` if they do not."""
    for name, own in own_versions().items():
        if (other := theirs.get(name)) != own:
            return f"{_TITLES[name]} {other or 'none'} instead of {own}"
    return None
