"""Numbers as they are read from cards and written for people: with their n, their interval, or not at all.

Cards are files: they may be of an older version, or anybody's. What is not a number is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari_lld.session.model_facts import number
from training.evaluation.statistics import wilson

FEW = 10
"""Of fewer cells than this a share is written as a count, and a score not at all."""

NOTHING = "–"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number measured on some cells.

    Attributes
    ----------
    value
        ``None`` = it could not be measured.
    n
        The number of cells it is based on.
    low, high
        Its 95% interval, if there is one.
    hits
        Of a share: how many of the n.
    wilson
        Whether the interval is Wilson's, which takes cells for independent; else it is a bootstrap over
        patients.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    hits: int | None = None
    wilson: bool = False

    @property
    def too_few(self) -> bool:
        """Whether there are too few cells to write the number."""
        return self.n < FEW


def share(hits: int, total: int) -> Estimate:
    """Return a share that was counted, with its Wilson interval."""
    low, high = wilson(hits, total)
    return Estimate(hits / total, total, low, high, hits, wilson=True) if total else Estimate(None, 0)


def percent(value: float) -> str:
    """Format a share in percent; only none and all are written as 0 and 100."""
    rounded = round(100 * value)
    if rounded == 100 and value < 1:
        return "over 99"
    if rounded == 0 and value > 0:
        return "under 1"
    return str(rounded)


def format_estimate(estimate: Estimate, *, as_share: bool = False) -> str:
    """Format a number with its interval, as precisely as its n allows.

    Parameters
    ----------
    as_share
        In percent; of few cells as a count.
    """
    if estimate.value is None:
        return NOTHING
    if estimate.too_few:
        if as_share and estimate.hits is not None:
            return f"{estimate.hits} of {estimate.n}"
        return "too few"
    text = f"{percent(estimate.value)} %" if as_share else f"{estimate.value:.2f}"
    if estimate.low is None or estimate.high is None:
        return text
    if as_share:  # outwards: an interval is never written narrower than it is
        low, high = str(math.floor(100 * estimate.low)), str(math.ceil(100 * estimate.high))
    else:
        low, high = f"{estimate.low:.2f}", f"{estimate.high:.2f}"
    return f"{text} ({low}–{high}){'†' if estimate.wilson else ''}"


class CardPart:
    """A part of a card, of which anything may be missing or something else than it should be."""

    def __init__(self, content: object) -> None:
        self._content: Mapping[str, Any] = content if isinstance(content, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._content)

    def __iter__(self) -> Iterator[str]:
        return (str(name) for name in self._content)

    def __contains__(self, name: str) -> bool:
        return name in self._content

    def part(self, *names: str) -> CardPart:
        """Return a nested part by name."""
        content: object = self._content
        for name in names:
            content = content.get(name) if isinstance(content, Mapping) else None
        return CardPart(content)

    def number(self, name: str) -> float | None:
        """Return a number."""
        return number(self._content.get(name))

    def count(self, name: str) -> int:
        """Return a count; 0 if there is none."""
        value = self.number(name)
        return int(value) if value is not None and value >= 0 else 0

    def count_or_none(self, name: str) -> int | None:
        """Return a count; ``None`` if there is none."""
        return self.count(name) if self.number(name) is not None else None

    def text(self, name: str) -> str:
        """Return a text; empty if there is none."""
        value = self._content.get(name)
        return value if isinstance(value, str) else ""

    def truth(self, name: str) -> bool:
        """Return whether a flag is set."""
        return self._content.get(name) is True

    def list(self, name: str) -> list[Any]:
        """Return a list; empty if there is none."""
        value = self._content.get(name)
        return list(value) if isinstance(value, list | tuple) else []

    def interval(self, name: str) -> tuple[float, float] | None:
        """Return an interval."""
        bounds = [number(value) for value in self.list(name)]
        if len(bounds) == 2 and bounds[0] is not None and bounds[1] is not None:
            return bounds[0], bounds[1]
        return None

    def estimate(self, name: str, n: int, intervals: CardPart) -> Estimate:
        """Return a score with the interval of the same name."""
        return Estimate(self.number(name), n, *spread(intervals, name))

    def share(self, name: str, n: int, intervals: CardPart) -> Estimate:
        """Return a share of n; with Wilson's interval if the bootstrap is missing or has no width.

        Where all are right every resample is all right too: that is no certainty.
        """
        value = self.number(name)
        if value is None or not n:
            return Estimate(None, n)
        hits = round(value * n)
        between = intervals.interval(name)
        if between is None or hits in (0, n):
            return share(min(max(hits, 0), n), n)
        return Estimate(value, n, *between, hits=hits)


def spread(part: CardPart, name: str) -> tuple[float, float] | tuple[None, None]:
    """Return an interval, unless it has no width because all is right in every resample."""
    interval = part.interval(name)
    return interval if interval is not None and interval[0] < interval[1] else (None, None)
