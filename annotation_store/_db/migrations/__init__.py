"""Alembic's environment and the migrations, in order; package data that Alembic loads by path."""
