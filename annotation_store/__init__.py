"""The truth of a project: schema, fields, regions, cells, suggestions, history, images and formats."""
