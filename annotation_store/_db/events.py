"""What a project tells its listeners (psygnal; no Qt)."""

from __future__ import annotations

from psygnal import Signal, SignalGroup

from annotation_store.records import Edit


class ProjectEvents(SignalGroup):
    """Signals of a project, each emitted after the change is on disk."""

    edited = Signal(Edit)
    fields_added = Signal(list)  # ids of the new fields
    suggestions_changed = Signal(list)  # ids of the fields whose suggestions differ
    models_changed = Signal()
    schema_changed = Signal()  # `project.schema` is the new one already
    ranking_changed = Signal()  # there is another order in which to look next
