"""How work beside the window says how far it is."""

from collections.abc import Callable

Tell = Callable[[int, int], None]
"""Called with (steps done, steps in all); what it raises ends the work."""
