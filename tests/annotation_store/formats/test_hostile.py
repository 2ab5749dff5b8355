"""Files of strangers: any bytes give a document or one plain sentence, and nothing is touched elsewhere."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.errors import FormatError, OutputError
from annotation_store.formats import cells_csv, geojson, voc
from annotation_store.formats._exchange import requests
from annotation_store.formats._exchange.document import Document, Skipped
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats.coco.coco import from_coco
from annotation_store.formats.labelstudio import labelstudio
from annotation_store.formats.lld import lines, lld
from annotation_store.formats.lld.codes import Codes
from annotation_store.formats.yolo import names, yolo
from annotation_store.schema import load_schema

from .conftest import put

LLD = load_schema("lld")
CODES = Codes(LLD)
NOTHING = Images([])

many = settings(max_examples=150, deadline=None)
few = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def reads_or_refuses(parse: Callable[..., object], *args: object) -> None:
    """The one promise of a parser: what it gives, or `FormatError` with a sentence of one line."""
    try:
        parse(*args)
    except FormatError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert "\u202e" not in text
        assert len(text) < 600


# -- text ----------------------------------------------------------------------------------------

numbers = st.one_of(
    st.floats(0, 1).map(repr),
    st.sampled_from(["nan", "inf", "-1", "1e999", "1_0", "٣", "0x1", "--", "9" * 400, "\u202e1", "2", "4"]),
)
label_lines = st.lists(st.lists(numbers, max_size=18).map(" ".join), max_size=6).map("\n".join)
texts = st.one_of(
    label_lines.map(str.encode), st.binary(max_size=80), label_lines.map(lambda t: t.encode("utf-16"))
)


@many
@given(texts)
def test_yolo_labels(data: bytes) -> None:
    reads_or_refuses(yolo.parse, data, "a.txt")


@many
@given(texts)
def test_lld_labels(data: bytes) -> None:
    reads_or_refuses(lines.parse, data, "a.txt")


@many
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda t: f"names: {t}".encode())))
@example(b"names: &a [*a]")
@example(b"a: &a [x,x]\nb: &b [*a,*a]\nnames: [*b,*b]")
@example(b"names: !!python/object/apply:os.system ['true']")
def test_yolo_names(data: bytes) -> None:
    reads_or_refuses(names.parse_names, data, "data.yaml")


csv_words = st.one_of(
    numbers, st.text(max_size=8), st.sampled_from(["../x.png", "/etc/passwd", "C:x", "=1", "a.png"])
)
tables = st.lists(st.lists(csv_words, max_size=9).map(",".join), max_size=5).map(
    lambda rows: "\n".join(["field,x,y,w,h,class,cell_size,confidence", *rows])
)


@many
@given(st.one_of(tables.map(lambda t: t.encode("utf-8", "replace")), st.binary(max_size=80)))
@example(b'field,x,y,w,h\n"' + b"a" * 200_000 + b'",1,1,1,1')
@example(b"field,field,x,y,w,h\n")
@example(b"")
def test_csv(data: bytes) -> None:
    reads_or_refuses(cells_csv.parse, data, LLD, "a.csv")


# -- XML -----------------------------------------------------------------------------------------

BOMB = b"""<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation><filename>&c;</filename></annotation>"""
EXTERNAL = (
    b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename></annotation>'
)
OUTSIDE = b"<annotation><filename>../../../etc/passwd</filename></annotation>"
DEEP = b"<annotation>" + b"<object>" * 10_000 + b"</object>" * 10_000 + b"</annotation>"
BOX = (
    b"<object><name>None</name>"
    b"<bndbox><xmin>%s</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
)


def voc_document(data: bytes) -> Document:
    document = Document("a.xml", [], Skipped())
    pairing = Pairing(NOTHING, Path(), {})
    voc.parse(data, LLD, "a.xml", document, pairing, Path("a.xml"))
    return document


@many
@given(
    st.one_of(
        st.binary(max_size=80),
        numbers.map(
            lambda n: b"<annotation><filename>a.png</filename>" + BOX % n.encode() + b"</annotation>"
        ),
        st.text(max_size=20).map(lambda t: f"<annotation><filename>{t}</filename></annotation>".encode()),
    )
)
@example(BOMB)
@example(EXTERNAL)
@example(OUTSIDE)
@example(DEEP)
@example(b'<?xml version="1.0" encoding="no-such"?><annotation/>')
def test_voc(data: bytes) -> None:
    reads_or_refuses(voc_document, data)


@pytest.mark.parametrize("data", [BOMB, EXTERNAL])
def test_entities_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="entities"):
        voc_document(data)


# -- JSON ----------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(
        ["../../x.png", "a.png", "Myeloblast", "Feature", "Polygon", "rectanglelabels", "choices"]
    ),
)
KEYS = (
    "images", "annotations", "categories", "id", "file_name", "image_id", "category_id", "bbox", "attributes",
    "cell_size", "nuclear_chromatio", "annotated_regions", "score", "unsure", "name", "features", "type",
    "geometry", "coordinates", "geometries", "properties", "classification", "measurements", "metadata",
    "napari_lld", "data", "image", "result", "value", "x", "y", "width", "height", "rotation", "points",
    "rectanglelabels", "from_name", "original_width", "original_height", "predictions", "field",
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
coco_trees = st.fixed_dictionaries(
    {
        "images": st.lists(
            st.fixed_dictionaries({"id": st.integers(1, 3), "file_name": st.just("a.png")}), max_size=2
        ),
        "categories": st.just([{"id": 1, "name": "Myeloblast"}]),
        "annotations": st.lists(
            st.dictionaries(st.sampled_from(KEYS), trees, max_size=5).map(
                lambda a: {"image_id": 1, "bbox": [1, 1, 5, 5], "category_id": 1, **a}
            ),
            max_size=3,
        ),
    }
)
feature_trees = st.fixed_dictionaries(
    {
        "type": st.just("FeatureCollection"),
        "features": st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.just("Feature"),
                    "geometry": st.one_of(
                        trees, st.fixed_dictionaries({"type": st.just("Polygon"), "coordinates": trees})
                    ),
                    "properties": trees,
                }
            ),
            max_size=3,
        ),
        "napari_lld": trees,
    }
)
task_trees = st.lists(
    st.fixed_dictionaries(
        {
            "data": st.one_of(trees, st.just({"image": "a.png"})),
            "annotations": st.lists(
                st.fixed_dictionaries(
                    {
                        "result": st.lists(
                            st.fixed_dictionaries(
                                {
                                    "type": st.sampled_from(
                                        ["rectanglelabels", "polygonlabels", "choices", "x"]
                                    ),
                                    "value": trees,
                                    "original_width": st.just(10),
                                    "original_height": st.one_of(st.just(10), scalars),
                                    "id": scalars,
                                }
                            ),
                            max_size=3,
                        )
                    }
                ),
                max_size=2,
            ),
            "predictions": trees,
        }
    ),
    max_size=2,
)


def geojson_document(data: Any) -> None:
    pairing = Pairing(NOTHING, Path(), {})
    geojson.parse(data, Path("a.geojson"), LLD, Document("a", [], Skipped()), pairing)


@many
@given(st.one_of(trees, coco_trees))
def test_coco(data: Any) -> None:
    reads_or_refuses(from_coco, data, LLD)


@many
@given(st.one_of(trees, coco_trees))
def test_lld_json(data: Any) -> None:
    reads_or_refuses(lambda d: lld.from_json(d, CODES, source="a.json"), data)


@many
@given(st.one_of(trees, feature_trees))
def test_geojson(data: Any) -> None:
    reads_or_refuses(geojson_document, data)


@many
@given(st.one_of(trees, task_trees))
def test_label_studio(data: Any) -> None:
    reads_or_refuses(labelstudio.parse, data, LLD, "a.json", NOTHING)


# -- whole files, through the registry -----------------------------------------------------------

READERS = formats.names(reading=True)
SUFFIX = {"csv": ".csv", "geojson": ".geojson", "voc": ".xml"}


@pytest.mark.parametrize("name", READERS)
@few
@given(data=st.binary(max_size=200))
@example(data=b"")
@example(data=b"\xef\xbb\xbf")
@example(data=b"\xff\xfe\x00")
@example(data=b"[" * 10_000 + b"]" * 10_000)
@example(data=b'{"images":' * 10_000)
@example(data=b'[{"id": NaN}]')
def test_any_file_is_read_or_refused(name: str, data: bytes, project: Project, tmp_path: Path) -> None:
    before = (project.cells.all(), project.regions.all(), project.fields.all())
    folder = tmp_path / "given"
    folder.mkdir(exist_ok=True)
    path = folder / f"x{SUFFIX.get(name, '.json')}"
    path.write_bytes(data)
    if name == "yolo":
        (folder / "data.yaml").write_bytes(data)
        path = folder
    reads_or_refuses(formats.read, name, project, path)
    assert (project.cells.all(), project.regions.all(), project.fields.all()) == before
    assert {p.name for p in tmp_path.iterdir()} <= {"given", "project"}


PLACES = [
    "../outside.png",
    "/outside.png",
    "C:\\outside.png",
    "C:outside.png",
    "a/../../outside.png",
    "\\\\srv\\x.png",
]


def file_with(name: str, place: str, folder: Path) -> Path:
    """A file of the format that names an image outside its folder."""
    box = [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]
    shape = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": box}, "properties": {}}
    flat = {"images": [{"id": 1, "file_name": place, "width": 100, "height": 80}], "annotations": []}
    if name in ("coco", "lld"):
        return put(folder / "x.json", json.dumps(flat))
    if name == "csv":
        return put(folder / "x.csv", f'field,x,y,w,h\n"{place}",1,1,9,9\n')
    if name == "voc":
        return put(folder / "x.xml", f"<annotation><filename>{place}</filename></annotation>")
    if name == "geojson":
        said = {"type": "FeatureCollection", "napari_lld": {"field": place}, "features": [shape]}
        return put(folder / "x.geojson", json.dumps(said))
    if name == "labelstudio":
        return put(
            folder / "x.json",
            json.dumps([{"data": {"image": "a.png", "field": place, "regions_stated": True}}]),
        )
    flat["images"][0]["files"] = ["images/a.png"]
    put(folder / "regions.json", json.dumps(flat))
    put(folder / "data.yaml", "names: [None]")
    put(folder / "labels" / "a.txt", "0 0.5 0.5 0.1 0.1")
    return folder


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("place", PLACES)
def test_no_file_name_leads_out_of_the_folder(
    name: str, place: str, project: Project, tmp_path: Path, image_folder: Path
) -> None:
    (tmp_path / "outside.png").write_bytes((image_folder / "c.jpg").read_bytes())
    folder = tmp_path / "given"
    folder.mkdir()
    path = file_with(name, place, folder)
    if name == "voc" and ".." not in place:  # passed over: the file's own name finds the image
        reads_or_refuses(formats.read, name, project, path)
    else:
        with pytest.raises(FormatError, match=r"points outside|was found in"):
            formats.read(name, project, path)
    assert len(project.fields.all()) == 2


def test_a_link_out_of_a_data_set_is_not_followed(
    project: Project, tmp_path: Path, image_folder: Path
) -> None:
    folder = tmp_path / "set"
    put(folder / "data.yaml", "names: [None]")
    put(folder / "labels" / "c.txt", "0 0.5 0.5 0.1 0.1")
    (folder / "images").mkdir()
    (folder / "images" / "c.jpg").symlink_to(image_folder / "c.jpg")
    with pytest.raises(FormatError, match="None of the 1 images"):
        formats.read("yolo", project, folder)


def test_names_that_deceive_are_made_plain(project: Project, tmp_path: Path, image_folder: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "evil\u202egnp.png").write_bytes((image_folder / "c.jpg").read_bytes())
    image = {"id": 1, "file_name": "evil\u202egnp.png", "patient": "two\nlines", "width": 64, "height": 64}
    path = put(folder / "x.json", json.dumps({"images": [image], "annotations": []}))
    formats.read("coco", project, path)
    added = project.fields.all()[-1]
    assert (added.name, added.patient) == ("evil_gnp.png", "two_lines")
    project.cells.add(added.id, (1, 1, 9, 9))
    formats.write("yolo", project, tmp_path / "out")
    assert (tmp_path / "out" / "labels" / "train" / "evil_gnp.txt").exists() or (
        tmp_path / "out" / "labels" / "val" / "evil_gnp.txt"
    ).exists()


def test_an_image_of_absurd_size_beside_labels_is_refused(project: Project, tmp_path: Path) -> None:
    head = (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 10**6, 10**6, 8, 2, 0, 0, 0)
        + b"\0" * 4
    )
    folder = tmp_path / "set"
    put(folder / "data.yaml", "names: [None]")
    put(folder / "labels" / "z.txt", "0 0.5 0.5 0.1 0.1")
    (folder / "images").mkdir()
    (folder / "images" / "z.png").write_bytes(head)
    with pytest.raises(FormatError):
        formats.read("yolo", project, folder)


def test_an_export_refuses_a_folder_that_holds_something(project: Project, tmp_path: Path) -> None:
    project.cells.add(1, (1, 1, 9, 9))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "keep.txt").write_text("mine")
    for name in ("yolo", "lld", "voc", "geojson", "crops"):
        with pytest.raises(OutputError, match="not empty"):
            formats.write(name, project, tmp_path / "full")
        assert [p.name for p in (tmp_path / "full").iterdir()] == ["keep.txt"]


def test_a_failed_export_leaves_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.cells.add(1, (1, 1, 9, 9), cell_class="Myeloblast")
    project.regions.add_whole_field(1)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for module in (requests, lld):
        monkeypatch.setattr(module, "put_image", full)
    before = set(tmp_path.iterdir())
    for name in ("yolo", "lld", "voc"):
        with pytest.raises(OutputError, match="No space left"):
            formats.write(name, project, tmp_path / "out")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", ["coco", "csv", "labelstudio", "geojson", "voc"])
def test_a_file_of_absurd_size_is_refused_before_it_is_read(
    project: Project, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"x{SUFFIX.get(name, '.json')}"
    with path.open("wb") as file:
        file.truncate(1 << 33)  # takes no space
    with pytest.raises(FormatError, match=r"larger than \d+ MB: split it"):
        formats.read(name, project, path)
