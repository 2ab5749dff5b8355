"""The tables, as SQLAlchemy Core sees them; `migrations/` creates them, a test holds the two together.

Rows of entities are never removed: ``deleted`` is a tombstone, so that history can always point at them
and an undo can bring them back under the same number.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _deleted() -> Column[bool]:
    return Column("deleted", Boolean, nullable=False, server_default=text("0"))


def _one_of(column: str, *values: str) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _box() -> list[Column[float]]:
    return [Column(name, Float, nullable=False) for name in ("x", "y", "w", "h")]


def _box_is_sane() -> CheckConstraint:
    return CheckConstraint("x >= 0 AND y >= 0 AND w > 0 AND h > 0", name="box_sane")


project = Table(
    "project",
    metadata,
    _id(),
    Column("uid", String, nullable=False),
    Column("created", String, nullable=False),
    Column("secret", String, nullable=False),  # key of the hashes that anonymise exports
    Column("schema", JSON, nullable=False),
    Column("schema_version", Integer, nullable=False, server_default=text("1")),
    Column("patient_rule", Text),  # the expression that finds patients in the names of new files
    CheckConstraint("id = 1", name="one_row"),
)

words = Table(
    "words",
    metadata,
    # every value that the schema knows of each attribute; classes and groups stand under ""
    Column("attribute", String, primary_key=True),
    Column("value", String, primary_key=True),
)

old_schemas = Table(
    "old_schemas",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("digest", String, nullable=False),
    Column("schema", JSON, nullable=False),
    Column("replaced", String, nullable=False),  # when, by whom, and what became of vanished words
    Column("annotator", String, nullable=False),
    Column("mapping", JSON, nullable=False),
)

annotators = Table(
    "annotators",
    metadata,
    _id(),
    Column("name", String, nullable=False, unique=True),
    Column("reading_id", ForeignKey("readings.id")),  # where they begin; see `_collections/readings.py`
)

fields = Table(
    "fields",
    metadata,
    _id(),
    Column("name", String, nullable=False, unique=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("content_hash", String, nullable=False, unique=True),
    Column("suffix", String, nullable=False),  # of the original file: originals/HASH.suffix
    Column("source_path", Text, nullable=False),
    Column("patient", String),
    Column("slide", String),
    Column("domain", String),
    Column("pixel_size_um", Float),
    Column("microscope", String),
    Column("camera", String),
    Column("magnification", Float),
    Column("stain", String),
    Column("quality", String),
    Column("note", Text, nullable=False, server_default=text("''")),
    Column("added", String, nullable=False),
    Column("kind", String, nullable=False, server_default=text("'image'")),
    Column("source_bytes", Integer),  # of a slide: its size at source_path, to find it again
    Column("skipped", Boolean, nullable=False, server_default=text("0")),
    # whether its original stayed with the project that this copy was split from
    Column("withheld", Boolean, nullable=False, server_default=text("0")),
    # id of another field to where its top left corner lies in this one; said from one side only
    Column("overlaps", JSON(none_as_null=True)),
    _one_of("kind", "image", "slide"),
    Index("ix_fields_kind", "kind"),
    CheckConstraint("width > 0 AND height > 0", name="size_sane"),
    CheckConstraint("pixel_size_um IS NULL OR pixel_size_um > 0", name="pixel_size_sane"),
)

readings = Table(
    "readings",
    metadata,
    _id(),
    Column("name", String, nullable=False, unique=True),
    Column("annotator", String, nullable=False),
    Column("blind", Boolean, nullable=False, server_default=text("0")),
)

regions = Table(
    "regions",
    metadata,
    _id(),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("reading_id", ForeignKey("readings.id"), nullable=False),
    Column("shape", JSON, nullable=False),
    Column("state", String, nullable=False),
    _deleted(),
    _one_of("state", "draft", "finished"),
    Index("ix_regions_field", "field_id", "reading_id", "deleted"),
)

ignore_areas = Table(
    "ignore_areas",
    metadata,
    _id(),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("reading_id", ForeignKey("readings.id"), nullable=False),
    Column("shape", JSON, nullable=False),
    _deleted(),
    Index("ix_ignore_areas_field", "field_id", "reading_id", "deleted"),
)

cells = Table(
    "cells",
    metadata,
    _id(),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("reading_id", ForeignKey("readings.id"), nullable=False),
    *_box(),
    Column("cell_class", String),
    Column("attributes", JSON, nullable=False),
    Column("kind", String),
    Column("cut", Boolean, nullable=False, server_default=text("0")),
    Column("comment", Text, nullable=False, server_default=text("''")),
    Column("bookmark", Boolean, nullable=False, server_default=text("0")),
    Column("second_opinion", Boolean, nullable=False, server_default=text("0")),
    Column("suggestion_id", ForeignKey("suggestions.id")),
    Column("origin", String, nullable=False, server_default=text("'by hand'")),
    Column("extra", JSON(none_as_null=True)),  # what an imported file said that the store has no word for
    # what a person kept or gave although a model predicted otherwise: cell_class, attributes, box
    Column("confirmed", JSON(none_as_null=True)),
    _deleted(),
    _box_is_sane(),
    _one_of("origin", "by hand", "suggested", "imported"),
    Index("ix_cells_field", "field_id", "reading_id", "deleted"),
)

suggestions = Table(
    "suggestions",
    metadata,
    _id(),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("model_id", ForeignKey("models.id")),
    *_box(),
    Column("confidence", Float, nullable=False),
    # of what is stated (`Proposal.probability`), kept so that the database can order and filter by it
    Column("probability", Float, nullable=False, server_default="0"),
    Column("novelty", Float),  # p-value of being of a taught class; NULL = not computed by its model
    # of a film that its model has not learnt from: no probability was checked there
    Column("unchecked", Boolean, nullable=False, server_default=text("0")),
    # its class and values were predicted again, by heads that learnt from labels given since
    Column("renewed", Boolean, nullable=False, server_default=text("0")),
    # "class" or attribute to the values among which the true one is at 95%; absent where nothing is claimed
    Column("sets", JSON, nullable=False, server_default=text("'{}'")),
    Column("class_probabilities", JSON, nullable=False),
    Column("attribute_probabilities", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("cell_id", Integer),
    Column("created", String, nullable=False),
    _box_is_sane(),
    _one_of("state", "pending", "accepted", "corrected", "rejected", "superseded"),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence_is_probability"),
    CheckConstraint(
        "(state = 'rejected') = (reason IS NOT NULL) "
        "AND (reason IS NULL OR reason IN ('not_a_cell', 'duplicate', 'bad_box'))",
        name="rejected_with_reason",
    ),
    CheckConstraint("(state IN ('accepted', 'corrected')) = (cell_id IS NOT NULL)", name="accepted_has_cell"),
    Index("ix_suggestions_field", "field_id", "state"),
    Index("ix_suggestions_waiting", "state", "field_id", "probability"),
)

searches = Table(
    "searches",
    metadata,
    # a model's search of a whole slide, tile by tile: no history, it can be made again
    _id(),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("model_id", ForeignKey("models.id")),
    Column("about", JSON, nullable=False),  # how the slide was cut into tiles, and what was searched with
    Column("created", String, nullable=False),
    Index("ix_searches_field", "field_id", "id"),
)

searched_tiles = Table(
    "searched_tiles",
    metadata,
    Column("search_id", ForeignKey("searches.id"), primary_key=True),
    Column("tile", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    # the suggestions that were found in it have the ids from `first`, so many
    Column("first", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    _one_of("state", "searched", "empty", "damaged"),
)

conflicts = Table(
    "conflicts",
    metadata,
    _id(),
    Column("at", String, nullable=False),
    Column("annotator", String, nullable=False),
    Column("source", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    # of a field as a whole: neither a reading, nor a cell, nor a region
    Column("reading_id", ForeignKey("readings.id")),
    Column("cell_id", ForeignKey("cells.id")),
    Column("region_id", ForeignKey("regions.id")),
    Column("here", JSON, nullable=False),  # only what differs: cell_class, attributes, …
    Column("there", JSON, nullable=False),
    Column("state", String, nullable=False, server_default=text("'open'")),
    # "superseded": of projects brought together, where what came later settled it
    _one_of("state", "open", "kept", "taken", "superseded"),
    Index("ix_conflicts_state", "state", "reading_id"),
    Index("ix_conflicts_field", "field_id"),
)

origins = Table(
    "origins",
    metadata,
    # what a row is called in every copy of a project: of rows that came from another copy, or went into one
    Column("entity", String, primary_key=True),  # a word of the history, "edit", "reading"
    Column("row_id", Integer, primary_key=True),
    Column("uid", String, nullable=False),
    Column("number", Integer, nullable=False),  # the row's id where it was made: the order of exports
    Column("about", JSON(none_as_null=True)),  # what its copy knew of it; see `copies/replica.py`
    UniqueConstraint("entity", "uid", name="one_of_each"),
)

active_time = Table(
    "active_time",
    metadata,
    _id(),
    Column("annotator", String, nullable=False),
    Column("field_id", ForeignKey("fields.id"), nullable=False),
    Column("seconds", Float, nullable=False, server_default=text("0")),
    UniqueConstraint("annotator", "field_id", name="once"),
    CheckConstraint("seconds >= 0", name="seconds_sane"),
)

models = Table(
    "models",
    metadata,
    _id(),
    Column("parent", String, nullable=False, server_default=text("''")),
    Column("created", String, nullable=False),
    Column("ready", Boolean, nullable=False, server_default=text("0")),  # 0: only the number is taken
    Column("active", Boolean, nullable=False, server_default=text("0")),
    Column("card", JSON, nullable=False),
    CheckConstraint("ready OR NOT active", name="active_is_ready"),
    Index("ux_models_active", "active", unique=True, sqlite_where=text("active = 1")),
)

runs = Table(
    "runs",
    metadata,
    _id(),
    Column("started", String, nullable=False),
    Column("finished", String),
    Column("annotator", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("state", String, nullable=False),
    Column("model_id", ForeignKey("models.id")),
    Column("message", Text, nullable=False, server_default=text("''")),
)

looks = Table(
    "looks",
    metadata,
    # what can be made again by looking again: no history
    Column("field_id", ForeignKey("fields.id"), primary_key=True),
    Column("maker", String, primary_key=True),  # a model's number, "starter" or "stain"
    Column("vector", LargeBinary, nullable=False),  # little-endian float16
    Column("opinions", JSON, nullable=False),
)

reserve = Table(
    "reserve",
    metadata,
    Column("field_id", ForeignKey("fields.id"), primary_key=True),
    Column("drawn", String, nullable=False),
)

rankings = Table(
    "rankings",
    metadata,
    _id(),
    Column("maker", String, nullable=False),
    Column("at", String, nullable=False),
    Column("about", JSON, nullable=False),
    Column("entries", JSON, nullable=False),
)

edits = Table(
    "edits",
    metadata,
    _id(),
    Column("at", String, nullable=False),
    Column("annotator", String, nullable=False),
    Column("field_id", ForeignKey("fields.id")),
    Column("reading_id", ForeignKey("readings.id")),
    Column("command", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("undoes", ForeignKey("edits.id")),
    # The undo stack as a linked list, so that rows never change; see `history`.
    Column("below", Integer),
    Column("undo_top", Integer),
    Column("redo_top", Integer),
    Column("redo_below", Integer),
    # "system": what the worker did to suggestions; recorded, never undone by a person
    _one_of("kind", "do", "undo", "redo", "system"),
    Index("ix_edits_stack", "field_id", "annotator", "id"),
)

history = Table(
    "history",
    metadata,
    _id(),
    Column("edit_id", ForeignKey("edits.id"), nullable=False),
    Column("entity", String, nullable=False),
    Column("entity_id", Integer, nullable=False),
    Column("action", String, nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    _one_of("entity", "cell", "region", "ignore_area", "suggestion", "field", "conflict"),
    _one_of("action", "add", "change", "delete"),
    UniqueConstraint("edit_id", "entity", "entity_id", name="once_per_edit"),
    Index("ix_history_entity", "entity", "entity_id"),
)

ENTITIES: dict[str, Table] = {
    "cell": cells,
    "region": regions,
    "ignore_area": ignore_areas,
    "suggestion": suggestions,
    "field": fields,
    "conflict": conflicts,
}
"""Word of the history to table."""
