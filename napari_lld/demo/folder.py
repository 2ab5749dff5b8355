"""The demonstration's folder: what may be replaced, and nothing half-written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from annotation_store.errors import ProjectError
from annotation_store.files.outputs import check_output

MARKER = "napari-lld-demo.json"
"""Marks a folder as written by the demo, which may therefore replace it."""

_OURS = ("project", "export.json", "report.html", MARKER)
_UNFINISHED = ".unfinished"


def check_folder(out: Path, *, overwrite: bool = False) -> None:
    """Reject a folder that holds something, other than an earlier demonstration that may be replaced."""
    check_output(out, overwrite=True)
    if out.exists() and not out.is_dir():
        raise ProjectError(f"{out} is a file; give a new folder with --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise ProjectError(
            f"{out} is not empty and holds no earlier demo; give a new or empty folder with --out"
        )
    if not overwrite and (out / "project").exists():
        raise ProjectError(
            f"{out} holds an earlier demo: give --overwrite to replace it with its project, "
            "or another folder with --out"
        )


@contextmanager
def fresh_folder(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Return a folder to work in whose contents replace an earlier demonstration's at the end.

    Until the block ends well, what stood in `out` stays as it was; afterwards what is not of a
    demonstration's making still does.
    """
    check_folder(out, overwrite=overwrite)
    existed = out.is_dir()
    work = out / _UNFINISHED
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    try:
        work.mkdir(parents=True)
        (work / MARKER).write_text(json.dumps({"made_by": "napari-lld demo"}) + "\n", encoding="utf-8")
        if not existed:  # so that a killed first run can be run again
            shutil.copy(work / MARKER, out / MARKER)
        yield work
        for name in _OURS:
            _remove(out / name)
            (work / name).replace(out / name)
        work.rmdir()
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        if not existed:
            shutil.rmtree(out, ignore_errors=True)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
