"""Small diagrams as inline SVG: a number over the rounds with its intervals, and reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from training.evaluation.statistics import wilson

_WIDTH, _HEIGHT = 330, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 10, 12, 48
_MOST_LABELS = 8

_SIDE, _MARGIN, _BARS = 180, 34, 46
_FEW = 5
"""Points of fewer cells than this are drawn hollow."""


@dataclass(frozen=True, slots=True)
class Point:
    """A number of one round.

    Attributes
    ----------
    label, below
        What stands under it, in two lines.
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
    known = [(i, p, p.value) for i, p in enumerate(points) if p.value is not None]
    if not known:
        return Markup("")
    told = "; ".join(f"{p.label}: {value:.2f}" for _, p, value in known)
    parts = [_head(_WIDTH, _HEIGHT, f"{title}. {told}"), *_lines()]
    places = [_x(i, len(points)) for i in range(len(points))]
    step = -(-len(points) // _MOST_LABELS)
    for i, point in enumerate(points):
        if i % step == 0 or i == len(points) - 1:
            parts.append(_text(places[i], _HEIGHT - 30, point.label, "middle"))
            parts.append(_text(places[i], _HEIGHT - 14, point.below, "middle", "small"))
    line = " ".join(f"{places[i]:.1f},{_y(value):.1f}" for i, p, value in known if not p.hollow)
    parts.append(f'<polyline points="{line}" class="line"/>')
    for i, point, value in known:
        x = places[i]
        if point.low is not None and point.high is not None:
            low, high = _y(point.low), _y(point.high)
            parts.append(
                f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} {high:.1f}h8" '
                'class="whisker"/>'
            )
        parts.append(f'<circle cx="{x:.1f}" cy="{_y(value):.1f}" r="4.5" class="{_dot(point.hollow)}"/>')
    return Markup("\n".join([*parts, "</svg>"]))


def reliability(rows: Sequence[tuple[float, int, int]], title: str) -> Markup:
    """Draw how often was right what was said to be so sure; empty where nothing was said.

    Parameters
    ----------
    rows
        For each step of confidence its mean, how many were that sure, and how many of them were right.
    """
    rows = [(mean, n, right) for mean, n, right in rows if n > 0]
    if not rows:
        return Markup("")
    width, height = _SIDE + _MARGIN + 14, _SIDE + _BARS + 44
    told = "; ".join(f"{mean:.0%} sure: {right} of {n} right" for mean, n, right in rows)
    parts = [_head(width, height, f"{title}. {told}")]

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


def _head(width: float, height: float, told: str) -> str:
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    return f'<svg class="chart" {size} role="img" aria-label="{escape(told)}">'


def _dot(hollow: bool) -> str:
    return "dot hollow" if hollow else "dot"


def _lines() -> list[str]:
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" class="grid"/>')
        parts.append(_text(_LEFT - 6, y + 4, f"{share:.2f}", "end"))
    return parts


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _x(place: int, count: int) -> float:
    inset = 28
    room = _WIDTH - _LEFT - _RIGHT - 2 * inset
    return _LEFT + inset + room * (place / (count - 1) if count > 1 else 0.5)


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - min(max(share, 0.0), 1.0))
