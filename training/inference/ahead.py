"""Work on the next items while the caller is busy with the last, and process results a few at a time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(items: Iterable[Item], work: Callable[[Item], Result], *, most: int = 1) -> Iterator[Result]:
    """Yield what `work` gives of each item, in order; the next are worked on in other threads meanwhile.

    What `work` raises is raised in its turn.

    Parameters
    ----------
    most
        How many items are worked on at a time, and begun before they are asked for.
    """
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(most, "ahead") as pool:
        try:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > most:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for one in running:
                one.cancel()  # the caller has left: what has not begun is not done


def together(items: Iterable[Item], seconds: float) -> Iterator[list[Item]]:
    """Yield items in lists: the first that comes `seconds` after the last list, and those before it.

    Items that come faster share what each list costs, such as a transaction. If `items` raises, those that
    have come are yielded first.
    """
    some: list[Item] = []
    last = time.monotonic()
    try:
        for item in items:
            some.append(item)
            if time.monotonic() - last >= seconds:
                yield some
                some, last = [], time.monotonic()
    except Exception:
        if some:
            yield some
        raise
    if some:
        yield some
