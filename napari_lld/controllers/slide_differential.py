"""A differential on the slide that is shown: searched by the worker, counted anew while it is reviewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from annotation_store.records import Edit
from napari_lld.commands.registry import Command
from napari_lld.i18n.translate import tr
from napari_lld.session.session import Session
from napari_lld.session.slide_differential import Counted, ReadPlaces, SlideDifferential
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.tasks.slide_reading import recount

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext
    from napari_lld.widgets.counts.slide_differential_window import SlideDifferentialWindow
    from training.inference.slide_count import SlideCount

_SOON_MS = 300
"""Many edits in a row are counted as one."""


def _on_slide(session: Session) -> bool:
    return session.fields.current is not None and session.fields.current.is_slide


class SlideDifferentialController:
    """Opens the window, has the slide searched, and keeps the counts what they are.

    Parameters
    ----------
    review
        Shows what was counted in the gallery.
    """

    def __init__(self, desk: DeskContext, review: Callable[[Counted], None]) -> None:
        self._desk = desk
        self._review = review
        self.window: SlideDifferentialWindow | None = None
        self._task = LatestTask("slide-count")
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._recount)
        self._searched_slide: int | None = None
        """The slide that the last search was asked for."""
        self._shown: int | None = None
        self._read: dict[int, ReadPlaces] = {}
        self._listening = Subscriptions()
        session = desk.session
        self._listening.add(session.project_changed, self._on_project)
        self._listening.add(session.words_changed, self._on_words)
        self._listening.add(session.readings.changed, self._recount_soon)
        self._listening.add(session.fields.current_changed, self._on_field)
        self._listening.add(session.fields.summaries_changed, self._recount_soon)
        self._listening.add(session.training.state.changed, self._on_training)
        self._listening.add(session.training.state.received, self._on_message)

    def commands(self) -> Iterator[Command]:
        """Make the command that opens it."""
        yield Command(
            "slide.differential",
            "Differential of the slide …",
            self.open,
            ("Ctrl+Shift+D",),
            "Fields",
            _on_slide,
            "Search the monolayer until 200 white cells are found: counts, shares, 95% intervals.",
        )

    def open(self) -> None:
        """Show the window, or bring it to the front."""
        from napari_lld.widgets.base.theme import colours
        from napari_lld.widgets.counts.slide_differential_window import SlideDifferentialWindow

        desk = self._desk
        if self.window is None:
            window = self.window = SlideDifferentialWindow(colours(str(desk.viewer.theme)), desk.window)
            window.asked.connect(self.start)
            window.stopped.connect(desk.session.training.cancel)
            window.review_asked.connect(self.review)
            window.copied.connect(
                lambda: desk.session.notify("hint", tr("The differential is on the clipboard."))
            )
            desk.viewer.events.theme.connect(self._on_theme)
        self.window.show()
        self.window.raise_()
        self.window.count.setFocus()
        self._fill()

    def close(self) -> None:
        """Close the window permanently."""
        self._listening.close()
        self._soon.stop()
        self._task.close()
        self._drop_window()

    def _on_words(self) -> None:
        """Rebuild the window if it is open."""
        old = self.window
        was_visible, target = self._visible, old.target.currentText() if old is not None else ""
        place = old.geometry() if old is not None else None
        self._drop_window()
        if was_visible:
            self.open()
        if self.window is not None and place is not None:
            self.window.target.setCurrentText(target)
            self.window.setGeometry(place)

    def _drop_window(self) -> None:
        window, self.window = self.window, None
        self._shown = None
        if window is not None:
            self._desk.viewer.events.theme.disconnect(self._on_theme)
            window.close()
            window.deleteLater()

    # ------------------------------------------------------------------ what is asked for

    def start(self, to: int) -> None:
        """Start the search of the slide."""
        session = self._desk.session
        field = session.fields.current
        if field is not None and field.is_slide:
            self._searched_slide = field.id
            session.training.count_slide(field.id, to)

    def review(self) -> None:
        """Show what was counted in the gallery."""
        session = self._desk.session
        read = None if self._shown is None else self._read.get(self._shown)
        if read is not None and session.project is not None:
            name = session.project.fields.get(read.field_id).name
            self._review(Counted(read.field_id, name, read.boxes))

    # ------------------------------------------------------------------ what is shown

    @property
    def _visible(self) -> bool:
        return self.window is not None and self.window.isVisible()

    def _fill(self) -> None:
        field, window = self._desk.session.fields.current, self.window
        if window is None or field is None or not field.is_slide:
            return
        if self._shown != field.id:
            self._shown = field.id
            window.begin(field.name)
        self._on_training()
        self._recount()

    def _on_project(self) -> None:
        self._task.drop()
        self._read.clear()
        self._shown = self._searched_slide = None
        if self.window is not None:
            self.window.hide()

    def _on_field(self) -> None:
        if not self._visible:
            return
        if _on_slide(self._desk.session):
            self._fill()
        elif self.window is not None:
            self.window.hide()

    def _on_training(self) -> None:
        session = self._desk.session
        if self.window is not None and self._visible:
            counts_here = (
                session.training.state.task == "differential" and self._searched_slide == self._shown
            )
            self.window.show_training(session.training.state, own=counts_here, forbidden=session.why_no_edits)

    def _on_message(self, message: Any) -> None:
        if message.type != "done" or self._desk.session.training.state.task != "differential":
            return
        read = ReadPlaces.from_result(message.result, message.model_id)
        self._read[read.field_id] = read
        if read.field_id == self._shown:
            self._recount()
        if not self._visible:
            self._desk.session.notify(
                "info", tr("{slide} is counted: see [slide.differential].", slide=message.result["slide"])
            )

    def _recount_soon(self, _edit: Edit | None = None) -> None:
        if self._visible and self._shown in self._read:
            self._soon.start()

    def _recount(self) -> None:
        """Recount the cells and suggestions of the searched places in a thread."""
        project = self._desk.session.project
        read = None if self._shown is None else self._read.get(self._shown)
        if project is None or read is None or not self._visible:
            return
        path, reading = project.path, project.reading.id

        def on_done(count: SlideCount) -> None:
            session = self._desk.session
            schema = session.schema
            if self.window is None or session.project is None or schema is None:
                return
            if self._shown == read.field_id and self._read.get(read.field_id) is read:
                slide = session.project.fields.get(read.field_id)
                self.window.show_counts(SlideDifferential(read, count, schema, slide))

        def failed(sentence: str) -> None:
            if self.window is not None:
                self.window.show_message(sentence)

        self._task.start(lambda: recount(path, reading, read), on_done, failed)

    def _on_theme(self, *_args: object) -> None:
        from napari_lld.widgets.base.theme import colours

        if self.window is not None:
            self.window.use_colours(colours(str(self._desk.viewer.theme)))
