"""The priority and the memory of the worker process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

import psutil


def go_second() -> None:
    """Lower the priority of this process below the window's."""
    with contextlib.suppress(psutil.Error, OSError):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 10)


def most_memory() -> int:
    """Return the bytes that a worker may hold between tasks, graphics drivers included."""
    torch = sys.modules.get("torch")
    return (4 if torch is not None and torch.cuda.is_initialized() else 2) * 1024**3


def memory() -> int:
    """Return the bytes of memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def pass_over_modules() -> None:
    """Exempt imported modules from garbage collection, since they are never freed.

    A full collection over them takes 0.2 s, sometimes in the middle of a request.
    """
    gc.collect()
    gc.freeze()


def give_back_memory() -> None:
    """Free memory after a task: its objects, caches of the graphics card, free pages of the C library."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        elif torch.backends.mps.is_available():
            torch.mps.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc: about 300 MB after a training
        if trim is not None:
            trim(0)
