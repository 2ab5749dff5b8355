"""Differentials to 200 cells on many slides: coverage of the intervals, and the part of the slide read."""

from __future__ import annotations

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store import Project, formats
from bench import project, tables
from bench.blocks import SIDE, Laid, lay, paint, sheet
from bench.cache import Cache
from bench.film import GLASS, MONOLAYER, SPARSE, THICK, Cells, cut_cells
from bench.worker import ask
from training.protocol import DifferentialRequest, PredictRequest

ACROSS = 20
"""Number of blocks along a side: 40,960 pixels."""
APART = SIDE / 5
"""Pixels between white cells: 260 per square millimetre of monolayer, as in leukaemia."""
MANY = {GLASS: 2, SPARSE: 2, MONOLAYER: 12, THICK: 2}
"""Number of painted blocks of each kind, by zone."""
TAUGHT = {GLASS: 1, SPARSE: 1, MONOLAYER: 4, THICK: 1}
_REGION = 0.8
"""Fraction of a monolayer block's side that is annotated on the training slide."""
_LIKELY = 0.5
TO = 200


class Study:
    """A project with a training slide, and slides that are counted one after the other.

    Parameters
    ----------
    folder
        Folder of the blocks and the project, so that an interrupted study can be resumed.
    """

    def __init__(self, folder: Path, taught: Cells, counted: Cells, *, budget: float) -> None:
        self.folder, self.budget = folder, budget
        self.um = counted.pixel_size_um
        self.teaching = paint(folder / "taught", taught, many=TAUGHT, apart=APART)
        self.blocks = paint(folder / "counted", counted, many=MANY, apart=APART)
        self.project = folder / "project"

    def open(self) -> Project:
        """Open the project; create and train it if it does not exist."""
        if not (self.folder / "taught.json").is_file():
            shutil.rmtree(self.project, ignore_errors=True)
            with project.new(self.project) as made:
                self._teach(made)
            (self.folder / "taught.json").write_text("{}", encoding="utf-8")
        return Project.open(self.project, annotator="benchmark")

    def _teach(self, made: Project) -> None:
        laid = lay(self.teaching, ACROSS, self.um, 0)
        file = self.folder / "teaches.tif"
        laid.write(file)
        made.fields.add([file])
        first = {int(n): place for place, n in reversed(list(np.ndenumerate(laid.places)))}
        regions = []
        for n, (row, column) in first.items():
            if laid.blocks[n].zone == MONOLAYER:
                side, edge = _REGION * SIDE, (1 - _REGION) / 2 * SIDE
                regions.append((column * SIDE + edge, row * SIDE + edge, side, side))
        truth = self.folder / "teaches.json"
        truth.write_text(json.dumps(laid.coco(file.name, regions)), encoding="utf-8")
        formats.read("coco", made, truth)
        print("taught:", project.train(made, budget=self.budget), flush=True)

    def seen(self, made: Project) -> list[Counter[str]]:
        """Return the model's count by class in each block, from a slide with each block once."""
        kept = self.folder / "seen.json"
        if not kept.is_file():
            laid = sheet(self.blocks, ACROSS, self.um)
            file = self.folder / "sheet.tif"
            laid.write(file)
            known = made.fields.named(file.name)
            (slide,) = [known.id] if known else made.fields.add([file]).added
            ask(PredictRequest(project=str(made.path), fields=[slide], device="cpu"))
            made.refresh()
            of_block: list[Counter[str]] = [Counter() for _ in self.blocks]
            for item in made.suggestions.find(slide):
                name = item.stated_class
                if item.confidence >= _LIKELY and name is not None:
                    x, y = item.box[0] + item.box[2] / 2, item.box[1] + item.box[3] / 2
                    of_block[laid.places[int(y // SIDE), int(x // SIDE)]][name] += 1
            kept.write_text(json.dumps(of_block), encoding="utf-8")
        return [Counter(item) for item in json.loads(kept.read_text(encoding="utf-8"))]

    def count(self, made: Project, seen: Sequence[Counter[str]], number: int) -> dict[str, Any]:
        """Compose a slide, count on it like ``napari-lld differential``, and evaluate the intervals."""
        laid = lay(self.blocks, ACROSS, self.um, number)
        file = self.folder / f"slide-{number}.tif"
        laid.write(file)
        known = made.fields.named(file.name)
        (slide,) = [known.id] if known else made.fields.add([file]).added
        try:
            done = ask(DifferentialRequest(project=str(made.path), field=slide, to=TO, device="cpu"))
        finally:
            file.unlink()
        made.refresh()
        return judged(done.result, by_experts(laid), by_model(laid, seen))


def by_experts(laid: Laid) -> Counter[str]:
    """Count the cells of a slide's monolayer by their true class."""
    return Counter(item["name"] for item in laid.cells(MONOLAYER))


def by_model(laid: Laid, seen: Sequence[Counter[str]]) -> Counter[str]:
    """Count the cells of a slide's monolayer by their predicted class."""
    found: Counter[str] = Counter()
    for n in laid.places.ravel().tolist():
        if laid.blocks[n].zone == MONOLAYER:
            found += seen[n]
    return found


def judged(result: Mapping[str, Any], *truths: Mapping[str, int]) -> dict[str, Any]:
    """Return for each class whether its share by experts and by the model is in the interval."""
    intervals: Mapping[str, Sequence[float]] = result["intervals"]
    inside: list[dict[str, bool]] = []
    for truth in truths:
        total = sum(truth.values())
        shares = {name: truth.get(name, 0) / total for name in intervals if truth.get(name)}
        inside.append(
            {name: intervals[name][0] <= item <= intervals[name][1] for name, item in shares.items()}
        )
    return {
        **{name: result[name] for name in ("counted", "tiles", "share_read", "map_share_read", "counts")},
        "monolayer_cells": [sum(truth.values()) for truth in truths],
        "intervals": intervals,
        "inside_experts": inside[0],
        "inside_model": inside[1],
    }


def run(args: argparse.Namespace) -> None:
    """Count on the requested number of slides; resume an interrupted study."""
    cache = Cache(args.cache / "slide-differential.jsonl")
    if not args.table:
        cells = [cut_cells(args.data / "pbc", f"{item}.json", "pbc", (800, 600)) for item in ("train", "val")]
        study = Study(args.cache / "slides", *cells, budget=args.budget)
        with study.open() as made:
            seen = study.seen(made)
            for number in range(1, args.slides + 1):
                config = {"benchmark": "slide-differential", "slide": number, "run": args.run}
                cache.kept(config, partial(study.count, made, seen, number))
    tables.publish(args.cache, "slide-differential", table(cache.rows()), cache.rows())


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the coverage of the intervals per class, and the part of the slide read."""
    found = [row["result"] for row in rows]
    if not found:
        return ""
    names = sorted({name for item in found for name in item["inside_experts"]})
    written = []
    for name in names:
        cells = [name]
        for truth in ("inside_model", "inside_experts"):
            here = [item[truth][name] for item in found if name in item[truth]]
            cells.append(f"{sum(here)} of {len(here)} ({100 * np.mean(here):.0f}%)" if here else "–")
        wide = [item["intervals"][name][1] - item["intervals"][name][0] for item in found]
        written.append([*cells, f"{100 * np.mean(wide):.1f}"])
    read = [100 * (item["share_read"] + item["map_share_read"]) for item in found]
    counted = [item["counted"] for item in found]
    head = ["class", "true share as the model sees it inside", "as experts see it", "width, points"]
    return (
        tables.markdown(head, written)
        + f"\n\n{len(found)} slides: {np.mean(counted):.0f} cells counted (most {max(counted)}); with the "
        + f"map {np.mean(read):.1f}% of the pixels read (most {max(read):.1f}%)."
    )
