"""The store stays light: no torch, no Qt, no napari, and no slow library before it is needed."""

from __future__ import annotations

import subprocess
import sys


def test_importing_the_store_loads_no_torch_no_qt_no_napari() -> None:
    heavy = (
        "torch",
        "ultralytics",
        "qtpy",
        "PyQt6",
        "PySide6",
        "napari",
        "vispy",
        "alembic",
        "zarr",
        "tifffile",
    )
    code = f"import sys, annotation_store; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
