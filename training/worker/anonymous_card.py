"""Remove personal names from model cards, which are stored and shared with the weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from annotation_store.errors import OutputError
from annotation_store.files.outputs import write_file
from annotation_store.project import Project
from training.evaluation.patient_split import held_out_key
from training.models.card import ModelError
from training.models.folder import CARD, read_card
from training.networks.architectures import ARCHITECTURES

_PARENTS = {"starter", "scratch", *(architecture.file_name for architecture in ARCHITECTURES.values())}
# entries of a request that hold paths, addresses or personal names
_PRIVATE = ("project", "annotator", "init", "scheduler", "workers", "held_out")
_HASH = re.compile(r"[0-9a-f]{16}")


def nameless(project: Project, card: Mapping[str, Any]) -> dict[str, Any]:
    """Return a card with keyed hashes for patients, fields and domains, and without paths.

    A card without names is returned unchanged.
    """
    anonymous = dict(card)
    held_out = anonymous.get("held_out")
    if isinstance(held_out, list):
        anonymous["held_out"] = sorted(
            entry if _HASH.fullmatch(entry) else held_out_key(project, entry)
            for entry in held_out
            if isinstance(entry, str)
        )
    request = anonymous.get("request")
    if isinstance(request, Mapping):
        anonymous["request"] = {name: value for name, value in request.items() if name not in _PRIVATE}
    parent = anonymous.get("parent")
    if isinstance(parent, str) and parent not in _PARENTS and not parent.isdecimal():
        anonymous["parent"] = "file"
    metrics = anonymous.get("metrics")
    measured = metrics.get("held_out") if isinstance(metrics, Mapping) else None
    domains = measured.get("domains") if isinstance(measured, Mapping) else None
    if isinstance(metrics, Mapping) and isinstance(measured, Mapping) and isinstance(domains, Mapping):
        hashed = {project.pseudonyms.of_domain(str(name)): entry for name, entry in domains.items()}
        anonymous["metrics"] = {**metrics, "held_out": {**measured, "domains": hashed}}
    return anonymous


def hide_names(project: Project) -> None:
    """Remove names from the cards of earlier models; skip cards that cannot be read or written."""
    for model in project.models.all():
        folder = project.models.folder(model.id)
        with suppress(ModelError, OutputError, OSError):
            card = read_card(folder)
            anonymous = nameless(project, card)
            if anonymous != card:
                text = json.dumps(anonymous, indent=1, ensure_ascii=False)
                write_file(folder / CARD, text, parents=False)
