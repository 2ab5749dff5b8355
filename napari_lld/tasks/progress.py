"""Progress of background work, and how long its end is waited for."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called with (steps done, steps in all); what it raises ends the work."""

PATIENCE = 0.1
"""Seconds that the window waits for a thread that only reads, when nobody needs what it reads any more."""
