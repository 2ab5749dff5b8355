"""Create a project from Python: images, a finished region, cells with class and attributes.

    python examples/project_from_python.py [--quick]

The labels come from a table, as exported by another program or a spreadsheet. The project is the same as one
made in the window: open it with `napari-lld open FOLDER`, and you can undo everything there.
"""

# %%
import json
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.patches import Rectangle

from annotation_store import Project, Shape
from napari_lld import sample

count = 2 if "--quick" in sys.argv else 6
folder = Path(tempfile.mkdtemp(prefix="lld-")) / "project"  # choose any folder that does not exist yet

# %% [markdown]
# The table has one cell per row: image, box (x, y, width, height in pixels), class, and a column for each
# attribute.

# %%
truth = json.loads(sample.truth().read_text("utf-8"))
images = {image["id"]: image["file_name"] for image in truth["images"]}
classes = {category["id"]: category["name"] for category in truth["categories"]}
table = pd.DataFrame(
    {"image": images[one["image_id"]], "box": tuple(one["bbox"]), "class": classes.get(one["category_id"])}
    | one.get("attributes", {})
    for one in truth["annotations"]
)
table = table.astype(object).where(table.notna(), None)  # None = missing
print(table.drop(columns="box").head().T)

# %% [markdown]
# A project is a folder with a schema, which defines the classes and attributes (`lld`: 14 classes, 7
# attributes). `patient_from` reads the patient from each file name, so that no patient is in both training
# and evaluation.

# %%
project = Project.create(folder, schema="lld", annotator="Ada")
project.fields.add(sample.fields()[:count], patient_from=r"^(\w+)\.", about={"stain": "May-Grünwald-Giemsa"})

# %% [markdown]
# **Mark what you have finished.** In a *finished region* every white cell has a box; the rest is unlabelled,
# and training never treats it as background. Here the left half of each image is finished.

# %%
for field in project.fields.all():
    half = Shape.rectangle(0, 0, field.width / 2, field.height)
    project.regions.add(field.id, half)
    for _, row in table[table["image"] == field.name].iterrows():
        if half.contains_centre(row["box"]):
            values = {name: row[name] for name in project.schema.attribute_names if name in table}
            project.cells.add(field.id, row["box"], cell_class=row["class"], attributes=values)

# %% [markdown]
# Every edit is in the history. `undo` removes a box, and `redo` restores it.

# %%
project.undo(field.id)
project.redo(field.id)
print(f"{len(project.fields.all())} fields, {len(project.cells.all())} cells")
print(pd.Series([cell.cell_class or "class missing" for cell in project.cells.all()]).value_counts())
assert not project.check(), "files and database are intact"

# %% [markdown]
# The annotations of the first image: the region, and the cells by class.

# %%
first = project.fields.all()[0]
figure, axes = plt.subplots(figsize=(8, 6))
axes.imshow(project.pixels.read(first.id))
for region in project.regions.all(first.id):
    x, y, width, height = region.shape.bounds
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor="black", linestyle="--"))
for cell in project.cells.all(first.id):
    x, y, width, height = cell.box
    colour = project.schema.class_named(cell.cell_class).colour if cell.cell_class else "grey"
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=2))
    axes.text(x, y - 5, cell.cell_class or "class missing", color=colour)
axes.set_title(first.name)
axes.set_axis_off()
figure.savefig(folder.parent / "cells.png")
project.close()
print(f"Look at it: napari-lld open {folder}")
