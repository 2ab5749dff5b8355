"""Check whether a window can open here; each error names the cause and the cure."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from napari_lld.cli._console import UsageError

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
"""Packages that all write into the one folder ``cv2``."""
_LIBRARIES = (
    ("libEGL.so.1", "libegl1"),
    ("libGL.so.1", "libgl1"),
    ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
    ("libxcb-cursor.so.0", "libxcb-cursor0"),
)
"""What Qt needs on an X server and no wheel brings, and Debian's package; Qt ends the process without it.
The application brings the last two (`install/application.py`)."""


def check_window() -> None:
    """Raise an error if no window can open; choose PyQt6 if no binding is chosen.

    Raises
    ------
    UsageError
        PyQt6 is missing or not chosen, no display answers, or a library that Qt needs is missing.
    """
    others = [name for name in BINDINGS if name != "PyQt6" and importlib.util.find_spec(name)]
    if not importlib.util.find_spec("PyQt6"):
        state = f"{' and '.join(others)} will not do" if others else "no Qt binding is installed"
        raise UsageError(
            f'The window needs PyQt6, and {state}; install it with: pip install "napari-lld[desktop]"'
        )
    # qtpy takes a binding of Qt 5 first
    if os.environ.setdefault("QT_API", "pyqt6").lower() != "pyqt6":
        api = os.environ["QT_API"]
        raise UsageError(f"The window needs PyQt6, and QT_API chooses {api}; unset it, or set QT_API=pyqt6")
    if not sys.platform.startswith("linux"):
        return
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        raise UsageError(
            "There is no display to open a window on (DISPLAY is not set); start it on a desktop, with "
            "'xvfb-run napari-lld open', or use the other commands (napari-lld --help), which need no display"
        )
    elsewhere = any(os.environ.get(name) for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    if not elsewhere and not display_answers():
        raise UsageError(
            f"The display {os.environ['DISPLAY']} (DISPLAY) does not answer, or refuses you; start it "
            "in a terminal of the desktop, as the user who is logged in there, or log in anew with 'ssh -X'"
        )
    missing = [(library, package) for library, package in _LIBRARIES if not loads(library)]
    if missing and os.environ.get("DISPLAY") and not os.environ.get("QT_QPA_PLATFORM"):
        libraries = ", ".join(library for library, _ in missing)
        packages = " ".join(package for _, package in missing)
        raise UsageError(
            f"The window needs {libraries}, which this system lacks; on Debian and Ubuntu: "
            f"sudo apt install {packages}"
        )


def display_answers() -> bool:
    """Return whether the X server of ``DISPLAY`` takes a connection, without which Qt ends the process."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True  # not known; what Qt lacks is said next
    xcb.xcb_connect.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(xcb.xcb_connect(None, None))
    failed = bool(xcb.xcb_connection_has_error(connection))
    xcb.xcb_disconnect(connection)
    return not failed


def loads(library: str) -> bool:
    """Return whether a shared library lies beside Qt's own, where Qt looks first, or the system has it."""
    qt = importlib.util.find_spec("PyQt6")
    folders = (qt.submodule_search_locations or []) if qt else []
    if any((Path(folder) / "Qt6" / "lib" / library).exists() for folder in folders):
        return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def doubts() -> Iterator[str]:
    """Yield a sentence for each thing that the window runs with, and that may disturb it."""
    several = [name for name in _OPENCV if is_installed(name)]
    if len(several) > 1:
        names = " ".join(several)
        yield (
            f"{' and '.join(several)} overwrite each other's files; if anything fails to load: "
            f"pip uninstall -y {names}, then pip install opencv-python-headless"
        )


def is_installed(name: str) -> bool:
    """Return whether a package is installed."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
