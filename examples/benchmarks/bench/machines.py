"""Measure two workers of a cluster against one, and two of which one is killed midway.

On two cores, two workers share them with the client and the scheduler, which have a core of their own beside
one worker. What the division of the work itself costs is seen without that: in the arm *by turns*, one of the
two workers is stopped while the other runs, so that they have as much time as one worker, and client and
scheduler have a core of their own. It takes as long as one worker if the division costs nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import distributed

from annotation_store import Project, SuggestionState
from annotation_store.files.layout import ENGINE
from bench import project, tables
from bench.cache import sources
from bench.data import load_fields, studied
from training.client import PersistentWorker
from training.cluster.connection import QUIET
from training.protocol import Message, PredictRequest, Progress, Started

_GRAPHS = 5
"""Warm-up runs, in which the engine's graphs are built."""

_ARMS: dict[str, tuple[int, bool]] = {
    "1 worker": (1, False),
    "2 workers": (2, False),
    "2 workers by turns": (2, True),
}
"""Number of workers, and whether they run by turns."""

_SLOT = 0.01
"""Seconds of a turn."""


@dataclass
class _Task:
    """A running prediction: its start time, and a callback for when half of it is done."""

    half: Callable[[], None] | None = None
    begun: float = 0.0
    heard: list[int] = field(default_factory=list)

    def hear(self, message: Message) -> None:
        """Process a message."""
        if isinstance(message, Started):
            self.begun = time.perf_counter()
        elif isinstance(message, Progress) and message.stage == "suggest":
            self.heard.append(message.done)
            if self.half is not None and 2 * message.done >= message.total:
                half, self.half = self.half, None
                half()


def _suggested(folder: Path) -> Counter[tuple[int, tuple[int, ...]]]:
    """Return the pending suggestions of a project: field, and box rounded to pixels."""
    with Project.open(folder, read_only=True) as opened:
        found = opened.suggestions.find(states=(SuggestionState.PENDING,))
    return Counter((item.field_id, tuple(round(v) for v in item.proposal.box)) for item in found)


def measure(files: Sequence[Path], *, repeats: int) -> list[dict[str, Any]]:
    """Predict the same project with one worker, with two, and with two of which one is killed.

    Returns
    -------
    list
        Per arm its name, the seconds of each run, and ``lost`` and ``doubled`` suggestions compared with the
        first run.
    """
    counts = (1, 2)
    with ExitStack() as kept, tempfile.TemporaryDirectory(prefix="lld-machines-") as place:
        folder = Path(place) / "project"
        made = project.new(folder)
        made.fields.add(list(files))
        made.close()
        client = kept.enter_context(PersistentWorker())
        clusters = {n: kept.enter_context(_workers(n)) for n in counts}

        def predict(n: int, *, by_turns: bool = False, half: Callable[[], None] | None = None) -> float:
            task = _Task(half)
            request = PredictRequest(project=str(folder), scheduler=clusters[n].scheduler_address)
            with _turns(clusters[n]) if by_turns else nullcontext():
                client.ask(request, on_message=task.hear)
                return time.perf_counter() - task.begun

        for _ in range(_GRAPHS):  # the first runs import, load the model, and build graphs
            for n in counts:
                predict(n)
            if list((folder / ENGINE).glob("*.graphs")):
                break
        for n in counts:
            predict(n)
        expected = _suggested(folder)
        arms: dict[str, list[float]] = {name: [] for name in _ARMS}
        found = dict.fromkeys(arms, expected)
        for _ in range(repeats):
            for name, (n, by_turns) in _ARMS.items():
                arms[name].append(predict(n, by_turns=by_turns))
                found[name] = _suggested(folder)
        killed = "2 workers, one killed midway"
        arms[killed] = [predict(2, half=lambda: _kill_one(clusters[2]))]
        found[killed] = _suggested(folder)
        return [
            {
                "arm": name,
                "fields": len(files),
                "seconds": seconds,
                "suggestions": sum(expected.values()),
                "lost": sum((expected - found[name]).values()),
                "doubled": sum((found[name] - expected).values()),
            }
            for name, seconds in arms.items()
        ]


def _workers(count: int) -> Any:
    """Start workers with the settings of ``--workers``."""
    with dask.config.set(QUIET):
        return distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
        )


def _processes(cluster: Any) -> list[int]:
    """Return the ids of the workers' processes."""
    with distributed.Client(cluster, set_as_default=False) as client:
        return list(client.run(os.getpid).values())


def _kill_one(cluster: Any) -> None:
    os.kill(_processes(cluster)[0], signal.SIGKILL)


@contextmanager
def _turns(cluster: Any) -> Iterator[None]:
    """Let one worker of a cluster run at a time, each in its turn."""
    pids = _processes(cluster)
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    taking = spawn.Process(target=_take_turns, args=(pids, begun), daemon=True)
    taking.start()
    begun.wait()
    try:
        yield
    finally:
        taking.kill()
        taking.join()
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _take_turns(pids: Sequence[int], begun: Any) -> None:
    begun.set()
    while True:
        for turn in pids:
            for pid in pids:
                os.kill(pid, signal.SIGCONT if pid == turn else signal.SIGSTOP)
            time.sleep(_SLOT)


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per arm."""
    alone = statistics.median(kept[0]["seconds"])
    head = ["", "seconds, median", "least", "ms per field", "× one worker", "lost", "doubled"]
    rows = []
    for item in kept:
        median = statistics.median(item["seconds"])
        times = f"{median:.2f}", f"{min(item['seconds']):.2f}", f"{1000 * median / item['fields']:.1f}"
        rows.append([item["arm"], *times, f"{alone / median:.2f}", str(item["lost"]), str(item["doubled"])])
    about = f"{kept[0]['fields']} fields, {kept[0]['suggestions']} suggestions; {project.machine()}."
    return tables.markdown(head, rows) + f"\n\n{about}"


def run(args: argparse.Namespace) -> None:
    """Measure one worker against two; skipped with ``--quick``, since workers take seconds to start."""
    if args.quick:
        return
    folder = args.data / "txl"
    fields = studied(load_fields(folder / "val.json", folder / "images"), 0)[: args.images]
    kept = measure([item.file for item in fields], repeats=args.repeats)
    rows = [{"config": {"benchmark": "cluster"}, "sources": sources(), "result": item} for item in kept]
    tables.publish(args.cache, "speed-cluster", table(kept), rows)
