"""The versions that a client and its workers must share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PROTOCOL = 3
"""Version of the protocol of `training.cluster.remote`: changes with the meaning of requests or results."""

_TITLES = {"napari-lld": "napari-lld", "protocol": "the protocol of clusters", "ultralytics": "Ultralytics"}


@functools.cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # not installed, run from the sources
        return "unknown"


def own_versions() -> dict[str, str]:
    """Return the versions that determine the predictions of this process, without importing packages."""
    return {
        "napari-lld": _installed("napari-lld"),
        "protocol": str(PROTOCOL),
        "ultralytics": _installed("ultralytics-opencv-headless"),
    }


def difference(theirs: Mapping[str, str]) -> str | None:
    """Describe how a worker's versions differ; ``None`` if they do not."""
    for name, own in own_versions().items():
        if (other := theirs.get(name)) != own:
            return f"{_TITLES[name]} {other or 'none'} instead of {own}"
    return None
