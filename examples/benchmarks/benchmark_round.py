"""A training round during annotation: from the button to suggestions, process start included.

    python examples/benchmarks/benchmark_round.py --data ../shared/data [--budget 60] [--longer 300]

A project of five annotated fields of ``pbc`` (their 20% regions) and twenty unannotated ones is trained as by
the window's automatic round: with the defaults and a budget. Reported are the seconds of the round and of its
stages, and the quality of the suggestions on the twenty: *cold*, with a new worker, and *warm*, with a
persistent one. With ``--longer`` a longer round follows, whose model becomes active only if it is not worse
on held-out cells. The worker uses all available cores: run it on a quiet machine. Times are never cached; the
table is ``CACHE/round-JUDGE.md``. ``--quick`` runs on the bundled sample.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import arguments, project, tables, worker
from bench.cache import sources
from bench.data import Field, sample, sparsely, studied, taught_and_judged

from annotation_store import Project
from training.evaluation.matching import evaluate_field
from training.evaluation.metrics import summarise
from training.protocol import Message, Progress

ANNOTATED, OTHERS = 5, 20
NUMBERS = ("precision", "recall", "class_f1")


def watch(stages: dict[str, float]) -> Callable[[Message], None]:
    """Return a callback that records the duration of each stage."""
    last, stage = time.monotonic(), "start"

    def hear(message: Message) -> None:
        nonlocal last, stage
        new = message.stage if isinstance(message, Progress) else stage
        if new != stage:
            now = time.monotonic()
            stages[stage] = round(stages.get(stage, 0.0) + now - last, 1)
            last, stage = now, new

    return hear


def how_good(made: Project, others: Sequence[Field]) -> dict[str, Any]:
    """Evaluate the suggestions on the unannotated fields."""
    truths = {Path(field.name).name: field.truth() for field in others}
    results = [
        evaluate_field(
            truths[field.name],
            [item.proposal for item in made.suggestions.find(field.id)],
            classes=made.schema.class_names,
        )
        for field in made.fields.all()
        if field.name in truths
    ]
    return summarise(results)


def rounds(
    annotated: Sequence[Field], others: Sequence[Field], requests: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Create the project, and train once per request."""
    history = []
    with (
        tempfile.TemporaryDirectory(prefix="lld-round-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        project.annotate(made, annotated)
        made.fields.add([field.file for field in others])
        for options in requests:
            stages: dict[str, float] = {}
            trained = project.train(made, on_message=watch(stages), **options)
            numbers = how_good(made, others)
            history.append(
                {"machine": project.machine(), "budget": options.get("budget"), **trained, "stages": stages,
                 **{name: numbers[name] for name in NUMBERS}}
            )  # fmt: skip
    return history


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per round."""
    rows = []
    for row in kept:
        item = row["result"]
        stages = ", ".join(f"{name} {value:.1f}" for name, value in item["stages"].items())
        active = "yes" if item["active"] else "no"
        rows.append(
            [row["config"]["worker"], item["machine"], item["budget"], f"{item['seconds']:.1f} ({stages})",
             item["epochs"], active, *(tables.spread([item[name]]) for name in NUMBERS)]
        )  # fmt: skip
    head = ["worker", "machine", "budget", "seconds", "epochs", "active", *NUMBERS]
    return tables.markdown(head, rows)


def main() -> int:
    """Run the rounds; times are never cached."""
    parser = arguments.parser(__doc__)
    parser.add_argument("--budget", type=float, default=60.0, help="budget of the first round in seconds")
    parser.add_argument("--longer", type=float, help="budget in seconds of a second, longer round")
    args = arguments.read(parser)
    if args.quick:
        some = sample()
        history = rounds(
            sample(sparse=True, like=some[:3]), some[3:5], [{"epochs": 1, "size": 224, "holdout": 0.0}]
        )
        print(table([{"config": {"worker": "cold"}, "result": item} for item in history]))
        return 0
    taught, judged = taught_and_judged(args.data / "pbc", args.judge, in_lld=True)
    requests = [arguments.beginning(args) | {"budget": args.budget}]
    if args.longer:
        requests.append(project.later(arguments.beginning(args)) | {"init": "active", "budget": args.longer})
    kept = []
    for subset in range(args.subsets):
        annotated = sparsely(studied(taught, subset)[:ANNOTATED], args.data / "pbc")
        worker.leave()
        for how in ("cold", "warm"):
            for item in rounds(annotated, studied(judged, subset)[:OTHERS], requests):
                config = {"benchmark": "round", "judge": args.judge, "subset": subset, "worker": how}
                kept.append({"config": config, "sources": sources(), "result": item})
    tables.publish(args.cache, f"round-{args.judge}", table(kept), kept)
    return 0


if __name__ == "__main__":
    sys.exit(main())
