"""How each system's menus and file manager come to offer the program: one module a system.

Each has ``add`` and ``remove``, which return the files that they wrote or deleted, and functions that give
the texts, which need not that system.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

NAME = "napari-lld"


def start_words() -> list[str]:
    """Return the program and the words that open the window with this Python; the folder comes after them."""
    program = Path(sys.executable)
    if sys.platform == "win32":  # the Python that opens no console
        program = program.with_name("pythonw.exe")
    alone = (
        "-I" if sys.flags.isolated else "-P"
    )  # the application's Python stays alone (install/application.py)
    return [str(program), alone, "-m", "napari_lld", "open", "--dialog"]


def icon(suffix: str) -> bytes:
    """Return the icon of the program, ``.svg`` or ``.png`` (256 × 256)."""
    return (resources.files("napari_lld.plugin") / f"icon{suffix}").read_bytes()


def delete(*files: Path) -> list[Path]:
    """Delete files, and return those that existed."""
    existing = [file for file in files if file.exists()]
    for file in existing:
        file.unlink()
    return existing
