"""Output of the command line: results to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lld.i18n.durations import duration

if TYPE_CHECKING:
    from rich.table import Table

    from training.protocol import Message

Tick = Callable[[int, int], None]
"""Called with the number of steps done and the total."""

Update = Callable[[str, int, int, float | None], None]
"""Sets a bar: title, done, total (0 = unknown), seconds left."""

INCOMPLETE = 3
"""The exit code of a command that did what it could and left something out that it was asked for."""

_STAGES = {
    "connect": "Connecting to the cluster",
    "send": "Sending the training data",
    "prepare": "Preparing",
    "train": "Training",
    "evaluate": "Measuring",
    "calibrate": "Calibrating",
    "check": "Checking labels",
    "look": "Examining cells",
    "suggest": "Suggesting",
    "map": "Mapping the slide",
    "search": "Searching the slide",
    "count": "Counting white cells",
    "predict": "Predicting",
    "export": "Exporting",
}


class UsageError(Exception):
    """A mistake in the words of a command: one plain line with the cure, exit code 2."""


def say(text: str = "") -> None:
    """Write a line of result."""
    sys.stdout.write(text + "\n")


def say_unknown(count: int) -> None:
    """Write how many suggestions are of unknown cells, if any are."""
    if count:
        say(f"{count} of them unknown: unlike the cells that the model was trained on.")


def complain(text: str) -> None:
    """Write trouble on standard error, as one line whatever it holds."""
    sys.stderr.write("napari-lld: " + " ".join(text.split()) + "\n")


def say_json(value: Any) -> None:
    """Write the one JSON document of a command called with ``--json``."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, default=_plain, allow_nan=False)
    except ValueError:  # a number of a model's card that is none
        text = json.dumps(_finite(value), ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")


def _finite(value: Any) -> Any:
    """Replace non-finite numbers by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, str | int | None):
        return value
    plain = value if isinstance(value, list) else _plain(value)
    return [_finite(item) for item in plain] if isinstance(plain, list) else _finite(plain)


def _plain(value: Any) -> Any:
    """Convert the store's values to JSON: paths, times, read-only mappings, numpy numbers."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def say_table(table: Table) -> None:
    """Write a rich table; without colour and unwrapped where the output is no terminal."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    # a file has no width: 80 columns would fold the cells of a table
    Console(file=sys.stdout, width=None if terminal else 160).print(table)


def new_table(*columns: str, title: str | None = None) -> Table:
    """Make a table in the house style: the first column left, numbers right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 else "right")
    return table


def number(value: float | int | None, digits: int = 3) -> str:
    """Write a number for people; a dash if there is none."""
    if value is None or value != value:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.{digits}f}"


def plural(count: int, word: str, words: str | None = None) -> str:
    """Write a count with its word: ``1 cell``, ``2 cells``, ``2,400 cells``."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"


@contextmanager
def progress(title: str) -> Iterator[Tick]:
    """Show a bar on a terminal while the block runs; nothing where standard error is no terminal."""
    with bar() as update:
        yield lambda done, total: update(title, done, total, None)


@contextmanager
def worker_progress() -> Iterator[Callable[[Message], None]]:
    """Show the worker's progress; pass the yielded function as ``on_message``."""
    with bar() as update:
        update("Starting", 0, 0, None)
        yield lambda message: show_message(message, update)


def show_message(message: Message, update: Update, *, prefix: str = "") -> None:
    """Show on a bar how far the worker is, and write what people should know to standard error."""
    if message.type == "waiting":
        update("Waiting for another training", 0, 0, None)
        complain(f"{_sentence(message.reason)} This training starts when that one has ended.")
    elif message.type == "notice":
        complain(_sentence(message.reason))
    elif message.type == "progress":
        title = _STAGES.get(message.stage, message.stage.capitalize())
        if prefix:
            title = f"{prefix} ({title.lower()})"
        update(title, message.done, message.total, message.seconds_left)
    elif message.type == "cancelling":
        update("Stopping", 0, 0, None)


def _sentence(detail: str | list[Any]) -> str:
    from training.reasons import Reason

    return f"{Reason.read(detail)}."


@contextmanager
def bar() -> Iterator[Update]:
    """Show a bar on a terminal that the yielded function sets; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # else results that are piped would land on standard error
    ) as bars:
        task = bars.add_task("", total=None, left="")

        current_title = ""

        def update(title: str, done: int, total: int, seconds_left: float | None) -> None:
            nonlocal current_title
            if title != current_title:  # another thing is counted and timed
                bars.reset(task, total=total or None)
                current_title = title
            remaining = "" if seconds_left is None else f"about {duration(seconds_left)} left"
            bars.update(task, description=title, completed=done, total=total or None, left=remaining)

        yield update


def say_skipped(skipped: Iterable[tuple[object, str]], what: str) -> None:
    """List files that were left out, each with its reason, which most often names it.

    Parameters
    ----------
    what
        What they are, in the singular.
    """
    lines = [f"  {why}" if str(path) in why else f"  {path}: {why}" for path, why in skipped]
    if lines:
        say(f"Skipped {plural(len(lines), what)}:")
        for line in listed(lines):
            say(line)


def listed(items: Sequence[str], most: int = 10) -> list[str]:
    """Shorten a list for display; the last line gives the number left out."""
    if len(items) <= most:
        return list(items)
    return [*items[:most], f"… and {len(items) - most:,} more (all of them with --json)"]
