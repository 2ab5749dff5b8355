"""Export a feature vector for each cell, plot a map of all cells, and cluster similar ones.

    python examples/embeddings_and_clusters.py [--quick]

The vectors come from the bundled model. It was trained on other fields of the same two data sets, so classes
are separated better here than on your films. AnnData is the format of single-cell analysis, and can be read
by scanpy.
"""

# %%
import sys
import tempfile
from pathlib import Path

import anndata
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from annotation_store import Project, formats
from napari_lld import sample
from training.client import PersistentWorker
from training.protocol import EmbeddingsRequest, LikenessRequest

quick = "--quick" in sys.argv
folder = Path(tempfile.mkdtemp(prefix="lld-"))

# %% [markdown]
# A project in which every cell has a box, and most have a class and attributes.

# %%
project = Project.create(folder / "project", annotator="Ada")
project.fields.add(sample.fields()[: 6 if quick else None])
formats.read("coco", project, sample.truth())
print(f"{len(project.cells.all())} cells")

# %% [markdown]
# **One row per cell.** `napari-lld embeddings PROJECT cells.h5ad` does the same. `X` holds the vectors,
# `obs` what was annotated and predicted; names of patients and files are keyed hashes (unless
# `names=True`).

# %%
worker = PersistentWorker()
worker.ask(EmbeddingsRequest(project=str(project.path), out=str(folder / "cells.h5ad"), model="starter"))
cells = anndata.read_h5ad(folder / "cells.h5ad")
print(cells)
print(cells.obs.iloc[0].dropna())

# %% [markdown]
# **Do neighbours agree?** How often the most similar other cell has the same class, although classes are not
# used to compare cells.

# %%
known = cells[cells.obs["class"].notna()].copy()
labels = known.obs["class"].astype(str).to_numpy()
nearest = (
    NearestNeighbors(n_neighbors=2, metric="cosine").fit(known.X).kneighbors(return_distance=False)[:, 0]
)
agree = pd.Series(labels == labels[nearest]).groupby(labels).agg(["mean", "size"])
print(agree.rename(columns={"mean": "neighbour agrees", "size": "cells"}).round(2))

# %% [markdown]
# **Clusters** (`napari-lld clusters PROJECT`): groups of similar cells, each named after its
# labelled cells. In the gallery of the window, you can label a whole group at once.

# %%
answer = worker.ask(LikenessRequest(project=str(project.path), what="clusters", clusters=6, model="starter"))
worker.leave()
groups = answer.result["clusters"]
print(pd.DataFrame(groups)[["name", "named", "purity"]])
group_of = {cell: number for number, group in enumerate(groups) for _, cell in group["keys"]}
classes = {cell.id: cell.cell_class for cell in project.cells.all() if cell.cell_class}
both = [(classes[cell], group_of[cell]) for cell in classes if cell in group_of]
print(f"adjusted Rand index of classes and clusters: {adjusted_rand_score(*zip(*both, strict=True)):.2f}")

# %% [markdown]
# The map of all cells (two principal components), and the most typical cells of the largest group.

# %%
flat = PCA(2, random_state=0).fit_transform(known.X)
figure = plt.figure(figsize=(9, 6))
axes = figure.add_subplot(4, 1, (1, 3), xticks=[], yticks=[])
for name in sorted(set(labels)):
    axes.scatter(*flat[labels == name].T, label=name, color=project.schema.class_named(name).colour)
axes.legend(fontsize="small")
largest = max(groups, key=lambda group: len(group["keys"]))
for column, (_, cell_id) in enumerate(largest["keys"][:6], 1):
    cell = project.cells.get(cell_id)
    crop = figure.add_subplot(4, 6, 18 + column, xticks=[], yticks=[], title=cell.cell_class or "missing")
    crop.imshow(project.pixels.read_area(cell.field_id, cell.box))
figure.savefig(folder / "map.png")
project.close()
