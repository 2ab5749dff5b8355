"""Import what the first project needs while the window waits for one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache


@cache
def import_ahead() -> None:
    """Import, in a thread, what napari and zarr import at the first layer and the first pixels: a second.

    Once in a process, however many windows it has.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="import-ahead")
    pool.submit(_use_once)
    pool.shutdown(wait=False)


def _use_once() -> None:
    import zarr  # noqa: F401
    from napari.layers import Vectors

    Vectors(ndim=2)  # imports pandas for its features and pint for its units
