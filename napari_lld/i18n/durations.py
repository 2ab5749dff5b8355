"""Format durations, in the same way in the window and on the command line; no Qt."""

from __future__ import annotations

import math


def duration(seconds: float, *, in_minutes: bool = False) -> str:
    """Write a duration: ``40 s``, ``3 min``, ``2 h 05 min``; a dash if unknown.

    Parameters
    ----------
    in_minutes
        Whether to leave out seconds, as for working time.
    """
    if not math.isfinite(seconds) or seconds < 0:
        return "–"
    whole = round(seconds)
    if whole < 90 and not in_minutes:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
