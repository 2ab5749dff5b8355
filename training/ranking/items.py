"""The item type of all rankings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotation_store.records import Box, Proposal
from training.reasons import Reason

STAIN = "stain"
STARTER = "starter"
"""Sources of embeddings besides the project's models: the stain alone, and the bundled starter."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranked item: a field, region, cell or label error to look at next.

    Attributes
    ----------
    kind
        ``"field"``, ``"region"``, ``"cell"`` or ``"label_error"``.
    id
        Id of the field (also for a region), the suggestion, or the possibly mislabelled cell; ``None`` for a
        missed cell.
    score
        Sort key, the highest first, within one ranking.
    seconds
        Estimated time.
    reasons
        Reasons: English sentences that can be translated.
    drawn
        Whether it was sampled at random, not by score, so that it measures the model without bias.
    prediction
        What the model predicts there (for a label error; ``None`` if it finds no cell).
    errors
        Probability of each kind of label error: ``"class"``, ``"value"``, ``"box"``, ``"missing"`` (a cell
        without a box) and ``"spurious"`` (a box without a cell).
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
