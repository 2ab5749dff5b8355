"""Train a model on a region of each field, and evaluate it on the rest.

    python examples/train_and_evaluate.py [--quick]

Each bundled field has one finished region, about a fifth of its area, and the ground truth of all its cells.
The model is trained on the regions only, and evaluated outside them, before and after.
"""

# %%
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from annotation_store import Project, formats
from napari_lld import sample
from training.client import PersistentWorker
from training.protocol import EvaluateRequest, Message, Progress, TrainRequest

quick = "--quick" in sys.argv
folder = Path(tempfile.mkdtemp(prefix="lld-")) / "project"

# %% [markdown]
# Create a project with fields and regions, as the commands `napari-lld new`, `add` and `import` do.

# %%
with Project.create(folder, annotator="Ada") as project:
    project.fields.add(sample.fields()[: 3 if quick else None])
    report = formats.read("coco", project, sample.sparse())
    names = [field.name for field in project.fields.all()]
    print(f"{len(names)} fields, {report.regions} regions, {report.cells} annotated cells")

# %% [markdown]
# Training runs in a separate worker process: torch is not imported here, and later requests use the same
# process. `on_message` receives progress messages. `init="starter"` starts from the bundled model; `budget`
# limits the whole task, in seconds, and steps that there is no time for are skipped.

# %%
worker = PersistentWorker()


def tell(message: Message) -> None:
    """Print each stage that is complete."""
    if isinstance(message, Progress) and message.done == message.total:
        print(f"{message.stage}: {message.done} done", *(f"{n} {v:.2f}" for n, v in message.losses.items()))


short = {"epochs": 1, "size": 224} if quick else {"budget": 240.0}  # seconds
done = worker.ask(TrainRequest(project=str(folder), init="starter", holdout=0.0, **short), on_message=tell)
print(f"model {done.model_id} {'is' if done.result['active'] else 'is not'} in use")

# %% [markdown]
# Evaluate on the same fields, only outside the training regions (`outside_regions`). A command does the
# same: `napari-lld evaluate PROJECT --truth truth.json --images fields/`.

# %%
scores = {}
for name, model in (("starter", "starter"), ("trained", done.model_id)):
    request = EvaluateRequest(
        project=str(folder), model=model, truth=str(sample.truth()), images=str(sample.fields()[0].parent),
        outside_regions=True, fields=names,
    )  # fmt: skip
    scores[name] = worker.ask(request).metrics
worker.leave()

# %% [markdown]
# AP50 and recall measure the detection of white cells; F1 is the mean over classes, or over the values of all
# attributes. The bundled model was trained on other fields of the same two data sets, so the gain is small
# here: it is larger on films of another laboratory.

# %%
keys = ["ap50", "recall", "class_f1", "attribute_f1"]
table = pd.DataFrame({name: {key: score[key] for key in keys} for name, score in scores.items()}).astype(
    float
)
print(table.round(3))
print("95% interval of AP50 when trained:", scores["trained"]["intervals"]["ap50"])

# %%
classes = {name: {key: one["f1"] for key, one in score["classes"].items()} for name, score in scores.items()}
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
table.plot.bar(ax=left, rot=0, ylim=(0, 1), title=f"{scores['trained']['cells']} cells outside the regions")
pd.DataFrame(classes).astype(float).dropna().plot.bar(ax=right, rot=20, ylim=(0, 1), title="F1 of each class")
for axes in (left, right):
    axes.legend(loc="lower right")
figure.savefig(folder.parent / "scores.png")
print(f"Go on in the window, suggestions are waiting: napari-lld open {folder}")
