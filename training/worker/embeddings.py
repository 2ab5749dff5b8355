"""The task of exporting the feature vectors of a project's cells to AnnData or Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from annotation_store.errors import LLDError
from annotation_store.files.outputs import check_output, new_file
from annotation_store.formats._io.file_names import Names
from training.protocol import EMBEDDINGS_SUFFIXES, Done, EmbeddingsRequest, Progress, Started
from training.worker.channel import Channel
from training.worker.embedded import Embedded, embedded
from training.worker.likeness import open_to_look
from training.worker.many import elsewhere, predictor_for

if TYPE_CHECKING:
    from pandas import DataFrame

    from annotation_store import Entry
    from annotation_store.project import Project

_ABOUT = "napari_lld"
"""Key of the file's metadata: in ``uns`` of AnnData, in ``attrs`` of a data frame."""


def write_embeddings(request: EmbeddingsRequest, channel: Channel, device: torch.device) -> Done:
    """Write vectors, labels and predictions; see `EmbeddingsRequest`."""
    out = Path(request.out)
    if out.suffix.lower() not in EMBEDDINGS_SUFFIXES:
        raise LLDError(f"{out}: give a file name that ends with {' or '.join(EMBEDDINGS_SUFFIXES)}.")
    with open_to_look(request) as project:
        channel.send(Started(task="embeddings", device=str(device), fields=len(project.fields.all())))
        with predictor_for(request, project, channel) as predictor:
            data = embedded(project, channel, request.model, str(device), elsewhere(predictor))
        if not data.entries:
            why = f" Damaged images: {', '.join(data.damaged)}." if data.damaged else ""
            raise LLDError(f"There is nothing to write: the project has no cell and no suggestion.{why}")
        table = _table(project, data, Names.of_project(project, anonymise=not request.names))
        metadata = {
            "model": "starter" if data.number is None else str(data.number),
            "trunk": data.model.trunk_digest(),
            "schema": json.loads(project.schema.model_dump_json()),
            "version": version("napari-lld"),
            "note": "Research use only, not for diagnosis.",
        }
    channel.check()
    channel.send(Progress(stage="export", done=0, total=0))
    check_output(out, overwrite=request.overwrite)
    with new_file(out) as temporary:
        if out.suffix.lower() == ".h5ad":
            _write_anndata(temporary, table, data, metadata)
        else:
            _write_parquet(temporary, table, data, metadata)
    result = {
        "out": str(out),
        "cells": sum(entry.kind == "cell" for entry in data.entries),
        "suggestions": sum(entry.kind == "suggestion" for entry in data.entries),
        "features": int(data.vectors.shape[1]),
        "damaged": list(data.damaged),
    }
    return Done(task="embeddings", model_id=data.number, result=result)


def _table(project: Project, data: Embedded, names: Names) -> DataFrame:
    """Return the table of the cells' labels and predictions; text columns are categorical."""
    from pandas import Categorical, DataFrame

    fields = {field.id: field for field in project.fields.all()}
    entries = data.entries
    predictions = [entry.proposal for entry in entries]
    of_field = [fields[entry.field_id] for entry in entries]
    columns: dict[str, Any] = {
        "kind": Categorical([entry.kind for entry in entries]),
        "id": [entry.id for entry in entries],
        "field": Categorical([names.file(field.name) for field in of_field]),
        "patient": Categorical([names.person(field.patient) for field in of_field]),
        "slide": Categorical([names.person(field.slide) for field in of_field]),
    }
    columns |= {side: [entry.box[i] for entry in entries] for i, side in enumerate(("x", "y", "w", "h"))}
    columns["class"] = Categorical([entry.cell_class for entry in entries])
    own = {*columns, "predicted", "probability", "novelty"}
    for attribute in project.schema.attributes:
        columns[_free(attribute.name, own)] = Categorical(_values(entries, attribute.name))
    columns["predicted"] = Categorical(
        [proposal.stated_class if proposal else None for proposal in predictions]
    )
    columns["probability"] = [proposal.probability if proposal else float("nan") for proposal in predictions]
    columns["novelty"] = [
        float("nan") if proposal is None or proposal.novelty is None else proposal.novelty
        for proposal in predictions
    ]
    return DataFrame(columns, index=[f"{entry.kind}-{entry.id}" for entry in entries])


def _free(name: str, used: set[str]) -> str:
    """Return an unused column name for an attribute, and mark it used; HDF5 forbids slashes."""
    name = name.replace("/", "_")
    while name in used:
        name = f"attribute {name}"
    used.add(name)
    return name


def _values(entries: Sequence[Entry], name: str) -> list[str | None]:
    return [entry.attributes.get(name) for entry in entries]


def _write_anndata(file: Path, table: DataFrame, data: Embedded, metadata: dict[str, Any]) -> None:
    from anndata import AnnData
    from pandas import DataFrame

    features = DataFrame(index=_feature_names(data))
    whole = AnnData(X=data.vectors, obs=table, var=features)
    whole.uns[_ABOUT] = metadata | {"schema": json.dumps(metadata["schema"], ensure_ascii=False)}
    whole.write_h5ad(file)


def _write_parquet(file: Path, table: DataFrame, data: Embedded, metadata: dict[str, Any]) -> None:
    from pandas import DataFrame, concat

    features = DataFrame(data.vectors, index=table.index, columns=_feature_names(data), copy=False)
    whole = concat([table, features], axis=1)
    whole.attrs[_ABOUT] = metadata
    whole.to_parquet(file, engine="pyarrow")


def _feature_names(data: Embedded) -> list[str]:
    return [f"feature_{i:04d}" for i in range(data.vectors.shape[1])]
