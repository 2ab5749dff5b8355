"""Labels from elsewhere: told before they come in, all or nothing, and lost to no closing window."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QWidget

from annotation_store import Project, formats
from napari_lld.controllers.desk import Desk, desk_for
from napari_lld.options import ImportOptions
from napari_lld.tasks import import_preview
from napari_lld.tasks.import_preview import Import, ProjectPlace
from napari_lld.widgets.dialogs.import_dialog import ImportDialog, ImportedDialog


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A COCO file for the fields that are here, which states no regions and knows one class too many."""
    names = ("Neutrophil", "Monocyte", "Dragon cell")
    document = {
        "images": [{"id": n, "file_name": f"field_{n}.png"} for n in range(2)],
        "annotations": [
            {"id": i, "image_id": i % 2, "category_id": i % 3, "bbox": [15 * i, 10, 12, 12]} for i in range(6)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(names)],
    }
    place = tmp_path / "elsewhere.json"
    place.write_text(json.dumps(document))
    return place


@pytest.fixture
def ask(small_project: Path, qtbot: QtBot) -> Callable[..., ImportDialog]:
    def make(*, blind: bool = False) -> ImportDialog:
        with Project.open(small_project, annotator="Ada") as project:
            if blind:
                project.readings.use(project.readings.add("blind", blind=True).id)
            dialog = ImportDialog(ProjectPlace.of_project(project), project.reading)
        qtbot.addWidget(dialog)
        dialog._pause.setInterval(0)
        dialog.show()
        return dialog

    return make


def settled(qtbot: QtBot, dialog: ImportDialog) -> None:
    qtbot.waitUntil(lambda: dialog._look is not None and not dialog.jobs.busy, timeout=10_000)


def test_every_format_and_every_meaning_of_unmarked_area_can_be_chosen(
    ask: Callable[..., ImportDialog],
) -> None:
    dialog = ask()
    known = [dialog.form.itemData(i) for i in range(1, dialog.form.count())]
    assert known == formats.names(reading=True)
    assert dialog.regions.currentData() == "stated"
    assert not dialog.ok.isEnabled()
    assert "Choose" in dialog.holds.text()


def test_it_says_what_comes_in_before_anything_does(
    ask: Callable[..., ImportDialog], file: Path, qtbot: QtBot, small_project: Path
) -> None:
    dialog = ask()
    dialog.path.setText(str(file))
    settled(qtbot, dialog)
    assert dialog.form.currentData() == "coco"
    assert dialog.holds.text().startswith("4 cells, 0 finished regions; 0 new fields, 2 already here")
    assert "'Dragon cell' is not in the schema" in dialog.left_out.text()
    assert not dialog.ok.isEnabled(), "a file that does not fit is refused"
    dialog.skip.setChecked(True)
    assert dialog.ok.isEnabled()
    dialog.regions.setCurrentIndex(dialog.regions.findData("full"))
    assert not dialog.ok.isEnabled(), "what was said was said of something else"
    settled(qtbot, dialog)
    assert "2 finished regions" in dialog.holds.text()
    assert not dialog.ok.isEnabled()
    with Project.open(small_project) as project:
        assert project.cells.all() == []


def test_all_that_is_said_of_an_import_can_be_read(
    ask: Callable[..., ImportDialog], tmp_path: Path, qtbot: QtBot
) -> None:
    dialog = ask()
    rows = "".join(f"{'a field with a long name ' * 8}{n}.png,1,1,9,9\n" for n in range(9))
    (tmp_path / "lost.csv").write_text("field,x,y,w,h\nfield_0.png,1,1,9,9\n" + rows)
    dialog.path.setText(str(tmp_path / "lost.csv"))
    settled(qtbot, dialog)
    said = dialog.left_out
    assert said.heightForWidth(said.width()) > 5 * said.fontMetrics().lineSpacing()
    qtbot.waitUntil(lambda: said.height() >= said.heightForWidth(said.width()))


def test_what_cannot_be_imported_is_one_plain_sentence(
    ask: Callable[..., ImportDialog], tmp_path: Path, qtbot: QtBot
) -> None:
    dialog = ask()
    for name, text, told in (
        ("broken.json", '{"images": [', "JSON"),
        ("labels.txt", "0 .5 .5 .1 .1", "folder"),
        ("lost.csv", "field,x,y,w,h\nnowhere.png,1,1,9,9\n", "under “Images”"),
    ):
        (tmp_path / name).write_text(text)
        dialog.path.setText(str(tmp_path / name))
        settled(qtbot, dialog)
        assert told in dialog.left_out.text(), name
        assert "--" not in dialog.left_out.text()
        assert not dialog.ok.isEnabled()


def test_labels_come_into_a_blind_reading_only_as_its_own(
    ask: Callable[..., ImportDialog], file: Path, qtbot: QtBot
) -> None:
    dialog = ask(blind=True)
    dialog.path.setText(str(file))
    settled(qtbot, dialog)
    dialog.skip.setChecked(True)
    assert not dialog.ok.isEnabled()
    dialog.own.setChecked(True)
    assert dialog.ok.isEnabled()


@pytest.fixture
def desk(qtbot: QtBot, small_project: Path) -> Iterator[Desk]:
    desk = desk_for(ViewerModel())
    desk.session.open(small_project, annotator="Ada")
    yield desk
    desk.close()


def wanted(file: Path, **changes: Any) -> Import:
    return Import(file, ImportOptions(format="coco", **{"skip_unknown": True, **changes}))


def test_an_import_goes_into_the_reading_that_is_open_and_can_be_undone(
    desk: Desk, file: Path, qtbot: QtBot
) -> None:
    project = desk.session.project
    assert project is not None
    desk.window = QWidget()
    qtbot.addWidget(desk.window)
    desk.session.readings.add("second", blind=False)
    desk.imports.run(ProjectPlace.of_project(project), wanted(file))
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
    assert len(project.cells.all()) == 4
    report = desk.window.findChild(ImportedDialog)
    assert "Dragon cell" in report.list.toPlainText()
    report.close()
    for field in project.fields.all():
        project.undo(field.id)
    assert project.cells.all() == []
    project.readings.use(1)
    assert project.cells.all() == []


def test_a_file_that_changed_since_it_was_looked_at_is_refused(desk: Desk, file: Path) -> None:
    project = desk.session.project
    assert project is not None
    with pytest.raises(Exception, match="Nothing was imported: class 'Dragon cell'"):
        import_preview.carry_out(
            ProjectPlace.of_project(project), wanted(file, skip_unknown=False), lambda *_: None
        )
    assert project.cells.all() == []


@pytest.mark.parametrize("how", ["stopped", "closed"])
def test_stopping_and_closing_the_window_while_importing_leave_the_project_as_it_was(
    desk: Desk, file: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, small_project: Path, how: str
) -> None:
    project = desk.session.project
    assert project is not None
    begun, go_on = threading.Event(), threading.Event()
    carry_out = import_preview.carry_out

    def slowly(place: ProjectPlace, what: Import, tell: Any) -> Any:
        def told(done: int, total: int) -> None:
            begun.set()
            go_on.wait(10)
            tell(done, total)

        return carry_out(place, what, told)

    monkeypatch.setattr("napari_lld.controllers.importing.carry_out", slowly)
    hints: list[str] = []
    desk.hinted.connect(hints.append)
    desk.imports.run(ProjectPlace.of_project(project), wanted(file))
    assert begun.wait(10)
    (thread,) = (one for one in threading.enumerate() if one.name == desk.jobs.title)
    desk.jobs.stop()
    go_on.set()
    if how == "closed":
        desk.close()
        assert not thread.is_alive()
    else:
        qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
        assert hints[-1] == "Importing: stopped. Nothing was imported."
    with Project.open(small_project) as again:
        assert again.cells.all() == []
        assert again.regions.all() == []
