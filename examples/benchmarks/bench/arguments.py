"""The common arguments of the benchmarks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

SUBSETS = 5


def parser(text: str, arms: Sequence[str] = (), *, default: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser; ``--arms`` chooses among `arms`, by default all of them or `default`."""
    result = argparse.ArgumentParser(description=text.split("\n\n")[0])
    result.add_argument("--data", type=Path, help="folder of the data sets")
    result.add_argument(
        "--cache", type=Path, default=Path("benchmarks"), help="folder of cached runs and of the tables"
    )
    result.add_argument(
        "--judge", choices=("fold", "val"), default="fold",
        help="evaluate on the fixed fifth of train, to choose settings, or on val, to report",
    )  # fmt: skip
    result.add_argument(
        "--subsets", type=int, default=SUBSETS, help="number of subsets, by hash of the names"
    )
    result.add_argument("--device", default="auto", help="auto, cpu, cuda:N or mps")
    result.add_argument(
        "--init", type=Path, help="model file to start from instead of the bundled starter, such as one of "
        "`train_starter.py --fold`, which was not trained on the fixed fifth",
    )  # fmt: skip
    result.add_argument("--table", action="store_true", help="only print the cached results")
    result.add_argument("--quick", action="store_true", help="run briefly on the bundled sample")
    if arms:
        result.add_argument(
            "--arms", nargs="*", choices=arms, default=list(default or arms), metavar="ARM", help="which arms"
        )
    return result


def read(
    parser: argparse.ArgumentParser, *, only_prints: Callable[[argparse.Namespace], bool] = lambda _: False
) -> argparse.Namespace:
    """Parse the arguments; exit without a data folder, unless they only print cached results."""
    args = parser.parse_args()
    if args.quick:  # one thread: on a busy machine, threads wait for each other at every layer
        os.environ["NAPARI_LLD_WINDOW"] = "1"
    if args.data is None and not (args.quick or args.table or only_prints(args)):
        parser.error("Give --data DIR, or --quick, or --table.")
    return args


def beginning(args: argparse.Namespace) -> dict[str, str]:
    """Return the options of training that the arguments name, if any."""
    asked_for = {} if args.init is None else {"init": str(args.init.absolute())}
    return asked_for | ({} if args.device == "auto" else {"device": args.device})
