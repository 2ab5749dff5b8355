"""Renders a `Report` to one HTML file that refers to nothing outside itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from napari_lld.demo.report import drawing
from napari_lld.demo.report.data import Report, Scores
from napari_lld.i18n.durations import duration
from napari_lld.report.svg import Series, several_over_rounds


def render(report: Report) -> str:
    """Render a report."""
    environment = Environment(
        loader=PackageLoader("napari_lld.demo.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, jpeg=_jpeg)
    return environment.get_template("template.html").render(
        report=report,
        first=report.rounds[0],
        last=report.rounds[-1],
        chart=_chart(report),
        outcome=_outcome(report),
        card=list(_flat(report.card)),
        licences=_table(report.licences),
        class_names=_names(report, "classes"),
        attribute_names=_names(report, "attributes"),
        colours={
            "region": drawing.REGION,
            "rope": drawing.ROPE,
            "cell": drawing.CELL,
            "added": drawing.ADDED,
            "suggestion": drawing.SUGGESTION,
            "missed": drawing.MISSED,
        },
        composed=[page for page in report.fields if page.composed],
        natural=[page for page in report.fields if not page.composed],
        reviewed=[page.name for page in report.fields if page.reviewed],
        unreviewed=[page.name for page in report.fields if not page.reviewed],
        duration=duration(report.seconds),
    )


def _names(report: Report, kind: str) -> list[str]:
    """List what the last round's truth holds of classes or attributes, in the order of its scores."""
    scores: Scores = report.rounds[-1].everywhere
    tallies: Mapping[str, Any] = getattr(scores, kind)
    return [name for name, item in tallies.items() if item.n]


def _number(value: float | int | None, digits: int = 2) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"


def _jpeg(picture: bytes) -> Markup:
    return Markup("data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii"))


def _chart(report: Report) -> Markup:
    rounds = report.rounds
    return several_over_rounds(
        [
            Series("Cells found, AP50", [r.unseen.ap50 for r in rounds], "#0072b2"),
            Series("Class, mAP50", [r.unseen.map50 for r in rounds], "#d55e00", "square"),
            Series("Attributes, F1", [r.unseen.attribute_macro_f1 for r in rounds], "#007a59", "triangle"),
            Series("Accepted unchanged", [r.judged.unchanged for r in rounds], "#8a4a73", "diamond", "6 4"),
        ],
        [f"Round {r.number}" for r in rounds],
        "Scores on the fields never reviewed, by round",
    )


def _outcome(report: Report) -> str:
    """Describe how the last round compares with the first on the unseen fields, better or worse."""
    first, last = report.rounds[0], report.rounds[-1]
    pairs = [
        ("cells found (AP50)", first.unseen.ap50, last.unseen.ap50),
        ("class (mAP50)", first.unseen.map50, last.unseen.map50),
        ("attributes (macro-F1)", first.unseen.attribute_macro_f1, last.unseen.attribute_macro_f1),
        ("suggestions correct unchanged", first.judged.unchanged, last.judged.unchanged),
    ]
    changes: dict[str, list[str]] = {"Better": [], "Worse": [], "The same": []}
    for name, before, after in pairs:
        if before is None or after is None:
            continue
        change = after - before
        kind = "The same" if abs(change) < 0.01 else "Better" if change > 0 else "Worse"
        changes[kind].append(f"{name}, {before:.2f} to {after:.2f}")
    parts = [f"{kind}: {'; '.join(names)}." for kind, names in changes.items() if names]
    return " ".join(parts) or "Nothing could be measured."


def _flat(card: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Flatten a model card into rows of words and a value; nested numbers get the words of their path."""
    for name, value in card.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{words}: ")
        elif isinstance(value, float):
            yield words, _number(value, 3)
        elif isinstance(value, list | tuple):
            if len(value) <= 20 and all(isinstance(item, str | int | float) for item in value):
                yield words, ", ".join(str(item) for item in value) or "none"
        elif value is not None:
            yield words, str(value)


def _table(markdown: str) -> Markup:
    """Turn the little Markdown of a licence file (one table, paragraphs) into HTML, escaped."""
    rows: list[str] = []
    after: list[str] = []
    for line in markdown.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            cells = [_inline(cell.strip()) for cell in line.strip("|").split("|")]
            tag = "td" if rows else "th"
            rows.append("<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>")
        elif line.strip() and not line.startswith(("|", "#")):
            after.append(f"<p>{_inline(line.strip())}</p>")
    table = f'<table class="words">{"".join(rows)}</table>' if rows else ""
    return Markup(table + "".join(after))


def _inline(text: str) -> str:
    text_as_html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text_as_html)
