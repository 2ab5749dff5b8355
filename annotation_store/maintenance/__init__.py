"""Create, check, repair and restore a project."""
