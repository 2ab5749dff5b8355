"""Do what the first project needs while the window waits for one."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def import_ahead() -> None:
    """Do, in a thread, what takes a second and a half the first time: layers, pixels, the store.

    Once in a process, however many windows it has.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="import-ahead")
    pool.submit(_use_once)
    pool.shutdown(wait=False)


def _use_once() -> None:
    # no layer is made here: pint fills its only registry of units at the first use, and a layer that the
    # window makes meanwhile would not find its units
    import pandas as pd  # noqa: F401
    import zarr  # noqa: F401

    _use_store()
    gc.freeze()  # the modules that came: each full collection would go through them


def _use_store() -> None:
    """Make a project and throw it away: SQLAlchemy prepares much at the first connection and statement."""
    from annotation_store import Project
    from annotation_store.files.temporary import temporary_folder

    with temporary_folder() as folder:
        Project.create(folder / "first.lld").close()
