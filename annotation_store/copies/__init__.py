"""Copies of a project for several readers: split from it, and brought together again."""
