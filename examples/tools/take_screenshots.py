"""Take the pictures of README, user's guide and tutorial from the running program.

python examples/tools/take_screenshots.py [--quick] [--every] [--out FOLDER]

Without a display it starts itself again under xvfb-run, where that is installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--quick",
    action="store_true",
    help="suggestions from the stain alone, one theme, pictures thrown away",
)
parser.add_argument(
    "--train", action="store_true", help="train in the tutorial, and check what it promises of that: minutes"
)
parser.add_argument(
    "--every", action="store_true", help="each part in both themes, those too that no page shows: to look at"
)
parser.add_argument("--out", type=Path, help="where to put the pictures (docs/images)")
options = parser.parse_args()

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    if shutil.which("xvfb-run") is None:
        print("No display and no xvfb-run: no picture taken.")
        sys.exit(0)
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1366x768x24"]
    again = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    sys.exit(subprocess.run([*screen, sys.executable, *sys.argv], env=again, check=False).returncode)

import numpy as np  # noqa: E402 - Qt and napari read the environment that is set up above
from PIL import Image  # noqa: E402

from annotation_store import Embedding, Project, Proposal, Shape  # noqa: E402
from napari_lld import sample  # noqa: E402
from napari_lld.tasks.actions import make_sample_project  # noqa: E402

NEUTROPHIL = {
    "cell_size": "medium",
    "nuclear_chromatin": "coarse",
    "nuclear_shape": "irregular",
    "nucleolus": "inconspicuous",
    "cytoplasm": "abundant",
    "cytoplasmic_basophilia": "slight",
    "cytoplasmic_vacuoles": "absent",
}
FIELD = "txl_00.jpg"
REGION = (234, 104, 126, 259)
THEMES = ("light",) if options.quick else ("light", "dark")


def prepare(folder: Path) -> None:
    """Make the sample project, describe the annotated cell of one natural field, and suggest the rest."""
    make_sample_project(folder, lambda _done, _total: None, annotator="Dr. Example")
    with Project.open(folder, annotator="Dr. Example") as project:
        field = next(f for f in project.fields.all() if f.name == FIELD)
        for cell in project.cells.all(field.id):
            project.cells.change(cell.id, cell_class="Neutrophil", attributes=NEUTROPHIL)
        for region in project.regions.all(field.id):
            project.regions.change(region.id, shape=Shape.rectangle(*REGION))
        if options.quick:
            from training.inference.stain import propose_from_stain

            known = project.regions.all(field.id)[0].shape
            found = propose_from_stain(project.pixels.read(field.id))
            project.suggestions.replace(
                field.id, [p for p in found if not known.contains_centre(p.box)], model_id=None
            )
    if not options.quick:
        from training.client import run_worker
        from training.protocol import PredictRequest

        run_worker(PredictRequest(project=str(folder), model="starter", fields=[field.id]))


def mislabel(folder: Path) -> None:
    """Put something wrong into some fields, each in its own way, and have a model contradict it."""
    with Project.open(folder, annotator="Dr. Example") as project:
        for place, field in enumerate(project.fields.all()[:6]):
            cell, seen = project.cells.all(field.id)[0], 0.97 - 0.03 * place
            values = {}
            if place % 3 == 0:
                wrong = "Lymphocyte" if cell.cell_class != "Lymphocyte" else "Monocyte"
                project.cells.change(cell.id, cell_class=wrong)
            elif place % 3 == 1:
                project.cells.delete(cell.id)
            else:
                project.cells.change(cell.id, attributes={"cytoplasmic_vacuoles": "prominent"})
                values = {"cytoplasmic_vacuoles": {"absent": seen, "prominent": 1 - seen}}
            shares = dict.fromkeys(project.schema.class_names, 0.0) | {cell.cell_class or "": seen}
            prediction = Proposal(cell.box, seen, shares, values)
            project.embeddings.save("starter", {field.id: Embedding(np.ones(4, np.float32), (prediction,))})


def in_few_colours(picture: Image.Image) -> Image.Image:
    """Get a picture in 256 colours: most for the cells' fine shades, the others for small coloured signs."""
    palette: list[int] = []
    for count, method in ((180, Image.Quantize.MEDIANCUT), (76, Image.Quantize.MAXCOVERAGE)):
        part = picture.quantize(count, method, dither=Image.Dither.NONE)
        palette += (part.getpalette() or [])[: 3 * count]
    holder = Image.new("P", (1, 1))
    holder.putpalette(palette)
    return picture.quantize(palette=holder, dither=Image.Dither.NONE)


class Album:
    """Takes pictures of one window, in one theme after the other."""

    def __init__(self, viewer: Any, dock: Any, out: Path) -> None:
        self.viewer, self.dock, self.out = viewer, dock, out
        self.session, self.commands = dock.desk.session, dock.desk.commands
        self.window = viewer.window._qt_window
        self.theme = ""

    def wait(self, milliseconds: int = 300) -> None:
        """Let the window come to rest."""
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def use(self, theme: str) -> None:
        """Show everything in a theme."""
        self.theme = self.viewer.theme = theme
        self.wait(700)

    def save(self, widget: Any, name: str, *, part: Any = None) -> None:
        """Keep the picture of a widget, or of a part of it, in few colours: small files in the repository."""
        file = self.out / f"{name}.png"
        pixmap = widget.grab(part) if part is not None else widget.grab()
        pixmap.save(str(file))
        if not options.quick:
            with Image.open(file) as picture:
                few = in_few_colours(picture.convert("RGB"))
            few.save(file, optimize=True)
        print(f"{file} {pixmap.width()} × {pixmap.height()}, {file.stat().st_size // 1024} kB", flush=True)

    def wanted(self, name: str, theme: str) -> str:
        """Return the name of a picture in this theme, or nothing if no page shows it."""
        if options.every:
            return f"{name}-{self.theme}"
        return name if theme == self.theme else ""

    def part(self, name: str, widget: Any, *, theme: str = "light") -> None:
        """Take a part of the window."""
        called = self.wanted(name, theme)
        if called:
            self.wait()
            self.save(widget, called)

    def whole(self, name: str, *, theme: str = "light") -> None:
        """Take the whole window."""
        called = self.wanted(name, theme)
        if called:
            self.wait()
            self.window.grab()  # the canvas is drawn
            self.save(self.window, called)

    def drag(self, *points: tuple[float, float]) -> None:
        """Press the mouse at the first point of the field, release it at the last; one point is a click."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas, camera = self.viewer.window._qt_viewer.canvas.native, self.viewer.scene.camera
        _z, row, column = camera.center
        places = [
            QPoint(
                round(canvas.width() / 2 + (x - column) * camera.zoom),
                round(canvas.height() / 2 + (y - row) * camera.zoom),
            )
            for x, y in points
        ]
        QTest.mouseMove(canvas, places[0])
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(canvas, place)
            self.wait(30)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=places[-1])
        self.wait()

    def press(self, *keys: str) -> None:
        """Press keys in Qt's notation."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest

        for key in keys:
            combination = QKeySequence(key)[0]
            canvas = self.viewer.window._qt_viewer.canvas.native
            QTest.keyClick(canvas, combination.key(), combination.keyboardModifiers())
        self.wait(150)

    def until(self, reached: Callable[[], object], seconds: float) -> None:
        """Wait until something holds; say what did not come."""
        for _ in range(round(seconds * 5)):
            if reached():
                return
            self.wait(200)
        raise SystemExit(f"Waited {seconds:.0f} s in vain: {self.session.training.state.message}")

    def dialog(
        self,
        name: str,
        ask: Callable[[], object],
        *,
        theme: str = "light",
        shown: bool = True,
        ready: Callable[[Any], bool] = lambda _dialog: True,
    ) -> None:
        """Open a dialog, take it once it is ready, close it; those that hold the program too."""
        from qtpy.QtCore import QTimer
        from qtpy.QtWidgets import QApplication, QDialog, QMenu

        called = self.wanted(name, theme) if shown or options.every else ""
        if not called:
            return
        taken: list[Any] = []

        def look() -> None:
            tops = [
                widget
                for widget in QApplication.topLevelWidgets()
                if widget.isVisible()
                and (isinstance(widget, QDialog | QMenu) or widget.objectName() == "lld_filter")
            ]
            if tops and not taken:
                taken.append(tops[-1])
                QTimer.singleShot(600, finish)
            elif not taken:
                QTimer.singleShot(100, look)

        def finish(patience: int = 300) -> None:
            if not ready(taken[0]) and patience:
                QTimer.singleShot(100, lambda: finish(patience - 1))
                return
            for _ in range(3):
                QApplication.processEvents()  # what it says by now has found its place
            if patience:
                self.save(taken[0], called)
            taken[0].reject() if isinstance(taken[0], QDialog) else taken[0].close()
            taken.append(patience)

        QTimer.singleShot(100, look)
        ask()
        for _ in range(60):
            if len(taken) > 1:
                break
            self.wait(100)
        if taken[1:] == [0]:
            raise SystemExit(f"{name}: waited 30 s in vain")
        self.wait(200)


def start_page(album: Album) -> None:
    """Take what is there before a project is open."""
    from napari_lld.widgets.dialogs import dialogs

    album.part("start", album.dock)
    album.dialog("new-project", lambda: dialogs.ask_new_project(album.window, "Dr. Example"), shown=False)


def tutorial(album: Album) -> None:
    """Do what docs/tutorial.md tells to do, by mouse and keys; what it promises must come."""
    session, dock = album.session, album.dock
    album.commands.run("project.sample")
    album.until(lambda: session.fields.current is not None, 60)
    assert session.fields.current.name == "pbc_00.jpg", "the tutorial speaks of the first field"
    album.wait(1500)
    dock._message.hide()  # as it does by itself a little later
    album.press("R")
    album.drag((30, 30), (200, 110), (370, 190))
    drawn = session.marks.regions[-1].shape.bounds
    assert drawn[0] + drawn[2] > 360, (
        "the region goes from where the mouse was pressed to where it was released"
    )
    album.press("B")
    album.drag((94, 106))
    album.press("Return", "Shift+N", "1", "2", "2", "1")
    album.whole("tutorial-label")
    album.press("2", "1", "1")
    album.drag((300, 108))
    album.press("Return", "Shift+N", "3", "2", "2", "1", "2", "1", "1", "Esc")
    new = [cell for cell in session.marks.cells if len(cell.attributes) == 7]
    assert [cell.cell_class for cell in new] == ["Neutrophil"] * 2, "two cells are labelled in full"
    dock.show_model_tab()
    album.part("model", dock._tabs)
    if not options.train:
        dock.show_suggestions_tab()
        return
    dock._training.budget.setCurrentIndex(0)
    album.press("Ctrl+Shift+L")
    album.until(lambda: session.training.state.progress.losses, 300)
    album.wait(15_000)
    album.dialog("training", lambda: album.commands.run("training.curves"), shown=False)
    album.until(lambda: not session.training.state.busy, 600)
    album.wait(1500)
    print(session.training.state.message, flush=True)
    album.until(lambda: session.marks.pending, 5)
    dock.show_suggestions_tab()
    album.press("S")
    assert session.selection.suggestion is not None, "S goes to a suggestion"
    before = len(session.marks.cells)
    album.press("A", "S", "X")
    assert len(session.marks.cells) == before + 1, "A accepts, X rejects"


def work(album: Album) -> None:
    """Take the window on a natural field, and its parts."""
    session, dock, run = album.session, album.dock, album.commands.run
    session.fields.show(next(f.id for f in session.project.fields.all() if f.name == FIELD))
    session.marks.threshold = 0.3
    dock.show_suggestions_tab()
    album.viewer.reset_view()
    if album.theme == "dark" and session.suggestions.shown:
        session.review.next()
    elif session.marks.cells:
        session.selection.select("cell", session.marks.cells[0].id)
    album.wait(1200)
    album.viewer.reset_view()
    album.whole(f"desk-{album.theme}" if not options.every else "desk", theme=album.theme)
    session.selection.select("cell", session.marks.cells[0].id)
    if not session.display["stains"]:
        run("sight.stains")
    album.wait(500)
    album.part("zoom", dock.desk.binding.display.panel)
    run("sight.stains")
    if session.suggestions.shown:
        session.selection.select("suggestion", session.suggestions.shown[0].id)
    album.part("review", dock)
    dock.show_count_tab()
    dock._differential._scope.setCurrentIndex(2)
    dock._differential._target.setCurrentIndex(1)
    dock._differential.refresh()
    album.part("count", dock._tabs)
    dock.show_suggestions_tab()


def windows(album: Album) -> None:
    """Take the windows and dialogs."""
    dock, run = album.dock, album.commands.run
    from qtpy.QtWidgets import QToolButton

    if album.wanted("gallery", "light"):
        run("gallery.open")
        gallery = dock.desk.gallery.window
        gallery.resize(1000, 620)
        album.wait(2500)
        album.part("gallery", gallery)
        gallery.close()
    album.dialog("export", lambda: run("project.export"))
    labels = shutil.copy(sample.truth(), album.session.project.path.with_name("labels.json"))
    album.dialog("import", lambda: dock.desk.imports.ask(labels), ready=lambda asked: asked.ok.isEnabled())
    album.dialog("report", lambda: run("project.report"))
    album.dialog("keys", lambda: run("help.keys"), shown=False)
    if not options.every:
        return
    album.dialog("key-editor", lambda: run("keys.edit"))
    album.dialog("log", lambda: run("help.log"))
    album.dialog("annotator", lambda: run("annotator.change"))
    album.dialog("conflicts", lambda: run("conflicts.show"))
    album.dialog("readings", lambda: run("reading.choose"))
    album.dialog("field-comment", lambda: run("field.comment"))
    album.dialog("filter", lambda: run("fields.filter"))
    for button in dock.findChildren(QToolButton):
        if button.menu() is not None:
            name = button.objectName() or button.text()
            menu = button.menu()
            menu.aboutToShow.emit()
            album.part(f"menu-{name}".replace(" ", "").replace("/", ""), menu)
    if hasattr(album.viewer.window, "_open_preferences_dialog"):
        preferences = album.viewer.window._open_preferences_dialog()
        for row in range(preferences._list.count()):
            if "lld" in preferences._list.item(row).text().lower():
                preferences._list.setCurrentRow(row)
        album.part("preferences", preferences)
        preferences.close()


def label_errors(album: Album) -> None:
    """Take the window while possible label errors are gone through."""
    session, run = album.session, album.commands.run
    run("mistakes.check")
    album.until(lambda: session.label_errors.current, 30)
    album.wait(1200)
    album.whole("mistakes", theme=album.theme)
    session.review.next()
    album.wait(800)
    album.part("mistakes-dock", album.dock, theme=album.theme)
    run("mistakes.check")


def take(folder: Path, out: Path) -> None:
    """Open the window and take the pictures."""
    from napari_lld.window import build_window

    viewer, dock = build_window()
    album = Album(viewer, dock, out)
    album.window.resize(1366, 768)
    album.wait(500)
    for theme in THEMES:
        album.use(theme)
        start_page(album)
    album.use("light")
    tutorial(album)
    album.session.open(folder, annotator="Dr. Example")
    for theme in THEMES:
        album.use(theme)
        work(album)
        windows(album)
        if options.every:
            label_errors(album)
    viewer.close()


def main() -> None:
    """Take the pictures of a throw-away project."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
            os.environ[name] = str(Path(temporary) / name.lower())  # leave the user's recent projects alone
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        ours = Path(__file__).parents[2] / "docs" / "images"
        out = options.out or (Path(temporary) if options.quick else ours)
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(temporary) / "leukaemia-films.lld"
        prepare(folder)
        if options.every:
            mislabel(folder)
        take(folder, out)


main()
