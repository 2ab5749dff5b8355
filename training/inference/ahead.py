"""Reading while the networks are at work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def ahead(items: Iterable[Item], read: Callable[[Item], Read]) -> Iterator[Read]:
    """Yield what `read` gives of each item; the next is read in another thread meanwhile.

    What `read` raises is raised in its turn.
    """
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        waiting = None
        for item in items:
            following = pool.submit(read, item)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
