"""Speed of the program, and how it scales.

    python examples/benchmarks/benchmark_speed.py project [--fields 1000 10000 100000] [--copied N] [--window]
    python examples/benchmarks/benchmark_speed.py copies [--fields 1000 10000] [--place FOLDER]
    python examples/benchmarks/benchmark_speed.py predict equal parts round cluster --data DATA [--images 48]

`project`: projects of many fields, with ten cells on each and five pending suggestions on every third, made
by the public commands (in ``CACHE/speed/N``, once: 100,000 fields take an hour and 3 GB; with ``--copied``
only N fields are, and the others are copies of their database rows without pixels, which takes a minute or
two). Measures opening a project, reading all fields, their states and the state of one, and labelling a cell
and undoing it; with ``--window`` also opening it in a real window, going to the next field, filtering and
sorting (needs a display). ``--quick`` creates a small one.

`copies`: splits such projects for three readers, with all fields for each, who box a cell and change another
on every fourth field, and merges them.

`predict`: fields per second with class, attributes and novelty, through the worker's public request, from
files to COCO, against Ultralytics' own ``predict`` as installed, in torch and in ONNX Runtime: fields of
``txl`` at 448 px, all arms in turn in one run. Run it on a quiet machine: stock uses one thread of two cores
and ours both, so that other work costs ours more. `equal`: differences between the predictions of the engine
and of torch, on ``val`` of ``txl`` and ``pbc``. `parts`: time of each part of a prediction, in one thread.
`round`: time of each stage of a training from the starter, in projects of 12 to 192 fields of ``pbc``.
`cluster`: two workers of a dask cluster, one thread each, against one, through the public request; then one
of two is killed midway, and lost or duplicate suggestions are counted. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench import arguments, big_project, copies, machines, parts, prediction, rounds

MODES: dict[str, Callable[[argparse.Namespace], None]] = {
    "project": big_project.run,
    "copies": copies.run,
    "predict": prediction.run,
    "equal": prediction.compare,
    "parts": parts.run,
    "round": rounds.run,
    "cluster": machines.run,
}


def main() -> None:
    """Run the requested modes."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("modes", nargs="*", default=[*MODES], metavar="MODE", help=", ".join(MODES))
    big_project.add_arguments(parser)
    copies.add_arguments(parser)
    prediction.add_arguments(parser)
    args = arguments.read(parser, only_prints=lambda asked: set(asked.modes) <= {"project", "copies"})
    for mode in args.modes:
        if mode not in MODES:
            parser.error(f"There is no mode {mode}: choose among {', '.join(MODES)}.")
        MODES[mode](args)


if __name__ == "__main__":
    main()
