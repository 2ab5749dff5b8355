"""The region that is proposed next on the field: taken, shifted, or left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psygnal import Signal

from annotation_store.records import Box, Shape
from napari_lld.i18n.translate import tr
from napari_lld.session.marks import MarkActions

if TYPE_CHECKING:
    from training.ranking import Ranked
    from training.reasons import Reason

_CHOICE = 5
"""So many places of a field are proposed, one after the other."""


@dataclass(frozen=True)
class ProposedRegion:
    """A place to annotate next, and why; nothing of it is stored before it is taken.

    Attributes
    ----------
    seconds
        How long it will take, by estimate.
    """

    box: Box
    reasons: tuple[Reason, ...]
    seconds: float


class ProposedRegions(MarkActions):
    """The state with the region that is proposed."""

    proposed_region_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._proposed_region: ProposedRegion | None = None
        self._proposals: Sequence[Ranked] = ()
        self._proposal_at = -1

    @property
    def proposed_region(self) -> ProposedRegion | None:
        """The region that is proposed on this field and was neither taken nor left."""
        return self._proposed_region

    def _propose(self, proposed: ProposedRegion | None) -> None:
        if proposed != self._proposed_region:
            self._proposed_region = proposed
            self.proposed_region_changed.emit()

    def propose_region(self) -> None:
        """Propose the region that is most worth annotating here; once more, the next best."""
        from training.ranking import regions

        project, field_id = self.project, self._field_id
        if project is None or field_id is None:
            return
        if self._blind:
            self.tell(
                "hint", tr("A blind reading gets no proposal before a region of the field is finished.")
            )
            return
        if self._proposed_region is None or not self._proposals:
            waiting = self.waiting
            found = self._try(lambda: regions(project, field_id, _CHOICE, suggestions=waiting))
            self._proposals = found or ()
            self._proposal_at = -1
        if not self._proposals:
            self.tell("hint", tr("Nothing to propose here: the field is known already."))
            return
        if self._proposed_region is not None and len(self._proposals) == 1:
            self.tell("hint", tr("No other place to propose here."))
            return
        self._proposal_at = (self._proposal_at + 1) % len(self._proposals)
        best = self._proposals[self._proposal_at]
        if best.box is None:
            return
        self.select(None)  # the handles are the proposed region's
        self._propose(ProposedRegion(best.box, best.reasons, best.seconds))

    def shift_proposed_region(self, box: Box) -> None:
        """Put the proposed region elsewhere, or make it larger or smaller."""
        if self._proposed_region is not None:
            self._propose(replace(self._proposed_region, box=box))

    def take_proposed_region(self) -> int | None:
        """Make the proposed region a draft, to box its cells in."""
        proposed = self._proposed_region
        if proposed is None:
            return None
        taken = self.add_region(Shape.rectangle(*proposed.box), draft=True)
        if taken is not None:
            self.leave_proposed_region()
        return taken

    def leave_proposed_region(self) -> None:
        """Drop the proposed region; nothing is kept of it."""
        self._proposals, self._proposal_at = (), -1
        self._propose(None)

    def _leave_field(self) -> None:
        super()._leave_field()
        self._proposals, self._proposal_at = (), -1

    def _after_field(self) -> None:
        super()._after_field()
        self._propose(None)
