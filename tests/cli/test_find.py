"""``napari-lld find``."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project, Proposal

from .conftest import Cli


def test_cells_and_suggestions_are_found_as_in_the_gallery(cli: Cli, annotated: Path) -> None:
    with Project.open(annotated) as project:
        reader = project.annotator
        field = project.fields.all()[0]
        first = project.cells.add(field.id, (5, 5, 20, 20), cell_class="Monocyte", comment="a twin")
        proposal = Proposal((40, 40, 20, 20), 0.9, {"Monocyte": 0.5, "Neutrophil": 0.5})
        (waiting,) = project.suggestions.replace(field.id, [proposal], model_id=None)
    told = cli("find", annotated, "class:monocyte", "--json").json
    assert told == [
        {"kind": "cell", "id": first, "field": field.name, "class": "Monocyte", "probability": None},
        {"kind": "suggestion", "id": waiting, "field": field.name, "class": "Monocyte", "probability": 0.45},
    ]
    assert [one["id"] for one in cli("find", annotated, "certainty<60", "--json").json] == [waiting]
    table = cli("find", annotated, f'comment:"a twin" reader:"{reader}"').out
    assert "Monocyte" in table
    assert "1 cell or suggestion found." in table
    assert cli("find", annotated, "comment:nothing").out == "0 cells and suggestions found.\n"


def test_a_word_that_the_search_does_not_know_is_named(cli: Cli, annotated: Path) -> None:
    cli("find", annotated, "class:Plasmacell").refuses("Plasmacell", "Myeloblast")
    cli("find", annotated, "colour:red").refuses("colour", "certainty")


def test_a_certainty_is_shown_of_a_label_alone_that_the_model_in_use_predicts(
    cli: Cli, annotated: Path
) -> None:
    with Project.open(annotated) as project:
        field = project.fields.all()[0]
        said = [{"Monocyte": 1.0}, {"Neutrophil": 1.0}, {}]
        proposals = [Proposal((40.0 * i, 40, 20, 20), 0.99, one) for i, one in enumerate(said)]
        ids = [
            project.suggestions.correct(one, cell_class="Monocyte")
            for one in project.suggestions.replace(field.id, proposals, model_id=None)
        ]
        blank = project.suggestions.accept(
            project.suggestions.replace(field.id, [Proposal((60, 90, 20, 20), 0.99)], model_id=None)[0]
        )
        before = project.bulk_edits.entries()

    def certainties() -> dict[int, float | None]:
        found = cli("find", annotated, "kind:cell", "--json").json
        return {one["id"]: one["probability"] for one in found if one["id"] in (*ids, blank)}

    assert certainties() == {ids[0]: 0.99, ids[1]: None, ids[2]: None, blank: None}
    assert [one["id"] for one in cli("find", annotated, "certainty>90", "--json").json] == [ids[0]]
    with Project.open(annotated) as project:
        project.models.folder(number := project.models.reserve_id()).mkdir(parents=True, exist_ok=True)
        project.models.add(number, parent="starter", card={}, activate=True)
        assert project.bulk_edits.entries() == before
    assert set(certainties().values()) == {None}, "of a model that is no longer in use"
