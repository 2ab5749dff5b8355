"""Export a project, and analyse the table of cells: differential, sizes, attributes.

    python examples/export_and_analyse.py [--quick]

Nothing here needs a model. `napari-lld export PROJECT cells.csv --format csv` writes the same table.
"""

# %%
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from annotation_store import Project, formats
from napari_lld import sample

folder = Path(tempfile.mkdtemp(prefix="lld-"))

# %% [markdown]
# A project as it is after annotating: all cells of the bundled fields.

# %%
with Project.create(folder / "project", annotator="Ada") as project:
    project.fields.add(sample.fields()[: 6 if "--quick" in sys.argv else None], patient_from=r"^(\w+)\.")
    formats.read("coco", project, sample.truth())
    for name, out in (("csv", "cells.csv"), ("coco", "cells.json"), ("huggingface", "images")):
        report = formats.write(name, project, folder / out, anonymise=True)
        print(f"{out}: {report.cells} cells", *report.skipped, sep="\n  ")

# %% [markdown]
# **Check before you share it.** With `anonymise=True` names of patients, slides and files are keyed
# hashes, comments are left out, and images carry no metadata. Each export has a card that says what is
# annotated. Text that is visible in an image is not removed.

# %%
card = (folder / "images" / "README.md").read_text("utf-8")
print(card[card.index("# images") : card.index("## Classes")])

# %% [markdown]
# **The table** has one cell per row. An empty value is missing: not labelled, which is not the same as
# absent.

# %%
cells = pd.read_csv(folder / "cells.csv")
print(cells[["patient", "field", "class", "cell_size", "nuclear_chromatin"]].head())

# %% [markdown]
# **Differential**, with 95% intervals (Wilson). They assume independent cells; cells of one
# patient are correlated, so with few patients the true intervals are wider.

# %%
counts = cells["class"].dropna().value_counts()
low, high = proportion_confint(counts, counts.sum(), method="wilson")
differential = pd.DataFrame({"cells": counts, "share": counts / counts.sum(), "low": low, "high": high})
print(differential.round(3))

# %% [markdown]
# **Attributes by class**: the share of cells with coarse chromatin, among those where it is labelled.

# %%
print(pd.crosstab(cells["class"], cells["nuclear_chromatin"], margins=True))

# %% [markdown]
# **Size** is that of the box: in pixels here, in micrometres if the fields have a pixel size.

# %%
cells["diameter"] = np.sqrt(cells["w"] * cells["h"]) * cells["pixel_size_um"].fillna(1)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
spread = [differential["share"] - differential["low"], differential["high"] - differential["share"]]
left.barh(differential.index, differential["share"], xerr=spread, color="#7a5195")
left.set(xlabel="share of all white cells with a class", xlim=(0, 1))
sizes = [cells.loc[cells["class"] == name, "diameter"] for name in counts.index]
right.boxplot(sizes, tick_labels=counts.index)
right.set(ylabel="diameter of the box, pixels")
right.tick_params(axis="x", rotation=30)
figure.savefig(folder / "differential.png")
print(f"Table and figure are in {folder}")
