"""Every export is described, for people and for programs, and the description names nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import mlcroissant
import pytest
import yaml

from annotation_store import OutputError, Project, Proposal, Shape, formats
from annotation_store.formats import dataset_card
from napari_lld import sample

FORMS = formats.names(writing=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("card") / "project"
    with Project.create(folder, annotator="Ada Lovelace") as made:
        made.fields.add(sample.fields()[:2], patient_from=r"^(pbc)", about={"domain": "Zeiss | 100x"})
        field = made.fields.all()[0]
        made.regions.add(field.id, Shape.rectangle(0, 0, field.width / 2, field.height))
        made.cells.add(
            field.id, (10, 10, 50, 50), cell_class="Neutrophil", attributes={"nuclear_chromatin": "coarse"}
        )
        made.cells.add(field.id, (90, 10, 50, 50), cell_class="Monocyte")
        yield made


def out_of(form: str, folder: Path) -> Path:
    suffix = {"csv": ".csv", "coco": ".json", "labelstudio": ".json"}.get(form, "")
    return folder / f"out{suffix}"


@pytest.mark.parametrize("form", FORMS)
def test_others_read_the_description_of_every_format(form: str, project: Project, tmp_path: Path) -> None:
    out = out_of(form, tmp_path)
    formats.write(form, project, out)
    card, croissant = dataset_card.places(out, folder=out.is_dir())
    read = mlcroissant.Dataset(jsonld=str(croissant))
    assert not read.metadata.ctx.issues.errors
    files = {one.name for one in read.metadata.distribution}
    written = [path for path in (out.rglob("*") if out.is_dir() else [out]) if path.is_file()]
    assert files
    assert all(
        any(path.match(name) or path.name == name or name == "annotations" for name in files)
        for path in written
        if path not in (card, croissant)
    )
    _, head, text = card.read_text("utf-8").split("---\n", 2)
    assert yaml.safe_load(head)["pretty_name"] == "out"
    assert "| Neutrophil | 1 |" in text
    assert "coarse 1" in text
    assert "unknown, and not background" in text
    assert r"Zeiss \| 100x" in text


@pytest.mark.parametrize(("form", "count"), [("coco", 2), ("csv", 2)])
def test_a_program_reads_the_cells_by_the_description_alone(
    form: str, count: int, project: Project, tmp_path: Path
) -> None:
    out = out_of(form, tmp_path)
    formats.write(form, project, out)
    _, croissant = dataset_card.places(out, folder=False)
    rows = list(mlcroissant.Dataset(jsonld=str(croissant)).records("cells"))
    assert len(rows) == count


def test_anonymised_no_name_stands_in_it(project: Project, tmp_path: Path) -> None:
    for form in FORMS:
        folder = tmp_path / form
        folder.mkdir()
        out = out_of(form, folder)
        formats.write(form, project, out, anonymise=True)
        for file in dataset_card.places(out, folder=out.is_dir()):
            text = file.read_text("utf-8")
            assert not any(name in text for name in ("pbc_00", "Zeiss", "Lovelace", "project/")), file


def test_suggestions_are_said_to_be_unreviewed(project: Project, tmp_path: Path) -> None:
    field = project.fields.all()[1]
    project.suggestions.replace(field.id, [Proposal((1, 1, 9, 9), 0.9, {"Monocyte": 1.0})], model_id=None)
    out = tmp_path / "out.json"
    formats.write("coco", project, out, what="suggestions")
    for file in dataset_card.places(out, folder=False):
        assert "1 suggestion of a model, not reviewed" in file.read_text("utf-8")
    project.suggestions.replace(field.id, [], model_id=None)


def test_the_same_project_gives_the_same_description(project: Project, tmp_path: Path) -> None:
    texts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        out = tmp_path / name / "out.json"
        formats.write("coco", project, out)
        texts.append([file.read_bytes() for file in dataset_card.places(out, folder=False)])
    assert texts[0] == texts[1]


def test_a_card_that_exists_is_not_replaced_unasked(project: Project, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    (tmp_path / "out.json.card.md").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.json\.card\.md"):
        formats.write("coco", project, out)
    assert not out.exists()
    formats.write("coco", project, out, overwrite=True)
    assert json.loads((tmp_path / "out.json.croissant.json").read_text())["name"] == "out"
