"""What the desk remembers, and what cards in the database state, may hold anything; nothing fails on it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project
from annotation_store.records import Model
from napari_lld.commands import keymap
from napari_lld.report import render_project
from napari_lld.session import model_facts, user_state
from napari_lld.session.session import Session
from training import ranking

NONSENSE: list[Any] = [
    None,
    True,
    -1,
    10**400,
    1e300,
    "x" * 10_000,
    [],
    [[]],
    {},
    {"a": {"b": []}},
    [None] * 3,
]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"projects":' * 10_000,
        '{"keys": 1e999}',
        '{"keys": NaN}',
        "[]",
        "7",
        "",
        '{"projects": 7}',
    ],
)
def test_a_memory_that_cannot_be_read_is_an_empty_one(text: str) -> None:
    user_state.state_file().parent.mkdir(parents=True, exist_ok=True)
    user_state.state_file().write_text(text)
    assert user_state.recent_projects() == []
    assert user_state.recall("keys") is None
    assert keymap.load() == keymap.KeyMap()
    user_state.remember("place", "here")
    assert user_state.recall("place") == "here"


def test_a_recent_project_of_an_impossible_name_is_passed_over() -> None:
    user_state.remember("projects", {"x" * 10_000: {}, "a\0b": {}})
    assert user_state.recent_projects() == []


@pytest.mark.parametrize("value", NONSENSE)
def test_a_project_opens_whatever_was_remembered_of_it(small_project: Path, value: Any) -> None:
    kept = dict.fromkeys(("field", "order", "threshold", "looks", "count_target"), value)
    user_state.remember("projects", {str(small_project.resolve()): kept})
    session = Session()
    assert session.open(small_project)
    assert 0 <= session.marks.threshold <= 1
    assert session.display.look.gamma > 0
    session.close()


@pytest.mark.parametrize("value", NONSENSE)
def test_numbers_of_a_card_in_the_database_are_bounded(small_project: Path, value: Any) -> None:
    names = (
        "metrics",
        "calibration",
        "held_out",
        "last_cell",
        "learnt_from",
        "config",
        "size",
        "taught",
        "versions",
    )
    cards: list[Any] = [
        dict.fromkeys(names, value),
        {
            "metrics": {
                "held_out": dict.fromkeys(
                    ("ap50", "recall", "precision", "cells", "domains", "written"), value
                )
            }
        },
        {
            "metrics": {
                "held_out": {"intervals": {"ap50": value}, "classes": {"a": value}, "domains": {"d": value}}
            }
        },
        value,
    ]
    with Project.open(small_project):
        pass
    with closing(sqlite3.connect(small_project / "project.db")) as database, database:
        for number, card in enumerate(cards, 1):
            database.execute(
                "INSERT INTO models (id, parent, created, card, ready, active) "
                "VALUES (?, 'starter', ?, ?, 1, ?)",
                (number, datetime.now(UTC).isoformat(), json.dumps(card), number == 2),
            )
    with Project.open(small_project, read_only=True) as project:
        for model in project.models.all():
            model_facts.model_title(model)
            model_facts.model_numbers(model)
            model_facts.bulk_refusal(model, 0.5)
            model_facts.class_refusal(model, "Neutrophil", "Neutrophil")
        model_facts.rollback(project.models.all())
        assert "<html" in render_project(project)
        ranking.label_errors(project)


def test_a_card_that_is_no_object_is_an_empty_one() -> None:
    assert model_facts.model_title(Model(1, "starter", datetime.now(UTC), False, {}))
    assert model_facts.number(10**400) is None
    assert model_facts.number(float("inf")) is None
    assert model_facts.number(0.5) == 0.5
