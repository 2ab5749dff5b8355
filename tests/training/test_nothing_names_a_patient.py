"""A patient's name is planted everywhere in a project; no byte that leaves the house holds it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sqlite3
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import tifffile
from PIL import Image, PngImagePlugin

from annotation_store import Project, Proposal, RejectionReason, formats
from annotation_store.splits import units, units_of_fields
from napari_lld.report import write_report
from tests.annotation_store.older import take_back
from tests.training.conftest import draw
from training.evaluation.patient_split import card_names, held_out_key, listed_as_held_out, listed_entries
from training.protocol import TrainRequest
from training.worker.anonymous_card import hide_names, nameless
from training.worker.channel import Channel
from training.worker.run import run

NAME = "Zwickelhuber1953"
BOXES = [(12.0, 12.0, 28.0, 28.0), (80.0, 40.0, 36.0, 36.0), (20.0, 60.0, 24.0, 24.0)]


class Silent(Channel):
    def __init__(self) -> None:
        pass

    def send(self, message: Any) -> None:
        pass

    @property
    def cancelled(self) -> bool:
        return False


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained project in which everything that can bear a name bears this one."""
    place = tmp_path_factory.mktemp("house")
    folder = place / NAME
    folder.mkdir()
    save_images(folder)
    path = place / f"{NAME}.lld"
    with Project.create(path, "lld", annotator="reader") as project:
        about = {"microscope": NAME, "camera": NAME, "stain": NAME}
        project.fields.add([folder], patient_from=r"(.*)_", about=about)
        for number, field in enumerate(project.fields.all()):
            project.fields.update(
                field.id, slide=f"slide {NAME}", note=f"ask {NAME}", domain=f"{NAME} {number % 2}"
            )
            project.fields.update(field.id, patient=f"{NAME} {number}", quality=NAME)
            project.regions.add_whole_field(field.id)
            for box in BOXES:
                project.cells.add(field.id, box, cell_class="Lymphocyte", comment=f"{NAME}?")
        first = project.fields.all()[0]
        suggestion = Proposal((60, 5, 20, 20), 0.9, {"Lymphocyte": 1.0}, {})
        (rejected,) = project.suggestions.replace(first.id, [suggestion], model_id=None)
        project.suggestions.reject(rejected, RejectionReason.NOT_A_CELL)
        document = place / NAME / "labels.json"
        document.write_text(json.dumps(coco_of(first.name)))
        formats.read("coco", project, document, images=folder)
    request = TrainRequest(
        project=str(path), size=64, epochs=1, device="cpu", suggest=False, annotator=NAME, init="starter"
    )
    run(request, Silent(), time.monotonic())
    return path


def save_images(folder: Path) -> None:
    for number in range(12):
        pixels = draw(128, 96, BOXES, seed=number)
        stem = f"{NAME}_{number}"
        if number % 3 == 0:
            exif = Image.Exif()
            exif[0x010E] = NAME
            xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{NAME}</x:xmpmeta>".encode()
            Image.fromarray(pixels).save(
                folder / f"{stem}.jpg", exif=exif, comment=NAME, xmp=xmp, quality=100, subsampling=0
            )
        elif number % 3 == 1:
            text = PngImagePlugin.PngInfo()
            text.add_text("Patient", NAME, zip=True)
            text.add_itxt("Comment", NAME, zip=True)
            Image.fromarray(pixels).save(folder / f"{stem}.png", pnginfo=text)
        else:
            tags = [(315, "s", 0, NAME, True), (700, "B", len(NAME), NAME.encode(), True)]
            tifffile.imwrite(
                folder / f"{stem}.tif", pixels, description=NAME, photometric="rgb", extratags=tags
            )


def coco_of(file_name: str) -> dict[str, Any]:
    """A file of another program, with keys of its own that are handed on, and a conflict."""
    return {
        "images": [{"id": 1, "file_name": file_name, "width": 128, "height": 96}],
        "categories": [{"id": 1, "name": "Monocyte"}, {"id": 2, "name": "Basophil"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 8], "source_image": NAME},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": list(BOXES[0])},
        ],
    }


def everything(out: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of what lies at a place, what is packed or compressed in them too."""
    for path in [out, *out.rglob("*")] if out.is_dir() else [out]:
        yield str(path.relative_to(out.parent)), path.name.encode()
        if path.is_file():
            yield from unpacked(path.name, path.read_bytes())


def unpacked(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.namelist():
                yield f"{name}/{entry}", entry.encode()
                yield from unpacked(f"{name}/{entry}", archive.read(entry))
    for number, encoded in enumerate(re.findall(rb"base64,([A-Za-z0-9+/=]+)", data)):
        yield from unpacked(f"{name}, picture {number}", base64.b64decode(encoded))
    for begin in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", data):  # streams of zlib, as in the text of a PNG
        try:
            yield (
                f"{name} from {begin.start()}",
                zlib.decompressobj().decompress(data[begin.start() :], 1 << 20),
            )
        except zlib.error:
            continue


def assert_nameless(out: Path) -> None:
    found = list(everything(out))
    assert found
    for name, data in found:
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            needle = NAME.lower().encode(encoding)
            assert needle not in data.lower(), (
                f"{name}: …{data[max(0, data.lower().find(needle) - 80) :][:160]!r}"
            )


def test_the_search_finds_what_is_packed(named: Path, tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", NAME, zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=text)
    assert NAME.encode() not in (tmp_path / "a.png").read_bytes()
    with pytest.raises(AssertionError):
        assert_nameless(tmp_path / "a.png")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.png", "a.png")
    with pytest.raises(AssertionError):
        assert_nameless(tmp_path / "b.zip")


@pytest.mark.parametrize("form", formats.names(writing=True))
def test_anonymised_exports(named: Path, tmp_path: Path, form: str) -> None:
    suffix = {"coco": ".json", "labelstudio": ".json", "csv": ".csv"}.get(form, "")
    (tmp_path / "out").mkdir()
    with Project.open(named, read_only=True) as project:
        formats.write(form, project, tmp_path / "out" / f"export{suffix}", anonymise=True)
    assert_nameless(tmp_path / "out")


def test_anonymised_suggestions(named: Path, tmp_path: Path) -> None:
    with Project.open(named, read_only=True) as project:
        formats.write("coco", project, tmp_path / "export.json", what="suggestions", anonymise=True)
    assert_nameless(tmp_path / "export.json")


def test_the_default_report(named: Path, tmp_path: Path) -> None:
    with Project.open(named, read_only=True) as project:
        write_report(project, tmp_path / "report.html")
    assert_nameless(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Domain 1" in page
    assert "Another domain" not in page, "the hashes of the card are known again"


def test_a_models_folder(named: Path) -> None:
    assert {path.name for path in (named / "models" / "1").iterdir()} == {
        "model.json",
        "model.safetensors",
        "outcomes.json",
    }
    assert_nameless(named / "models" / "1")
    card = json.loads((named / "models" / "1" / "model.json").read_text("utf-8"))
    assert len(card["held_out"]) >= 1
    assert str(named.parent) not in json.dumps(card)


def test_the_database_keeps_no_path_of_an_image(named: Path) -> None:
    with Project.open(named, read_only=True) as project:
        for field in project.fields.all():
            *folders, _name = field.source_path.split("/")
            assert folders
            assert all(re.fullmatch("[0-9a-f]{16}", folder) for folder in folders)
        (conflict,) = project.conflicts.all()
        assert conflict.source == "labels.json"
        assert "project" not in project.runs.all()[0].config


def test_held_out_patients_are_known_by_older_cards_names_and_newer_ones_hashes(
    named: Path,
) -> None:
    with Project.open(named, read_only=True) as project:
        fields = project.fields.all()[:2]
        one, other = (card_names(field, unit) for field, unit in zip(fields, units(fields), strict=True))
        for name in one:
            for entry in (name, held_out_key(project, name)):
                listed = listed_as_held_out([{"held_out": [entry]}])
                assert listed_entries(project, one, listed) == {entry}
                assert not listed_entries(project, other, listed)
        for nonsense in (None, 7, "x", [7, None], {}):
            assert listed_as_held_out([{"held_out": nonsense}]) == frozenset()


def hashed(folder: str, project: Project) -> str:
    return project.pseudonyms.of_folder(folder)


def test_a_project_of_an_earlier_version_loses_the_paths_of_its_images(named: Path, tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    shutil.copytree(named, folder)
    with closing(sqlite3.connect(folder / "project.db")) as database, database:
        database.execute("UPDATE fields SET source_path = '/home/secretary/films/' || name")
        database.execute("UPDATE fields SET source_path = 'C:\\secretary\\' || name WHERE id = 2")
        database.execute("UPDATE conflicts SET source = '/home/secretary/labels.json'")
        database.execute("UPDATE runs SET config = json_set(config, '$.project', '/home/secretary/p')")
    take_back(folder, "0009")
    with Project.open(folder) as project:
        one, other = project.fields.all()[:2]
        assert one.source_path == f"{hashed('home', project)}/{hashed('secretary', project)}/" + (
            f"{hashed('films', project)}/{one.name}"
        )
        assert other.source_path == f"{hashed('SECRETARY', project)}/{other.name}"
        assert project.check() == []
    for file in folder.glob("project.db*"):
        assert b"secretary" not in file.read_bytes()
    assert len(list((folder / "backups").iterdir())) == 1


def test_cards_of_an_earlier_version_lose_their_names_at_the_next_training(
    named: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "earlier"
    shutil.copytree(named, folder)
    file = folder / "models" / "1" / "model.json"
    with Project.open(folder) as project:
        card = json.loads(file.read_text("utf-8"))
        of_fields = units_of_fields(project.fields.all())
        every = [card_names(field, of_fields[field.id]) for field in project.fields.all()]
        held = [old for new, old in every if listed_entries(project, [new], card["held_out"])]
        measured = {**card["metrics"]["held_out"], "domains": {f"{NAME} 0": {}, "H_100x_C1": {}}}
        earlier = {
            "held_out": held,
            "parent": f"/home/{NAME}/model",
            "request": {**card["request"], "project": str(folder), "annotator": NAME, "init": NAME},
            "metrics": {**card["metrics"], "held_out": measured},
        }
        file.write_text(json.dumps({**card, **earlier}), "utf-8")
        hide_names(project)
        assert_nameless(file)
        told = json.loads(file.read_text("utf-8"))
        assert sorted(told["held_out"]) == sorted(held_out_key(project, name) for name in held)
        assert told["parent"] == "file"
        assert "H_100x_C1" in told["metrics"]["held_out"]["domains"]
        assert told["sha256"] == card["sha256"]
        assert nameless(project, told) == told
        assert nameless(project, {"held_out": 7, "metrics": [], "request": None, "parent": 7})
