"""Measure the time of each stage of a training round, and how it scales with the number of fields."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench import project, stock, tables
from bench.cache import sources
from bench.data import Field, load_fields, sample, sparsely, studied
from bench.worker import ask
from training.protocol import Message, PredictRequest, Progress, Started

SIZES = (12, 48, 192)
"""Numbers of fields of the projects."""
BATCH, WINDOW = 8, 320
"""Batch and window size of a training step from the starter: see ``training/engine/presets.py``."""
WORDS = {
    "start": "read model, project and split",
    "prepare": "read the fields, look at the labelled cells",
    "train": "teach the detector, and the heads before and after",
    "evaluate": "predict held-out and other fields, measure",
    "check": "check the labels",
    "suggest": "suggest on all fields, rank them",
    "look": "learn from the labels at once, if no class was measured",
}


class Stages:
    """Records the wall time and the worker's processor time of each stage in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.steps = 0
        self._stage, self._begun = "", (0.0, 0.0)

    def hear(self, message: Message) -> None:
        """Record when a stage begins."""
        if isinstance(message, Started):
            self._next("start")
        elif isinstance(message, Progress):
            if message.stage != self._stage:
                self._next(message.stage)
            if message.stage == "train":
                self.steps = message.total

    def end(self) -> None:
        """End the last stage."""
        self._next("")

    def _next(self, stage: str) -> None:
        now = (time.perf_counter(), _processor())
        if self._stage:
            spent = self.seconds.setdefault(self._stage, [0.0, 0.0])
            spent[0] += now[0] - self._begun[0]
            spent[1] += now[1] - self._begun[1]
        self._stage, self._begun = stage, now


def _processor() -> float:
    """Return the processor time of the persistent worker and its child processes in seconds."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def measure(fields: Sequence[Field], **options: Any) -> dict[str, Any]:
    """Train a project with a persistent worker, and return the time of each stage."""
    with (
        tempfile.TemporaryDirectory(prefix="lld-round-") as place,
        project.new(Path(place) / "project") as made,
    ):
        project.annotate(made, fields)
        # the worker has started, and has imported its modules
        ask(PredictRequest(project=str(made.path), fields=[made.fields.all()[0].id]))
        stages = Stages()
        outcome = project.train(made, on_message=stages.hear, **options)
        stages.end()
    return {"fields": len(fields), **outcome, "steps": stages.steps, "stages": stages.seconds}


def table(kept: Sequence[dict[str, Any]], bare: dict[str, float]) -> str:
    """Format a table with a row per stage: wall and processor time in seconds, by number of fields."""
    stages = sorted({stage for item in kept for stage in item["stages"]}, key=[*WORDS].index)
    rows = [
        [
            WORDS[stage],
            *(
                "{:.1f} ({:.1f})".format(*item["stages"][stage]) if stage in item["stages"] else "–"
                for item in kept
            ),
        ]
        for stage in stages
    ]
    rows.append(["**all**", *(f"{sum(wall for wall, _ in item['stages'].values()):.1f}" for item in kept)])
    rows.append(["steps of the detector", *(item["steps"] for item in kept)])
    rows.append(["the floor of these steps", *(f"{item['steps'] * bare['step']:.1f}" for item in kept)])
    head = ["seconds (of the processor)", *(f"{item['fields']} fields" for item in kept)]
    forward, step = (f"{1000 * bare[name]:.1f} ms" for name in ("forward", "step"))
    note = f"The bare network on {BATCH} × {WINDOW} × {WINDOW} pixels: {forward}, with gradients {step}."
    return f"{tables.markdown(head, rows)}\n\n{note} {project.machine()}."


def run(args: argparse.Namespace) -> None:
    """Measure rounds from the starter."""
    if args.quick:
        print(table([measure(sample(sparse=True)[:2], epochs=1, size=64)], stock.bare(1, 64, repeats=1)))
        return
    folder = args.data / "pbc"
    fields = sparsely(studied(load_fields(folder / "train.json", folder / "images", in_lld=True), 0), folder)
    kept = [measure(fields[:size]) for size in SIZES]
    bare = stock.bare(BATCH, WINDOW, repeats=args.repeats)
    rows = [
        {"config": {"benchmark": "round"}, "sources": sources(), "result": item} for item in (*kept, bare)
    ]
    tables.publish(args.cache, "speed-round", table(kept, bare), rows)
