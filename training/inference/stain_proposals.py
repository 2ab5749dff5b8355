"""Messages on suggestions that come from the stain alone; no scikit-image, no torch."""

from __future__ import annotations

from annotation_store.records import Proposal
from training.reasons import Reason

STAIN_CONFIDENCE = 0.5
"""What a box from the stain is worth; not calibrated: it is as often wrong as its stain misleads."""


def is_from_stain(proposal: Proposal, model_id: int | None) -> bool:
    """Return whether a suggestion without a model comes from the stain, not from the starter."""
    return (
        model_id is None
        and proposal.confidence == STAIN_CONFIDENCE
        and not proposal.class_probabilities
        and not proposal.attribute_probabilities
    )


def stain_reason(fields: int) -> Reason:
    """Describe on how many fields the boxes come from the stain."""
    return Reason(
        "On {count} field the starter finds nothing; the boxes there come from the colour of the nuclei "
        "alone",
        "On {count} fields the starter finds nothing; the boxes there come from the colour of the nuclei "
        "alone",
        count=fields,
    )
