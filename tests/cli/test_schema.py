"""``schema``, ``check --repair``, and what ``add`` and ``info`` say of fields and conflicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from annotation_store import Project
from napari_lld.cli import run


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, object]:
    capsys.readouterr()
    assert run([*map(str, words), "--json"]) == 0
    answered: dict[str, object] = json.loads(capsys.readouterr().out)
    return answered


def test_a_schema_is_printed_changed_and_set_again(
    small_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(small_project) as project:
        cell = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    assert run(["schema", str(small_project)]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "schema.yaml"
    file.write_text(text.replace("name: Monocyte", "name: Macrophage", 1))
    assert run(["schema", str(small_project), "--set", str(file)]) == 2
    assert "Monocyte (1 cell)" in capsys.readouterr().err
    told = answer(capsys, "schema", small_project, "--set", file, "--map", "Monocyte=Macrophage")
    assert (told["schema_version"], told["cells"]) == (2, 1)
    with Project.open(small_project) as project:
        assert project.cells.get(cell).cell_class == "Macrophage"
        assert project.check() == []
    assert answer(capsys, "schema", small_project)["schema_version"] == 2


def test_what_models_no_longer_predict_is_said(
    small_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(small_project) as project:
        text = yaml.safe_dump(project.schema.model_dump(mode="json") | {"groups": []})
    file = tmp_path / "schema.yaml"

    def told(new: str, *mapped: str) -> str:
        file.write_text(new)
        maps = [word for pair in mapped for word in ("--map", pair)]
        capsys.readouterr()
        assert run(["schema", str(small_project), "--set", str(file), *maps]) == 0
        return capsys.readouterr().out

    assert "predict" not in told(text)
    renamed = text.replace("name: Monocyte", "name: Macrophage")
    assert "Models no longer predict Monocyte." in told(renamed)
    told(text)
    assert "predict" not in told(renamed, "Monocyte=Macrophage")
    data = yaml.safe_load(renamed)
    joined = [c for c in data["classes"] if c["name"] not in ("Myeloblast", "Monoblast")]
    blast = next(c for c in data["classes"] if c["name"] == "Myeloblast") | {"name": "Blast"}
    data["classes"] = [*joined, blast]
    out = told(yaml.safe_dump(data), "Myeloblast=Blast", "Monoblast=Blast")
    assert "no model predicts Blast until you train again" in out


def test_bad_words_about_a_schema_are_one_line(
    small_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yaml").write_text("name: [")
    for words in (
        ["--set", str(tmp_path / "nowhere.yaml")],
        ["--set", str(tmp_path / "bad.yaml")],
        ["--map", "a=b"],
        ["--set", str(tmp_path / "bad.yaml"), "--map", "nonsense"],
    ):
        assert run(["schema", str(small_project), *words]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_check_repair_mends_and_says_what(small_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(small_project / "fields.zarr/1")
    assert run(["check", str(small_project)]) == 2
    assert "--repair" in capsys.readouterr().err
    told = answer(capsys, "check", small_project, "--repair")
    assert told["sound"] is True
    assert len(told["mended"]) == 1  # type: ignore[arg-type]
    assert run(["check", str(small_project)]) == 0


def test_add_says_where_fields_come_from(
    small_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.new("RGB", (30, 30), (9, 9, 9)).save(tmp_path / "new.png")
    words = ["--microscope", "H", "--camera", "C1", "--magnification", "40", "--stain", "Wright"]
    assert run(["add", str(small_project), str(tmp_path / "new.png"), *words]) == 0
    with Project.open(small_project) as project:
        field = project.fields.named("new.png")
        assert field is not None
        assert (field.microscope, field.camera, field.magnification, field.stain) == ("H", "C1", 40, "Wright")
    facts = answer(capsys, "info", small_project)
    assert (facts["conflicts"], facts["schema_version"]) == (0, 1)
