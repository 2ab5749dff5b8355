"""Schemas: presets, files, what makes one invalid, and how outside spellings are understood."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from annotation_store import Project, Schema, SchemaError, load_schema, schema_from_coco
from annotation_store.schema import preset_names, wbcatt_to_lld

LLD_CLASSES = (
    "None",
    "Myeloblast",
    "Lymphoblast",
    "Neutrophil",
    "Atypical lymphocyte",
    "Promonocyte",
    "Monoblast",
    "Lymphocyte",
    "Myelocyte",
    "Abnormal promyelocyte",
    "Monocyte",
    "Metamyelocyte",
    "Eosinophil",
    "Basophil",
)


def test_lld_has_the_published_ids_and_value_order() -> None:
    schema = load_schema("lld")
    assert tuple((c.id, c.name) for c in schema.classes) == tuple(enumerate(LLD_CLASSES))
    assert {a.name: a.value_names for a in schema.attributes} == {
        "cell_size": ("small", "medium", "large"),
        "nuclear_chromatin": ("open", "coarse"),
        "nuclear_shape": ("regular", "irregular"),
        "nucleolus": ("inconspicuous", "prominent"),
        "cytoplasm": ("scanty", "abundant"),
        "cytoplasmic_basophilia": ("slight", "moderate"),
        "cytoplasmic_vacuoles": ("absent", "prominent"),
    }
    assert schema.members("blast") == ("Myeloblast", "Lymphoblast", "Monoblast")
    assert schema.members("Monocyte") == ("Monocyte",)
    assert schema.class_named("None").artefact
    assert "smudge" in schema.class_named("None").kinds


def test_sizes_have_an_order_that_files_keep_and_older_schemas_do_without(tmp_path: Path) -> None:
    schema = load_schema("lld")
    assert [a.name for a in schema.attributes if a.ordered] == ["cell_size"]
    assert load_schema("wbcatt").attribute_named("cell_size").ordered
    content = schema.model_dump(mode="json")
    assert [a.get("ordered") for a in content["attributes"]] == [True] + [None] * 6
    for name, text in (
        ("mine.yaml", yaml.safe_dump(schema.model_dump(mode="json", exclude_defaults=True))),
        ("mine.json", json.dumps({"napari_lld": {"schema": content}, "categories": []})),
    ):
        (tmp_path / name).write_text(text)
        assert load_schema(tmp_path / name) == schema
    del content["attributes"][0]["ordered"]  # as older programs wrote it
    assert not Schema.model_validate(content).attribute_named("cell_size").ordered


def test_wbcatt_has_the_words_that_the_mapping_to_lld_expects() -> None:
    wbcatt, lld = load_schema("wbcatt"), load_schema("lld")
    assert len(wbcatt.attributes) == 11
    for attribute in wbcatt.attributes:
        for value in attribute.value_names:
            for name, mapped in wbcatt_to_lld({attribute.name: value}).items():
                assert mapped in lld.attribute_named(name).value_names


@pytest.mark.parametrize("name", preset_names())
def test_presets_help_in_words_for_every_class_attribute_and_value(name: str) -> None:
    schema = load_schema(name)
    parts = [*schema.classes, *schema.groups, *schema.attributes]
    parts += [value for attribute in schema.attributes for value in attribute.values]
    assert [p.name for p in parts if not (p.title and len(p.help) >= 10)] == []


@pytest.mark.parametrize("name", preset_names())
def test_colours_stay_apart_for_the_common_kinds_of_colour_vision(name: str) -> None:
    # matrices of Machado et al. 2009 for full deuteranopia and protanopia, on linear RGB
    import numpy as np

    views = (
        np.eye(3),
        np.array(
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
        ),
        np.array(
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ]
        ),
    )
    colours = [c.colour for c in load_schema(name).classes]
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    for view in views:
        seen = np.clip(linear @ view.T, 0, 1)
        xyz = (
            seen
            @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
            / np.array([0.95047, 1, 1.08883])
        )
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
        close = {
            (colours[i], colours[j]): round(float(np.linalg.norm(lab[i] - lab[j])), 1)
            for i, j in itertools.combinations(range(len(lab)), 2)
            if np.linalg.norm(lab[i] - lab[j]) < 10
        }
        assert close == {}


@pytest.mark.parametrize(
    ("attribute", "value", "expected"),
    [
        ("nuclear_chromatio", "open", ("nuclear_chromatin", "open")),
        ("Nucleous", "Prominent", ("nucleolus", "prominent")),
        ("Nucleus", "inconspicuous", ("nucleolus", "inconspicuous")),
        ("Cell Size", "LARGE", ("cell_size", "large")),
        ("cell_size", "gigantic", None),
        ("colour", "red", None),
    ],
)
def test_outside_spellings_of_attributes_are_understood(
    attribute: str, value: str, expected: tuple[str, str] | None
) -> None:
    assert load_schema("lld").find_value(attribute, value) == expected


def test_class_spellings_ignore_case_and_punctuation_and_unknown_ones_are_not_guessed() -> None:
    schema = load_schema("lld")
    assert schema.find_class("atypical-Lymphocyte") == "Atypical lymphocyte"
    assert schema.find_class("BLAST") == "blast"
    assert schema.find_class("plasma cell") is None
    assert schema.is_unclassified("wbc")
    assert not schema.is_unclassified("RBC")


def a_schema(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "name": "mine",
        "classes": [
            {"id": 0, "name": "A", "letter": "A", "colour": "#ff0000"},
            {"id": 1, "name": "B", "letter": "B", "colour": "#00ff00"},
        ],
    }
    return base | changes


def test_a_schema_without_attributes_or_without_classes_is_valid() -> None:
    assert Schema.model_validate(a_schema()).attributes == ()
    assert Schema.model_validate({"name": "boxes only"}).class_names == ()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.yaml", "name: mine\nattributes: [{name: size, values: [{name: small}, {name: large}]}]\n"),
        ("a.yaml", "name: mine\nclasses: []\n"),
        ("a.json", '{"name": "mine", "classes": []}'),
        ("a.json", '{"images": [], "annotations": [], "categories": []}'),
        ("a.json", '{"categories": [{"id": 1, "name": "A"}], "napari_lld": {"schema": {"name": "mine"}}}'),
    ],
)
def test_a_new_schema_needs_a_class_and_a_stored_one_opens_without(
    file: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(text, "utf-8")
    with pytest.raises(SchemaError, match=rf"{file}.* has no class; list at least one under 'classes'"):
        load_schema(tmp_path / file)
    Project.create(tmp_path / "p", Schema.model_validate({"name": "boxes only"})).close()
    with Project.open(tmp_path / "p") as project:
        assert project.schema.classes == ()


@pytest.mark.parametrize(
    "broken",
    [
        a_schema(groups=[{"name": "A", "classes": ["A", "B"]}]),
        a_schema(groups=[{"name": "g", "classes": ["A", "C"]}]),
        a_schema(groups=[{"name": "g", "classes": ["A"]}]),
        a_schema(groups=[{"name": "unsure", "classes": ["A", "B"]}]),
        a_schema(attributes=[{"name": "size", "values": []}]),
        a_schema(attributes=[{"name": "size", "values": ["missing", "x"]}]),
        a_schema(attributes=[{"name": "class", "values": ["x"]}]),
        a_schema(attributes=[{"name": "size", "values": ["x", "x"]}]),
        a_schema(classes=[{"id": 0, "name": "A", "letter": "A", "colour": "red"}]),
        a_schema(colours={}),
        {"classes": []},
    ],
)
def test_a_schema_that_would_be_ambiguous_is_refused(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Schema.model_validate(broken)


def test_digest_changes_with_the_content_only() -> None:
    one, same = Schema.model_validate(a_schema()), Schema.model_validate(a_schema())
    assert one.digest() == same.digest()
    assert one.digest() != Schema.model_validate(a_schema(title="Other")).digest()


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2", "name: x\nclasses: 3", "a: &a [x]\nb: [*a, *a]", "name: x\ncolour: red", "\x00"],
)
def test_a_bad_schema_file_is_one_sentence_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(SchemaError, match=r"mine\.yaml") as refused:
        load_schema(path)
    assert "unicode string" not in str(refused.value), "the reader's name for a text without a file"


def test_a_yaml_error_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nclasses:\n - [1, 2\n")
    with pytest.raises(
        SchemaError, match=r"mine\.yaml cannot be read as YAML \(.*, line 4, column 1\): correct"
    ):
        load_schema(path)


def test_classes_that_cannot_be_told_apart_are_named() -> None:
    for what, value in (("id", 0), ("letter", "A"), ("colour", "#ff0000")):
        schema = a_schema()
        schema["classes"][1][what] = value  # type: ignore[index]
        with pytest.raises(
            ValidationError, match=f"A and B have the same .*{what}.*, {value}: give each its own"
        ):
            Schema.model_validate(schema)


def test_a_missing_schema_names_the_presets() -> None:
    with pytest.raises(SchemaError, match="lld or wbcatt"):
        load_schema("nothing")


def test_a_yaml_file_is_loaded_with_titles_made_up(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nclasses:\n- {id: 5, name: blue_cell, letter: B, colour: '#0000FF'}\n"
        "attributes:\n- {name: cell_size, values: [small, large]}\n"
    )
    schema = load_schema(path)
    assert schema.class_named("blue_cell").title == "Blue cell"
    assert schema.class_named("blue_cell").colour == "#0000ff"
    assert schema.attribute_named("cell_size").value_named("small").title == "Small"


def test_a_coco_file_gives_its_categories_ids_and_values() -> None:
    schema = schema_from_coco(
        {
            "categories": [{"id": 7, "name": "WBC"}, {"id": 3, "name": "RBC"}],
            "images": [],
            "annotations": [
                {"attributes": {"shape": "round", "tone": None}},
                {"attributes": {"shape": "oval", "tone": 2}},
            ],
        }
    )
    assert [(c.id, c.name) for c in schema.classes] == [(7, "WBC"), (3, "RBC")]
    assert {a.name: a.value_names for a in schema.attributes} == {"shape": ("round", "oval"), "tone": ("2",)}


def test_a_coco_file_of_many_classes_gives_each_its_colour_and_letter() -> None:
    categories = [{"id": i, "name": f"kind {i}"} for i in range(150)]
    schema = schema_from_coco({"categories": categories, "images": [], "annotations": []})
    assert len({c.colour for c in schema.classes}) == 150


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"categories": 3},
        {"categories": [{"id": "x", "name": "y"}]},
        {"categories": [{"id": 1}]},
        {"categories": [{"id": 1, "name": "unsure"}]},
        {"categories": [{"id": 1, "name": "a"}] * 2},
    ],
)
def test_a_coco_file_without_usable_categories_is_a_sentence(document: object) -> None:
    with pytest.raises(SchemaError):
        schema_from_coco(document)


# -- what files write, and what it may stand for ---------------------------------------------------


def schema_of(*names: str, **more: object) -> Schema:
    classes = [
        {"id": n, "name": name, "letter": chr(65 + n), "colour": f"#{n:06x}"} for n, name in enumerate(names)
    ]
    return Schema.model_validate({"name": "mine", "classes": classes, **more})


@pytest.mark.parametrize(
    ("names", "spelling", "found"),
    [
        (("CD34+", "CD34-"), "CD34+", "CD34+"),
        (("CD34+", "CD34-"), "CD34-", "CD34-"),
        (("CD34+", "CD34-"), "cd34 −", None),  # a minus with a blank before it may be a dash
        (("CD34+", "CD34-"), "cd34−", "CD34-"),
        (("CD34+",), "CD34-", None),
        (("CD34+",), "CD34", None),
        (("<5%", ">5%"), "> 5 %", ">5%"),
        (("grade 1.5",), "grade 15", None),
        (("blast",), "blast?", None),
        (("Butterfly", "butterfly"), "butterfly", "butterfly"),
        (("Butterfly", "butterfly"), "BUTTERFLY", None),
        (("T-cell", "T cell"), "t_cell", None),
        (("T-cell", "T cell"), "T-cell", "T-cell"),
        (("T-cell",), "t cell", "T-cell"),
        (("Größe",), "gro\u0308ße", "Größe"),
        (("A",), "---", None),
    ],
)
def test_signs_and_exact_spellings_keep_classes_apart(
    names: tuple[str, ...], spelling: str, found: str | None
) -> None:
    schema = schema_of(*names, attributes=[{"name": "marker", "values": list(names)}])
    assert schema.find_class(spelling) == found
    assert schema.find_value("marker", spelling) == (found and ("marker", found))


def test_a_spelling_that_two_classes_share_stands_for_neither() -> None:
    data = a_schema()
    for one in data["classes"]:  # type: ignore[attr-defined]
        one["spellings"] = ["large cell"]
    assert Schema.model_validate(data).find_class("Large cell") is None


@pytest.mark.parametrize(
    "spelling",
    [
        "promyelocyte",
        "promyelocytes",
        "no class",
        "nucleated cell",
        "NRBC",
        "plasma cell",
        "band",
        "lymph",
        "IG",
    ],
)
def test_what_names_another_cell_is_not_guessed(spelling: str) -> None:
    for name in preset_names():
        schema = load_schema(name)
        assert schema.find_class(spelling) is None
        assert not schema.is_unclassified(spelling)


@pytest.mark.parametrize("name", preset_names())
def test_no_spelling_of_a_preset_is_ambiguous(name: str) -> None:
    schema = load_schema(name)
    for part in (*schema.classes, *schema.groups):
        for spelling in (part.name, part.title, *part.spellings):
            assert schema.find_class(spelling.upper()) == part.name
    for attribute in schema.attributes:
        for spelling in (attribute.name, attribute.title, *attribute.spellings):
            assert schema.find_attribute(spelling.upper()) == attribute.name
        for value in attribute.values:
            for spelling in (value.name, value.title, *value.spellings):
                assert schema.find_value(attribute.name, spelling.upper()) == (attribute.name, value.name)


@pytest.mark.parametrize("twins", [("Größe", "Gro\u0308ße"), ("a b", "a  b"), ("ab", "a\u200bb")])
def test_a_new_schema_with_names_that_look_the_same_is_refused_and_a_stored_one_opens(
    twins: tuple[str, str], tmp_path: Path
) -> None:
    schema_of(*twins)
    document = {"categories": [{"id": n, "name": name} for n, name in enumerate(twins)]}
    with pytest.raises(SchemaError, match="cannot be distinguished"):
        schema_from_coco(document)
    path = tmp_path / "schema.json"
    path.write_text(schema_of(*twins).model_dump_json())
    with pytest.raises(SchemaError, match="cannot be distinguished"):
        load_schema(path)


def test_a_schema_made_of_a_coco_file_knows_every_kind_of_value_and_leaves_out_what_is_none() -> None:
    attributes = [
        {"occluded": False, "rotation": 0.5, "side": "left", "class": "x", "": 1, "empty": "", "deep": [1]},
        {"occluded": True, "side": " left ", "unsure one": "unsure", "long": "x" * 100},
    ]
    document = {
        "categories": [{"id": 1, "name": "A"}],
        "annotations": [{"attributes": a} for a in attributes]
        + [{"attributes": {"track_id": n}} for n in range(1000)],
    }
    schema = schema_from_coco(document)
    assert {a.name: a.value_names for a in schema.attributes} == {
        "occluded": ("False", "True"),
        "rotation": ("0.5",),
        "side": ("left",),
    }


def test_a_schema_has_a_thousand_classes_at_most(tmp_path: Path) -> None:
    categories = [{"id": n, "name": f"class {n}"} for n in range(100_000)]
    assert len(schema_from_coco({"categories": categories[:1000]}).classes) == 1000
    with pytest.raises(SchemaError, match="100,000 categories, and a schema may have 1,000 classes"):
        schema_from_coco({"categories": categories})
    for suffix in (".json", ".yaml"):
        path = tmp_path / f"schema{suffix}"
        classes = "".join(f'{{"id": {n}, "name": "c{n}"}},' for n in range(3_000))
        path.write_text(f'{{"name": "x", "classes": [{classes[:-1]}]}}')
        with pytest.raises(SchemaError, match="3,000 classes, and a schema may have 1,000"):
            load_schema(path)


def test_titles_are_given_by_name_and_a_name_that_is_gone_stands_for_itself() -> None:
    schema = load_schema("lld")
    blasts = schema.groups[0]
    assert schema.class_title("Neutrophil") == schema.class_named("Neutrophil").title
    assert schema.class_title(blasts.name) == blasts.title
    assert schema.class_title("Old_class") == "Old_class"
    assert schema.attribute_title("cell_size") == "Cell size"
    assert schema.attribute_title("old_attribute") == "old attribute"
    assert schema.value_title("cell_size", "small") == "Small"
    assert schema.value_title("cell_size", "very_small") == "very small"
    assert schema.value_title("old_attribute", "very_small") == "very small"
