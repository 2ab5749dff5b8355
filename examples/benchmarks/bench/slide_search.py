"""Measure the search of a whole slide: time, memory, and agreement with prediction on ordinary fields."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from annotation_store import Project
from annotation_store.geometry import SAME_CELL, iou_matrix
from bench import project, tables
from bench.cache import Cache
from bench.data import Field
from training.client import PersistentWorker
from training.protocol import PredictRequest

_FIELD_UM = 104.0
"""Side in µm of the fields cut from the slide: eight white cells of 13 µm, an ordinary field of view."""
_EDGE = 0.125
"""Fraction of a field at each edge in which cells are not compared, since they may be cut off."""
_LIKELY = 0.5
_SAME_BOX = 0.9
_POLL = 0.1
_CLOSELY = 5
"""Shared pages are queried once per this number of polls, since it slows the watched process slightly."""


class Watched:
    """Measures the child processes: peak memory of all and of the largest one, and their processor time.

    `memory` counts memory that processes share, such as code of libraries, once per process; `once` counts
    it once, if the system reports it (Linux).
    """

    def __init__(self) -> None:
        self.memory, self.once, self.largest, self.seconds = 0, 0, 0, 0.0
        self._looks = 0
        self._times: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Watched:
        self._look()
        self._before = sum(self._times.values())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._look()
        self.seconds = sum(self._times.values()) - self._before

    def _watch(self) -> None:
        while not self._end.wait(_POLL):
            self._look()

    def _look(self) -> None:
        memory, alone, shared = 0, 0, Counter[str]()
        closely = sys.platform == "linux" and self._looks % _CLOSELY == 0
        self._looks += 1
        for item in psutil.Process().children(recursive=True):
            try:
                own = item.memory_info().rss
                times = item.cpu_times()
                for part in item.memory_maps() if closely else ():
                    alone += part.anonymous
                    shared |= Counter({part.path: part.rss - part.anonymous})
            except psutil.Error:  # it has ended
                continue
            memory += own
            self.largest = max(self.largest, own)
            self._times[item.pid] = times.user + times.system
        self.memory = max(self.memory, memory)
        self.once = max(self.once, alone + shared.total())


def search(made: Project, slide: int, ask: Callable[..., Any]) -> dict[str, Any]:
    """Search a slide like ``napari-lld predict --field SLIDE``; return time, memory and the model's share."""
    begun = time.monotonic()
    with Watched() as watched:
        done = ask(PredictRequest(project=str(made.path), fields=[slide], device="cpu"))
    seconds = time.monotonic() - begun
    made.refresh()
    found = done.result["slides"]
    return {
        "machine": project.machine(),
        "wall": round(seconds, 1),
        **{name: found[name] for name in ("tiles", "glass_tiles", "seconds", "seconds_preparing")},
        "in_network": round(found["seconds_in_model"] / found["seconds"], 4),
        "processor_seconds": round(watched.seconds, 1),
        "memory_gb": round(watched.memory / 1e9, 3),
        "once_gb": round(watched.once / 1e9, 3),
        "largest_gb": round(watched.largest / 1e9, 3),
        "suggestions": found["count"],
    }


def compared(
    made: Project, slide: int, truth: Sequence[Any], many: int, ask: Callable[..., Any], seed: int = 0
) -> dict[str, Any]:
    """Compare the suggestions of a search with predictions on fields cut from the slide.

    Parameters
    ----------
    truth
        Boxes of white cells, ``(n, 4)``.
    many
        Number of fields, each placed at random around one of the cells.
    """
    found = np.array([item.box for item in made.suggestions.find(slide)]).reshape(-1, 4)
    boxes = np.asarray(truth, float).reshape(-1, 4)
    with tempfile.TemporaryDirectory(prefix="lld-slide-") as place:
        opened = made.slides.open(slide)
        um = opened.facts.pixel_size_um
        assert um is not None
        side = round(_FIELD_UM / um)
        fields, corners = _cut(opened, boxes, side, many, Path(place), seed)
        proposals = project.proposals(made, fields, worker=ask, min_confidence=0.25)
    total = {"fields": len(fields), "field_finds": 0, "again": 0, "field_cells": 0, "cells_again": 0}
    total |= {"likely_cells": 0, "likely_again": 0}
    for (x, y), some in zip(corners, proposals, strict=True):
        judged = [item for item in some if _inside(item.box, side)]
        if not judged:
            continue
        here = np.array([item.box for item in judged]) + np.array([x, y, 0, 0])
        again = _best(here, found) >= _SAME_BOX
        real = _best(here, boxes) >= SAME_CELL
        likely = real & np.array([item.confidence >= _LIKELY for item in judged])
        total["field_finds"] += len(judged)
        total["again"] += int(again.sum())
        total["field_cells"] += int(real.sum())
        total["cells_again"] += int((again & real).sum())
        total["likely_cells"] += int(likely.sum())
        total["likely_again"] += int((again & likely).sum())
    overlaps = iou_matrix(boxes, found) >= SAME_CELL
    apart = iou_matrix(found, found) >= SAME_CELL
    np.fill_diagonal(apart, False)
    return {
        **total,
        "share_again": round(total["again"] / max(1, total["field_finds"]), 4),
        "share_cells_again": round(total["cells_again"] / max(1, total["field_cells"]), 4),
        "share_likely_again": round(total["likely_again"] / max(1, total["likely_cells"]), 4),
        "cells": len(boxes),
        "cells_found": int(overlaps.any(1).sum()),
        "cells_twice": int((overlaps.sum(1) > 1).sum()),
        "suggested_twice": int(apart.any(1).sum()) // 2,
    }


def _best(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    return iou_matrix(boxes, others).max(1) if len(others) else np.zeros(len(boxes))


def _inside(box: Sequence[float], side: int) -> bool:
    x, y, w, h = box
    least, most = _EDGE * side, (1 - _EDGE) * side
    return least <= x + w / 2 <= most and least <= y + h / 2 <= most


def _cut(
    opened: Any, boxes: np.ndarray, side: int, many: int, folder: Path, seed: int
) -> tuple[list[Field], list[tuple[int, int]]]:
    """Cut fields around cells of the slide; return them and their positions."""
    rng = np.random.default_rng(seed)
    fields, corners = [], []
    for n in rng.permutation(len(boxes))[:many]:
        middle = boxes[n, :2] + boxes[n, 2:] / 2 + rng.uniform(-0.3, 0.3, 2) * side
        corner = np.clip(np.rint(middle - side / 2), 0, (opened.width - side, opened.height - side))
        x, y = (int(v) for v in corner)
        file = folder / f"{len(fields)}.png"
        Image.fromarray(opened.read((x, y, side, side))).save(file, compress_level=1)
        fields.append(Field(file.name, file, side, side, (), ()))
        corners.append((x, y))
    return fields, corners


def measure(file: Path, truth: Sequence[Any], *, runs: int, many: int) -> dict[str, Any]:
    """Create a project of a slide, search it, and compare.

    Parameters
    ----------
    runs
        Number of searches in one worker; the first builds the graphs of the prediction engine, if any.
    many
        Number of fields to compare with.
    """
    with tempfile.TemporaryDirectory(prefix="lld-slide-") as place, PersistentWorker() as worker:
        made = project.new(Path(place) / "project")
        with made:
            (slide,) = made.fields.add([file]).added
            searches = [search(made, slide, worker.ask) for _ in range(runs)]
            return {"searches": searches, **compared(made, slide, truth, many, worker.ask)}


def boxes_of(file: Path) -> list[Any]:
    """Return the true boxes of a composed slide, from the truth file next to it."""
    content = json.loads((file.parent / "truth.json").read_text(encoding="utf-8"))
    return [item["bbox"] for item in content["annotations"]]


def run(args: argparse.Namespace) -> None:
    """Measure each given slide that is not cached under the name of the run, and write the table."""
    cache = Cache(args.cache / "slide-search.jsonl")
    for file in args.slide:
        config = {"benchmark": "slide-search", "slide": file.name, "fields": args.fields, "run": args.run}
        cache.kept(config, partial(measure, file, boxes_of(file), runs=2, many=args.fields))
    tables.publish(args.cache, "slide-search", table(cache.rows()), cache.rows())


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format a table with a row per search."""
    written = []
    for row in rows:
        result = row["result"]
        for n, item in enumerate(result["searches"]):
            memory = f"{item['memory_gb']:.2f} ({item.get('once_gb', 0):.2f}, {item['largest_gb']:.2f})"
            written.append(
                [row["config"]["slide"], n + 1, item["machine"], item["tiles"], f"{item['seconds']:.0f}",
                 f"{item['seconds_preparing']:.1f}", f"{item['processor_seconds']:.0f}",
                 f"{100 * item['in_network']:.1f}%", memory, item["suggestions"],
                 f"{result['share_cells_again']:.4f}", f"{result['cells_found']} of {result['cells']}",
                 result["cells_twice"], result["suggested_twice"]]
            )  # fmt: skip
    head = ["slide", "search", "machine", "tiles", "s", "of them the map", "processor s", "in the network",
            "GB (shared once, largest process)", "suggestions", "again as on fields", "cells", "twice",
            "suggested twice"]  # fmt: skip
    return tables.markdown(head, written) if written else ""
