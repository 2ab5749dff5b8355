"""What to annotate next, and why: fields, regions within a field, cells; no torch.

The order of the fields is worked out after a round (`update`) and stored, so that it never changes under
anybody's hand; `order` reads it. Regions and cells come from the suggestions that wait now.
"""

from training.evaluation.uncertainty import uncertainty
from training.ranking.cells import Queue, cells
from training.ranking.cold_start import look_at_stain
from training.ranking.cost import CostModel, cost_model
from training.ranking.items import STAIN, STARTER, Ranked
from training.ranking.label_errors import LabelErrors, label_errors
from training.ranking.project import best_regions, order, regions, update
from training.ranking.slides import look_at_slides

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
    "label_errors",
    "look_at_slides",
    "look_at_stain",
    "order",
    "regions",
    "uncertainty",
    "update",
]
