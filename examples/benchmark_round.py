"""A round in the hand's time: from the button to suggestions, process start included.

    python examples/benchmark_round.py --data ../shared/data [--budget 60] [--longer 300]

Five annotated fields of ``pbc`` (20% regions, from ``train``), twenty of its ``val`` to predict, the starter,
448 px. Prints the seconds of the round and its stages, and how good the suggestions on the twenty are; with
``--longer`` a second, longer round follows, as the window runs it in the background: it becomes active only
where the held-out cells do not show it worse. The worker takes all cores it may use, so run it on a quiet
machine. ``--quick`` runs a few seconds on the bundled sample.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from annotation_store import Project, formats
from annotation_store.schema import wbcatt_to_lld
from napari_lld import sample
from training.client import run_worker
from training.evaluate import FieldTruth, TrueCell, evaluate_field, summarise
from training.protocol import Message, Progress, TrainRequest


def pick(data: Path, folder: Path, *, annotated: int, others: int) -> tuple[Path, list[Path], dict[str, Any]]:
    """Write the COCO file of the annotated fields; give all image files, and the truth of the others."""
    sparse = json.loads((data / "train_sparse20.json").read_text(encoding="utf-8"))
    images = sparse["images"][:annotated]
    chosen = {image["id"] for image in images}
    cells = [one for one in sparse["annotations"] if one["image_id"] in chosen]
    for one in cells:
        one["attributes"] = wbcatt_to_lld(one["attributes"])
    file = folder / "annotated.json"
    file.write_text(json.dumps({**sparse, "images": images, "annotations": cells}), encoding="utf-8")

    val = json.loads((data / "val.json").read_text(encoding="utf-8"))
    names = {one["id"]: one["name"] for one in val["categories"]}
    truth: dict[str, Any] = {}
    for image in val["images"][:others]:
        boxes = [
            TrueCell(tuple(one["bbox"]), names[one["category_id"]])
            for one in val["annotations"]
            if one["image_id"] == image["id"]
        ]
        name = Path(image["file_name"]).name
        truth[name] = FieldTruth(name, image["width"], image["height"], tuple(boxes))
    files = [data / "images" / one["file_name"] for one in (*images, *val["images"][:others])]
    return file, files, truth


def watch(stages: dict[str, float]) -> Any:
    """Note how long each stage lasts."""
    last = [time.monotonic(), "start"]

    def hear(message: Message) -> None:
        stage = message.stage if isinstance(message, Progress) else None
        if stage and stage != last[1]:
            now = time.monotonic()
            stages[last[1]] = stages.get(last[1], 0.0) + now - last[0]
            last[:] = [now, stage]

    return hear


def round_of(project: Project, **request: Any) -> None:
    """Train and suggest; print the time of each stage."""
    stages: dict[str, float] = {}
    begun = time.monotonic()
    done = run_worker(TrainRequest(project=str(project.path), **request), on_message=watch(stages))
    seconds = time.monotonic() - begun
    project.refresh()
    told = ", ".join(f"{name} {value:.1f}" for name, value in stages.items())
    epochs, active = done.result.get("epochs"), done.result.get("active")
    print(f"model {done.model_id}, {epochs} epochs: {seconds:.1f} s ({told}); active: {active}")


def how_good(project: Project, truth: dict[str, FieldTruth]) -> None:
    """Judge the suggestions on the fields nobody annotated."""
    results = []
    for field in project.fields():
        if field.name in truth:
            said = [one.proposal for one in project.suggestions(field.id)]
            results.append(evaluate_field(truth[field.name], said, classes=project.schema.class_names))
    numbers = summarise(results, threshold=0.5)
    print(
        f"on {numbers['fields']} fields, {numbers['cells']} cells: precision {numbers['precision']:.3f}, "
        f"recall {numbers['recall']:.3f}, class F1 {numbers['class_f1'] or float('nan'):.3f}"
    )


def main() -> int:
    """Make the project, run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, help="folder with pbc")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of the first round")
    parser.add_argument("--longer", type=float, help="seconds of a second, longer round")
    parser.add_argument("--quick", action="store_true", help="a few seconds on the bundled sample")
    args = parser.parse_args()
    if not args.quick and args.data is None:
        print("Give --data DIR, or --quick.", file=sys.stderr)
        return 2
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{cores} cores{load}")
    with (
        tempfile.TemporaryDirectory(prefix="lld-round-") as place,
        Project.create(Path(place) / "project", annotator="benchmark") as project,
    ):
        if args.quick:
            project.add_fields(sample.fields()[:6])
            formats.read("coco", project, sample.sparse())
            round_of(project, init="starter", budget=8.0, epochs=1, size=128, holdout=0.0)
            return 0
        file, images, truth = pick(args.data / "pbc", Path(place), annotated=5, others=20)
        project.add_fields(images)
        formats.read("coco", project, file, images=args.data / "pbc" / "images")
        print(f"{len(project.fields())} fields, {len(project.cells())} annotated cells")
        round_of(project, init="starter", budget=args.budget)
        how_good(project, truth)
        if args.longer:
            round_of(project, init="active", budget=args.longer)
            how_good(project, truth)
    return 0


if __name__ == "__main__":
    sys.exit(main())
