"""What people touch: the napari plugin and the command line."""
