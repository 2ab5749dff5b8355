"""Finishing regions and whole fields: a promise that every white cell in them is boxed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject

from annotation_store.errors import LLDError
from annotation_store.records import Shape
from napari_lld.commands.registry import Command, has_field
from napari_lld.i18n.translate import tr
from napari_lld.tasks import actions
from napari_lld.tasks.latest_task import LatestTask

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


class FinishController:
    """The part of a desk that finishes an area, once what may not be right about it has been answered.

    Parameters
    ----------
    parent
        What lives as long as the search for dark nuclei may.
    """

    def __init__(self, desk: DeskContext, parent: QObject) -> None:
        self._desk = desk
        self._nuclei = LatestTask("nuclei", parent)
        self._come_late: Callable[[], bool] = lambda: False

    def close(self) -> None:
        """Wait for no answer any more."""
        self._nuclei.close()

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        yield Command(
            "region.whole",
            "Whole field",
            self.finish_whole_field,
            ("Ctrl+Return",),
            "Draw",
            has_field,
            "Confirm that every white cell of this field is boxed; you are first asked about "
            "doubtful places.",
        )
        yield Command(
            "region.finish",
            "Finish the draft region",
            self.finish_region,
            ("E",),
            "Draw",
            has_field,
            "Confirm that every white cell in it is boxed; you are first asked about doubtful places.",
        )

    def finish_region(self) -> None:
        """Finish the draft region, once what may not be right about it has been answered."""
        session, region = self._desk.session, self._desk.session.regions.to_finish()
        if region is None:
            session.regions.finish()  # says what to choose
            return

        def finish() -> None:
            session.selection.select("region", region.id)
            session.regions.finish()

        self._promise(region.shape, tr("Finish the region"), finish)

    def finish_whole_field(self) -> None:
        """Mark the whole field as reviewed, once the user has answered the warnings about it."""
        field = self._desk.session.fields.current
        if field is not None:
            shape = Shape.rectangle(0, 0, field.width, field.height)
            self._promise(shape, tr("Whole field"), self._desk.session.regions.add_whole_field)

    def _promise(self, shape: Shape, title: str, finish: Callable[[], object]) -> None:
        """Finish an area of the field that is shown: all that is not boxed in it becomes background.

        Dark nuclei without a box are looked for in a thread; the answer counts only while the field is shown.
        """
        from napari_lld.widgets.dialogs import dialogs

        session, field = self._desk.session, self._desk.session.fields.current
        if field is None:
            return
        place_before = (session.project, field.id)

        def come_late() -> bool:
            late = (session.project, session.fields.current_id) != place_before
            if late:
                message = tr(
                    "{area}: {field} was not finished, because another field was opened "
                    "before the check ended.",
                    area=title,
                    field=field.name,
                )
                session.notify("warning", message)
            return late

        def ask(nuclei: int) -> None:
            if come_late():
                return
            doubts = session.regions.doubts(shape, nuclei)
            if not doubts or dialogs.ask_anyway(title, doubts, self._desk.window):
                finish()

        def unseen(trouble: str) -> None:
            session.notify("warning", tr("The search for dark nuclei failed: {trouble}", trouble=trouble))
            ask(0)

        try:
            pixels = None if field.is_slide else session.fields.pixels(field.id)
        except LLDError as error:
            unseen(str(error))
            return
        if pixels is None:
            ask(0)
            return
        known_places = session.regions.known_places()
        if self._nuclei.busy:
            self._come_late()  # its answer is not waited for any more
        self._come_late = come_late
        self._nuclei.start(lambda: actions.count_unboxed_nuclei(pixels, shape, known_places), ask, unseen)
