"""A small line chart as inline SVG: a few shares over the rounds, named at their right ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 680, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 210, 16, 40
_GAP = 17
"""Least distance between two names at the right, in SVG units."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a share per round, ``None`` where it could not be measured."""

    name: str
    values: Sequence[float | None]
    colour: str
    marker: str = "circle"
    dash: str = ""


def line_chart(series: Sequence[Series], labels: Sequence[str], title: str) -> Markup:
    """Draw the chart; empty where nothing was measured."""
    lines = [one for one in series if any(value is not None for value in one.values)]
    if not lines or len(labels) < 2:
        return Markup("")
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_grid(labels),
    ]
    ends: list[tuple[float, str, str]] = []
    for one in lines:
        points = [(_x(i, len(labels)), _y(v)) for i, v in enumerate(one.values) if v is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = f' stroke-dasharray="{one.dash}"' if one.dash else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="2.5"{dash}/>'
        )
        parts += [_marker(one.marker, x, y, one.colour) for x, y in points]
        last = next(value for value in reversed(one.values) if value is not None)
        ends.append((points[-1][1], f"{one.name} {last:.2f}", one.colour))
    x = _WIDTH - _RIGHT + 14
    for (_, text, colour), y in zip(sorted(ends), _apart(sorted(end[0] for end in ends)), strict=True):
        parts.append(
            f'<text x="{x}" y="{y + 4:.1f}" style="fill:{colour}" class="name">{escape(text)}</text>'
        )
    return Markup("\n".join([*parts, "</svg>"]))


def _grid(labels: Sequence[str]) -> list[str]:
    right = _WIDTH - _RIGHT
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.2f}</text>')
    for place, label in enumerate(labels):
        x = _x(place, len(labels))
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{escape(label)}</text>')
    return parts


def _x(place: int, count: int) -> float:
    inset = 40
    room = _WIDTH - _LEFT - _RIGHT - inset - 10
    return _LEFT + inset + room * place / (count - 1)


def _y(share: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - share)


def _apart(heights: Sequence[float]) -> list[float]:
    """Push names that would overlap apart: down first, then up from the lower edge."""
    placed: list[float] = []
    for y in heights:
        placed.append(max(y, placed[-1] + _GAP) if placed else y)
    floor = float(_HEIGHT - _BOTTOM)
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
