"""The SQLite database of a project: tables, migrations, connections."""
