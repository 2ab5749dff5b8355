"""The work of each annotator: time, cells, and decisions on suggestions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation_store import Decision, Origin, Project
from annotation_store.records import RejectionReason, SuggestionState
from napari_lld.report.facts import ReportFacts
from napari_lld.report.numbers import Estimate, share
from napari_lld.report.words import Words

_WHY = {
    RejectionReason.NOT_A_CELL: "not a cell",
    RejectionReason.DUPLICATE: "a cell that already has a box",
    RejectionReason.BAD_BOX: "a bad box",
}
_LEAST_SECONDS = 60.0


@dataclass
class Fate:
    """What became of some suggestions."""

    total: int = 0
    unchanged: int = 0
    corrected: int = 0
    removed: int = 0
    rejected: int = 0

    def add(self, decision: Decision) -> None:
        """Count one more."""
        self.total += 1
        if decision.state is SuggestionState.REJECTED:
            self.rejected += 1
        elif decision.deleted:
            self.removed += 1
        elif decision.changed:
            self.corrected += 1
        else:
            self.unchanged += 1

    @property
    def accepted(self) -> Estimate:
        """The share accepted as proposed."""
        return share(self.unchanged, self.total)


@dataclass
class Person:
    """What one annotator did."""

    name: str
    seconds: float = 0.0
    fields: int = 0
    made: Counter[Origin] = field(default_factory=Counter)
    fate: Fate = field(default_factory=Fate)

    @property
    def by_hand(self) -> int:
        """Cells that were boxed."""
        return self.made[Origin.BY_HAND]

    @property
    def suggested(self) -> int:
        """Cells that are there because a suggestion was accepted."""
        return self.made[Origin.SUGGESTED]

    @property
    def imported(self) -> int:
        """Cells that came from a file."""
        return self.made[Origin.IMPORTED]

    @property
    def seconds_a_cell(self) -> float | None:
        """Seconds at work for each cell boxed or accepted; ``None`` if too little time was counted."""
        cells = self.by_hand + self.suggested
        return self.seconds / cells if cells and self.seconds >= _LEAST_SECONDS else None


@dataclass(frozen=True)
class WorkFacts:
    """All of it.

    Attributes
    ----------
    by_model
        Model number (``None``: the starter, or the stain) to what became of its suggestions, anywhere and
        on the fields that chance drew.
    corrected
        What was changed in cells made of suggestions, most often first.
    kept
        Cells made of suggestions that are still there.
    """

    people: Sequence[Person]
    fate: Fate
    on_reserve: Fate
    by_model: Mapping[int | None, tuple[Fate, Fate]]
    corrected: Sequence[tuple[str, int]]
    kept: int
    rejected: Sequence[tuple[str, int]]

    @property
    def seconds(self) -> float:
        """The time of all together."""
        return sum(person.seconds for person in self.people)


def work(project: Project, facts: ReportFacts) -> WorkFacts:
    """Count the work of all readings."""
    people: dict[str, Person] = {}

    def person(name: str) -> Person:
        return people.setdefault(name, Person(name))

    for row in project.work_time.all():
        person(row.annotator).seconds += row.seconds
        person(row.annotator).fields += row.seconds > 0
    for count in project.review_statistics.cells_made():
        person(count.annotator).made[count.origin] += count.count
    fate, on_reserve = Fate(), Fate()
    by_model: dict[int | None, tuple[Fate, Fate]] = defaultdict(lambda: (Fate(), Fate()))
    changed: Counter[str] = Counter()
    why: Counter[RejectionReason] = Counter()
    for decision in project.review_statistics.decisions():
        fate_of_model, reserve_fate_of_model = by_model[decision.model_id]
        for counted_fate in (fate, fate_of_model, person(decision.annotator).fate):
            counted_fate.add(decision)
        if decision.field_id in facts.random_sample:
            on_reserve.add(decision)
            reserve_fate_of_model.add(decision)
        if not decision.deleted:
            changed.update(decision.changed)
        if decision.reason is not None:
            why[decision.reason] += 1
    return WorkFacts(
        people=sorted(people.values(), key=lambda entry: entry.name),
        fate=fate,
        on_reserve=on_reserve,
        by_model=dict(sorted(by_model.items(), key=lambda item: item[0] or 0)),
        corrected=[(_part_title(name, facts.words), n) for name, n in changed.most_common()],
        kept=fate.unchanged + fate.corrected,
        rejected=[(_WHY[reason], n) for reason, n in why.most_common()],
    )


def _part_title(name: str, words: Words) -> str:
    kind, _, attribute = name.partition(":")
    return words.attribute(attribute) if attribute else kind.capitalize()
