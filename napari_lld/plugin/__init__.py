"""What the manifest offers to any napari window: readers, writers and menu commands."""
