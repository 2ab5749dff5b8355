"""``napari-lld demo``: the whole loop, unattended."""

from __future__ import annotations


def demo() -> None:
    """Run the whole loop on the bundled sample fields."""
