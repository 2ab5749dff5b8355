"""The user interfaces: the napari plugin and the command line."""
