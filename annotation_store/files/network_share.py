"""Detect network shares, where SQLite's WAL is unsafe.

WAL keeps an index in memory that all its processes share, and programs on two computers share none
(https://www.sqlite.org/wal.html). On such places the classic rollback journal is used instead.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

_SHARES = frozenset(
    {
        *("nfs", "nfs3", "nfs4", "cifs", "smb", "smbfs", "smb2", "smb3", "afs", "afpfs", "ncpfs", "coda"),
        *(
            "webdav",
            "davfs",
            "davfs2",
            "fuse.sshfs",
            "fuse.davfs2",
            "fuse.rclone",
            "fuse.glusterfs",
            "macfuse",
        ),
        *("ceph", "fuse.ceph-fuse", "glusterfs", "lustre", "gpfs", "beegfs", "drvfs", "vboxsf", "prl_fs"),
        *("fuse.vmhgfs-fuse", "vmhgfs"),
    }
)
_MOUNTS = Path("/proc/self/mountinfo")
_DRIVE_REMOTE = 4  # of Windows' GetDriveTypeW


def is_network_share(folder: Path) -> bool:
    """Return whether a folder lies on another computer's disk, if the system reports it."""
    if sys.platform == "win32":
        return _is_remote_drive(folder)
    return file_system(folder) in _SHARES


def file_system(folder: Path) -> str:
    """Return the type of the file system that a folder lies on, in small letters; empty where unknown."""
    try:
        place = os.path.realpath(folder)
        if sys.platform == "darwin":
            return _of_darwin(place)
        return _of_mounts(place, _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, ValueError):
        return ""


def _of_mounts(place: str, mounts: str) -> str:
    """Find the mount that a path lies on: the longest that it begins with, of equals the last."""
    best, kind = "", ""
    for line in mounts.splitlines():
        before, separator, after = line.partition(" - ")
        words, about = before.split(" "), after.split(" ")
        if not separator or len(words) < 5 or len(about) < 2:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), words[4])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            # Windows' drives in WSL2 are 9p mounts that say so in their source or options
            drive = about[0] == "9p" and "drvfs" in after
            best, kind = point, "drvfs" if drive else about[0].lower()
    return kind


def _of_darwin(place: str) -> str:  # pragma: no cover - another system
    """Call ``statfs``: Python's own `os.statvfs` leaves the type out."""
    import ctypes

    buffer = ctypes.create_string_buffer(4096)
    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "statfs$INODE64", None) or library.statfs
    if call(os.fsencode(place), buffer):
        return ""
    # struct statfs with 64-bit inodes: 72 bytes of numbers, then f_fstypename[16]
    return buffer.raw[72:88].split(b"\0")[0].decode("ascii", "replace").lower()


def _is_remote_drive(folder: Path) -> bool:  # pragma: no cover - another system
    absolute = str(folder.absolute())
    if absolute.startswith("\\\\") and not absolute.startswith("\\\\?\\"):
        return True
    import ctypes

    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only Windows has it
    return bool(kernel.GetDriveTypeW(folder.absolute().anchor) == _DRIVE_REMOTE)
