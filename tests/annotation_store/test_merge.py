"""Copies of a project brought together: nothing lost, any order the same, twice the same."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from annotation_store import LLDError, Project, ProjectError, RegionState, Schema, SchemaError, Shape
from annotation_store.copies import merge as merging
from annotation_store.copies.merge import merge
from annotation_store.copies.schemas import join_schemas
from tests.annotation_store.copies_of import act, copied, exported, together
from tests.annotation_store.older import take_back

INSTANTS = int(os.environ.get("LLD_INSTANTS", "4"))
"""At how many instants a process is killed; each run chooses others."""


@pytest.fixture
def readers(folder: Path) -> list[Path]:
    """Three copies, with a reading of their own each, beside a project with a cell."""
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
    copies = [copied(folder, name) for name in "ABC"]
    for number, copy in enumerate(copies):
        with Project.open(copy, annotator=copy.name) as project:
            project.readings.use(project.readings.add(copy.name).id)
            project.regions.add(1, Shape.rectangle(0, 0, 50, 50))
            for i in range(number + 2):
                values = {"cell_size": "small"}
                project.cells.add(1, (5 + i, 5, 20, 20), cell_class="Lymphocyte", attributes=values)
    return copies


def test_what_readers_did_in_copies_stands_side_by_side_in_any_order(
    folder: Path, readers: list[Path], tmp_path: Path
) -> None:
    results = []
    for number, order in enumerate(permutations(readers)):
        target = together(copied(folder, f"into-{number}"), *order)
        results.append(exported(target, tmp_path / "out"))
    with Project.open(target, annotator="Ada") as project:
        assert project.check() == []
        assert len(project.cells.all()) == 1
        added = [row for row in project.history.rows(entity="cell") if row.action == "add"]
        assert sorted(row.annotator for row in added) == ["A", "A", "Ada", *"BBB", *"CCCC"]
    # one of the copies may as well receive
    target = together(copied(readers[1], "into-B"), readers[2], readers[0])
    results.append(exported(target, tmp_path / "out"))
    assert all(result == results[0] for result in results)
    assert {name.split(" of ")[0] for name in results[0]} >= {"Reading 1", "A", "B", "C"}
    backups = sorted((target / "backups").iterdir())
    again = merge(target, [readers[0], folder, target])
    assert all(one.nothing for one in again.brought)
    assert again.backup is None
    assert sorted((target / "backups").iterdir()) == backups
    assert exported(target, tmp_path / "out") == results[0]


Acts = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 60), st.integers(0, 60)), max_size=7)


@example(
    before=[],
    done=[(0, False, []), (1, True, [(0, 0, 0), (0, 42, 43)]), (2, True, [(9, 5, 13)])],
    met=True,
    orders=["PBCA", "ABCP", "CABP", "PABC", "PACB", "PCBA"],
)  # Ada did nothing: her reading is only there where she receives
@settings(max_examples=int(os.environ.get("LLD_MERGES", "3")), deadline=None)
@given(
    before=Acts,
    done=st.lists(st.tuples(st.integers(0, 2), st.booleans(), Acts), min_size=3, max_size=6),
    met=st.booleans(),
    orders=st.permutations(["PABC", "PBCA", "PCBA", "ABCP", "CABP", "PACB"]),
)
def test_whatever_was_done_every_order_gives_the_same_project(
    template: Path,
    image_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[int, int, int]],
    done: list[tuple[int, bool, list[tuple[int, int, int]]]],
    met: bool,
    orders: list[str],
) -> None:
    place = tmp_path_factory.mktemp("merge")
    for number in range(3):
        pixels = np.random.default_rng(50 + number).integers(0, 255, (80, 100, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"new{number}.png")
    copies = {"P": Path(shutil.copytree(template, place / "P"))}
    with Project.open(copies["P"], annotator="Ada") as project:
        for words in before:
            act(project, *words, place)
    copies |= {name: copied(copies["P"], name) for name in "ABC"}
    for number, (who, own, acts) in enumerate(done):
        name = "ABC"[who]
        if met and number == len(done) // 2:  # two of them met before
            merge(copies["A"], [copies["B"]], annotator="Ada")
        with Project.open(copies[name], annotator=name if own else "Ada") as project:
            if project.readings.undecided:
                project.readings.use(project.readings.all()[0].id)
            for words in acts:
                act(project, *words, place)
    results = []
    labels = set[tuple[str, str]]()
    for copy in copies.values():
        with Project.open(copy, annotator="Nobody", read_only=True) as project:
            labels |= {(row.at.isoformat(), row.command) for row in project.history.rows(entity="cell")}
    for order in orders[:3]:
        target = together(copied(copies[order[0]], f"T-{order}"), *(copies[name] for name in order[1:]))
        results.append(exported(target, place / "out"))
        assert results[0] == results[-1], order
        with Project.open(target, annotator="Ada") as project:
            assert project.check() == []
            told = {(row.at.isoformat(), row.command) for row in project.history.rows(entity="cell")}
            assert labels - told <= {one for one in labels if one[1] == "Merge projects"}
    again = merge(target, list(copies.values()), annotator="Ada")
    assert all(one.nothing for one in again.brought)
    shutil.rmtree(place)


def test_what_two_people_changed_differently_is_listed_and_decided_in_the_window(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
        gone = project.cells.add(1, (40, 5, 20, 20), cell_class="Monocyte")
        region = project.regions.add(1, Shape.rectangle(0, 0, 60, 60), state=RegionState.DRAFT)
    other = copied(folder, "other")
    with Project.open(folder, annotator="Ada") as project:
        project.cells.change(cell, cell_class="Neutrophil", attributes={"cell_size": "small"})
        project.cells.change(gone, cell_class="Lymphocyte")
        project.regions.change(region, state=RegionState.FINISHED)
        project.fields.update(1, patient="Meyer")
        project.fields.update(2, patient="Meyer")
    with Project.open(other, annotator="Bert") as project:
        project.readings.use(1)
        project.cells.change(cell, cell_class="Basophil", attributes={"nuclear_chromatin": "open"})
        project.cells.delete(gone)
        project.regions.change(region, shape=Shape.rectangle(10, 0, 60, 60))
        project.fields.update(1, patient="Meier")
    report = merge(folder, [other], annotator="Ada")
    assert sorted(one.what for one in report.brought[0].differences) == ["cell", "cell", "field", "region"]
    with Project.open(folder, annotator="Ada") as project:
        assert project.check() == []
        kept = project.cells.get(cell)
        assert kept.attributes == {"cell_size": "small", "nuclear_chromatin": "open"}
        assert project.cells.get(gone).cell_class == "Lymphocyte"
        assert project.fields.get(2).patient == "Meyer"
        waiting = project.conflicts.all()
        assert len(waiting) == report.conflicts == 4
        for conflict in waiting:
            here, there = conflict.here, conflict.there
            assert here.keys() == there.keys()
            project.conflicts.resolve(conflict.id, take=True)
            if conflict.cell_id == cell:
                assert project.cells.get(cell).cell_class == there["cell_class"]
        assert [one.id for one in project.cells.all()] == [cell]
        assert project.conflicts.all() == []
    # a decision is a change like others: it comes along, and nothing opens again
    merge(other, [folder], annotator="Bert")
    with Project.open(other, annotator="Ada") as project:
        assert project.conflicts.all() == []
        assert project.check() == []
    assert all(one.nothing for one in merge(folder, [other], annotator="Ada").brought)


def test_a_cell_that_both_boxed_in_one_reading_is_listed_as_double(folder: Path) -> None:
    other = copied(folder, "other")
    for place in (folder, other):
        with Project.open(place, annotator="Ada") as project:
            project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
    merge(folder, [other], annotator="Ada")
    with Project.open(folder, annotator="Ada") as project:
        (conflict,) = project.conflicts.all()
        assert conflict.there == {"deleted": True}
        project.conflicts.resolve(conflict.id, take=True)
        assert len(project.cells.all()) == 1


def grown(schema: Schema, name: str, letter: str, colour: str) -> Schema:
    """Return a schema with one more class."""
    data = schema.model_dump(mode="json")
    number = max(one["id"] for one in data["classes"]) + 1
    data["classes"].append({"id": number, "name": name, "letter": letter, "colour": colour})
    return Schema.model_validate(data)


def test_schemas_that_grew_are_joined_alike_in_any_order(folder: Path, tmp_path: Path) -> None:
    copies = [copied(folder, name) for name in "ABC"]
    new = (("Zeta", "Zz", "#010203"), ("Alpha", "Zz", "#010203"), ("Kappa", "Zy", "#010204"))
    for copy, words in zip(copies, new, strict=True):
        with Project.open(copy, annotator="Ada") as project:
            project.schema_versions.change(grown(project.schema, *words))
            project.cells.add(1, (5, 5, 20, 20), cell_class=words[0])
    results = []
    for number, order in enumerate(permutations(copies)):
        target = together(copied(folder, f"into-{number}"), *order)
        results.append(exported(target, tmp_path / "out"))
        assert results[0] == results[-1]
    with Project.open(target, annotator="Ada") as project:
        assert [c.name for c in project.schema.classes][-3:] == ["Alpha", "Kappa", "Zeta"]
        assert len({c.colour for c in project.schema.classes}) == len(project.schema.classes)
        assert project.check() == []


def test_a_word_that_one_side_renamed_is_a_sentence_and_changes_nothing(folder: Path) -> None:
    other = copied(folder, "other")
    with Project.open(other, annotator="Ada") as project:
        project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
        data = project.schema.model_dump(mode="json")
        (one,) = (c for c in data["classes"] if c["name"] == "Monocyte")
        one["name"] = one["title"] = "Mono"
        project.schema_versions.change(Schema.model_validate(data), {"Monocyte": "Mono"})
    before = (folder / "project.db").read_bytes()
    with pytest.raises(SchemaError, match=r"no longer has class Monocyte .*Mono.*napari-lld schema"):
        merge(folder, [other], annotator="Ada")
    assert (folder / "project.db").read_bytes() == before
    assert list((folder / "backups").glob("*")) == []


def test_two_classes_with_one_number_are_named_with_their_projects(folder: Path) -> None:
    other = copied(folder, "other")
    for place, names in ((folder, ("Monocyte", "Basophil")), (other, ("Monocyte", "Eosinophil"))):
        with Project.open(place, annotator="Ada") as project:
            data = project.schema.model_dump(mode="json")
            first, second = ({c["name"]: c for c in data["classes"]}[name] for name in names)
            first["id"], second["id"] = second["id"], first["id"]
            project.schema_versions.change(Schema.model_validate(data))
    with pytest.raises(SchemaError) as refused:
        merge(folder, [other], annotator="Ada")
    told = str(refused.value)
    assert "number (id) 10 is Basophil in this project, and Eosinophil in" in told
    assert f"napari-lld schema {other} --set" in told


def with_values(schema: Schema, *names: str) -> Schema:
    data = schema.model_dump(mode="json")
    data["attributes"][0]["values"] = list(names)
    return Schema.model_validate(data)


def test_new_values_stand_where_their_schema_has_them(folder: Path) -> None:
    with Project.open(folder, read_only=True) as project:
        base = with_values(project.schema, "small", "large")
    one = with_values(base, "tiny", "small", "middling", "large", "huge")
    two = with_values(base, "small", "average", "large")
    for here, there in ((one, two), (two, one)):
        joined = join_schemas(here, there, base, other=Path("other"))
        names = joined.attributes[0].value_names
        assert [name for name in names if name != "average"] == ["tiny", "small", "middling", "large", "huge"]
        assert names.index("small") < names.index("average") < names.index("large")
    assert join_schemas(one, two, base, other=Path("x")) == join_schemas(two, one, base, other=Path("x"))


def test_other_projects_are_read_whatever_their_state_and_never_changed(
    folder: Path, readers: list[Path], tmp_path: Path
) -> None:
    older, newer, damaged = (copied(readers[0], name) for name in ("older", "newer", "damaged"))
    take_back(older, "0014")
    with closing(sqlite3.connect(newer / "project.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    content = bytearray((damaged / "project.db").read_bytes())
    content[8192:40960] = b"\x07" * (40960 - 8192)
    (damaged / "project.db").write_bytes(content)
    before = (older / "project.db").read_bytes()
    with pytest.raises(ProjectError, match="newer version"):
        merge(folder, [newer], annotator="Ada")
    with pytest.raises(ProjectError, match="damaged"):
        merge(folder, [damaged], annotator="Ada")
    with Project.open(readers[1], annotator="B") as open_elsewhere:
        report = merge(folder, [older, readers[1]], annotator="Ada")
        assert open_elsewhere.cells.all()
    assert [one.cells for one in report.brought] == [2, 3]
    assert (older / "project.db").read_bytes() == before
    assert sorted(p.name for p in older.glob("project.db*")) == ["project.db"]
    assert all(one.nothing for one in merge(folder, [readers[0]], annotator="Ada").brought)


def with_new_field(folder: Path, images: Path) -> Path:
    """Return a copy to which a picture was added and a cell boxed on it."""
    other = copied(folder, "other")
    with Project.open(other, annotator="Bert") as project:
        project.readings.use(project.readings.add("Bert").id)
        (field,) = project.fields.add([images / "c.jpg"]).added
        for i in range(60):
            project.cells.add(field, (i % 40, i // 2, 15, 15), cell_class="Monocyte")
    return other


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")
def test_a_merge_that_is_killed_is_whole_or_absent(folder: Path, image_folder: Path) -> None:
    other = with_new_field(folder, image_folder)

    def work(place: Path) -> None:
        merge(place, [other], annotator="Ada")

    first = copied(folder, "first")
    begun = time.perf_counter()
    work(first)
    whole = time.perf_counter() - begun
    for instant in range(INSTANTS):
        copy = copied(folder, f"copy{instant}")
        pid = os.fork()
        if pid == 0:
            try:
                work(copy)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0, 1.1 * whole))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with Project.open(copy, annotator="Ada") as project:
            there = len(project.fields.all()), len(project.readings.all())
            assert there in ((2, 1), (3, 2)), instant
            assert project.check() == []
        work(copy)
        with Project.open(copy, annotator="Ada") as project:
            assert len(project.fields.all()) == 3
            assert project.check() == []


@pytest.mark.parametrize("where", ["copy_field", "Bring"])
def test_a_full_disk_is_a_sentence_and_leaves_the_project_as_it_was(
    folder: Path, image_folder: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    other = with_new_field(folder, image_folder)

    def full(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(merging, where, full)
        with pytest.raises(LLDError, match="disk is full"):
            merge(folder, [other], annotator="Ada")
    with Project.open(folder, annotator="Ada") as project:
        assert len(project.fields.all()) == 2
        assert project.check() == []
    merge(folder, [other], annotator="Ada")
    with Project.open(folder, annotator="Ada") as project:
        assert len(project.fields.all()) == 3
        assert project.check() == []


@pytest.mark.parametrize(("column", "value"), [("content_hash", "../../elsewhere"), ("suffix", "/../../x")])
def test_a_name_that_leads_out_of_the_project_is_refused(
    folder: Path, image_folder: Path, column: str, value: str
) -> None:
    other = with_new_field(folder, image_folder)
    with closing(sqlite3.connect(other / "project.db")) as database, database:
        database.execute(f"UPDATE fields SET {column} = ?, withheld = 1 WHERE id = 3", (value,))
    before = sorted(folder.parent.iterdir())
    with pytest.raises(LLDError, match="invalid file name"):
        merge(folder, [other], annotator="Ada")
    assert sorted(folder.parent.iterdir()) == before
    with Project.open(folder, annotator="Ada") as project:
        assert len(project.fields.all()) == 2


def test_models_come_along_once_and_the_active_one_stays(folder: Path) -> None:
    def add(project: Project, weights: bytes) -> int:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir()
        (project.models.folder(number) / "weights.bin").write_bytes(weights)
        project.models.add(number, parent="starter", card={"name": str(weights)}, activate=True)
        return number

    with Project.open(folder, annotator="Ada") as project:
        add(project, b"one")
    other = copied(folder, "other")
    with Project.open(folder, annotator="Ada") as project:
        active = add(project, b"two")
    with Project.open(other, annotator="Ada") as project:
        add(project, b"three")
    assert merge(folder, [other], annotator="Ada").brought[0].models == 1
    with Project.open(folder, annotator="Ada") as project:
        assert [model.card["name"] for model in project.models.all()] == ["b'one'", "b'two'", "b'three'"]
        found = project.models.active()
        assert found is not None
        assert found.id == active
        assert (project.models.folder(3) / "weights.bin").read_bytes() == b"three"
    assert merge(folder, [other], annotator="Ada").brought[0].nothing
