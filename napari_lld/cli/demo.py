"""``napari-lld demo``: the whole loop, unattended."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lld.cli._console import (
    Update,
    bar,
    new_table,
    number,
    say,
    say_json,
    say_table,
    show_message,
)
from napari_lld.cli._options import Json
from napari_lld.i18n.durations import duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from napari_lld.demo.report import Round
    from training.protocol import Message


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to, new or empty.")] = Path(
        "napari-lld-demo"
    ),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo in DIR, including its project.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run the whole loop unattended on the bundled fields: two rounds, an export, a report."""
    from napari_lld.demo import Settings, run_demo

    with ExitStack() as stack:
        show = _Show(stack.enter_context(bar()), quiet=as_json)
        outcome = run_demo(out, Settings.bundled(), show, overwrite=overwrite)
    if as_json:
        say_json(asdict(outcome))
        return
    say()
    say_table(rounds_table(outcome.rounds))
    last = outcome.rounds[-1]
    say(
        f"All: {last.everywhere.fields} fields, {last.everywhere.cells} true cells outside the annotated "
        f"regions; those accepted in the review were trained on. Unseen: the {last.unseen.fields} fields "
        f"never reviewed, {last.unseen.cells} cells. Overlap (IoU) from 0.5 counts as found."
    )
    say(f"Done in {duration(outcome.seconds)}. Research use only, not for diagnosis.")
    say(f"  report   {outcome.report}")
    say(f"  export   {outcome.export}")
    say(f"  project  {outcome.project}")
    say(f"Open the project with: napari-lld open {outcome.project}")
    say(
        "When the window asks which reading to use, choose Reading 1, which contains the "
        "work of the simulated reviewer."
    )


def rounds_table(rounds: Sequence[Round]) -> Table:
    """Make the table of rounds."""
    # eighty columns hold it: the narrowest terminal there is
    table = new_table(
        "round",
        "cells",
        "sug-\ngested",
        "white\ncells\nAP50\nall/\nunseen",
        "class\nmAP50\nall/\nunseen",
        "attribute\nmacro-F1\nall/\nunseen",
        "accepted\nunchanged\nreviewed/\nunseen",
    )
    for round_row in rounds:
        reviewed = round_row.reviewed.unchanged if round_row.reviewed is not None else None
        everywhere, unseen = round_row.everywhere, round_row.unseen
        table.add_row(
            f"{round_row.number} {round_row.model}",
            str(round_row.cells),
            str(round_row.suggestions),
            f"{number(everywhere.ap50, 2)}/{number(unseen.ap50, 2)}",
            f"{number(everywhere.map50, 2)}/{number(unseen.map50, 2)}",
            f"{number(everywhere.attribute_macro_f1, 2)}/{number(unseen.attribute_macro_f1, 2)}",
            f"{_percent(reviewed)}/{_percent(round_row.judged.unchanged)}",
        )
    return table


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"


class _Show:
    """Shows the demo: a bar on a terminal, elsewhere a line per stage, and a line per round on both."""

    def __init__(self, update: Update, *, quiet: bool) -> None:
        self._update, self._quiet = update, quiet
        self._title = ""

    def stage(self, title: str) -> None:
        self._title = title
        self._update(title, 0, 0, None)
        if not self._quiet and not sys.stderr.isatty():
            say(f"{title} …")
            sys.stdout.flush()

    def tick(self, done: int, total: int) -> None:
        self._update(self._title, done, total, None)

    def hear(self, message: Message) -> None:
        show_message(message, self._update, prefix=self._title)

    def round(self, finished: Round) -> None:
        if self._quiet:
            return
        unseen = finished.unseen
        say(
            f"Round {finished.number} ({finished.model}): {finished.cells} cells annotated, "
            f"{finished.suggestions} suggestions. On fields never reviewed: mAP50 {number(unseen.map50)}, "
            f"attribute macro-F1 {number(unseen.attribute_macro_f1)}, "
            f"{_percent(finished.judged.unchanged)} of suggestions right unchanged."
        )
        sys.stdout.flush()
