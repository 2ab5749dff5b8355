"""Cells of the current field to plain napari layers, and cells from such a layer: two commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from napari.layers import Labels, Layer, Points, Shapes
from qtpy.QtWidgets import QDockWidget

from annotation_store.errors import LLDError
from annotation_store.formats import Marked
from napari_lld.commands.registry import Command, has_field
from napari_lld.i18n.translate import tr, trn
from napari_lld.imaging.click_box import usual_side
from napari_lld.layers import cell_layers
from napari_lld.layers.cell_layers import OnField
from napari_lld.session import layer_cells

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext

_KINDS = (Shapes, Points, Labels)
_MOST_TAKEN = 20_000
"""Marks of a layer that become cells: an image of numbers that is no segmentation has more."""
_DOCKS = ("layer list", "layer controls")


class LayerCellsController:
    """The part of a desk that sends cells to napari's layers and reads them from layers."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        yield Command(
            "layers.send",
            "Send cells to layers",
            self.send,
            ("Alt+E",),
            "Layers",
            has_field,
            "The cells of this field as Shapes, Points and Labels of napari, with class, "
            "attributes and confidence as features: a copy for napari's own tools and other "
            "plugins.",
        )
        yield Command(
            "layers.take",
            "Take cells from the layer",
            self.take,
            ("Alt+T",),
            "Layers",
            has_field,
            "The Shapes, Points or Labels of the selected layer become cells of this field, "
            "in one undoable step. Cells that were sent are changed, others added, none "
            "deleted.",
        )

    # ------------------------------------------------------------------ to layers

    def send(self) -> None:
        """Add layers with the cells of the current field."""
        session, viewer = self._desk.session, self._desk.viewer
        project, field = session.project, session.fields.current
        if project is None or field is None:
            return
        cells = self._cells()
        if not cells:
            session.notify("hint", tr("No cell is boxed on this field: there is nothing to send."))
            return
        schema = project.schema
        layers = [cell_layers.points_layer(cells, schema, name=tr("{field}: centres", field=field.name))]
        if field.width * field.height <= cell_layers.MOST_LABELLED:
            name = tr("{field}: labels", field=field.name)
            layers.append(cell_layers.labels_layer(cells, schema, field.width, field.height, name=name))
        if len(cells) <= cell_layers.MOST_SHAPES:
            name = tr("{field}: boxes", field=field.name)  # without letters: those of the field are in sight
            layers.append(cell_layers.boxes_layer(cells, schema, name=name, text=None))
        for data, arguments, kind in layers:
            layer = Layer.create(data, arguments, kind)
            layer.metadata[cell_layers.METADATA] = {"source": str(project.path), "fields": [field.name]}
            layer.visible = kind == layers[-1][2]  # one of them is enough to see
            viewer.add_layer(layer)
        self._show_list()
        session.notify(
            "info",
            trn(
                "{count} cell was sent to layers. They are a copy: [layers.take] brings changes back.",
                "{count} cells were sent to layers. They are a copy: [layers.take] brings changes back.",
                len(cells),
            ),
        )

    def _cells(self) -> list[OnField]:
        """Return the cells of the current field with the certainty of the model that saw each."""
        project, field = self._desk.session.project, self._desk.session.fields.current
        if project is None or field is None:
            return []
        certain: dict[int, float] = {}
        for entry in project.bulk_edits.entries([field.id], states=()):
            if (proposal := entry.proposal) is not None:
                certain[entry.id] = proposal.probability
        cells = self._desk.session.marks.cells
        return [
            OnField(
                Marked(
                    cell.box,
                    cell.cell_class or "",
                    cell.attributes,
                    certain.get(cell.id),
                    cell.kind or "",
                    cell.comment,
                    cell.id,
                )
            )
            for cell in cells
        ]

    def _show_list(self) -> None:
        """Show napari's layer list and controls, which our own window hides: there the layers are chosen."""
        window: Any = self._desk.window
        for name in _DOCKS if window is not None else ():
            dock = window.findChild(QDockWidget, name)
            if dock is not None:
                dock.show()

    # ------------------------------------------------------------------ from a layer

    @property
    def chosen(self) -> Layer | None:
        """The layer to take from: the active one if it is not ours, else the only one there is."""
        layers = self._desk.layers
        others = [
            layer
            for layer in self._desk.viewer.layers
            if isinstance(layer, _KINDS) and not layers.owns(layer)
        ]
        active = self._desk.viewer.layers.selection.active
        if active is not None and not layers.owns(active):
            return active
        return others[0] if len(others) == 1 else None

    @property
    def can_take(self) -> bool:
        """Whether the active layer is one that cells can be taken from."""
        active = self._desk.viewer.layers.selection.active
        return isinstance(active, _KINDS) and not self._desk.layers.owns(active)

    def take(self) -> None:
        """Make cells of a layer's marks; ask first what classes mean that the schema lacks."""
        session = self._desk.session
        project, field, layer = session.project, session.fields.current, self.chosen
        if project is None or field is None:
            return
        if layer is None:
            self._desk.fail(tr("Select a layer of Shapes, Points or Labels in napari's layer list first."))
            return
        cells = project.cells.all(field.id)  # of a slide those out of sight too
        side = usual_side([cell.box for cell in cells], field.width, field.height)
        try:
            marks = cell_layers.cells_of(layer.as_layer_data_tuple(), side)
        except ValueError:
            self._desk.fail(
                tr(
                    "No cells can be taken from the layer “{name}”: choose a layer of Shapes, Points or "
                    "Labels with two dimensions.",
                    name=layer.name,
                )
            )
            return
        if len(marks) > _MOST_TAKEN:
            self._desk.fail(
                tr(
                    "The layer “{name}” has {count} marks, more than a field has cells (at most {most}): "
                    "choose one with a mark for each cell.",
                    name=layer.name,
                    count=len(marks),
                    most=_MOST_TAKEN,
                )
            )
            return
        unknown = layer_cells.unknown_classes(marks, project.schema)
        meaning: layer_cells.Meaning | None = {}
        if unknown:
            from napari_lld.widgets.dialogs.class_meaning_dialog import ask_meaning

            meaning = ask_meaning(unknown, project.schema, self._desk.window)
        if meaning is None:
            return
        sent = self._boxes_as_sent(layer) if isinstance(layer, Labels) else {}
        taking = layer_cells.take(marks, field, cells, project.schema, meaning, sent)
        try:
            command = f"Import {layer.name}"
            project.bulk_edits.take(field.id, command, new=taking.new, changed=taking.changed)
        except LLDError as error:
            session.refused(error, self.take)
            return
        session.notify("info", taking.sentence(str(layer.name)))

    def _boxes_as_sent(self, layer: Labels) -> dict[int, tuple[float, ...]]:
        """Return the boxes round labels as they would be sent: rounded, and smaller where one overlaps."""
        project = self._desk.session.project
        if project is None or layer.data.ndim != 2:
            return {}
        height, width = layer.data.shape
        sent = cell_layers.labels_layer(self._cells(), project.schema, width, height, name="")
        return {mark.cell_id: mark.box for mark in cell_layers.cells_of(sent, 1.0)}
