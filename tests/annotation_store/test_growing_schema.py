"""A schema grows in a living project: old labels stay, vanished words need a word on what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_store import EditError, Project, Proposal, Schema, SchemaError, SuggestionState
from tests.database import run_sql


def edited(schema: Schema, **changes: Any) -> Schema:
    return Schema.model_validate(schema.model_dump(mode="json") | changes)


def without_class(schema: Schema, *names: str) -> Schema:
    data = schema.model_dump(mode="json")
    data["classes"] = [c for c in data["classes"] if c["name"] not in names]
    data["groups"] = [g for g in data["groups"] if not {*g["classes"]} & {*names}]
    return Schema.model_validate(data)


def with_class(schema: Schema, name: str) -> Schema:
    data = schema.model_dump(mode="json")
    data["classes"].append({"id": 99, "name": name, "colour": "#123456", "letter": "Zz"})
    return Schema.model_validate(data)


def with_value(schema: Schema, attribute: str, old: str | None, new: str | None) -> Schema:
    data = schema.model_dump(mode="json")
    for item in data["attributes"]:
        if item["name"] == attribute:
            item["values"] = [v for v in item["values"] if v["name"] != old]
            item["values"] += [{"name": new}] if new else []
    return Schema.model_validate(data)


def test_new_words_come_in_and_old_labels_stay(project: Project) -> None:
    cell = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    before, old = project.cells.get(cell), project.schema
    with pytest.raises(EditError):
        project.cells.change(cell, cell_class="Hairy cell")
    told: list[int] = []
    project.events.schema_changed.connect(lambda: told.append(1))
    grown = with_value(with_class(old, "Hairy cell"), "cell_size", None, "giant")
    change = project.schema_versions.change(grown)
    assert (change.version, change.cells) == (2, 0)
    assert project.cells.get(cell) == before
    project.cells.change(cell, cell_class="Hairy cell", attributes={"cell_size": "giant"})
    assert told == [1]
    (kept,) = project.schema_versions.previous()
    assert (kept.version, kept.digest, kept.annotator) == (1, old.digest(), "Ada")
    assert kept.schema == old
    assert project.check() == []


def test_titles_colours_and_keys_change_without_a_trace_in_the_labels(project: Project) -> None:
    project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    data = project.schema.model_dump(mode="json")
    data["classes"][10] |= {"title": "Monocyte (mature)", "colour": "#010203", "key": None}
    rows = len(project.history.rows())
    project.schema_versions.change(Schema.model_validate(data))
    assert project.schema.class_named("Monocyte").title == "Monocyte (mature)"
    assert len(project.history.rows()) == rows
    assert project.schema_versions.change(project.schema).version == 2, "the same schema again is no change"


def test_a_word_in_use_does_not_go_without_a_mapping(project: Project) -> None:
    for x in (1, 30):
        project.cells.add(1, (x, 1, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    smaller = with_value(without_class(project.schema, "Monocyte"), "cell_size", "small", None)
    with pytest.raises(EditError, match=r"Monocyte \(2 cells\).*cell_size:small \(2 cells\)"):
        project.schema_versions.change(smaller)
    assert project.schema.is_class("Monocyte")
    assert project.schema_versions.previous() == []
    for mapping in (
        {"Monocyte": "Nonsense", "cell_size:small": "medium"},
        {"Monocyte": None, "cell_size:small": "nonsense"},
        {"Monocyte": None, "cell_size:small": None, "Neutrophil": None},
        {"Monocyte": None, "cell_size:small": None, "no such word": None},
    ):
        with pytest.raises(EditError):
            project.schema_versions.change(smaller, mapping)
    assert project.check() == []


def test_a_mapping_changes_the_labels_and_the_history_knows(project: Project) -> None:
    cell = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    other = project.readings.add("Second")
    project.readings.use(other.id)
    second = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    smaller = with_value(without_class(project.schema, "Monocyte"), "cell_size", "small", "tiny")
    change = project.schema_versions.change(
        smaller, {"Monocyte": "Monoblast", "cell_size:small": "cell_size:tiny"}
    )
    assert change.cells == 2
    assert project.cells.get(second).cell_class == "Monoblast"
    last = project.history.rows(entity="cell", entity_id=cell)[-1]
    assert (last.command, last.annotator) == ("Change schema", "Ada")
    assert last.before == {"cell_class": "Monocyte", "attributes": {"cell_size": "small"}}
    assert last.after == {"cell_class": "Monoblast", "attributes": {"cell_size": "tiny"}}
    assert project.schema_versions.previous()[0].mapping["Monocyte"] == "Monoblast"
    assert project.check() == []


def test_an_undo_does_not_bring_back_what_nobody_can_say_any_more(project: Project) -> None:
    cell = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    project.cells.change(cell, cell_class="Neutrophil")
    gone = project.cells.add(2, (1, 1, 20, 20), cell_class="Monocyte")
    project.cells.delete(gone)
    project.schema_versions.change(without_class(project.schema, "Monocyte"))
    for field in (1, 2):
        with pytest.raises(EditError, match="schema"):
            project.undo(field)
    assert project.cells.get(cell).cell_class == "Neutrophil"
    assert project.cells.all(2) == []
    assert project.check() == []


def test_an_attribute_can_be_renamed_or_dropped(project: Project) -> None:
    cell = project.cells.add(
        1, (1, 1, 20, 20), attributes={"cell_size": "small", "nucleolus": "prominent", "cytoplasm": "scanty"}
    )
    data = project.schema.model_dump(mode="json")
    data["attributes"] = [a for a in data["attributes"] if a["name"] != "nucleolus"]
    for attribute in data["attributes"]:
        if attribute["name"] == "cell_size":
            attribute["name"] = "size"
    change = project.schema_versions.change(
        Schema.model_validate(data), {"cell_size": "size", "nucleolus": None}
    )
    assert change.cells == 1
    assert project.cells.get(cell).attributes == {"size": "small", "cytoplasm": "scanty"}
    assert project.check() == []


def test_suggestions_say_only_what_can_be_accepted(project: Project) -> None:
    chances = {"cell_size": {"small": 0.5, "medium": 0.3, "large": 0.2}}
    proposals = [
        Proposal((1, 1, 20, 20), 0.9, {"Monocyte": 0.6, "Neutrophil": 0.4}, chances),
        Proposal((40, 1, 20, 20), 0.8, {"Monocyte": 1.0}, chances),
        Proposal((70, 1, 20, 20), 0.7, {"Monocyte": 0.6, "Neutrophil": 0.4}, chances),
    ]
    ids = project.suggestions.replace(1, proposals, model_id=None)
    project.suggestions.reject(ids[2])
    smaller = with_value(without_class(project.schema, "Monocyte"), "cell_size", "small", None)
    assert project.schema_versions.change(smaller).suggestions == 2
    first, second = (project.suggestions.get(i).proposal for i in ids[:2])
    assert first.class_probabilities == {"Neutrophil": 1.0}
    assert second.class_probabilities == {}
    assert first.attribute_probabilities["cell_size"] == pytest.approx({"medium": 0.6, "large": 0.4})
    project.undo(1)  # the rejection: it says what it said, and still can be accepted
    assert project.suggestions.get(ids[2]).state == SuggestionState.PENDING
    made = [project.cells.get(i) for i in project.suggestions.accept_many(ids)]
    assert [cell.cell_class for cell in made] == ["Neutrophil", None, "Neutrophil"]
    assert {cell.attributes["cell_size"] for cell in made} == {"medium"}
    assert project.check() == []


def test_suggestions_count_as_changed_if_they_propose_another_word(project: Project) -> None:
    proposals = [
        Proposal((1, 1, 20, 20), 0.9, {"Monocyte": 0.6, "Neutrophil": 0.4}),
        Proposal((40, 1, 20, 20), 0.8, {"Monocyte": 0.1, "Neutrophil": 0.9}),
    ]
    ids = project.suggestions.replace(1, proposals, model_id=None)
    renamed = with_class(without_class(project.schema, "Monocyte"), "Mono")
    assert project.schema_versions.change(renamed, {"Monocyte": "Mono"}).suggestions == 1
    assert [dict(project.suggestions.get(i).proposal.class_probabilities) for i in ids] == [
        {"Mono": 0.6, "Neutrophil": 0.4},
        {"Mono": 0.1, "Neutrophil": 0.9},
    ]


def test_another_window_learns_of_it_and_cannot_write_old_words(project: Project, folder: Path) -> None:
    with Project.open(folder, annotator="Ben") as other:
        cell = other.cells.add(1, (1, 1, 20, 20))
        project.refresh()
        project.schema_versions.change(without_class(project.schema, "Monocyte"))
        with pytest.raises(EditError, match="schema"):
            other.cells.change(cell, cell_class="Monocyte")
        with pytest.raises(EditError, match="Another program"):
            other.schema_versions.change(without_class(other.schema, "Eosinophil"))
        told: list[int] = []
        other.events.schema_changed.connect(lambda: told.append(1))
        assert other.refresh()
        assert told == [1]
        assert not other.schema.is_class("Monocyte")
        other.cells.change(cell, cell_class="Neutrophil")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cells SET cell_class = 'Nonsense'",
        'UPDATE cells SET attributes = \'{"cell_size": "huge"}\'',
        'UPDATE cells SET attributes = \'{"colour": "small"}\'',
    ],
)
def test_the_database_itself_refuses_words_that_the_schema_lacks(project: Project, statement: str) -> None:
    project.cells.add(1, (1, 1, 20, 20), cell_class="blast", attributes={"cell_size": "unsure"})
    with pytest.raises(sa.exc.IntegrityError, match="schema"):
        run_sql(project, statement)


def test_a_schema_that_breaks_its_own_rules_is_refused_and_nothing_changes(project: Project) -> None:
    before = project.schema
    twice = before.model_copy(update={"classes": (*before.classes, before.classes[0])})
    with pytest.raises(SchemaError, match="cannot be used"):
        project.schema_versions.change(twice)
    assert project.schema == before
    with Project.open(project.path) as again:
        assert again.schema == before
