"""The region that is proposed next on the field: taken, shifted, or left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from psygnal import Signal

from annotation_store.records import Box, Shape
from napari_lld.i18n.translate import tr
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject
from napari_lld.session.regions import Regions
from napari_lld.session.selection import Selection

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


class RegionProposal:
    """The region that is proposed on the current field."""

    changed = Signal()

    def __init__(
        self, opened: OpenProject, fields: Fields, marks: Marks, selection: Selection, regions: Regions
    ) -> None:
        self._opened = opened
        self._fields = fields
        self._marks = marks
        self._selection = selection
        self._regions = regions
        self._current: ProposedRegion | None = None
        self._proposals: Sequence[Ranked] = ()
        self._proposal_at = -1
        fields.leaving_current.connect(self._on_leaving)
        fields.current_shown.connect(self._on_shown)

    def _on_leaving(self) -> None:
        self._proposals, self._proposal_at = (), -1

    def _on_shown(self) -> None:
        self._set(None)

    @property
    def current(self) -> ProposedRegion | None:
        """The region that is proposed on this field and was neither taken nor left."""
        return self._current

    def _set(self, proposed: ProposedRegion | None) -> None:
        if proposed != self._current:
            self._current = proposed
            self.changed.emit()

    def propose(self) -> None:
        """Propose the region that is most worth annotating here; once more, the next best."""
        from training.ranking import regions

        project, field_id = self._opened.project, self._fields.current_id
        if project is None or field_id is None:
            return
        if self._marks.blind:
            self._opened.notify(
                "hint", tr("A blind reading gets no proposals until a region of the field is finished.")
            )
            return
        if self._current is None or not self._proposals:
            waiting = self._marks.waiting
            proposals = self._opened.attempt(lambda: regions(project, field_id, _CHOICE, suggestions=waiting))
            self._proposals = proposals or ()
            self._proposal_at = -1
        if not self._proposals:
            self._opened.notify("hint", tr("Nothing to propose here: the field is already annotated."))
            return
        if self._current is not None and len(self._proposals) == 1:
            self._opened.notify("hint", tr("No other place to propose here."))
            return
        self._proposal_at = (self._proposal_at + 1) % len(self._proposals)
        best = self._proposals[self._proposal_at]
        if best.box is None:
            return
        self._selection.select(None)  # the handles are the proposed region's
        self._set(ProposedRegion(best.box, best.reasons, best.seconds))

    def shift(self, box: Box) -> None:
        """Put the proposed region elsewhere, or make it larger or smaller."""
        if self._current is not None:
            self._set(replace(self._current, box=box))

    def take(self) -> int | None:
        """Make the proposed region a draft, to box its cells in."""
        proposed = self._current
        if proposed is None:
            return None
        region_id = self._regions.add(Shape.rectangle(*proposed.box), draft=True)
        if region_id is not None:
            self.leave()
        return region_id

    def leave(self) -> None:
        """Drop the proposed region; nothing is kept of it."""
        self._proposals, self._proposal_at = (), -1
        self._set(None)
