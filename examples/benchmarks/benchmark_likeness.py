"""Similarity: the time saved by labelling whole clusters, and the speed and size of the features.

    python examples/benchmarks/benchmark_likeness.py --data ../shared/data [--init FILE]

``clusters``: a simulated annotator labels the 2,400 boxed cells of ``pbc`` cluster by cluster, in the order
of ``napari-lld clusters``, in a project with the bundled starter or the model of ``--init``. Each crop of a
cluster costs a glance, each outlier that is noticed a click that removes it; then one label is given to the
rest. Removed crops, and clusters without a majority, are left for the next round of clustering; the cells of
small clusters are labelled one by one. One outlier in ten is overlooked. Costs are those of
`training.ranking.cost`, in seconds; boxes exist in both ways of working.

``sizes``: bytes of the features of 100,000 cells, and seconds until they, or 10,000, are sorted by similarity
in a persistent worker. The vectors are random: time and size do not depend on their values.

Subsets shuffle the fields, which changes the clusters and the overlooked outliers. Runs are cached in
``CACHE/likeness.jsonl``; ``--quick`` runs on the sample.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments, project, tables
from bench.cache import Cache, file_digest
from bench.data import Field, load_fields, sample, studied
from bench.worker import ask
from PIL import Image

from annotation_store import BoxFeatures, Project
from training.evaluation.ground_truth import TrueCell
from training.protocol import EmbeddingsRequest, LikenessRequest
from training.ranking.cost import CostModel

ARMS = ("clusters", "sizes")
SUBSETS = 8

OPEN = CostModel().open_field
"""Seconds to open a cluster."""

OVERLOOKED = 0.1
"""Share of the outliers that the annotator overlooks."""

MAJORITY = 0.6
"""Minimum share of the majority class in a cluster; otherwise it is left for the next round."""

ROUNDS = 4
FEW = 4
"""Maximum size of clusters whose cells are labelled one by one."""

SIZES = (10_000, 100_000)
ON_A_FIELD = 500
TIMES = 5


# --- labelling by clusters -------------------------------------------------------------------------------


class Annotator:
    """Simulates an annotator who labels clusters in a project by public commands; counts acts and costs."""

    def __init__(self, made: Project, truth: Mapping[int, str], *, overlooked: float, seed: int) -> None:
        self.made, self.truth, self.overlooked = made, truth, overlooked
        self.chance = random.Random(seed)
        self.acts: Counter[str] = Counter()
        self.labelled: dict[int, str] = {}

    def clusters(self, groups: Sequence[Sequence[int]]) -> None:
        """Label clusters of unlabelled cells."""
        for group in groups:
            self.acts["open"] += 1
            self.acts["glance"] += len(group)
            (name, count) = Counter(self.truth[item] for item in group).most_common(1)[0]
            if count < MAJORITY * len(group):
                continue
            odd = {item for item in group if self.truth[item] != name and not self._overlooks()}
            self.acts["take out"] += len(odd)
            self._label([item for item in group if item not in odd], name)
            self.acts["label"] += 1

    def one_by_one(self, cells: Sequence[int]) -> None:
        """Label cells one by one."""
        for name in sorted({self.truth[item] for item in cells}):
            self._label([item for item in cells if self.truth[item] == name], name)
        self.acts["label"] += len(cells)

    def seconds(self, prices: CostModel) -> float:
        """Return the time of all acts in seconds."""
        price = {
            "open": OPEN,
            "glance": prices.glance,
            "take out": prices.reject,
            "label": prices.label_class,
        }
        return sum(count * price[act] for act, count in self.acts.items())

    def _overlooks(self) -> bool:
        return self.chance.random() < self.overlooked

    def _label(self, cells: Sequence[int], name: str) -> None:
        self.made.bulk_edits.label(cells, cell_class=name)
        self.labelled |= dict.fromkeys(cells, name)


def by_clusters(
    fields: Sequence[Field], seed: int, *, overlooked: float, init: Path | None, features: Path | None
) -> dict[str, Any]:
    """Label all cells of fields by clusters.

    Parameters
    ----------
    features
        Folder to cache feature vectors in, for the next project.
    """
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        folder = Path(place) / "project"
        with project.new(folder) as made:
            truth = put(made, fields)
            known = {} if init is None else {"model": project.adopt(made, init)}
            if features is not None and features.is_dir():
                shutil.copytree(features, folder / ".features", dirs_exist_ok=True)
            person = Annotator(made, truth, overlooked=overlooked, seed=seed)
            purity = 0.0
            counts = []
            for turn in range(ROUNDS):
                left = truth.keys() - person.labelled.keys()
                groups = unlabelled_clusters(made, left, known)
                if not groups:
                    break
                if not turn:
                    purity = _purity(groups, truth)
                counts.append(len(groups))
                person.clusters(groups)
            person.one_by_one(sorted(truth.keys() - person.labelled.keys()))
            right = sum(cell.cell_class == truth[cell.id] for cell in made.cells.all()) / len(truth)
            if features is not None and not features.is_dir():
                shutil.copytree(folder / ".features", features)
    prices = CostModel()
    seconds, alone = person.seconds(prices), len(truth) * prices.label_class
    return {
        "cells": len(truth),
        "clusters": counts,
        "purity": round(purity, 4),
        "right": round(right, 4),
        "acts": dict(person.acts),
        "seconds": round(seconds, 1),
        "one_by_one": alone,
        "times": round(alone / seconds, 2),
    }


def _purity(groups: Sequence[Sequence[int]], truth: Mapping[int, str]) -> float:
    most = [Counter(truth[item] for item in group).most_common(1)[0][1] for group in groups]
    return sum(most) / sum(map(len, groups))


def put(made: Project, fields: Sequence[Field]) -> dict[int, str]:
    """Import boxes without classes; return the true class by cell id."""
    of_box = {(f.name, box(c.box)): c.cell_class or "" for f in fields for c in f.cells if c.cell_class}
    bare = [
        replace(f, cells=tuple(replace(c, cell_class=None, attributes={}) for c in f.cells if c.cell_class))
        for f in fields
    ]
    project.annotate(made, [f for f in bare if f.cells])
    names = {field.id: field.name for field in made.fields.all()}
    return {
        cell.id: of_box[name, box(cell.box)]
        for name, cell in ((_ending(names[c.field_id], fields), c) for c in made.cells.all())
    }


def _ending(name: str, fields: Sequence[Field]) -> str:
    return next((field.name for field in fields if field.name.endswith(name)), name)


def box(some: Sequence[float]) -> tuple[int, ...]:
    """Return a box rounded to a key."""
    return tuple(round(10 * value) for value in some)


def unlabelled_clusters(made: Project, left: set[int], known: dict[str, int]) -> list[list[int]]:
    """Return clusters without labelled cells, computed as by ``napari-lld clusters``.

    Labelled cells shape the space, and name the clusters.
    """
    done = ask(LikenessRequest(project=str(made.path), what="clusters", annotator="benchmark", **known))
    groups = [
        [number for kind, number in item["keys"] if kind == "cell" and number in left]
        for item in done.result["clusters"]
    ]
    return [group for group in groups if len(group) > FEW]


# --- seconds and bytes -----------------------------------------------------------------------------------


def sizes(cells: int, times: int = TIMES) -> dict[str, Any]:
    """Measure the bytes of the features of a number of cells, and the seconds to sort them."""
    with (
        tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place,
        project.new(Path(place) / "project") as made,
    ):
        images = [_blank(Path(place), number) for number in range(-(-cells // ON_A_FIELD))]
        project.annotate(made, images)
        trunk, width = _trunk(Path(place))
        rng = np.random.default_rng(0)
        for field in made.fields.all():
            boxes = np.array([cell.box for cell in made.cells.all(field.id)], np.float32)
            vectors = rng.normal(size=(len(boxes), width)).astype(np.float32)
            made.features.save(trunk, {field.id: BoxFeatures(boxes, vectors)})
        files = (made.path / ".features").rglob("*")
        size = sum(file.stat().st_size for file in files if file.is_file())
        numbers = [cell.id for cell in made.cells.all()]
        took = {what: _timed(made, what, numbers, times) for what in ("similar", "clusters", "outliers")}
        took["similar after a label"] = _timed(made, "similar", numbers, times, label=True)
    return {
        "cells": len(numbers),
        "megabytes": round(size / 1e6, 1),
        "machine": project.machine(),
        **{what: round(seconds, 3) for what, seconds in took.items()},
    }


def _blank(folder: Path, number: int) -> Field:
    """Return a blank field, for cells with given vectors."""
    file = folder / f"{number:04}.png"
    Image.new("RGB", (600, 600), (number % 256, number // 256, 0)).save(file)
    cells = tuple(
        TrueCell((float(x), float(y), 20.0, 20.0), None) for x in range(0, 575, 23) for y in range(0, 575, 23)
    )
    return Field(file.name, file, 600, 600, cells[:ON_A_FIELD], ())


def _trunk(folder: Path) -> tuple[str, int]:
    """Return the key under which the starter's vectors are stored, and their length."""
    import anndata

    with project.new(folder / "one") as made:
        project.annotate(made, [replace(item, cells=item.cells[:1]) for item in [_blank(folder, 9999)]])
        out = folder / "one.h5ad"
        ask(EmbeddingsRequest(project=str(made.path), out=str(out), annotator="benchmark"))
    table = anndata.read_h5ad(out)
    return str(table.uns["napari_lld"]["trunk"]), int(table.shape[1])


def _timed(made: Project, what: Any, numbers: Sequence[int], times: int, *, label: bool = False) -> float:
    """Return the median seconds per request, with the vectors in memory."""
    took = []
    for time_of in range(times + 1):
        of = ("cell", numbers[time_of * 7 % len(numbers)]) if what == "similar" else None
        if label:
            made.bulk_edits.label([numbers[time_of]], cell_class="Monocyte")
        else:
            time.sleep(0.3)  # let the worker notice the write to the database
        begun = time.monotonic()
        ask(LikenessRequest(project=str(made.path), what=what, of=of, annotator="benchmark"))
        took.append(time.monotonic() - begun)
    return statistics.median(took[1:])


# --- runs and tables -------------------------------------------------------------------------------------


def wanted(args: Any) -> list[dict[str, Any]]:
    """Return the configurations of all runs."""
    runs: list[dict[str, Any]] = []
    start = {} if args.init is None else {"init": file_digest(args.init)}
    if "clusters" in args.arms:
        runs += [
            {"benchmark": "likeness", "arm": "clusters", "overlooked": OVERLOOKED, "subset": subset} | start
            for subset in range(args.subsets)
        ]
    if "sizes" in args.arms:
        runs += [{"benchmark": "likeness", "arm": "sizes", "cells": cells} for cells in SIZES]
    return runs


def work(config: dict[str, Any], args: Any) -> dict[str, Any]:
    """Run a configuration."""
    if config["arm"] == "sizes":
        return sizes(config["cells"])
    fields = load_fields(args.data / "pbc/train.json", args.data / "pbc/images")
    kept = Path(tempfile.gettempdir()) / f"lld-features-{config.get('init', 'starter')}"
    return by_clusters(
        studied(fields, config["subset"]),
        config["subset"],
        overlooked=config["overlooked"],
        init=args.init,
        features=kept,
    )


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format a table for each arm."""
    parts = []
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in kept:
        if row["config"]["arm"] == "clusters":
            key = (row["config"].get("init", "bundled starter"), row["config"]["overlooked"])
            groups.setdefault(key, []).append(row["result"])
    if groups:
        head = ["begun with", "overlooked", "runs", "cells", "purity of the first clusters", "s by clusters",
                "s one by one", "times as fast", "right"]  # fmt: skip
        rows = [
            [begun, f"{missed:.0%}", len(some), some[0]["cells"],
             tables.spread([item["purity"] for item in some]),
             *(tables.spread([item[key] for item in some], 0) for key in ("seconds", "one_by_one")),
             tables.spread([item["times"] for item in some], 2),
             tables.spread([item["right"] for item in some], 4)]
            for (begun, missed), some in groups.items()
        ]  # fmt: skip
        parts.append(tables.markdown(head, rows))
    measured = [row["result"] for row in kept if row["config"]["arm"] == "sizes"]
    if measured:
        head = ["cells", "MB of features", "s to sort by likeness", "just after a label", "s for outliers",
                "s for clusters", "on"]  # fmt: skip
        rows = [
            [f"{item['cells']:,}", item["megabytes"], item["similar"], item["similar after a label"],
             item["outliers"], item["clusters"], item["machine"]] for item in measured
        ]  # fmt: skip
        parts.append(tables.markdown(head, rows))
    return "\n\n".join(parts)


def quick() -> int:
    """Label the cells of the sample by clusters, and sort 1,000 cells."""
    fields = [field for field in sample() if any(cell.cell_class for cell in field.cells)][:4]
    result = by_clusters(fields, 0, overlooked=OVERLOOKED, init=None, features=None)
    rows = [{"config": {"arm": "clusters", "overlooked": OVERLOOKED}, "result": result}]
    rows.append({"config": {"arm": "sizes"}, "result": sizes(ON_A_FIELD, 1)})
    print(table(rows))
    return 0


def main() -> int:
    """Run what is not cached, and write the tables."""
    parser = arguments.parser(__doc__, ARMS)
    parser.set_defaults(subsets=SUBSETS)
    args = arguments.read(parser)
    if args.quick:
        return quick()
    kept = Cache(args.cache / "likeness.jsonl")
    runs = wanted(args)
    for config in () if args.table else runs:
        kept.kept(config, partial(work, config, args))
    found = [row for config in runs if (row := kept.latest(config)) is not None]
    tables.publish(args.cache, "likeness", table(found) if found else "", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
