"""Read and write text, JSON, tables and file names, whatever the format."""
