"""Domain shift between microscopes: generalisation, and forgetting after training on other domains.

    python examples/benchmarks/benchmark_domains.py --data ../shared/data

Three parts (``--arms``). ``hard`` evaluates the starter per domain on the original fields, and on fields that
are blurred, have a colour cast, or a lower magnification (fields are shrunk and tiled, so that a field keeps
its size while its cells have fewer pixels). ``left-out`` trains a project on the 20% regions of ``txl``
without one of its four domains, and evaluates on that domain. ``rounds`` trains a project on fields of
another domain in several rounds, and evaluates on ``pbc``, a domain of the starter, after each. All use the
defaults of ``napari-lld train`` and ``evaluate``; runs are cached in ``CACHE/domains.jsonl``, and ``--quick``
runs on the bundled sample.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, around, picked, renamed, sample, sparsely, studied, taught_and_judged, within

BLUR = 3.0
"""Standard deviation of the synthetic blur in pixels of a field."""

CASTS = {
    "warm": (1.0, 0.85, 0.65),
    "cool": (0.7, 0.9, 1.0),
    "dim": (0.6, 0.6, 0.6),
    "green": (0.75, 1.0, 0.7),
}
"""Factors of red, green and blue: wrong lamps and white balances."""

SCALES = (0.4, 0.25)
NUMBERS = ("ap50", "precision", "recall", "class_f1", "attribute_f1")
OWN = ("ap50", "class_f1", "attribute_f1")
"""Metrics that must not decrease on the starter's own domain."""

PARTS = ("hard", "left-out", "rounds")
ROUNDS, ROUND_FIELDS, ROUND_CELLS = 4, 20, 7
"""Number of rounds, and what each adds: whole fields of ``txl``, or cells of each immature class."""

YOUNG = ("Myelocyte", "Metamyelocyte", "None")


def domain_of(name: str, field: Field) -> str:
    """Return the domain of a field: the data set, and for ``txl`` the image size, which differs by source."""
    return f"{name} {field.width}×{field.height} px" if name == "txl" else name


def white(field: Field) -> Field:
    """Keep only the white cells of a field of ``txl``, without a class."""
    cells = tuple(replace(cell, cell_class=None) for cell in field.cells if cell.cell_class == "WBC")
    return replace(field, cells=cells)


# --- transformations -------------------------------------------------------------------------------------


def changed(field: Field, change: Callable[[np.ndarray], np.ndarray]) -> Field:
    """Return a field with transformed pixels."""
    return replace(field, drawn=change(field.pixels()))


def blurred(pixels: np.ndarray) -> np.ndarray:
    """Blur pixels."""
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), BLUR))


def cast(pixels: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Multiply the channels by factors."""
    return (pixels * np.array(factors, np.float32)).clip(0, 255).astype(np.uint8)


def magnified_less(fields: Sequence[Field], scale: float) -> list[Field]:
    """Shrink fields and tile them on canvases of the original size."""
    width, height = fields[0].width, fields[0].height
    small = (round(width * scale), round(height * scale))
    columns, rows = width // small[0], height // small[1]
    composed = []
    for start in range(0, len(fields), columns * rows):
        some = fields[start : start + columns * rows]
        canvas = np.full((height, width, 3), 235, np.uint8)
        cells = []
        for i, field in enumerate(some):
            left, top = (i % columns) * small[0], (i // columns) * small[1]
            shrunk = cv2.resize(field.pixels(), small, interpolation=cv2.INTER_AREA)
            canvas[top : top + small[1], left : left + small[0]] = shrunk
            for cell in field.cells:
                x, y, cw, ch = (v * scale for v in cell.box)
                cells.append(replace(cell, box=(x + left, y + top, cw, ch)))
        composed.append(replace(some[0], cells=tuple(cells), regions=((0, 0, width, height),), drawn=canvas))
    return composed


def conditions(
    fields: list[Field], only: Sequence[str] | None = None
) -> Iterator[tuple[str, Callable[[], list[Field]]]]:
    """Return functions that make the fields under each condition, the original one included.

    Parameters
    ----------
    wanted
        Select conditions whose name contains one of these words; ``None`` = all.
    """
    of_name: dict[str, Callable[[], list[Field]]] = {
        "as it is": lambda: fields,
        f"blur {BLUR:g} px": lambda: [changed(f, blurred) for f in fields],
        **{
            f"cast {name}": lambda factors=factors: [  # type: ignore[misc]
                changed(f, partial(cast, factors=factors)) for f in fields
            ]
            for name, factors in CASTS.items()
        },
        **{f"{scale:g}× magnification": partial(magnified_less, fields, scale) for scale in SCALES},
    }
    for name, make in of_name.items():
        if only is None or any(word in name for word in only):
            yield name, make


# --- the parts -------------------------------------------------------------------------------------------


class Bench:
    """The arguments, the cache, and the fields, loaded on first use."""

    def __init__(self, args: Any) -> None:
        self.args = args
        self.kept = Cache(args.cache / "domains.jsonl")
        self.found: list[dict[str, Any]] = []
        self.options = arguments.beginning(args)
        self.device = {} if args.device == "auto" else {"device": args.device}
        self.start = {} if args.init is None else {"starter": file_digest(args.init)}
        self.taught: dict[str, list[Field]] = {}
        self.judged: dict[str, list[Field]] = {}
        if not args.table:
            for name in ("pbc", "txl"):
                taught, judged = taught_and_judged(args.data / name, args.judge, in_lld=name == "pbc")
                for fields, into in ((taught, self.taught), (judged, self.judged)):
                    for field in fields:
                        item = white(field) if name == "txl" else field
                        into.setdefault(domain_of(name, field), []).append(item)

    def run(self, config: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        """Run a configuration unless it is cached."""
        config = {"benchmark": "domains", "judge": self.args.judge, **config, **self.start}
        if not self.args.table:
            self.kept.kept(config, work)
        row = self.kept.latest(config)
        if row is not None:
            self.found.append(row)

    def domains(self) -> list[str]:
        """Return the domains to evaluate; the few fields of ``txl`` of unusual size are excluded."""
        if self.args.table:
            return sorted({row["config"]["domain"] for row in self.kept.rows() if "domain" in row["config"]})
        return sorted(name for name, fields in self.judged.items() if len(fields) >= 5)


def hard(bench: Bench) -> None:
    """Evaluate the starter per domain and condition."""
    for domain in bench.domains():
        if bench.args.domain not in domain:
            continue
        for name, make in conditions(bench.judged.get(domain, []), bench.args.conditions):
            config = {"part": "hard", "domain": domain, "condition": name}
            bench.run(config, lambda make=make: _measure_starter(make(), bench))  # type: ignore[misc]


def _measure_starter(fields: list[Field], bench: Bench) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        model: str | int = "starter"
        if bench.args.init is not None:
            model = project.adopt(made, bench.args.init)
        return _numbers(project.measured(made, fields, model=model, **bench.device))


def left_out(bench: Bench) -> None:
    """Train on the other domains of ``txl``, and evaluate on the one left out."""
    for domain in bench.domains():
        if not domain.startswith("txl") or bench.args.domain not in domain:
            continue
        for subset in range(bench.args.subsets):
            config = {"part": "left-out", "domain": domain, "subset": subset, "fields": bench.args.fields}
            names = [name for name, _ in conditions([], bench.args.conditions)]
            work = partial(_teach_others, bench, domain, subset)
            bench.run(config | {"conditions": names}, work)


def of_txl(bench: Bench, besides: str = "") -> list[Field]:
    """Return the training fields of ``txl`` except those of a domain."""
    domains = [name for name in bench.taught if name.startswith("txl") and name != besides]
    return [field for name in domains for field in bench.taught[name]]


def _teach_others(bench: Bench, domain: str, subset: int) -> dict[str, Any]:
    others = of_txl(bench, besides=domain)
    lesson = sparsely(studied(others, subset)[: bench.args.fields], bench.args.data / "txl")
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        project.annotate(made, lesson)
        outcome = project.train(made, **bench.options)
        by_condition = {
            name: _numbers(project.measured(made, make(), **bench.device))
            for name, make in conditions(bench.judged[domain], bench.args.conditions)
        }
    return {**outcome, "conditions": by_condition}


def rounds(bench: Bench) -> None:
    """Train on another domain in rounds; evaluate on the starter's own after each."""
    for name in ("txl", "pbc_ig"):
        for subset in range(bench.args.subsets):
            config = {"part": "rounds", "taught": name, "subset": subset, "rounds": bench.args.rounds}
            bench.run(config, partial(_teach_in_rounds, bench, name, subset))


def _teach_in_rounds(bench: Bench, name: str, subset: int) -> dict[str, Any]:
    lessons = _lessons(bench, name, subset)
    return teach_in_rounds(lessons, bench.judged["pbc"], bench.options, bench.args.init)


def teach_in_rounds(
    lessons: Sequence[Sequence[Field]], own: Sequence[Field], options: dict[str, Any], starter: Path | None
) -> dict[str, Any]:
    """Evaluate on the starter's own domain before training, and after training on each lesson."""
    device = {"device": options["device"]} if "device" in options else {}
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as folder,
        project.new(Path(folder) / "project") as made,
    ):
        first: str | int = "starter" if starter is None else project.adopt(made, starter)
        history = [{"cells": 0, **_numbers(project.measured(made, own, model=first, **device))}]
        for number, lesson in enumerate(lessons):
            project.annotate(made, lesson)
            trained = project.train(made, **(project.later(options) if number else options))
            numbers = _numbers(project.measured(made, own, **device))
            history.append({"cells": len(made.cells.all()), **trained, **numbers})
    return {"rounds": history}


def _lessons(bench: Bench, name: str, subset: int) -> list[list[Field]]:
    if name == "txl":
        some = studied(of_txl(bench), subset)[: bench.args.rounds * ROUND_FIELDS]
        return [some[i : i + ROUND_FIELDS] for i in range(0, len(some), ROUND_FIELDS)]
    young, _ = taught_and_judged(bench.args.data / "pbc_ig", bench.args.judge)
    young = [within(f, [around(f, f.cells[0].box)]) for f in young]
    left = studied([renamed(f, {"Erythroblast": "None"}) for f in young], subset)
    lessons = []
    for _ in range(bench.args.rounds):
        lessons.append(picked(left, dict.fromkeys(YOUNG, ROUND_CELLS)))
        used = {field.name for field in lessons[-1]}
        left = [field for field in left if field.name not in used]
    return lessons


# --- tables ----------------------------------------------------------------------------------------------


def _numbers(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: metrics[name] for name in ("fields", "cells", *NUMBERS)}


def _cells(some: Sequence[dict[str, Any]], names: Sequence[str] = NUMBERS) -> list[str]:
    return [tables.spread([item[name] for item in some]) for name in names]


def text_of(kept: Sequence[dict[str, Any]]) -> str:
    """Format the tables of the parts that have runs."""
    parts = []
    some = [row for row in kept if row["config"]["part"] == "hard"]
    if some:
        rows = [
            [*(row["config"][key] for key in ("domain", "condition")),
             *(row["result"][key] for key in ("fields", "cells")), *_cells([row["result"]])]
            for row in some
        ]  # fmt: skip
        parts.append(tables.markdown(["domain", "condition", "fields", "cells", *NUMBERS], rows))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in kept:
        for name, numbers in row["result"].get("conditions", {}).items():
            groups.setdefault((row["config"]["domain"], name), []).append(numbers)
    if groups:
        names = ("ap50", "precision", "recall")
        rows = [[*key, len(some), *_cells(some, names)] for key, some in groups.items()]
        parts.append(tables.markdown(["left out", "condition", "subsets", *names], rows))
    taught: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in kept:
        history = row["result"].get("rounds", [])
        for number, item in enumerate(history):
            falls = [history[0][key] - item[key] for key in OWN if None not in (history[0][key], item[key])]
            entry = {**item, "fall": max(falls, default=0.0), "learnt": item["cells"]}
            taught.setdefault((row["config"]["taught"], number), []).append(entry)
    if taught:
        rows = [
            [name, number or "the starter", len(some), *_cells(some, (*OWN, "fall"))]
            for (name, number), some in taught.items()
        ]
        head = ["taught", "after round", "subsets", *(f"{key} on pbc" for key in OWN), "largest fall"]
        parts.append(tables.markdown(head, rows))
    return "\n\n".join(parts)


def quick() -> int:
    """Train one round on a field of the sample, and evaluate on others at a lower magnification."""
    some = sample()
    own = magnified_less([f for f in some if f.width == 800][:2], 0.4)
    options = {"epochs": 1, "size": 224, "holdout": 0.0}
    history = teach_in_rounds([some[12:14]], own, options, None)
    print(text_of([{"config": {"part": "rounds", "taught": "sample"}, "result": history}]))
    return 0


def main() -> int:
    """Run what is not cached, and write the tables."""
    parser = arguments.parser(__doc__, PARTS)
    parser.add_argument("--domain", default="", help="run only domains whose name contains this")
    parser.add_argument("--conditions", nargs="*", help="run only conditions named with one of these")
    parser.add_argument("--fields", type=int, default=150, help="number of training fields of `left-out`")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="number of rounds")
    args = arguments.read(parser)
    if args.quick:
        return quick()
    bench = Bench(args)
    for part, work in zip(PARTS, (hard, left_out, rounds), strict=True):
        if part in args.arms:
            work(bench)
    tables.publish(args.cache, f"domains-{args.judge}", text_of(bench.found), bench.found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
