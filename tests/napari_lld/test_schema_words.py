"""In German the words of the bundled schemas are German on the screen, and English in the project."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from annotation_store.schema import Schema, load_schema
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.schema_texts import PRESETS, kind_title, shown, word
from napari_lld.i18n.translate import languages
from napari_lld.session.session import Session
from training.reasons import Reason


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("language", [name for name in languages() if name != "en"])
def test_every_word_of_every_preset_has_a_translation(language: str, preset: str) -> None:
    file = resources.files("napari_lld.i18n") / "locale" / f"schema.{language}.yaml"
    words: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    schema = load_schema(preset)
    parts = [*schema.classes, *schema.groups, *schema.attributes]
    values = [value for attribute in schema.attributes for value in attribute.values]
    assert {part.title for part in parts} <= set(words["titles"])
    assert {value.title for value in values} <= set(words["values"])
    assert {p.help for p in (*parts, *values) if p.help} <= set(words["helps"])
    assert {kind for c in schema.classes for kind in c.kinds} <= set(words["kinds"])
    assert all(isinstance(told, str) and told for section in words.values() for told in section.values())


def test_names_stay_and_titles_are_german(german: None) -> None:
    own = load_schema("lld")
    told = shown(own)
    assert told.class_names == own.class_names
    assert told.class_named("Neutrophil").title == "Neutrophiler"
    assert told.class_named("None").title == "Artefakt"
    assert told.group_named("blast").title == "Blast, Linie unklar"
    chromatin = told.attribute_named("nuclear_chromatin")
    assert (chromatin.title, chromatin.value_named("open").title) == ("Kernchromatin", "locker")
    assert "Erythrozyten" in told.attribute_named("cell_size").help
    assert kind_title("smudge") == "Kernschatten"


def test_a_schema_of_one_s_own_keeps_its_titles(german: None) -> None:
    content = {
        "name": "own",
        "classes": [{"id": 0, "name": "x", "title": "Sézary cell", "letter": "S", "colour": "#112233"}],
    }
    own = Schema.model_validate(content)
    assert shown(own).class_named("x").title == "Sézary cell"
    assert word("Sézary cell") == "Sézary cell"


def test_the_project_and_its_edits_stay_english(german: None, small_project: Path) -> None:
    session = Session()
    session.open(small_project, annotator="Ada")
    assert session.schema is not None
    assert session.schema is session.schema, "it is not made anew at each look"
    assert session.attributes[0].title == "Zellgröße"
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Monocyte")
    session.labels.set_value_number(1)
    assert session.project is not None
    assert session.project.schema.class_named("Monocyte").title == "Monocyte"
    (cell,) = session.project.cells.all()
    assert (cell.cell_class, dict(cell.attributes)) == ("Monocyte", {"cell_size": "small"})
    session.close()


def test_reasons_name_classes_in_german(german: None) -> None:
    between = Reason("Between {first} and {second}", first="Atypical lymphocyte", second="Lymphocyte")
    assert in_words([between]) == ["Zwischen Reaktiver Lymphozyt und Lymphozyt"]
    assert word("Basophil, Abnormal promyelocyte") == "Basophiler, Atypischer Promyelozyt"
    assert word("Blast, lineage unknown") == "Blast, Linie unklar"
    assert word("cell size small") == "Zellgröße klein"


def test_in_english_nothing_is_changed() -> None:
    own = load_schema("lld")
    assert shown(own) is own
    assert word("Basophil") == "Basophil"
