"""What to annotate next, and why: fields, regions within a field, cells; no torch.

The order of the fields is worked out after a round (`update`) and stored, so that it never changes under
anybody's hand; `order` reads it. Regions and cells come from the suggestions that wait now.
"""

from training.evaluation.uncertainty import uncertainty
from training.ranking.cells import Queue, cells
from training.ranking.cold_start import embed_by_stain
from training.ranking.cost import CostModel, cost_model
from training.ranking.items import STAIN, STARTER, Ranked
from training.ranking.label_errors import LabelErrors, label_errors
from training.ranking.project import best_regions, order, regions, unsearched, update
from training.ranking.slides import embed_slides_by_stain

__all__ = [
    "STAIN",
    "STARTER",
    "CostModel",
    "LabelErrors",
    "Queue",
    "Ranked",
    "best_regions",
    "cells",
    "cost_model",
    "embed_by_stain",
    "embed_slides_by_stain",
    "label_errors",
    "order",
    "regions",
    "uncertainty",
    "unsearched",
    "update",
]
