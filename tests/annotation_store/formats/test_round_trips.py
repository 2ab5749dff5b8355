"""Project → format → project is equal to what the format can carry (the table in docs/formats.md)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.records import RegionState, Shape
from annotation_store.schema import load_schema
from annotation_store.schema.reserved import UNSURE

LLD = load_schema("lld")
WIDTH, HEIGHT = 100, 80


@dataclass(frozen=True)
class PlainCell:
    """A cell without ids, comparable across projects."""

    box: tuple[float, ...]
    cell_class: str | None
    attributes: frozenset[tuple[str, str]] = frozenset()
    kind: str | None = None
    cut: bool = False
    comment: str = ""
    bookmark: bool = False
    second_opinion: bool = False

    def bare(self) -> PlainCell:
        return PlainCell(self.box, self.cell_class)

    def values(self) -> PlainCell:
        return replace(self.bare(), attributes=self.attributes)


@dataclass
class Plain:
    """What a project says of one field."""

    cells: set[PlainCell] = field(default_factory=set)
    regions: set[tuple[float, ...]] = field(default_factory=set)
    ignore_areas: set[tuple[float, ...]] = field(default_factory=set)
    patient: str | None = None
    domain: str | None = None


def _round(values: Any) -> tuple[float, ...]:
    return tuple(round(float(v), 3) for v in values)


def plain(project: Project) -> dict[str, Plain]:
    """Give the contents of a project by field name, ids left out, numbers to a thousandth of a pixel."""
    names = {f.id: f.name for f in project.fields.all()}
    found = {f.name: Plain(patient=f.patient, domain=f.domain) for f in project.fields.all()}
    for cell in project.cells.all():
        found[names[cell.field_id]].cells.add(
            PlainCell(
                _round(cell.box),
                cell.cell_class,
                frozenset(cell.attributes.items()),
                cell.kind,
                cell.cut,
                cell.comment,
                cell.bookmark,
                cell.second_opinion,
            )
        )
    for region in project.regions.all():
        if region.state == RegionState.FINISHED:
            found[names[region.field_id]].regions.add(_round(region.shape.coords))
    for area in project.ignore_areas.all():
        found[names[area.field_id]].ignore_areas.add(_round(area.shape.coords))
    return found


# -- random contents -----------------------------------------------------------------------------

quarters = st.integers(0, 40).map(lambda n: n / 4)
comments = st.one_of(
    st.just(""),
    st.text(max_size=20),
    st.sampled_from(
        ["=1+1", "-x", "'quoted", "a\nb", "Größe µm", '"', "\t@", "; , |", "</comment>", "&amp;"]
    ),
)


@st.composite
def _cells(draw: Any) -> list[dict[str, Any]]:
    cells = []
    for column in range(draw(st.integers(0, 4))):
        x, y = 20 * column + draw(quarters) / 2, draw(st.integers(0, 150)) / 4
        box = (x, y, 4 + draw(quarters), 4 + draw(quarters))
        cell_class = draw(st.sampled_from([None, UNSURE, "blast", "None", "None", *LLD.class_names]))
        attributes = {
            a.name: value
            for a in LLD.attributes
            if (value := draw(st.sampled_from([None, UNSURE, *a.value_names, *a.value_names])))
        }
        cells.append(
            {
                "box": box,
                "cell_class": cell_class,
                "attributes": attributes,
                "kind": draw(st.sampled_from([None, "smudge"])) if cell_class == "None" else None,
                "cut": draw(st.booleans()),
                "comment": draw(comments),
                "bookmark": draw(st.booleans()),
                "second_opinion": draw(st.booleans()),
            }
        )
    return cells


rectangles = st.tuples(quarters, quarters, quarters, quarters).map(
    lambda v: Shape.rectangle(v[0] * 4, v[1] * 3, 5 + v[2] * 5, 5 + v[3] * 4)
)
triangles = st.tuples(quarters, quarters).map(
    lambda v: Shape.polygon([(v[0], v[1]), (v[0] + 60, v[1] + 10), (v[0] + 20, v[1] + 55)])
)
areas = st.lists(st.one_of(rectangles, triangles), max_size=2, unique_by=lambda s: s.coords)
fields = st.fixed_dictionaries({"cells": _cells(), "regions": areas, "ignore_areas": areas})
contents = st.fixed_dictionaries({"a.png": fields, "b.png": fields})


def fill(project: Project, given: dict[str, Any]) -> None:
    """Write random contents into a project of the fields a.png and b.png."""
    ids = {f.name: f.id for f in project.fields.all()}
    for name, said in given.items():
        for cell in said["cells"]:
            project.cells.add(ids[name], cell["box"], **{k: v for k, v in cell.items() if k != "box"})
        for shape in said["regions"]:
            project.regions.add(ids[name], shape)
        for shape in said["ignore_areas"]:
            project.ignore_areas.add(ids[name], shape)
        project.fields.update(ids[name], patient=f"patient {name[0]}", domain="H_100x_C1")


# -- the trip ------------------------------------------------------------------------------------

few = settings(
    max_examples=10, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)

Trip = Callable[..., tuple[dict[str, Plain], dict[str, Plain], list[str]]]


@pytest.fixture
def trip(
    fresh: Callable[[], Project], blank: Callable[[], Project], room: Callable[..., Path], image_folder: Path
) -> Trip:
    """Send contents through a format into an empty project: what was sent, what came back, what was told."""

    def go(name: str, given: dict[str, Any], suffix: str = "", **options: str) -> Any:
        out = room(suffix)
        with fresh() as source, blank() as target:
            fill(source, given)
            sent, back, told = plain(source), {}, []
            try:
                told = formats.write(name, source, out, options=options or None).skipped
            except FormatError as error:
                told = [str(error)]
            if out.exists():
                inside = any((out / folder).is_dir() for folder in ("images", "JPEGImages", "Images"))
                images = None if inside else image_folder
                formats.read(name, target, out, images=images)
                back = plain(target)
                formats.read(name, source, out, images=images)
                assert cells_of(plain(source)) == cells_of(sent), "what was written is another cell now"
            else:
                assert "nothing to export" in told[0]
        shutil.rmtree(source.path)
        shutil.rmtree(target.path)
        return sent, back, told

    return go


def cells_of(said: dict[str, Plain]) -> dict[str, Any]:
    return {name: (len(p.cells), p.regions) for name, p in said.items()}


def saying(sent: dict[str, Plain]) -> dict[str, Plain]:
    """The fields that say anything; the others are in no file."""
    return {n: p for n, p in sent.items() if p.cells or p.regions or p.ignore_areas}


def only(sent: dict[str, Plain], keep: Callable[[PlainCell], PlainCell]) -> dict[str, Plain]:
    return {n: replace(p, cells={keep(c) for c in p.cells}) for n, p in saying(sent).items()}


@few
@given(contents)
def test_coco_keeps_everything(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("coco", given, ".json")
    assert back == sent


@few
@given(contents)
def test_yolo_keeps_boxes_classes_and_with_its_sidecar_regions(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("yolo", given)
    assert back == only(sent, PlainCell.bare)


@few
@given(contents)
def test_voc_keeps_everything_but_control_characters(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("voc", given)
    assert back == only(sent, lambda c: replace(c, comment=xml_text(c.comment)))


def xml_text(text: str) -> str:
    return "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff"))


@few
@given(contents)
def test_csv_keeps_cells_but_no_regions(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, told = trip("csv", given, ".csv")
    kept = {n: p for n, p in sent.items() if p.cells}
    assert back == {n: replace(p, regions=set(), ignore_areas=set()) for n, p in kept.items()}
    assert any("regions" in line for line in told) == any(p.regions for p in sent.values())


@few
@given(contents)
def test_geojson_keeps_everything(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("geojson", given)
    assert back == saying(sent)


@few
@given(contents)
def test_label_studio_keeps_everything(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("labelstudio", given, ".json")
    assert back == sent


SAYABLE = frozenset(LLD.class_names)


def lld_values(cell: PlainCell) -> PlainCell:
    known = frozenset((n, v) for n, v in cell.attributes if v != UNSURE)
    return PlainCell(cell.box, cell.cell_class, known)


def lld_lines(cell: PlainCell) -> PlainCell:
    """What a line of LLD's text says: see `codes`."""
    cell = lld_values(cell)
    values = dict(cell.attributes)
    binary = LLD.attribute_names[1:]
    if "nuclear_chromatin" not in values and all(name in values for name in binary[1:]):
        del values["nuclear_shape"]
    bare = cell.cell_class == "None" and not any(name in values for name in binary)
    if bare and values.get("cell_size") == "large":  # its code is that of "missing"
        del values["cell_size"]
    return replace(cell, attributes=frozenset(values.items()))


def without_lost(sent: dict[str, Plain], keep: Callable[[PlainCell], PlainCell]) -> dict[str, Plain]:
    """Cells that cannot be said become ignore areas."""
    found = {}
    for name, said in saying(sent).items():
        lost = {c.box for c in said.cells if c.cell_class not in SAYABLE}
        cells = {keep(c) for c in said.cells if c.cell_class in SAYABLE}
        found[name] = replace(said, cells=cells, ignore_areas=said.ignore_areas | lost)
    return found


@few
@given(contents)
def test_lld_json_keeps_values_and_regions(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("lld", given, ".json")
    assert back == without_lost(sent, lld_values)


@few
@given(contents)
def test_lld_text_of_twelve_columns_keeps_values(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("lld", given, columns="12")
    assert back == without_lost(sent, lld_lines)


@few
@given(contents)
def test_lld_text_of_sixteen_columns_keeps_what_its_patches_hold(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("lld", given, columns="16")
    for name, said in back.items():
        assert said.regions == sent[name].regions
        assert said.cells <= {lld_lines(c) for c in sent[name].cells}
        missing = {c.box for c in sent[name].cells} - {c.box for c in said.cells}
        assert said.ignore_areas == sent[name].ignore_areas | missing
        shapes = [Shape(coords) for coords in sent[name].regions if len(coords) == 4]
        assert not any(
            s.contains_centre(c.box)
            for s in shapes
            for c in sent[name].cells
            if c.cell_class in SAYABLE and c.box in missing
        )


@few
@given(contents)
def test_lld_in_its_coco_layout_keeps_values_and_regions(trip: Trip, given: dict[str, Any]) -> None:
    sent, back, _ = trip("lld", given, layout="coco")
    assert back == without_lost(sent, lld_values)
