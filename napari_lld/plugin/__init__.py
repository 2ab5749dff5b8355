"""The contributions of the manifest: readers, writers and menu commands."""
