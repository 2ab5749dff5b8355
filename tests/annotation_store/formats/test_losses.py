"""What is told of an export before it is written is what happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import pytest

from annotation_store import Project, Proposal, Shape, formats
from annotation_store.errors import FormatError

READABLE = [name for name in formats.names(reading=True) if name in formats.names(writing=True)]


@pytest.fixture
def project(small_project: Path) -> Iterator[Project]:
    with Project.open(small_project, annotator="Ada") as project:
        field = project.fields.all()[0].id
        project.regions.add_whole_field(field)
        project.ignore_areas.add(field, Shape.rectangle(80, 80, 10, 10))
        full = {attribute.name: attribute.values[0].name for attribute in project.schema.attributes}
        project.cells.add(field, (1, 1, 20, 20), cell_class="Neutrophil", attributes=full)
        project.cells.add(
            field, (30, 1, 20, 20), cell_class="Monocyte", attributes=full | {"nucleolus": "unsure"}
        )
        noted = project.cells.add(field, (60, 1, 20, 20), cell_class="Monocyte", attributes=full)
        project.cells.change(noted, bookmark=True, comment="two nuclei")
        project.cells.add(field, (1, 40, 20, 20), cell_class="blast")
        yield project


def test_every_format_says_what_it_loses() -> None:
    assert set(formats.LOST) == set(formats.FORMATS)


@pytest.mark.parametrize("name", READABLE)
def test_what_is_said_to_be_lost_is_lost_and_nothing_else(
    name: str, project: Project, tmp_path: Path
) -> None:
    before = formats.survey(project)
    lost = before.lost(name)
    suffix = {"file": ".json" if name != "csv" else ".csv"}.get(formats.FORMATS[name].target, "")
    out = tmp_path / f"export{suffix}"
    formats.write(name, project, out)
    source = out / "data.yaml" if name == "yolo" else out
    images = tmp_path / "images"
    images.mkdir()
    for field in project.fields.all():
        (images / field.name).write_bytes(project.pixels.original(field.id).read_bytes())
    with Project.create(tmp_path / "again.lld", annotator="Ada") as again:
        formats.read(name, again, source, images=None if name in ("yolo", "lld", "voc") else images)
        after = formats.survey(again)
    had, has = asdict(before), asdict(after)
    for kind in ("regions", "ignore_areas", "attributes", "unsure", "flags", "comments"):
        if kind == "unsure" and "attributes" in lost:
            continue  # said by that
        if kind in lost:
            assert has[kind] == 0, kind
            assert lost[kind] == had[kind] > 0
        elif not (name == "lld" and kind in ("regions", "ignore_areas")):  # patches, by a detour
            assert has[kind] == had[kind], kind
    assert has["cells"] == had["cells"] - lost.get("nameless", 0)


def test_the_images_are_lost_only_where_there_are_some(tmp_path: Path) -> None:
    with Project.create(tmp_path / "empty.lld") as empty:
        assert formats.survey(empty).lost("coco") == {}


@pytest.mark.parametrize("name", formats.names(writing=True))
def test_an_export_tells_how_far_it_is_and_one_that_is_stopped_leaves_nothing(
    name: str, project: Project, tmp_path: Path
) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done == of:
            raise StopError

    out = tmp_path / "out" / ("export.json" if formats.FORMATS[name].target == "file" else "export")
    out.parent.mkdir()
    with pytest.raises(StopError):
        formats.write(name, project, out, progress=stop)
    assert not list(out.parent.iterdir())
    told: list[tuple[int, int]] = []
    formats.write(name, project, out, progress=lambda done, of: told.append((done, of)))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1] > 0


def test_formats_that_refuse_suggestions_are_named(
    small_project: Path, suggest: object, tmp_path: Path
) -> None:
    suggest(small_project)  # type: ignore[operator]
    with Project.open(small_project, read_only=True) as project:
        for name in formats.names(writing=True):
            out = tmp_path / name / ("e.json" if formats.FORMATS[name].target == "file" else "e")
            out.parent.mkdir()
            try:
                formats.write(name, project, out, what="suggestions")
                refused = False
            except FormatError:
                refused = True
            assert refused == (name in formats.NO_SUGGESTIONS), name


@pytest.mark.parametrize("name", sorted(set(formats.names(writing=True)) - formats.NO_SUGGESTIONS))
def test_an_export_of_suggestions_reads_them_once_and_says_what_its_format_loses(
    name: str,
    project: Project,
    statements: Callable[[Project], AbstractContextManager[list[str]]],
    tmp_path: Path,
) -> None:
    sure = Proposal(
        (10, 10, 20, 20),
        0.8,
        {"Monocyte": 0.9, "Neutrophil": 0.1},
        {"cell_size": {"small": 0.1, "large": 0.9}},
        novelty=0.6,
        unchecked=True,
        sets={"cell_size": ("large",)},
    )
    project.suggestions.replace(project.fields.all()[0].id, [sure], model_id=None)
    out = tmp_path / ("export.json" if formats.FORMATS[name].target == "file" else "export")
    with statements(project) as asked:
        told = formats.write(name, project, out, what="suggestions").skipped
    assert sum("FROM suggestions" in " ".join(one.split()) for one in asked) == 1
    says = {
        "probabilities": "most probable class",
        "novelty": "(novelty)",
        "unchecked": "are unchecked",
        "sets": "sets of values",
    }
    for kind, words in says.items():
        assert any(words in sentence for sentence in told) == (kind in formats.LOST[name]), kind
