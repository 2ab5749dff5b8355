"""Errors whose text is a plain sentence for the person at the screen: what, where, and the cure."""

from __future__ import annotations


class LLDError(Exception):
    """Base of every error that is the user's to mend (exit code 2, a notification in the plugin)."""


class ProjectError(LLDError):
    """A folder is not a project, is damaged, locked, read-only, or made by a newer version."""


class NotWritableError(ProjectError):
    """A project can be read and not written; it can be opened for reading only."""


class ProjectGoneError(ProjectError):
    """The folder of an open project was deleted, moved, replaced, or its disk is gone: nothing is saved."""


class ImageError(LLDError):
    """An image cannot be read as a field."""


class FormatError(LLDError):
    """A file of annotations cannot be read, or holds what the schema does not know."""


class OutputError(LLDError):
    """A file cannot be written where it was asked for."""


class SchemaError(LLDError):
    """A schema file is not valid."""


class EditError(LLDError):
    """An edit breaks a rule of the store (a value the schema lacks, a box outside the field, …)."""
