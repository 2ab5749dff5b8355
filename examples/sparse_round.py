"""One round from Python: import one annotated region a field, train, look at the suggestions, review two.

python examples/sparse_round.py [--quick] [--project FOLDER]
"""

import argparse
import os
import tempfile
from pathlib import Path

from annotation_store import Project, RejectionReason, formats
from napari_lld import sample
from training.client import run_worker
from training.protocol import TrainRequest

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--quick", action="store_true", help="one short epoch on few and small pictures")
parser.add_argument("--project", type=Path, help="where to keep the project; must not exist")
options = parser.parse_args()
if options.quick:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for so little, a second thread is mostly in the way

with tempfile.TemporaryDirectory() as temporary:
    folder = options.project or Path(temporary) / "project"
    with Project.create(folder, schema="lld", annotator="example") as project:
        project.fields.add(sample.fields()[: 5 if options.quick else None])
        report = formats.read("coco", project, sample.sparse())
        print(f"{len(project.fields.all())} fields, {report.regions} regions, {report.cells} annotated cells")

        # learning runs in a process of its own; this one never loads torch
        short = {"epochs": 1, "size": 224} if options.quick else {}
        done = run_worker(TrainRequest(project=str(folder), init="starter", holdout=0.0, **short))
        project.refresh()
        suggestions = project.suggestions.find()  # the most confident first
        print(f"model {done.model_id} suggests {len(suggestions)} cells in the unknown areas, for example:")
        for suggestion in suggestions[:3]:
            field = project.fields.get(suggestion.field_id)
            said = suggestion.proposal.best_attributes
            print(
                f"  {field.name}: {suggestion.proposal.best_class} ({suggestion.confidence:.0%}), "
                + ", ".join(f"{name} {value}" for name, value in said.items())
            )

        if len(suggestions) >= 2:  # a person looks here; a suggestion never becomes a cell by itself
            project.suggestions.accept(suggestions[0].id)
            project.suggestions.reject(suggestions[-1].id, RejectionReason.NOT_A_CELL)
        out = formats.write("coco", project, folder.parent / "cells.json", what="cells", overwrite=True)
        print(f"{out.cells} cells exported; the next round learns from them")
