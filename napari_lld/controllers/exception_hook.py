"""Unexpected errors: show a sentence and write a log entry instead of a traceback."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from types import TracebackType

_OURS = ("napari_lld", "annotation_store", "training")

Report = Callable[[str, str], None]
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], object]


class Catcher:
    """Stands in for `sys.excepthook` as long as it is installed; what is not ours goes on to who was there.

    Qt calls the hook when a slot fails; the window lives on.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._before: Hook | None = None

    def install(self) -> None:
        """Start catching errors."""
        if sys.excepthook != self._caught:
            self._before = sys.excepthook
            sys.excepthook = self._caught

    def remove(self) -> None:
        """Remove the hook, unless another one was installed later."""
        if sys.excepthook == self._caught and self._before is not None:
            sys.excepthook = self._before

    def _caught(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> object:
        before = self._before or sys.__excepthook__
        if not isinstance(error, Exception) or not concerns_us(error):
            return before(kind, error, where)
        root = innermost(error)
        try:
            self._report(
                f"{type(root).__name__}: {root}", "".join(traceback.format_exception(kind, error, where))
            )
        except Exception:  # to report must not fail in its turn
            before(kind, error, where)
        return None


def innermost(error: BaseException) -> BaseException:
    """Return the original exception (psygnal wraps what a listener raises)."""
    seen = {id(error)}
    while error.__cause__ is not None and id(error.__cause__) not in seen:
        error = error.__cause__
        seen.add(id(error))
    return error


def concerns_us(error: BaseException) -> bool:
    """Return whether any of our modules took part in it."""
    chain: list[BaseException] = [error]
    while len(chain) < 10 and (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    for link in chain:
        for frame, _line in traceback.walk_tb(link.__traceback__):
            if str(frame.f_globals.get("__name__", "")).split(".")[0] in _OURS:
                return True
    return False
