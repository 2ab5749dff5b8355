"""Tables of the benchmarks: mean ± standard deviation as Markdown, with the numbers as JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def spread(values: Sequence[float | None], digits: int = 3) -> str:
    """Format mean ± standard deviation of the values that are not ``None``; – if there are none."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return "–"
    text = f"{statistics.mean(known):.{digits}f}"
    return text + (f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else "")


def markdown(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def made_by(kept: Sequence[Mapping[str, Any]]) -> str:
    """Return a line with the hashes of the sources of the runs; several if some runs are outdated."""
    return "Made by " + ", ".join(sorted({row["sources"] for row in kept})) + "."


def publish(folder: Path, name: str, text: str, kept: Sequence[Mapping[str, Any]]) -> None:
    """Print a table, and write it to ``NAME.md``, and its runs to ``NAME.json``."""
    if kept:
        text = f"{text}\n\n{made_by(kept)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
        (folder / f"{name}.json").write_text(json.dumps(list(kept), indent=1) + "\n", encoding="utf-8")
    print(text or "Nothing is kept yet.")
