"""A bundle in the Applications folder of the user: Launchpad, Dock, and for folders under *Open With*.

Sources: Apple, Information Property List Key Reference (CFBundleDocumentTypes, LSHandlerRank).
"""

from __future__ import annotations

import io
import plistlib
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from napari_lld.cli.shortcuts import NAME, icon, start_words


def bundle() -> Path:
    """Return where the bundle belongs."""
    return Path.home() / "Applications" / f"{NAME}.app"


def add() -> tuple[list[Path], str]:
    """Write the bundle, and return it."""
    from importlib.metadata import version

    path = bundle()
    shutil.rmtree(path, ignore_errors=True)
    contents = path / "Contents"
    (contents / "MacOS").mkdir(parents=True)
    (contents / "Resources").mkdir()
    program = contents / "MacOS" / NAME
    program.write_text(script(start_words()), encoding="utf-8")
    program.chmod(0o755)
    (contents / "Resources" / f"{NAME}.icns").write_bytes(icns())
    (contents / "Info.plist").write_bytes(information(version(NAME)))
    return [path], ""


def remove() -> list[Path]:
    """Delete the bundle; return it if it was there."""
    path = bundle()
    if not path.exists():
        return []
    shutil.rmtree(path)
    return [path]


def script(words: Sequence[str]) -> str:
    """Return the program of the bundle. The folder comes as an event, not as a word (`napari_lld.window`)."""
    return f"#!/bin/sh\nexec {shlex.join(words)}\n"


def information(version: str) -> bytes:
    """Return the property list: what the bundle is, and that it opens folders, among others."""
    number = version.partition("rc")[0]
    return plistlib.dumps(
        {
            "CFBundleName": NAME,
            "CFBundleDisplayName": NAME,
            "CFBundleIdentifier": f"org.{NAME}.shortcut",
            "CFBundleExecutable": NAME,
            "CFBundleIconFile": f"{NAME}.icns",
            "CFBundlePackageType": "APPL",
            "CFBundleShortVersionString": number,
            "CFBundleVersion": number,
            "NSHighResolutionCapable": True,
            "LSRequiresNativeExecution": True,  # of a script, macOS cannot see for which chip it is
            "CFBundleDocumentTypes": [
                {
                    "CFBundleTypeName": "Project folder",
                    "CFBundleTypeRole": "Editor",
                    "LSHandlerRank": "Alternate",  # never the program that opens all folders
                    "LSItemContentTypes": ["public.folder"],
                }
            ],
        }
    )


def icns() -> bytes:
    """Return the icon as macOS wants it."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(icon(".png"))) as picture:
        picture.save(buffer, format="ICNS")
    return buffer.getvalue()
