"""Views of the store on napari layers: edits go store → event → layer, never layer → layer."""

from napari_lld.layers.desk_layers import DeskLayers
from napari_lld.layers.pointer import Pointer

__all__ = ["DeskLayers", "Pointer"]
