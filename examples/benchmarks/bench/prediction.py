"""Measure the throughput of our two engines, of stock Ultralytics, and of its network in ONNX Runtime."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from annotation_store.files.layout import ENGINE
from annotation_store.records import Proposal
from bench import project, stock, tables
from bench.cache import sources
from bench.data import Field, load_fields, sample, studied
from bench.scores import score_classes
from training.client import PersistentWorker
from training.protocol import Message, PredictRequest, Started

SIZE = 448
SHOWN = 0.25
"""Minimum confidence of proposals that are compared one by one."""
CELL = "WBC"
"""The only class of `txl` in the ground truth."""
_PATIENCE = 300.0
"""Seconds to wait for the graphs, on a busy machine."""


class Ours:
    """Predicts files as by ``napari-lld predict --images --out``, in a persistent worker.

    Parameters
    ----------
    with_torch
        Whether to disable the engine.
    """

    def __init__(self, folder: Path, *, with_torch: bool) -> None:
        self.folder, self._with_torch = folder, with_torch
        self.project = project.new(folder / "project")
        self._worker = PersistentWorker()
        self._process: psutil.Process | None = None

    def __call__(self, files: Sequence[Path]) -> tuple[float, float]:
        """Predict files; return the wall time and the processor time of the task in seconds."""
        begun: list[tuple[float, float]] = []

        def hear(message: Message) -> None:
            if isinstance(message, Started):
                begun.append((time.perf_counter(), self._seconds()))

        request = PredictRequest(
            project=str(self.folder / "project"),
            images=[str(file) for file in files],
            out=str(self.folder / "out.json"),
            overwrite=True,
            device="cpu",
        )
        before = set(psutil.Process().children())
        self.ask(request, on_message=self._noticing(before, hear))
        (wall, cpu), end = begun[0], (time.perf_counter(), self._seconds())
        return end[0] - wall, end[1] - cpu

    def ask(self, request: Any, **options: Any) -> Any:
        """Send a request to its worker, like `bench.worker.ask`."""
        os.environ["NAPARI_LLD_ENGINE"] = "torch" if self._with_torch else ""
        return self._worker.ask(request, **options)

    def _noticing(
        self, before: set[psutil.Process], hear: Callable[[Message], None]
    ) -> Callable[[Message], None]:
        def heard(message: Message) -> None:
            # a worker shared by tests is already running: its processor time is not measured
            if self._process is None and (new := set(psutil.Process().children()) - before):
                (self._process,) = new
            hear(message)

        return heard

    def _seconds(self) -> float:
        if self._process is None:
            return 0.0
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def warm_up(self, files: Sequence[Path]) -> None:
        """Predict until the graphs are built and used."""
        end = time.monotonic() + _PATIENCE
        self(files)
        while not self._with_torch and not list((self.folder / "project" / ENGINE).glob("*.graphs")):
            if time.monotonic() > end:
                raise RuntimeError("No graphs were made.")
            self(files)
        self(files)

    def leave(self) -> None:
        """End the worker."""
        self._worker.leave()
        self.project.close()


def _timed(predict: Callable[[Sequence[Path]], Any]) -> Callable[[Sequence[Path]], tuple[float, float]]:
    def run(files: Sequence[Path]) -> tuple[float, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        predict(files)
        return time.perf_counter() - wall, time.process_time() - cpu

    return run


def measure(
    fields: Sequence[Field], weights: Path | None, *, repeats: int, quick: bool = False
) -> list[dict[str, Any]]:
    """Measure all arms in turn, repeatedly, in one run.

    Parameters
    ----------
    weights
        Weights of a stock YOLO26n; ``None`` = random weights, which take the same time.
    quick
        Run briefly: do not wait for graphs, and run stock in torch only.

    Returns
    -------
    list
        Per arm its name, and wall and processor time in seconds per field, for each repeat.
    """
    files = [field.file for field in fields]
    with ExitStack() as kept, tempfile.TemporaryDirectory(prefix="lld-speed-") as place:
        arms: dict[str, Callable[[Sequence[Path]], tuple[float, float]]] = {}
        for name, with_torch in (("ours", False), ("ours, torch", True)):
            item = Ours(Path(place) / name, with_torch=with_torch)
            kept.callback(item.leave)
            if not quick:
                item.warm_up(files)
            arms[name] = item
            if quick:
                break
        of_torch = stock.as_installed(weights, SIZE)
        of_torch(files[:1])
        arms["stock"] = _timed(of_torch)
        if not quick:
            of_onnx = stock.as_installed(weights, SIZE, onnx_in=Path(place))
            of_onnx(files[:1])
            arms["stock, ONNX Runtime"] = _timed(of_onnx)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
        for _ in range(repeats):
            for name, arm in arms.items():
                taken[name].append(arm(files))
    return [
        {
            "arm": name,
            "fields": len(files),
            "wall": [wall / len(files) for wall, _ in runs],
            "cpu": [cpu / len(files) for _, cpu in runs],
        }
        for name, runs in taken.items()
    ]


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per arm: ms per field, and the throughput relative to each stock arm."""
    times = {item["arm"]: statistics.median(item["wall"]) for item in kept}
    stocks = [name for name in times if name.startswith("stock")]
    head = ["", "ms per field, median", "least", "of the processor, least", *(f"× {name}" for name in stocks)]
    rows = [
        [
            item["arm"],
            *(f"{1000 * value:.1f}" for value in (times[item["arm"]], min(item["wall"]), min(item["cpu"]))),
            *(f"{times[name] / times[item['arm']]:.2f}" for name in stocks),
        ]
        for item in kept
    ]
    return tables.markdown(head, rows) + f"\n\n{kept[0]['fields']} fields; {project.machine()}."


def equality(sets: Mapping[str, Sequence[Field]]) -> list[dict[str, Any]]:
    """Compare the predictions of the engine and of torch on sets of fields: those shown, and their precision.

    Returns
    -------
    list
        Per set its name, the number of ``fields`` and of ``cells`` compared, the maximum differences of
        ``boxes`` (pixels) and of ``probabilities``, and ``map50`` and ``map`` of both.
    """
    kept = []
    with tempfile.TemporaryDirectory(prefix="lld-equal-") as place:
        ours = {name: Ours(Path(place) / name, with_torch=name == "torch") for name in ("engine", "torch")}
        try:
            ours["engine"].warm_up([field.file for fields in sets.values() for field in fields[:8]])
            for name, fields in sets.items():
                found = {
                    arm: project.proposals(item.project, fields, worker=item.ask)
                    for arm, item in ours.items()
                }
                kept.append({"set": name, "fields": len(fields), **_compared(fields, **found)})
        finally:
            for item in ours.values():
                item.leave()
    return kept


def _compared(
    fields: Sequence[Field], engine: list[list[Proposal]], torch: list[list[Proposal]]
) -> dict[str, Any]:
    boxes, probabilities, cells = [0.0], [0.0], 0
    for given, expected in zip(engine, torch, strict=True):
        shown = [item for item in expected if item.confidence >= SHOWN]
        for item in shown:
            nearest = min(given, key=lambda other, item=item: np.abs(np.subtract(item.box, other.box)).max())
            cells += 1
            boxes.append(float(np.abs(np.subtract(item.box, nearest.box)).max()))
            for a, b in (
                (item.class_probabilities, nearest.class_probabilities),
                *((item.attribute_probabilities[k], nearest.attribute_probabilities.get(k, {}))
                  for k in item.attribute_probabilities),
                ({"": item.confidence}, {"": nearest.confidence}),
            ):  # fmt: skip
                probabilities += [abs(p - b.get(value, 0.0)) for value, p in a.items()]
    classes = sorted({cell.cell_class for field in fields for cell in field.cells if cell.cell_class})
    truths = [field.truth() for field in fields]
    if classes == [CELL]:
        engine, torch = (
            [[replace(item, class_probabilities={CELL: 1.0}) for item in of] for of in arm]
            for arm in (engine, torch)
        )
    scores = [score_classes(truths, arm, classes) for arm in (engine, torch)]
    return {
        "cells": cells,
        "boxes": max(boxes),
        "probabilities": max(probabilities),
        **{number: [item[number] for item in scores] for number in ("map50", "map")},
    }


def equality_table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per set."""
    head = ["", "fields", "cells", "boxes, px", "probabilities", "mAP50, engine / torch", "mAP50-95"]
    rows = [
        [item["set"], item["fields"], item["cells"], f"{item['boxes']:.4f}", f"{item['probabilities']:.1e}",
         *(" / ".join(f"{value:.4f}" for value in item[number]) for number in ("map50", "map"))]
        for item in kept
    ]  # fmt: skip
    return tables.markdown(head, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the modes that predict."""
    parser.add_argument("--images", type=int, default=48, help="number of fields to predict, of each set")
    parser.add_argument("--repeats", type=int, default=5, help="number of repeats of each arm")


def run(args: argparse.Namespace) -> None:
    """Measure the throughput of all arms."""
    if args.quick:
        print(table(measure(sample()[:2], None, repeats=1, quick=True)))
        return
    folder = args.data / "txl"
    fields = studied(load_fields(folder / "val.json", folder / "images"), 0)[: args.images]
    weights = args.data.parent / "weights" / "yolo26n.pt"
    kept = measure(fields, weights if weights.is_file() else None, repeats=args.repeats)
    _publish(args, "predict", table(kept), kept)


def compare(args: argparse.Namespace) -> None:
    """Compare the engine with torch; skipped with ``--quick``, since building graphs takes seconds."""
    if args.quick:
        return
    sets = {}
    for name in ("txl", "pbc"):
        fields = load_fields(args.data / name / "val.json", args.data / name / "images", in_lld=name == "pbc")
        sets[name] = studied(fields, 0)[: args.images]
    cells = {f.name: tuple(c for c in f.cells if c.cell_class == CELL) for f in sets["txl"]}
    sets["txl"] = [replace(f, cells=cells[f.name]) for f in sets["txl"]]  # others are not looked for
    kept = equality(sets)
    _publish(args, "equal", equality_table(kept), kept)


def _publish(args: argparse.Namespace, mode: str, text: str, kept: Sequence[dict[str, Any]]) -> None:
    rows = [{"config": {"benchmark": mode}, "sources": sources(), "result": item} for item in kept]
    tables.publish(args.cache, f"speed-{mode}", text, rows)
