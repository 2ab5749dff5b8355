"""What every ranking hands out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation_store.records import Box, Proposal
from training.reasons import Reason

STAIN = "stain"
STARTER = "starter"
"""Whose embeddings are no model's of the project: those of the stain alone, those of the bundled starter."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Something to look at next.

    Attributes
    ----------
    kind
        ``"field"``, ``"region"``, ``"cell"`` or ``"label_error"``.
    id
        Of the field (also for a region), of the suggestion, or of the cell that may be mistaken; ``None``
        if there is no such thing yet (a cell that was missed).
    score
        Higher comes first, among things of one kind and one ranking.
    seconds
        How long it will take, by estimate.
    reasons
        Reasons: English sentences that can be translated.
    drawn
        Drawn at random, not by score: what is found there measures the model without bias.
    prediction
        What the model predicts there (for a label error; ``None`` if it finds no cell).
    errors
        Of a mistake how probable each kind of error is: ``"class"``, ``"value"``, ``"box"``, ``"missing"`` (a
        cell without a box) and ``"spurious"`` (a box without a cell).
    """

    kind: str
    id: int | None
    field_id: int
    score: float
    seconds: float
    reasons: tuple[Reason, ...] = ()
    box: Box | None = None
    drawn: bool = False
    prediction: Proposal | None = None
    errors: Mapping[str, float] = field(default_factory=dict)

    def as_json(self, field_name: str) -> dict[str, Any]:
        """Return what ``napari-lld rank --json`` prints."""
        content: dict[str, Any] = {"kind": self.kind, "id": self.id, "field": field_name}
        if self.box is not None:
            content["box"] = [round(v, 2) for v in self.box]
        return content | {
            "score": round(self.score, 5),
            "seconds": round(self.seconds, 1),
            "reasons": [str(reason) for reason in self.reasons],
        }
