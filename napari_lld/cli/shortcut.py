"""``napari-lld shortcut``: the program in the menu of the desktop, and in that of its file manager."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Annotated

import typer

from napari_lld.cli._console import complain, say


def shortcut(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what this command created.")] = False,
) -> None:
    """Offer the program in the menu of your desktop, and for project folders in its file manager.

    Linux: an entry in the menu, and under "Open with" of folders. macOS: an application in your
    Applications folder. Windows: the Start menu, and the context menu of folders. For this user only. Run
    it again when the program has moved.
    """
    system = of_this_system()
    if remove:
        deleted = system.remove()
        for file in deleted:
            say(f"Deleted {file}")
        if not deleted:
            say("There was no shortcut.")
        return
    files, note = system.add()
    for file in files:
        say(f"Made {file}")
    if note:
        complain(note)


def of_this_system() -> ModuleType:
    """Return the module for this system; other Unixes have the desktops of Linux."""
    from napari_lld.cli.shortcuts import linux, macos, windows

    return {"darwin": macos, "win32": windows}.get(sys.platform, linux)
