"""Instant learning between trainings: a new class from a few cells, and the share of correct suggestions.

    python examples/benchmarks/benchmark_instant.py --data ../shared/data --starters FOLDER

All requests go to a persistent worker, as in the window (``napari-lld renew`` makes one such request).
``new-class``: for each class of ``pbc``, start from ``FOLDER/without-CLASS.safetensors``, a starter trained
without it; label 5 or 20 cells of it and five of each other class, update the suggestions once, and evaluate
them on unlabelled fields. ``reviewing``: review the starter's suggestions on 25 fields of ``pbc`` in order,
accept each or correct it to the truth, and update the pending ones after each; count the suggestions that
were correct: box, class, and all attributes that the truth contains. ``frozen`` does the same without
learning. With ``own words`` the project has a custom schema, whose five classes the starter was never trained
on. ``from COCO``: a project whose model has the weights of ``--weights yolo26n.pt`` and was never trained on
white cells (`bench.untaught`), over two rounds; count the correct suggestions before each. ``window`` (only
if named: it needs a display, such as ``xvfb-run -s "-screen 0 1366x768x24"``): accept suggestions by key in a
real window on a project with more than 5,000 of them; measure the time from the key press until the updated
suggestions are drawn. Its project is created once, in ``CACHE/instant-window``. Runs are cached in
``CACHE/instant.jsonl``; ``--quick`` runs on the sample.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from bench import arguments, project, tables, untaught
from bench.cache import Cache, file_digest
from bench.data import Field, load_fields, picked, renamed, sample, studied, taught_and_judged
from bench.scores import naming
from bench.worker import ask

from annotation_store import Project, Schema, Suggestion, load_schema
from annotation_store.geometry import iou
from annotation_store.records import Cell
from training.protocol import PredictRequest, Renewed, RenewRequest

CLASSES = ("Neutrophil", "Eosinophil", "Basophil", "Lymphocyte", "Monocyte")
OTHERS = 5
"""Labelled cells of each other class."""
OWN_WORDS = {name: f"Type {letter}" for name, letter in zip(CLASSES, "ABCDE", strict=True)}
"""Classes of a custom schema, which the starter was never trained on."""
REVIEWED = 75
FIELDS = 25
BUDGET = 60.0
"""Budget in seconds of each training of ``from COCO``."""
ARMS = (
    *(f"new-class:{cells}" for cells in (1, 3, 5, 20)),
    *("reviewing", "frozen", "reviewing:own words", "from COCO", "window"),
)
LABELS = 40
PACES = (0.0, 1.5)
"""Seconds between labels; 0 = label the next cell once all pending suggestions are updated."""
LABELLED = 10
AT_LEAST = 5000
"""Labelled fields in the project of `window`, and its minimum number of pending suggestions."""


def teach(template: Path, exam: Sequence[Field], lesson: Sequence[Field]) -> dict[str, Any]:
    """Label the lesson in a copy of a project, update once, and score the pending suggestions of the exam."""
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        folder = Path(place) / "project"
        shutil.copytree(template, folder)
        with Project.open(folder, annotator="benchmark") as made:
            project.annotate(made, lesson)
            # compute the features of the new cells first, as the window does while the user draws
            ask(RenewRequest(project=str(folder), annotator="benchmark"))
            begun = time.monotonic()
            done = ask(RenewRequest(project=str(folder), annotator="benchmark"))
            seconds = time.monotonic() - begun
            by_name = {field.name: field.id for field in made.fields.all()}
            found = [
                [item.proposal for item in made.suggestions.find(by_name[_number(i, field)])]
                for i, field in enumerate(exam)
            ]
    outcome = {"seconds": round(seconds, 2), "cells": done.result["cells"]}
    return {**outcome, **naming([field.truth() for field in exam], found)}


def review(fields: Sequence[Field], *, learns: bool, schema: Any = "lld") -> dict[str, Any]:
    """Review the suggestions of fields in order; return which were correct, and the update times."""
    right: list[bool] = []
    named: list[bool] = []
    shown: list[float] = []
    whole: list[float] = []
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        folder = Path(place) / "project"
        prepare(folder, fields, schema=schema).close()
        with Project.open(folder, annotator="benchmark") as made:
            for number, field in enumerate(fields):
                field_id = next(f.id for f in made.fields.all() if f.name == _number(number, field))
                while len(right) < REVIEWED and (waiting := made.suggestions.find(field_id)):
                    item = waiting[0]
                    cell = _truth_of(item, field)
                    if cell is None:
                        made.suggestions.reject(item.id)
                        right.append(False)
                        named.append(False)
                    else:
                        is_named = item.stated_class == cell.cell_class
                        values = item.proposal.best_attributes
                        same = all(values.get(name) == value for name, value in cell.attributes.items())
                        named.append(is_named)
                        right.append(is_named and same)
                        made.suggestions.correct(
                            item.id, cell_class=cell.cell_class, attributes=dict(cell.attributes)
                        )
                    if learns:
                        times = _renew(folder, field_id)
                        shown.append(times[0])
                        whole.append(times[1])
    parts = {"first 25": slice(25), "26 to 75": slice(25, REVIEWED)}
    result: dict[str, Any] = {"reviewed": len(right)}
    for name, part in parts.items():
        result[f"right, {name}"] = statistics.mean(right[part]) if right[part] else None
        result[f"class right, {name}"] = statistics.mean(named[part]) if named[part] else None
    if shown:
        result["seconds to the screen"] = sorted(shown)[int(0.95 * (len(shown) - 1))]
        result["seconds to all"] = sorted(whole)[int(0.95 * (len(whole) - 1))]
    return result


def _renew(folder: Path, field_id: int) -> tuple[float, float]:
    """Update suggestions; return the seconds until those of the current field are done, and until all are."""
    begun = time.monotonic()
    reported: list[float] = []

    def hear(message: Any) -> None:
        if isinstance(message, Renewed):
            reported.append(time.monotonic() - begun)

    ask(RenewRequest(project=str(folder), annotator="benchmark", first=[field_id]), on_message=hear)
    everything = time.monotonic() - begun
    return (reported[0] if reported else everything), everything


def _truth_of(suggestion: Suggestion, field: Field) -> Cell | Any | None:
    """Return the true cell in the box of a suggestion, if any."""
    best = max(field.cells, key=lambda cell: iou(cell.box, suggestion.box), default=None)
    return best if best is not None and iou(best.box, suggestion.box) >= 0.5 else None


def prepare(
    folder: Path, fields: Sequence[Field], starter: Path | None = None, *, schema: Any = "lld"
) -> Project:
    """Create a project of unlabelled fields with suggestions of a starter."""
    made = project.new(folder, schema)
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        files = [project.put(field, Path(place), number) for number, field in enumerate(fields)]
        report = made.fields.add(files)
        if len(report.added) != len(files):
            raise RuntimeError(f"not all fields were added: {report.skipped}")
    if starter is not None:
        made.models.activate(project.adopt(made, starter))
    ask(PredictRequest(project=str(folder), annotator="benchmark"))
    made.refresh()
    return made


def own_schema() -> Schema:
    """Return a schema of five classes with custom names, and the attributes of `lld`."""
    lld = load_schema("lld")
    classes = [item for item in lld.classes if item.name in OWN_WORDS]
    renamed_ = [
        item.model_copy(update={"name": OWN_WORDS[item.name], "title": "", "spellings": ()})
        for item in classes
    ]
    return Schema.model_validate(
        lld.model_copy(update={"name": "own", "classes": tuple(renamed_), "groups": ()}).model_dump()
    )


def _number(number: int, field: Field) -> str:
    return f"{number:05}{field.file.suffix if field.drawn is None else '.png'}"


# --- arms ------------------------------------------------------------------------------------------------


def new_class(args: Any, kept: Cache, taught: Sequence[Field], judged: Sequence[Field]) -> None:
    """Run each class, from a starter trained without it."""
    arms = [int(arm.split(":")[1]) for arm in args.arms if arm.startswith("new-class")]
    for new in CLASSES if arms else ():
        starter = args.starters / f"without-{new}.safetensors"
        with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
            template = Path(place) / "project"
            for subset in range(args.subsets):
                for cells in arms:
                    config = {"benchmark": "instant", "arm": "new-class", "judge": args.judge, "new": new}
                    config |= {"cells": cells, "subset": subset, "starter": file_digest(starter)}

                    work = _Work(template, judged, taught, starter, new, subset, cells)
                    kept.kept(config, work)


@dataclass(frozen=True)
class _Work:
    """A run of a new class, in a copy of a project that is created on first use."""

    template: Path
    judged: Sequence[Field]
    taught: Sequence[Field]
    starter: Path
    new: str
    subset: int
    cells: int

    def __call__(self) -> dict[str, Any]:
        if not self.template.exists():
            prepare(self.template, self.judged, self.starter).close()
        of_each = dict.fromkeys(CLASSES, OTHERS) | {self.new: self.cells}
        return teach(self.template, self.judged, picked(studied(self.taught, self.subset), of_each))


def reviewing(args: Any, kept: Cache, judged: Sequence[Field]) -> None:
    """Run the arms that review suggestions."""
    for arm in args.arms:
        name, _, names = arm.partition(":")
        if name in ("new-class", "from COCO", "window"):
            continue
        for subset in range(args.subsets):
            fields = studied(judged, subset)[:FIELDS]
            schema: Any = "lld"
            if names:
                fields, schema = [renamed(field, OWN_WORDS) for field in fields], own_schema()
            config = {"benchmark": "instant", "arm": arm, "judge": args.judge, "subset": subset}
            kept.kept(config, partial(review, fields, learns=name == "reviewing", schema=schema))


def from_coco(args: Any, kept: Cache, judged: Sequence[Field]) -> None:
    """Run the arm that starts from a model never trained on white cells."""
    for subset in range(args.subsets if "from COCO" in args.arms else 0):
        config = {"benchmark": "instant", "arm": "from COCO", "judge": args.judge, "subset": subset}
        config |= {"clusters": untaught.CLUSTERS, "budget": BUDGET, "weights": file_digest(args.weights)}
        fields = studied(judged, subset)[: untaught.FIELDS]
        kept.kept(config, partial(untaught.work, fields, args.weights, budget=BUDGET))


def window(args: Any, kept: Cache) -> None:
    """Run the arm that labels in a real window, a new window for each pace."""
    for pace in PACES if "window" in args.arms else ():
        config = {"benchmark": "instant", "arm": "window", "judge": args.judge, "pace": pace}
        kept.kept(config, partial(_in_a_window, args, pace))


def _in_a_window(args: Any, pace: float) -> dict[str, Any]:
    template = args.cache.absolute() / "instant-window"
    if not (template / "done").is_file():
        shutil.rmtree(template, ignore_errors=True)
        _prepare_window(template / "project", args.data / "pbc")
        (template / "done").touch()
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        shutil.copytree(template / "project", Path(place) / "project")
        script = Path(__file__).parent / "bench" / "instant_window.py"
        asked = [sys.executable, str(script), str(Path(place) / "project"), str(LABELS), str(pace)]
        own = dict.fromkeys(("XDG_STATE_HOME", "XDG_CONFIG_HOME"), place)
        own["NAPARI_CONFIG"] = str(Path(place) / "napari.yaml")
        done = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **own})
    return {**json.loads(done.stdout.splitlines()[-1]), "machine": project.machine()}


def _prepare_window(folder: Path, data: Path) -> None:
    """Create a project of all fields, and of mirror images until there are `AT_LEAST` suggestions."""
    fields = load_fields(data / "train.json", data / "images", in_lld=True)
    fields += load_fields(data / "val.json", data / "images", in_lld=True)
    labelled, others = fields[:LABELLED], fields[LABELLED:]
    mirrored = (replace(field, drawn=np.ascontiguousarray(field.pixels()[:, ::-1])) for field in others)
    cells = 0
    with Project.create(folder, schema="lld") as made, tempfile.TemporaryDirectory() as place:
        project.annotate(made, labelled)  # as the current user, who also opens the window
        files = []
        for field in chain(others, mirrored):
            files.append(project.put(field, Path(place), len(files)))
            cells += len(field.cells)
            if cells > 1.05 * AT_LEAST:
                break
        made.fields.add(files)
        ask(PredictRequest(project=str(folder), annotator=made.annotator))
        made.refresh()
        if len(made.suggestions.find()) < AT_LEAST:
            raise RuntimeError("The project has too few suggestions.")


def window_table(kept: Sequence[dict[str, Any]]) -> str:
    """Format the times of the window."""
    lines = []
    for row in kept:
        if row["config"]["arm"] == "window":
            result = row["result"]
            pace = row["config"]["pace"]
            lines.append(
                [
                    f"one each {pace:g} s" if pace else "one after the other",
                    len(result["seconds to the screen"]),
                    *(_quantiles(result[key]) for key in ("key", "seconds to the screen", "seconds to all")),
                    f"{len(result['stalls'])}, {_quantiles(result['stalls'])}",
                    result["machine"],
                ]
            )
    keys = ["seconds of the key", "to the screen", "to all", "stalls of more than 50 ms"]
    return tables.markdown(["labels", "how many", *keys, "machine"], lines) if lines else ""


def _quantiles(values: Sequence[float]) -> str:
    """Format median and 95th percentile of times."""
    ordered = sorted(values)
    if not ordered:
        return "–"
    return f"{statistics.median(ordered):.2f} (95%: {ordered[int(0.95 * (len(ordered) - 1))]:.2f})"


def from_coco_table(kept: Sequence[dict[str, Any]]) -> str:
    """Format the share of correct suggestions before each round."""
    runs = [row["result"] for row in kept if row["config"]["arm"] == "from COCO"]
    if not runs:
        return ""
    lines = []
    for number in range(1, untaught.ROUNDS + 1):
        for what in ("shown", "waiting"):
            parts = [item[f"before round {number}"][what] for item in runs]
            counts = tables.spread([item["suggestions"] for item in parts], 0)
            shares = [
                tables.spread([item[k] for item in parts]) for k in ("box", "class", "class and values")
            ]
            lines.append([number, what, len(runs), counts, *shares])
    head = ["before round", "suggestions", "runs", "how many", "box right", "box and class", "all values too"]
    return tables.markdown(head, lines)


def table(kept: Sequence[dict[str, Any]]) -> str:
    """Format the recall of new classes, and the share of correct suggestions."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in kept:
        config = row["config"]
        if config["arm"] == "new-class":
            item = row["result"]
            of = {"new": item["recall"].get(config["new"]), "seconds": item["seconds"]}
            of["others"] = statistics.mean(v for n, v in item["recall"].items() if n != config["new"])
            for name in (config["new"], "each"):
                groups.setdefault((f"new class, {config['cells']} cells", name), []).append(of)
    keys: list[str] = ["new", "others", "seconds"]
    rows = [
        [what, name, len(some), *(tables.spread([item[key] for item in some]) for key in keys)]
        for (what, name), some in groups.items()
    ]
    head = ["arm", "class", "runs", "recall of it", "of the others", "seconds"]
    text = tables.markdown(head, rows) if rows else ""
    reviewed: dict[str, list[dict[str, Any]]] = {}
    for row in kept:
        if row["config"]["arm"] not in ("new-class", "from COCO", "window"):
            reviewed.setdefault(row["config"]["arm"], []).append(row["result"])
    if reviewed:
        keys = [key for key in next(iter(reviewed.values()))[0] if key.startswith(("class right", "right"))]
        keys += ["seconds to the screen", "seconds to all"]
        lines = [
            [arm, len(some), *(tables.spread([item.get(key) for item in some]) for key in keys)]
            for arm, some in reviewed.items()
        ]
        text += "\n\n" + tables.markdown(["arm", "runs", *keys], lines)
    return f"{text}\n\n{from_coco_table(kept)}\n\n{window_table(kept)}".strip()


def quick() -> int:
    """Review two sample fields with few cells."""
    with tempfile.TemporaryDirectory(prefix="lld-benchmark-") as place:
        kept = Cache(Path(place) / "runs.jsonl")
        config = {"benchmark": "instant", "arm": "reviewing", "judge": "sample", "subset": 0}
        kept.kept(config, partial(review, sample()[12:14], learns=True))
        print(table(kept.rows()))
    return 0


def main() -> int:
    """Run what is not cached, and write the table."""
    parser = arguments.parser(__doc__, ARMS, default=ARMS[:-1])
    parser.add_argument("--starters", type=Path, help="folder of without-CLASS.safetensors and .json")
    parser.add_argument("--weights", type=Path, help="yolo26n.pt, for the arm `from COCO`")
    args = arguments.read(parser)
    if args.quick:
        return quick()
    if args.starters is None and not args.table and any(arm.startswith("new-class") for arm in args.arms):
        parser.error("Give --starters FOLDER for the new classes, or other --arms.")
    if args.weights is None and not args.table and "from COCO" in args.arms:
        parser.error("Give --weights yolo26n.pt for the arm from COCO, or other --arms.")
    kept = Cache(args.cache / "instant.jsonl")
    if not args.table:
        taught, judged = taught_and_judged(args.data / "pbc", args.judge, in_lld=True)
        reviewing(args, kept, judged)
        new_class(args, kept, taught, judged)
        from_coco(args, kept, judged)
        window(args, kept)
    found = [row for row in kept.rows() if row["config"]["judge"] == args.judge]
    tables.publish(args.cache, f"instant-{args.judge}", table(found), found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
