"""Progress of background work."""

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Called with (steps done, steps in all); what it raises ends the work."""
