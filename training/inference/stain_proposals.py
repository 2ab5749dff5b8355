"""Messages on suggestions that come from the stain alone; no scikit-image, no torch."""

from __future__ import annotations

import numpy as np

from annotation_store.records import Proposal, Suggestion
from training.reasons import Reason

STAIN_CONFIDENCE = 0.5
"""What a box from the stain is worth; not calibrated: it is as often wrong as its stain misleads."""


def stain_proposals(boxes: np.ndarray) -> list[Proposal]:
    """Return proposals of boxes ``(k, 4)`` from the stain, without class or attributes."""
    return [Proposal((x, y, w, h), STAIN_CONFIDENCE) for x, y, w, h in boxes.tolist()]


def stain_below(min_confidence: float) -> float | None:
    """Return the confidence that proposals must reach for the stain not to be analysed.

    ``None`` if proposals from the stain would not be shown.
    """
    return min_confidence if min_confidence <= STAIN_CONFIDENCE else None


def is_from_stain(proposal: Proposal, model_id: int | None) -> bool:
    """Return whether a suggestion comes from the stain alone, not from a model."""
    return (
        model_id is None
        and proposal.confidence == STAIN_CONFIDENCE
        and not proposal.class_probabilities
        and not proposal.attribute_probabilities
    )


def has_box_from_stain(suggestion: Suggestion) -> bool:
    """Return whether a suggestion's box comes from the stain, whatever has named its class since.

    Its class, if it has one, was predicted from labels (`training.worker.renew`): the stain names none.
    """
    if suggestion.renewed:
        return suggestion.model_id is None and suggestion.confidence == STAIN_CONFIDENCE
    return is_from_stain(suggestion.proposal, suggestion.model_id)


def stain_reason(fields: int) -> Reason:
    """Describe on how many fields the boxes come from the stain."""
    return Reason(
        "On {count} field the model finds nothing; the boxes there come from the colour of the nuclei alone",
        "On {count} fields the model finds nothing; the boxes there come from the colour of the nuclei alone",
        count=fields,
    )
