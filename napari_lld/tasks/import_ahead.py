"""Do what the first project needs while the window waits for one."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pint
from pint.registry import LazyRegistry
from qtpy.QtCore import QObject, Signal


class Units(QObject):
    """Takes a registry of units that a thread has filled, in the window's thread.

    Pint fills its own registry at the first use, the first layer, for a quarter of a second. To fill that one
    in the thread would not do: a layer that the window makes meanwhile would not find its units.
    """

    filled = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.filled.connect(self._use)

    def _use(self, registry: pint.UnitRegistry) -> None:
        if type(pint.get_application_registry().get()) is LazyRegistry:  # no layer was made yet
            pint.set_application_registry(registry)


@cache
def import_ahead() -> Units:
    """Do, in a thread, what takes a second and a half the first time: units, pixels, the store.

    Once in a process, however many windows it has.
    """
    units = Units()
    pool = ThreadPoolExecutor(1, thread_name_prefix="import-ahead")
    pool.submit(_use_once, units)
    pool.shutdown(wait=False)
    return units


def _use_once(units: Units) -> None:
    import pandas as pd  # noqa: F401
    import zarr  # noqa: F401

    units.filled.emit(pint.UnitRegistry())
    _use_store()
    gc.freeze()  # the modules that came: each full collection would go through them


def _use_store() -> None:
    """Make a project and throw it away: SQLAlchemy prepares much at the first connection and statement."""
    from annotation_store import Project
    from annotation_store.files.temporary import temporary_folder

    with temporary_folder() as folder:
        Project.create(folder / "first.lld").close()
