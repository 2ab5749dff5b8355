"""Measure the time of each part of a prediction in one thread, by calling the parts directly."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store.images import read_image
from bench import tables
from bench.cache import sources
from bench.data import Field, load_fields, studied
from training.inference.engine import Engine, read_graphs
from training.inference.engine_graph import digest_of, graph_file, make
from training.inference.predict import calibrated, propose_raw
from training.models.model import read_model, starter_place
from training.networks.describer import cut_crop
from training.networks.detector import choose, letterbox

CELLS = 8
"""Batch size of crops."""


def measure(fields: Sequence[Field], *, repeats: int) -> dict[str, float]:
    """Return the minimum processor time of each part in seconds per field; of the trunk per cell."""
    model, files = read_model(starter_place()), [field.file for field in fields]
    with tempfile.TemporaryDirectory(prefix="lld-parts-") as place:
        folder, digest = Path(place) / "graphs", digest_of(model)
        make(starter_place(), folder, digest)
        engine = Engine(*read_graphs(graph_file(folder, digest), digest), 1)
    images = [np.asarray(read_image(file)) for file in files]
    canvases = [letterbox(image, model.size)[0] for image in images]
    decoded = [engine.decode(canvas)[0] for canvas in canvases]
    side = min(min(image.shape[:2]) for image in images) / 3
    boxes = [(side, side, side, side)] * CELLS
    crops = [cut_crop(images[0], box) for box in boxes]
    raw = propose_raw(model, [lambda: images[0]])[0]

    def least(run: Callable[[], Any], per: int) -> float:
        times = []
        run()
        for _ in range(repeats):
            begun = time.thread_time()
            run()
            times.append(time.thread_time() - begun)
        return min(times) / per

    return {
        "decode a file": least(lambda: [read_image(file) for file in files], len(files)),
        "bring to 448 px": least(lambda: [letterbox(image, model.size) for image in images], len(files)),
        "detector": least(lambda: [engine.decode(canvas) for canvas in canvases], len(files)),
        "choose boxes": least(lambda: [choose(item, min_score=0.3) for item in decoded], len(files)),
        "cut a crop": least(lambda: [cut_crop(images[0], box) for box in boxes], CELLS),
        "trunk, eight sides, of a cell": least(
            lambda: engine.features(crops, [0.5] * CELLS, once=False), CELLS
        ),
        "trunk, once, of a faint cell": least(
            lambda: engine.features(crops, [0.5] * CELLS, once=True), CELLS
        ),
        "records with probabilities": least(lambda: calibrated(model, raw, min_confidence=0.25), 1),
    }


def table(kept: dict[str, float]) -> str:
    """Format a table with a row per part."""
    return tables.markdown(["part", "ms"], [[name, f"{1000 * value:.1f}"] for name, value in kept.items()])


def run(args: argparse.Namespace) -> None:
    """Measure the parts; skipped with ``--quick``, since building graphs takes seconds."""
    if args.quick:
        return
    folder = args.data / "txl"
    fields = studied(load_fields(folder / "val.json", folder / "images"), 0)[:8]
    kept = measure(fields, repeats=args.repeats)
    rows = [{"config": {"benchmark": "parts"}, "sources": sources(), "result": kept}]
    tables.publish(args.cache, "speed-parts", table(kept), rows)
