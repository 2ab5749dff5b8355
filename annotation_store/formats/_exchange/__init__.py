"""What all formats share: a document between parser and project, its merge, and the export."""
