"""Small diagrams as inline SVG: numbers over the rounds, with intervals or with names, and reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from training.evaluation.statistics import wilson

_MOST_LABELS = 8
_GAP = 17
"""Least distance between two names at the right, in SVG units."""

_SIDE, _MARGIN, _BARS = 180, 34, 46
_FEW = 5
"""Points of fewer cells than this are drawn hollow."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Shares between 0 and 1 over the rounds: the size of a diagram, and where in it things lie."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    inset: int

    def x(self, place: int, count: int) -> float:
        room = self.width - self.left - self.right - 2 * self.inset
        return self.left + self.inset + room * (place / (count - 1) if count > 1 else 0.5)

    def y(self, share: float) -> float:
        room = self.height - self.top - self.bottom
        return self.top + room * (1 - min(max(share, 0.0), 1.0))

    def open(self, description: str) -> list[str]:
        """Start the diagram: lines at every quarter."""
        parts = [_head(self.width, self.height, description)]
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = self.y(share)
            parts.append(f'<path d="M{self.left} {y:.1f}H{self.width - self.right}" class="grid"/>')
            parts.append(_text(self.left - 6, y + 4, f"{share:.2f}", "end"))
        return parts


_ONE = _Frame(330, 210, left=40, right=10, top=12, bottom=48, inset=28)
_SEVERAL = _Frame(680, 300, left=48, right=210, top=16, bottom=40, inset=25)


@dataclass(frozen=True, slots=True)
class Point:
    """A number of one round.

    Attributes
    ----------
    label, below
        Caption in two lines.
    hollow
        Of a model that was not taken into use.
    """

    label: str
    below: str
    value: float | None
    low: float | None = None
    high: float | None = None
    hollow: bool = False


def over_rounds(points: Sequence[Point], title: str) -> Markup:
    """Draw a number between 0 and 1 over the rounds, with its intervals; empty if nothing is known."""
    measured = [(i, p, p.value) for i, p in enumerate(points) if p.value is not None]
    if not measured:
        return Markup("")
    description = "; ".join(f"{p.label}: {value:.2f}" for _, p, value in measured)
    parts = _ONE.open(f"{title}. {description}")
    places = [_ONE.x(i, len(points)) for i in range(len(points))]
    step = -(-len(points) // _MOST_LABELS)
    for i, point in enumerate(points):
        if i % step == 0 or i == len(points) - 1:
            parts.append(_text(places[i], _ONE.height - 30, point.label, "middle"))
            parts.append(_text(places[i], _ONE.height - 14, point.below, "middle", "small"))
    line = " ".join(f"{places[i]:.1f},{_ONE.y(value):.1f}" for i, p, value in measured if not p.hollow)
    parts.append(f'<polyline points="{line}" class="line"/>')
    for i, point, value in measured:
        x = places[i]
        if point.low is not None and point.high is not None:
            low, high = _ONE.y(point.low), _ONE.y(point.high)
            parts.append(
                f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8" '
                'class="whisker"/>'
            )
        parts.append(f'<circle cx="{x:.1f}" cy="{_ONE.y(value):.1f}" r="4.5" class="{_dot(point.hollow)}"/>')
    return Markup("\n".join([*parts, "</svg>"]))


@dataclass(frozen=True, slots=True)
class Series:
    """Line of a diagram: a share per round, ``None`` if it could not be measured."""

    name: str
    values: Sequence[float | None]
    colour: str
    marker: str = "circle"
    dash: str = ""


def several_over_rounds(series: Sequence[Series], labels: Sequence[str], title: str) -> Markup:
    """Draw several shares over the rounds, named at their right ends; empty if nothing was measured."""
    lines = [line for line in series if any(value is not None for value in line.values)]
    if not lines or len(labels) < 2:
        return Markup("")
    parts = _SEVERAL.open(title)
    places = [_SEVERAL.x(i, len(labels)) for i in range(len(labels))]
    below = _SEVERAL.height - 14
    parts += [_text(x, below, label, "middle") for x, label in zip(places, labels, strict=True)]
    ends: list[tuple[float, str, str]] = []
    for line in lines:
        measured = [(x, value) for x, value in zip(places, line.values, strict=True) if value is not None]
        points = [(x, _SEVERAL.y(value)) for x, value in measured]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2.5"{dash}/>'
        )
        parts += [_marker(line.marker, x, y, line.colour) for x, y in points]
        ends.append((points[-1][1], f"{line.name} {measured[-1][1]:.2f}", line.colour))
    x = _SEVERAL.width - _SEVERAL.right + 14
    for (_, text, colour), y in zip(sorted(ends), _apart(sorted(end[0] for end in ends)), strict=True):
        parts.append(
            f'<text x="{x}" y="{y + 4:.1f}" style="fill:{colour}" class="name">{escape(text)}</text>'
        )
    return Markup("\n".join([*parts, "</svg>"]))


def reliability(rows: Sequence[tuple[float, int, int]], title: str) -> Markup:
    """Draw the share of right predictions by confidence; empty if there are none.

    Parameters
    ----------
    rows
        For each step of confidence its mean, how many were that sure, and how many of them were right.
    """
    rows = [(mean, n, right) for mean, n, right in rows if n > 0]
    if not rows:
        return Markup("")
    width, height = _SIDE + _MARGIN + 14, _SIDE + _BARS + 44
    description = "; ".join(f"{mean:.0%} sure: {right} of {n} right" for mean, n, right in rows)
    parts = [_head(width, height, f"{title}. {description}")]

    def x(share: float) -> float:
        return _MARGIN + _SIDE * share

    def y(share: float) -> float:
        return 8 + _SIDE * (1 - share)

    for share in (0.0, 0.5, 1.0):
        parts.append(
            f'<path d="M{x(0)} {y(share):.1f}h{_SIDE}M{x(share):.1f} {y(0)}v-{_SIDE}" class="grid"/>'
        )
        parts.append(_text(x(0) - 5, y(share) + 4, f"{100 * share:.0f}", "end"))
        parts.append(_text(x(share), height - 4, f"{100 * share:.0f}", "middle"))
    parts.append(f'<path d="M{x(0)} {y(0)}L{x(1)} {y(1)}" class="ideal"/>')
    most, floor = max(n for _, n, _ in rows), height - 18
    for mean, n, right in rows:
        low, high = wilson(right, n)
        parts.append(
            f'<path d="M{x(mean):.1f} {y(low):.1f}V{y(high):.1f}" class="whisker"/>'
            f'<circle cx="{x(mean):.1f}" cy="{y(right / n):.1f}" r="4" class="{_dot(n < _FEW)}"/>'
        )
        bar = max(1.0, (_BARS - 20) * n / most)
        parts.append(
            f'<rect x="{x(mean) - 6:.1f}" y="{floor - bar:.1f}" width="12" height="{bar:.1f}" class="bar"/>'
        )
    # counts stand over the bars, moved apart where means lie close together
    last = -99.0
    for mean, n, _ in sorted(rows):
        place = max(x(mean), last + 6.2 * len(str(n)) + 3)
        last = place
        bar = max(1.0, (_BARS - 20) * n / most)
        parts.append(_text(place, floor - bar - 3, str(n), "middle", "small"))
    return Markup("\n".join([*parts, "</svg>"]))


def _head(width: float, height: float, description: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg class="chart" {size} role="img" aria-label="{escape(description)}">'


def _dot(hollow: bool) -> str:
    return "dot hollow" if hollow else "dot"


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _apart(heights: Sequence[float]) -> list[float]:
    """Push names that would overlap apart: down first, then up from the lower edge."""
    placed: list[float] = []
    for y in heights:
        placed.append(max(y, placed[-1] + _GAP) if placed else y)
    floor = float(_SEVERAL.height - _SEVERAL.bottom)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], floor)
        floor = placed[i] - _GAP
    return placed


def _marker(kind: str, x: float, y: float, colour: str) -> str:
    match kind:
        case "square":
            return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"/>'
        case "diamond":
            return f'<path d="M{x:.1f} {y - 6:.1f}l6 6-6 6-6-6z" fill="{colour}"/>'
        case "triangle":
            return f'<path d="M{x:.1f} {y - 6:.1f}l6 10.5h-12z" fill="{colour}"/>'
        case _:
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
