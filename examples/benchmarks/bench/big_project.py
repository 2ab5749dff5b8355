"""Measure projects of many fields: creating them by public commands, opening, listing and labelling."""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from annotation_store import Project
from annotation_store.files.layout import DATABASE
from annotation_store.records import Proposal
from bench import tables

CLASSES = ("Neutrophil", "Lymphocyte", "Monocyte")
SIDE, CELLS, SUGGESTIONS = 96, 10, 5
_REPEATS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this mode."""
    parser.add_argument(
        "--fields", type=int, nargs="*", default=[1_000, 10_000, 100_000], help="field counts"
    )
    parser.add_argument(
        "--copied", type=int, metavar="N",
        help="create N fields by the public commands, and copy their rows to reach the number of fields",
    )  # fmt: skip
    parser.add_argument("--window", action="store_true", help="measure in a real window too")


def run(args: argparse.Namespace) -> None:
    """Create the projects that do not exist yet, and measure each."""
    rows = []
    for count in [12] if args.quick else args.fields:
        cache = args.cache.absolute() / "speed"
        if args.copied and args.copied < count:
            project = copied(made(cache / str(args.copied), args.copied), cache / f"{count}-copied", count)
        else:
            project = made(cache / str(count), count)
        found = in_the_store(project) | (in_the_window(project) if args.window else {})
        rows.append([f"{count:,}", *found.values()])
        head = ["fields", *found]
    print(tables.markdown(head, rows))


def made(folder: Path, count: int) -> Path:
    """Return a project with a number of fields; create it if it does not exist."""
    project = folder / "project"
    done = folder / "done"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        images = folder / "images"
        images.mkdir(parents=True)
        (images / "coco.json").write_text(json.dumps(_drawn(images, count)), encoding="utf-8")
        _command("new", project, "--schema", images / "coco.json")
        _command(
            "import", project, images / "coco.json", "--format", "coco", "--regions", "none",
            "--patient-from", r"(?P<patient>P\d+)_",
        )  # fmt: skip
        with Project.open(project) as opened:
            for field in opened.fields.all()[::3]:
                opened.suggestions.replace(
                    field.id, [_proposal(i) for i in range(SUGGESTIONS)], model_id=None
                )
        shutil.rmtree(images)
        done.touch()
    return project


def copied(first: Path, folder: Path, count: int) -> Path:
    """Return a project with a number of fields, of which all but those of `first` are copied rows.

    The copies have separate cells, suggestions and history, but no pixels: they can be listed, filtered and
    sorted, and only the original fields can be displayed.
    """
    project = folder / "project"
    done = folder / "done"
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(first, project)
        with sqlite3.connect(project / DATABASE) as database:
            fields = database.execute("SELECT count(*) FROM fields").fetchone()[0]
            most = {
                table: database.execute(f"SELECT max(id) FROM {table}").fetchone()[0] for table, _ in _COPIED
            }
            for n in range(1, count // fields):
                shift = {table: n * number for table, number in most.items()}
                for table, changes in _COPIED:
                    names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
                    values = ", ".join(changes.get(name, name) for name in names)
                    query = f"INSERT INTO {table} SELECT {values} FROM {table} WHERE id <= :most"
                    database.execute(query, {**shift, "n": n, "most": most[table]})
        database.close()
        done.touch()
    return project


_COPIED = (
    (
        "fields",
        {
            "id": "id + :fields",
            "name": "printf('%d_%s', :n, name)",
            "patient": "printf('%d_%s', :n, patient)",
            "content_hash": "printf('%s%08x', substr(content_hash, 9), :n)",
        },
    ),
    ("cells", {"id": "id + :cells", "field_id": "field_id + :fields"}),
    ("suggestions", {"id": "id + :suggestions", "field_id": "field_id + :fields"}),
    ("edits", {"id": "id + :edits", "field_id": "field_id + :fields"}),
    (
        "history",
        {
            "id": "id + :history",
            "edit_id": "edit_id + :edits",
            "entity_id": "entity_id + :cells",
            "after": "json_set(after, '$.field_id', json_extract(after, '$.field_id') + :fields)",
        },
    ),
)
"""Changed columns of each table in the copy; the other columns are the same."""


def _drawn(folder: Path, count: int) -> dict[str, Any]:
    """Draw the images, all different; return the COCO document of their cells."""
    rng = np.random.default_rng(0)
    images, cells = [], []
    for i in range(count):
        pixels = np.full((SIDE, SIDE, 3), 230, np.uint8)
        pixels[0, :8] = rng.integers(0, 255, (8, 3))
        name = f"P{i // 100:04d}_{i:06d}.png"
        Image.fromarray(pixels).save(folder / name, compress_level=1)
        images.append({"id": i + 1, "file_name": name, "width": SIDE, "height": SIDE})
        for j in range(CELLS):
            box = [4 + 8 * j, 4 + 16 * (j % 5), 10, 10]
            item = {"id": len(cells) + 1, "image_id": i + 1, "category_id": 1 + (i + j) % len(CLASSES)}
            cells.append({**item, "bbox": box, "area": 100, "iscrowd": 0})
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    return {"images": images, "annotations": cells, "categories": categories}


def _proposal(place: int) -> Proposal:
    return Proposal((5 + 12 * place, 82, 10, 10), 0.9, {CLASSES[0]: 0.8, CLASSES[1]: 0.2}, {})


def _command(*words: object) -> None:
    subprocess.run(
        [sys.executable, "-c", "from napari_lld.cli import run; run()", *map(str, words)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def _best(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Return the minimum time of work in seconds, which other load on the machine affects least."""
    took = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        took.append(time.perf_counter() - begun)
    return min(took)


def in_the_store(folder: Path) -> dict[str, str]:
    """Measure the times of the store."""
    found = {"open": f"{_best(lambda: Project.open(folder).close()):.2f} s"}
    with Project.open(folder) as project:
        field = project.fields.all()[-1]
        found["all fields"] = f"{_best(project.fields.all):.2f} s"
        found["state of all"] = f"{_best(project.fields.summaries):.2f} s"
        found["state of one"] = f"{1e3 * _best(lambda: project.fields.summaries([field.id])):.1f} ms"

        def label() -> None:
            project.cells.add(field.id, (40, 82, 9, 9), cell_class=CLASSES[0])
            project.undo(field.id)

        found["label and undo"] = f"{1e3 * _best(label):.1f} ms"
        found["memory"] = f"{psutil.Process().memory_info().rss / 2**20:.0f} MB"
    return found


def in_the_window(folder: Path) -> dict[str, str]:
    """Measure the times of a real window, in a separate process."""
    asked = [sys.executable, str(Path(__file__).with_name("big_window.py")), str(folder)]
    done = subprocess.run(asked, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))
