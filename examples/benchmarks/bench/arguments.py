"""The arguments that the benchmarks have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

SUBSETS = 5


def parser(text: str, arms: Sequence[str] = (), *, default: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Make a parser; `arms` are those that ``--arms`` may name, by default all or `default`."""
    made = argparse.ArgumentParser(description=text.split("\n\n")[0])
    made.add_argument("--data", type=Path, help="folder of the data sets")
    made.add_argument(
        "--cache", type=Path, default=Path("benchmarks"), help="folder of what is done, and of the tables"
    )
    made.add_argument(
        "--judge", choices=("fold", "val"), default="fold",
        help="judge on the fixed fifth of train, to choose by, or on val, to report",
    )  # fmt: skip
    made.add_argument("--subsets", type=int, default=SUBSETS, help="how many subsets, by a hash of the names")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda:N or mps")
    made.add_argument(
        "--init", type=Path, help="a file to begin from instead of the bundled starter, such as one that "
        "`train_starter.py --fold` made, which has not seen the fixed fifth",
    )  # fmt: skip
    made.add_argument("--table", action="store_true", help="only print what is there")
    made.add_argument("--quick", action="store_true", help="show on the bundled sample that it runs")
    if arms:
        made.add_argument(
            "--arms", nargs="*", choices=arms, default=list(default or arms), metavar="ARM", help="only these"
        )
    return made


def read(
    made: argparse.ArgumentParser, *, only_prints: Callable[[argparse.Namespace], bool] = lambda _: False
) -> argparse.Namespace:
    """Read the arguments; refuse to run on nothing, save where they only ask for what is kept."""
    args = made.parse_args()
    if args.quick:  # one thread: on a busy machine several wait for each other at every layer
        os.environ["NAPARI_LLD_WINDOW"] = "1"
    if args.data is None and not (args.quick or args.table or only_prints(args)):
        made.error("Give --data DIR, or --quick, or --table.")
    return args


def beginning(args: argparse.Namespace) -> dict[str, str]:
    """Return the options of training that the arguments ask for: none, unless they do."""
    asked_for = {} if args.init is None else {"init": str(args.init.absolute())}
    return asked_for | ({} if args.device == "auto" else {"device": args.device})
