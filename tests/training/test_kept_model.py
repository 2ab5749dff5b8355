"""A process that stays keeps the model with which it predicted, as long as that is what is asked for."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation_store import Project
from annotation_store.schema import Schema
from training.models.folder import CARD, WEIGHTS
from training.models.model import read_card, starter_place
from training.worker.models import DamagedModelError, resolve


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "project", schema="lld") as made:
        number = made.models.reserve_id()
        folder = made.models.folder(number)
        folder.mkdir(parents=True)
        shutil.copyfile(starter_place(), folder / WEIGHTS)
        shutil.copyfile(starter_place().with_suffix(".json"), folder / CARD)
        made.models.add(number, parent="starter", card=read_card(starter_place()), activate=True)
        yield made


def test_the_same_model_is_read_once(project: Project) -> None:
    first, number = resolve(project, "active", keep=True)
    again, same = resolve(project, "active", keep=True)
    assert again is first
    assert number == same


def test_who_may_change_a_model_gets_one_of_its_own(project: Project) -> None:
    kept, _ = resolve(project, "active", keep=True)
    assert resolve(project, "active")[0] is not kept


def test_another_model_is_read(project: Project) -> None:
    kept, _ = resolve(project, "active", keep=True)
    assert resolve(project, "starter", keep=True)[0] is not kept


def test_a_schema_that_grew_is_heeded(project: Project) -> None:
    kept, _ = resolve(project, "active", keep=True)
    schema = project.schema.model_dump(mode="json")
    schema["classes"].append({"id": 99, "name": "New", "colour": "#123456", "letter": "Zz"})
    project.schema_versions.change(Schema.model_validate(schema))
    grown, _ = resolve(project, "active", keep=True)
    assert grown is not kept
    assert "New" in grown.vocabulary.classes


def test_a_file_that_was_damaged_meanwhile_is_noticed(project: Project) -> None:
    _, number = resolve(project, "active", keep=True)
    assert number is not None
    weights = project.models.folder(number) / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(DamagedModelError, match="changed or damaged"):
        resolve(project, "active", keep=True)
    weights.unlink()
    with pytest.raises(DamagedModelError, match="missing"):
        resolve(project, "active", keep=True)
