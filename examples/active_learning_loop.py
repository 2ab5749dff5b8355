"""Annotate where it teaches most: rank, annotate, train, and again.

    python examples/active_learning_loop.py [--quick]

Each round gets the regions to annotate from the program, annotates them, and trains. The annotator is
simulated here, from the ground truth of the bundled fields; in practice, a person annotates in the window.
"""

# %%
import json
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from annotation_store import Project, formats
from napari_lld import sample
from training import ranking
from training.client import PersistentWorker
from training.evaluation.ground_truth import TrueCell
from training.protocol import EvaluateRequest, TrainRequest
from training.simulate import SimulatedAnnotator

quick = "--quick" in sys.argv
rounds, regions = (1, 2) if quick else (4, 2)
folder = Path(tempfile.mkdtemp(prefix="lld-"))
fields = sample.fields()
to_annotate, to_judge = (fields[2:9:3], fields[:2]) if quick else (fields[2::3], fields[::3])

# %% [markdown]
# **Custom classes.** The bundled model finds white cells, but was trained on neither of these two classes: a
# model learns them here. A COCO file also works as a schema.

# %%
document = json.loads(sample.truth().read_text("utf-8"))
known_as = {category["id"]: category["name"] for category in document["categories"]}
own = {"Neutrophil": 1, "Eosinophil": 1, "Basophil": 1, "Lymphocyte": 2, "Monocyte": 2}
for one in document["annotations"]:
    one.pop("attributes", None)
    one["category_id"] = own.get(known_as.get(one["category_id"]))
document["categories"] = [{"id": 1, "name": "Granulocyte"}, {"id": 2, "name": "Mononuclear cell"}]
truth = folder / "truth.json"
truth.write_text(json.dumps(document), "utf-8")

# %% [markdown]
# The simulated hematologist knows every cell of the fields, from a project with the imported ground truth.

# %%
with Project.create(folder / "truth", schema=truth) as known:
    known.fields.add(to_annotate)
    formats.read("coco", known, truth)
    cells = {
        field.name: [TrueCell(cell.box, cell.cell_class) for cell in known.cells.all(field.id)]
        for field in known.fields.all()
    }
project = Project.create(folder / "project", schema=truth, annotator="simulated")
project.fields.add(to_annotate)
person = SimulatedAnnotator(project, {field.id: cells[field.name] for field in project.fields.all()})

# %% [markdown]
# **Rank.** Before a model has predicted the fields, their order comes from the stain alone; later from the
# uncertainty of the model, the diversity of fields, and the time that a region takes to annotate. Some fields
# are a random sample, to measure without bias.


# %%
def choose() -> list[ranking.Ranked]:
    """Return the regions to annotate next, best first."""
    stain = ranking.embed_by_stain(project) if not project.models.all() else {}
    order = ranking.update(project, budget=regions, stain=stain)
    return ranking.best_regions(project, order, regions, stain=stain)


# %% [markdown]
# **The loop.** `person.finish` reviews the suggestions in a region, boxes what they missed, and marks it
# finished; it returns the seconds that this would take a person.

# %%
worker, seconds, curve = PersistentWorker(), 0.0, []
judged = {"truth": str(truth), "images": str(fields[0].parent), "fields": [file.name for file in to_judge]}
short = {"epochs": 1, "size": 224} if quick else {"budget": 60.0}
for number in range(rounds + 1):  # round 0: the bundled model, before any annotation
    for region in choose() if number else ():
        name = project.fields.get(region.field_id).name
        print(f"round {number}: {name}, {region.seconds:.0f} s: {'; '.join(map(str, region.reasons))}")
        seconds += person.finish(region.field_id, region.box).seconds
    if number:
        worker.ask(TrainRequest(project=str(project.path), holdout=0.0, **short))
        project.refresh()  # the worker process has written models and suggestions
    metrics = worker.ask(EvaluateRequest(project=str(project.path), **judged)).metrics
    scores = {"AP50": metrics["ap50"], "F1 of the classes": metrics["class_f1"] or 0.0}
    curve.append({"round": number, "minutes": seconds / 60, "cells": len(project.cells.all()), **scores})
worker.leave()

# %% [markdown]
# Model quality by annotation time, on fields that were not annotated.

# %%
table = pd.DataFrame(curve)
print(table.round(2).to_string(index=False))
figure, axes = plt.subplots(figsize=(7, 4))
table.plot("minutes", ["AP50", "F1 of the classes"], marker="o", ylim=(0, 1.05), ax=axes)
axes.set(xlabel="minutes of annotating", ylabel="score on other fields")
figure.savefig(folder / "curve.png")
project.close()
