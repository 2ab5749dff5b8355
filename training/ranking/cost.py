"""Cost model of annotation, in seconds of an expert's time.

The constants are assumptions until the project has measured enough of its own time. They follow the
keystroke-level model (Card, Moran and Newell, *The keystroke-level model for user performance time with
interactive systems*, CACM 23(7), 1980): 1.35 s to prepare an act in the mind, 0.28 s a key, 1.1 s to point,
0.4 s from mouse to keys; how many keys and clicks an act takes is counted by ``examples/tools/desk_tour.py``.

- A click on a cell and a key that takes its box, 3.4 s by that model: 4. A class is a harder decision than
  its chord of two keys, 1.9 s: 2.5. An attribute is a look and a digit, 1.6 s: 1.5.
- To accept or reject is a look and a key, 1.6 s: 1.8 and 1.5; and a glance at each attribute. To put a value
  right is a look, some steps to it and a digit, 2.2 to 2.5 s; to put a box right, two drags, 4.3 s: 4.
- To open a field, to draw a region, to scan a field for what was missed: 3, 5 and 15 s are guesses.

Of others' tools it is known that a box took 35 s by the traditional drag and 7 s by four extreme clicks
(Papadopoulos and others, *Extreme clicking for efficient object annotation*, ICCV 2017, with Su and others
2012), box and spoken class 6.5 s (Gygli and Ferrari 2019, arXiv 1905.10576), as box and class do here.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation_store.records import Cell, Proposal

if TYPE_CHECKING:
    from annotation_store.project import Project

MIN_FIELDS = 5
MIN_SECONDS = 300.0
_LIMITS = (0.2, 5.0)


@dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds for each action; see this module for the sources.

    Attributes
    ----------
    open_field
        Open a field and orient oneself.
    region
        Draw and finish a region.
    scan
        Scan a whole field for missed cells; an area takes its share.
    box, label_class, attribute
        Box a cell, label its class, label one attribute.
    accept, glance, correct_value, correct_box, reject
        Accept a suggestion, check one of its attributes, correct its class or a value, correct its box,
        reject it.
    factor
        Measured over predicted time in this project.
    measured_fields
        Number of fields that `factor` was measured on; 0 = not measured.
    """

    open_field: float = 3.0
    region: float = 5.0
    scan: float = 15.0
    box: float = 4.0
    label_class: float = 2.5
    attribute: float = 1.5
    accept: float = 1.8
    glance: float = 0.3
    correct_value: float = 2.5
    correct_box: float = 4.0
    reject: float = 1.5
    factor: float = 1.0
    measured_fields: int = 0

    def new_cell(self, attributes: int) -> float:
        """Return the seconds to box and label a cell without a suggestion."""
        return self.factor * (self.box + self.label_class + attributes * self.attribute)

    def accepted(self, attributes: int, values: float = 0.0, boxes: float = 0.0) -> float:
        """Return the seconds to accept a suggestion after correcting some of its values and its box."""
        corrections = values * self.correct_value + boxes * self.correct_box
        return self.factor * (self.accept + attributes * self.glance + corrections)

    def rejected(self) -> float:
        """Return the seconds to reject a suggestion."""
        return self.factor * self.reject

    def candidate(self, proposal: Proposal, attributes: int) -> float:
        """Return the expected seconds to review a suggestion, according to its own probabilities."""
        confidence = 0.0 if proposal.is_unknown else max(proposal.class_probabilities.values(), default=0.0)
        n_wrong = 1 - confidence
        n_wrong += sum(1 - max(v.values(), default=0.0) for v in proposal.attribute_probabilities.values())
        n_unpredicted = max(0, attributes - len(proposal.attribute_probabilities))
        accept = self.accepted(attributes, min(max(n_wrong, 0.0), 1.0 + attributes))
        accept += self.factor * self.attribute * n_unpredicted
        p_cell = min(max(proposal.confidence, 0.0), 1.0)
        return p_cell * accept + (1 - p_cell) * self.rejected()

    def area(self, candidates: Iterable[Proposal], share: float, attributes: int) -> float:
        """Return the seconds to finish an area of a field, `share` of its size."""
        fixed = self.open_field + self.region + self.scan * min(max(share, 0.0), 1.0)
        return self.factor * fixed + sum(self.candidate(candidate, attributes) for candidate in candidates)

    def fit(self, work: Sequence[tuple[float, float]]) -> CostModel:
        """Fit the factor to pairs of predicted and measured seconds of fields.

        Return the model unchanged with fewer than `MIN_FIELDS` fields or `MIN_SECONDS`.
        """
        pairs = [(estimated, measured) for estimated, measured in work if estimated > 0 and measured > 0]
        estimated, measured = sum(s for s, _ in pairs), sum(measured for _, measured in pairs)
        if len(pairs) < MIN_FIELDS or measured < MIN_SECONDS:
            return self
        factor = self.factor * min(max(measured / estimated, _LIMITS[0]), _LIMITS[1])
        return dataclasses.replace(self, factor=factor, measured_fields=len(pairs))


def cost_model(project: Project) -> CostModel:
    """Return the cost model, fitted to the project's active time if there is enough."""
    measured: dict[int, float] = defaultdict(float)
    for entry in project.work_time.all():
        measured[entry.field_id] += entry.seconds
    model = CostModel()
    if len(measured) < MIN_FIELDS:
        return model
    cells: dict[int, list[Cell]] = defaultdict(list)
    for cell in project.cells.all():
        cells[cell.field_id].append(cell)
    finished: dict[int, float] = defaultdict(float)
    fields = {field.id: field for field in project.fields.all()}
    for region in project.regions.all():
        if region.finished:
            field = fields[region.field_id]
            finished[region.field_id] += region.shape.geometry.area / (field.width * field.height)
    attributes = len(project.schema.attributes)
    work = []
    for field_id, seconds in measured.items():
        if not cells[field_id] and not finished[field_id]:
            continue  # viewed only
        estimate = model.area((), finished[field_id], attributes)
        for cell in cells[field_id]:
            n_attributes = len(cell.attributes)
            estimate += (
                model.new_cell(n_attributes) if cell.suggestion_id is None else model.accepted(n_attributes)
            )
        work.append((estimate, seconds))
    return model.fit(work)
