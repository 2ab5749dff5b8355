"""What a word of a former schema is called now: over several changes, and only where that is certain."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from annotation_store import Project, Schema
from annotation_store.schema.renaming import Renamed
from tests.database import run_sql

LLD = ("Monocyte", "Myeloblast", "Lymphoblast", "Neutrophil")
SIZES = {"cell_size": ("small", "medium", "large")}


def change(
    project: Project, classes: Mapping[str, str | None], attributes: Mapping[str, str] | None = None
) -> None:
    """Rename classes; one that is to become an existing class, or ``None``, goes."""
    data = project.schema.model_dump(mode="json")
    data["groups"] = []
    there: set[str] = set()
    for item in list(data["classes"]):
        item["name"] = classes.get(item["name"], item["name"])
        if item["name"] is None or item["name"] in there:
            data["classes"].remove(item)
        there.add(item["name"])
    for item in data["attributes"]:
        item["name"] = (attributes or {}).get(item["name"], item["name"])
        for value in item["values"]:
            value["name"] = (attributes or {}).get(f"{item['name']}:{value['name']}", value["name"])
    project.schema_versions.change(Schema.model_validate(data), {**classes, **(attributes or {})})


def now(project: Project, digest: str = "") -> Renamed:
    return project.schema_versions.renamings().of(LLD, SIZES, digest)


def test_a_word_is_followed_over_several_changes_and_back(project: Project) -> None:
    first = project.schema.digest()
    change(project, {"Monocyte": "Mono"})
    second = project.schema.digest()
    assert now(project).classes["Monocyte"] == "Mono"
    change(project, {"Mono": "Monozyt"})
    for digest in ("", "of a schema that the project never had", first):
        assert now(project, digest).classes["Monocyte"] == "Monozyt"
    of_second = project.schema_versions.renamings().of(["Mono"], {}, second)
    assert of_second.classes == {"Mono": "Monozyt"}
    change(project, {"Monozyt": "Monocyte"})
    assert now(project, first).classes == {name: name for name in LLD}


def test_two_words_can_change_places(project: Project) -> None:
    first = project.schema.digest()
    change(project, {"Monocyte": "Other"})
    change(project, {"Neutrophil": "Monocyte"})
    change(project, {"Other": "Neutrophil"})
    names = now(project, first).classes
    assert (names["Monocyte"], names["Neutrophil"]) == ("Neutrophil", "Monocyte")


def test_what_was_learned_of_one_of_several_joined_classes_is_not_said_of_all(project: Project) -> None:
    change(project, {"Myeloblast": "Blast", "Lymphoblast": "Blast"})
    names = now(project)
    assert names.joined == {"Blast": ("Myeloblast", "Lymphoblast")}
    assert names.classes == {name: name for name in LLD}


def test_a_class_keeps_its_name_when_another_joins_it(project: Project) -> None:
    data = project.schema.model_dump(mode="json")
    data["groups"], data["classes"] = [], [c for c in data["classes"] if c["name"] != "Lymphoblast"]
    project.schema_versions.change(Schema.model_validate(data), {"Lymphoblast": "Myeloblast"})
    names = now(project)
    assert (names.classes["Myeloblast"], names.joined) == ("Myeloblast", {})


def test_no_two_words_get_one_name(project: Project) -> None:
    first = project.schema.digest()
    change(project, {"Myeloblast": "Blast", "Lymphoblast": "Blast"})
    change(project, {"Monocyte": "Myeloblast"})
    names = now(project, first).classes
    assert names["Monocyte"] == "Myeloblast"
    assert len(set(names.values())) == len(names)


def test_values_and_attributes_are_followed(project: Project) -> None:
    change(project, {}, {"cell_size:small": "tiny"})
    change(project, {}, {"cell_size": "size"})
    name, values = now(project).attributes["cell_size"]
    assert (name, values) == ("size", {"small": "tiny", "medium": "medium", "large": "large"})


def test_what_was_removed_keeps_its_name(project: Project) -> None:
    change(project, {"Monocyte": None})
    assert now(project).classes["Monocyte"] == "Monocyte"


def test_a_word_that_came_back_is_followed_from_there(project: Project) -> None:
    first = project.schema
    change(project, {"Monocyte": None}, {"cell_size:small": "tiny"})
    project.schema_versions.change(first, {"cell_size:tiny": "small"})
    change(project, {"Monocyte": "Mono"})
    assert now(project).classes["Monocyte"] == "Mono"


@pytest.mark.parametrize(
    "broken", ["schema = '{}'", "schema = '[]'", "mapping = '[1]'", "mapping = '{\"cell_size:small\": 1}'"]
)
def test_a_former_schema_that_cannot_be_read_is_left_out(project: Project, broken: str) -> None:
    change(project, {"Monocyte": "Mono"})
    change(project, {"Mono": "Monozyt"})
    run_sql(project, f"UPDATE old_schemas SET {broken} WHERE version = 1")
    names = project.schema_versions.renamings()
    assert names.of(["Mono"], {}).classes == {"Mono": "Monozyt"}
    assert names.of(["Monocyte"], {}).classes == {"Monocyte": "Monocyte"}
