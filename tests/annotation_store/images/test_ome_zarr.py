"""OME-Zarr: others' images come in, and what the project writes is read by others' readers."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr.io
import ome_zarr.reader
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr.format import FormatV04, FormatV05
from ome_zarr.writer import write_multiscale
from ome_zarr_models.v05 import Image as ImageV05
from PIL import Image

from annotation_store import ImageError, Project
from annotation_store.images import read_image, write_pixels
from annotation_store.images.zarr_reader import files_of, pack

RGB = np.random.default_rng(0).integers(0, 255, (96, 120, 3), np.uint8)
FORMATS = {"0.4": FormatV04(), "0.5": FormatV05()}


def write(
    path: Path,
    array: Any,
    axes: str = "cyx",
    version: str = "0.5",
    *,
    unit: str | None = "micrometer",
    scale: float = 0.25,
) -> Path:
    """Write with ome-zarr-py."""
    fmt = FORMATS[version]
    group = zarr.open_group(path, mode="w", zarr_format=fmt.zarr_format)
    kinds = {"c": "channel", "t": "time"}
    described = [
        {"name": a, "type": kinds.get(a, "space")} | ({"unit": unit} if unit and a in "zyx" else {})
        for a in axes
    ]
    scales = [[{"type": "scale", "scale": [scale if a in "yx" else 1.0 for a in axes]}]]
    write_multiscale([array], group, fmt=fmt, axes=described, coordinate_transformations=scales)
    return path


def planes(rgb: np.ndarray = RGB) -> np.ndarray:
    return rgb.transpose(2, 0, 1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["cyx", "tczyx", "yx", "czyx"])
def test_images_of_others_are_read(tmp_path: Path, version: str, axes: str) -> None:
    array = planes()[0] if axes == "yx" else planes()
    for position, axis in enumerate(axes):
        if axis in "tz":
            array = np.expand_dims(array, position)
    path = write(tmp_path / "a.zarr", array, axes, version)
    expected = np.repeat(RGB[..., :1], 3, axis=2) if axes == "yx" else RGB
    assert np.array_equal(read_image(path), expected)


def test_sixteen_bits_are_scaled_as_in_any_other_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zarr", planes().astype(np.uint16) * 16)
    assert np.abs(read_image(path).astype(int) - np.rint(RGB.astype(float) * 16 * 255 / 4095)).max() <= 1


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_folder_of_ome_zarr_is_one_field_with_its_pixel_size(
    empty: Project, tmp_path: Path, version: str
) -> None:
    write(tmp_path / "in" / "deep" / "one.zarr", planes(), version=version)
    Image.fromarray(RGB[::-1]).save(tmp_path / "in" / "two.png")
    report = empty.fields.add([tmp_path / "in"])
    assert (len(report.added), report.skipped) == (2, [])
    field = empty.fields.named("one.zarr")
    assert field is not None
    assert field.pixel_size_um == 0.25
    assert np.array_equal(empty.pixels.read(field.id), RGB)
    assert empty.check() == []
    assert empty.fields.add([tmp_path / "in" / "deep" / "one.zarr"]).skipped[0][1] == "already in the project"


def test_the_original_is_one_zip_file_that_comes_in_again_as_the_same(empty: Project, tmp_path: Path) -> None:
    path = write(tmp_path / "one.zarr", planes())
    (field_id,) = empty.fields.add([path]).added
    original = empty.pixels.original(field_id)
    assert original.suffix == ".ozx"
    shutil.unpack_archive(original, tmp_path / "unpacked", "zip")
    assert np.array_equal(zarr.open_array(tmp_path / "unpacked" / "s0", mode="r")[...], planes())
    assert np.array_equal(read_image(original), RGB)
    copy = shutil.copy(original, tmp_path / "again.ozx")
    assert empty.fields.add([copy]).skipped[0][1] == "already in the project"


def test_the_zip_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
    for name, order in (("one", ("b", "deep/a", "a")), ("two", ("a", "deep/a", "b"))):
        for file in order:
            (tmp_path / name / file).write_text(file)
    packed = []
    for name in ("one", "two"):
        sink = io.BytesIO()
        pack(files_of(tmp_path / name), sink)
        packed.append(sink.getvalue())
    assert packed[0] == packed[1]
    digest = "ab019ee7fc027a266f75cfd093203ce06059a6a3918470fe746179bb61b9fcbd"
    assert hashlib.sha256(packed[0]).hexdigest() == digest, "projects know their images by it"


def test_the_wrapper_of_bioformats2raw_is_looked_into(tmp_path: Path) -> None:
    root = zarr.open_group(tmp_path / "b.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write(tmp_path / "b.zarr" / "0", planes(), version="0.4")
    assert np.array_equal(read_image(tmp_path / "b.zarr"), RGB)


def kept(project: Project) -> list[Path]:
    return sorted(p for p in project.path.rglob("*") if p.is_file() and not p.name.startswith("project.db"))


def edited(path: Path, file: str, **changes: Any) -> Path:
    stored = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(stored | changes))
    return path


def hostile(path: Path, what: str) -> Path:
    """Make an OME-Zarr that is wrong in one way."""
    match what:
        case "stack":
            return write(path, np.stack([planes(), planes()], axis=1), "czyx")
        case "five channels":
            return write(path, np.zeros((5, 20, 20), np.uint8))
        case "plate":
            zarr.open_group(path, mode="w", zarr_format=2).attrs["plate"] = {"wells": []}
            return path
        case "no image":
            zarr.open_group(path, mode="w")
            return path
        case "empty folder":
            path.mkdir()
            return path
    write(path, planes(), version="0.4")
    array = "s0/.zarray" if (path / "s0").exists() else "0/.zarray"
    match what:
        case "absurd shape":
            return edited(path, array, shape=[3, 10**9, 10**9])
        case "absurd chunks":
            return edited(path, array, chunks=[3, 10**9, 10**9])
        case "negative shape":
            return edited(path, array, shape=[3, -5, 120])
        case "pickled objects":
            return edited(path, array, filters=[{"id": "pickle"}])
        case "structured values":
            return edited(path, array, dtype=[["a", "<u1"]])
        case "text values":
            return edited(path, array, dtype="|S4")
        case "path outside":
            stored = json.loads((path / ".zattrs").read_text())
            stored["multiscales"][0]["datasets"][0]["path"] = "../../secret"
            return edited(path, ".zattrs", **stored)
        case "deep JSON":
            (path / ".zattrs").write_text("[" * 100_000)
        case "no JSON":
            (path / ".zattrs").write_text("{")
        case "no pixels":
            shutil.rmtree(path / array.split("/")[0])
        case "link inside":
            (path / "loop").symlink_to(path)
        case "damaged chunk":
            for chunk in (path / array.split("/")[0]).rglob("*"):
                if chunk.is_file() and not chunk.name.startswith("."):
                    chunk.write_bytes(b"\x02\x01" + b"\xff" * 40)
    return path


WRONG = {
    "stack": "stack of 2 focus planes",
    "five channels": "5 channels",
    "plate": "plate of wells",
    "no image": "not an OME-Zarr image",
    "empty folder": "not an OME-Zarr image",
    "absurd shape": "",
    "absurd chunks": "",
    "negative shape": "implausible size",
    "pickled objects": "pickle",
    "structured values": "values of type",
    "text values": "values of type",
    "path outside": "outside its folder",
    "deep JSON": "damaged",
    "no JSON": "damaged",
    "no pixels": "has no pixels",
    "link inside": "link",
    "damaged chunk": "damaged",
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_field_is_refused_in_a_sentence(empty: Project, tmp_path: Path, what: str) -> None:
    path = hostile(tmp_path / "wrong.zarr", what)
    before = kept(empty)
    with pytest.raises(ImageError, match=rf"wrong\.zarr.*{WRONG[what]}") as caught:
        empty.fields.add([path])
    assert "\n" not in str(caught.value)
    assert empty.fields.all() == []
    assert kept(empty) == before


def test_no_code_in_a_zarr_is_ever_run(empty: Project, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    path = hostile(tmp_path / "bomb.zarr", "pickled objects")
    for chunk in path.rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ImageError):
        empty.fields.add([path])
    assert not (tmp_path / "ran").exists()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List where in a JSON document something can be replaced."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += leaves(inner, (*path, key))
    return found


odd = st.sampled_from(
    [None, True, 0, -1, 1.5, 2**31, 10**30, float("nan"), "", "..", "/etc", "0", "pickle", [], {}, [[]], [1]]
)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path, Any]]:
    """Two small images, and each of their metadata files."""
    found = []
    for version in FORMATS:
        path = write(tmp_path_factory.mktemp("zarr") / f"{version}.zarr", planes(), version=version)
        for name in ("zarr.json", ".zattrs", ".zarray", ".zgroup"):
            found += [(path, file, json.loads(file.read_text())) for file in sorted(path.rglob(name))]
    return found


@pytest.mark.timeout(120)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), value=odd)
def test_mutated_metadata_gives_pixels_or_a_sentence(
    documents: list[tuple[Path, Path, Any]], data: st.DataObject, value: Any
) -> None:
    path, file, document = data.draw(st.sampled_from(documents))
    before = file.read_text()
    at = data.draw(st.sampled_from(leaves(document) or [()]))
    changed = json.loads(before)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    if at:
        inner[at[-1]] = value
    problem = ""
    try:
        file.write_text(json.dumps(changed))
        pixels = read_image(path)
        assert pixels.dtype == np.uint8
        assert pixels.shape[2] == 3
    except ImageError as error:
        problem = str(error)
    finally:
        file.write_text(before)
    assert problem.isprintable()


# -- what the project writes ------------------------------------------------------------------------


def test_a_field_is_valid_ome_zarr_for_others(project: Project) -> None:
    project.fields.update(1, pixel_size_um=0.1)
    folder = project.path / "fields.zarr" / "1"
    described = ImageV05.from_zarr(zarr.open_group(folder, mode="r"))
    assert described.ome_attributes.multiscales[0].name == "a.png"
    location = ome_zarr.io.parse_url(folder)
    assert location is not None
    assert location.version == "0.5"
    (node,) = list(ome_zarr.reader.Reader(location)())
    assert np.array_equal(node.data[0].compute(), project.pixels.read(1).transpose(2, 0, 1))
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "y", "x"]


def test_napari_opens_a_field_with_its_own_reader(project: Project) -> None:
    from napari_builtins.io import napari_get_reader

    path = str(project.path / "fields.zarr" / "1")
    reader = napari_get_reader(path)
    assert reader is not None
    ((data, *_),) = reader(path)
    level = data[0] if isinstance(data, list) else data
    assert np.array_equal(np.asarray(level), project.pixels.read(1).transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("height", "width", "levels"), [(640, 640, 1), (2048, 2048, 1), (1000, 2100, 2), (4100, 300, 3)]
)
def test_small_fields_are_one_level_in_one_shard_and_large_ones_pyramids(
    tmp_path: Path, height: int, width: int, levels: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    write_pixels(tmp_path / "f", pixels, name="f", pixel_size_um=0.5)
    group = zarr.open_group(tmp_path / "f", mode="r")
    assert sorted(group.array_keys()) == [str(n) for n in range(levels)]
    assert len(list((tmp_path / "f" / "0" / "c").rglob("*"))) == 3, "one file, in the folders of its name"
    node = next(iter(ome_zarr.reader.Reader(ome_zarr.io.parse_url(tmp_path / "f"))()))
    assert len(node.data) == levels
    scales = [change[0]["scale"][1:] for change in node.metadata["coordinateTransformations"]]
    assert scales == [[0.5 * 2**n] * 2 for n in range(levels)]
