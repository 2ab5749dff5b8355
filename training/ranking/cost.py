"""How many seconds of an expert's time a piece of work takes.

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
    """Seconds for each thing that is done; see this module for where they come from.

    Attributes
    ----------
    open_field
        To open a field and find one's way.
    region
        To draw a region and finish it.
    scan
        To look a whole field over for what was not proposed; an area takes its share.
    box, label_class, attribute
        To box a cell, name its class, fill in one attribute.
    accept, glance, correct_value, correct_box, reject
        To accept a suggestion, with a glance at each of its attributes; to put its class or a value right,
        or its box; to reject it.
    factor
        The project's own measured seconds over those that the rest of this predicts.
    measured_fields
        From how many fields the factor comes; 0 = all is assumption.
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
        """To box and label a cell without a suggestion, in seconds."""
        return self.factor * (self.box + self.label_class + attributes * self.attribute)

    def accepted(self, attributes: int, values: float = 0.0, boxes: float = 0.0) -> float:
        """To take over a suggestion, so many of its values and its box put right first."""
        right = values * self.correct_value + boxes * self.correct_box
        return self.factor * (self.accept + attributes * self.glance + right)

    def rejected(self) -> float:
        """To reject a suggestion."""
        return self.factor * self.reject

    def candidate(self, proposal: Proposal, attributes: int) -> float:
        """To judge a suggestion, as likely as not right in each of its parts as it says itself."""
        sure = 0.0 if proposal.is_unknown else max(proposal.class_probabilities.values(), default=0.0)
        wrong = 1 - sure
        wrong += sum(1 - max(v.values(), default=0.0) for v in proposal.attribute_probabilities.values())
        unsaid = max(0, attributes - len(proposal.attribute_probabilities))
        take = self.accepted(attributes, min(max(wrong, 0.0), 1.0 + attributes))
        take += self.factor * self.attribute * unsaid
        p = min(max(proposal.confidence, 0.0), 1.0)
        return p * take + (1 - p) * self.rejected()

    def area(self, candidates: Iterable[Proposal], share: float, attributes: int) -> float:
        """To finish an area of a field, `share` of its size."""
        fixed = self.open_field + self.region + self.scan * min(max(share, 0.0), 1.0)
        return self.factor * fixed + sum(self.candidate(one, attributes) for one in candidates)

    def fitted(self, work: Sequence[tuple[float, float]]) -> CostModel:
        """Fit to measured time: pairs of what this model predicts of a field and what it took, in s.

        Nothing changes below `MIN_FIELDS` fields or `MIN_SECONDS`.
        """
        used = [(estimated, took) for estimated, took in work if estimated > 0 and took > 0]
        estimated, took = sum(s for s, _ in used), sum(t for _, t in used)
        if len(used) < MIN_FIELDS or took < MIN_SECONDS:
            return self
        factor = self.factor * min(max(took / estimated, _LIMITS[0]), _LIMITS[1])
        return dataclasses.replace(self, factor=factor, measured_fields=len(used))


def cost_model(project: Project) -> CostModel:
    """Return the cost model, from the project's own active seconds if there are enough."""
    took: dict[int, float] = defaultdict(float)
    for one in project.work_time.all():
        took[one.field_id] += one.seconds
    model = CostModel()
    if len(took) < MIN_FIELDS:
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
    for field_id, seconds in took.items():
        if not cells[field_id] and not finished[field_id]:
            continue  # looked at, nothing done
        estimate = model.area((), finished[field_id], attributes)
        for cell in cells[field_id]:
            stated = len(cell.attributes)
            estimate += model.new_cell(stated) if cell.suggestion_id is None else model.accepted(stated)
        work.append((estimate, seconds))
    return model.fitted(work)
