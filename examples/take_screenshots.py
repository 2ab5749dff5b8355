"""Take the README's pictures from the running program, in napari's dark and light theme.

python examples/take_screenshots.py [--quick] [--out FOLDER]

Without a display it starts itself again under xvfb-run, where that is installed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument(
    "--quick", action="store_true", help="suggestions from the stain alone, into a temporary folder"
)
parser.add_argument("--out", type=Path, help="where to put desk-dark.png and desk-light.png (docs/images)")
options = parser.parse_args()

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    if shutil.which("xvfb-run") is None:
        print("No display and no xvfb-run: no picture taken.")
        sys.exit(0)
    screen = ["xvfb-run", "-a", "-s", "-screen 0 1366x768x24"]
    again = {name: value for name, value in os.environ.items() if name != "QT_QPA_PLATFORM"}
    sys.exit(subprocess.run([*screen, sys.executable, *sys.argv], env=again, check=False).returncode)

from annotation_store import Project, Shape  # noqa: E402 - Qt and napari read the environment that is set up above
from napari_lld.background import make_sample_project  # noqa: E402

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


def prepare(folder: Path) -> None:
    """Make the sample project, describe the annotated cell of one natural field, and suggest the rest."""
    make_sample_project(folder, lambda _done, _total: None)
    with Project.open(folder, annotator="Dr. Example") as project:
        field = next(f for f in project.fields() if f.name == FIELD)
        for cell in project.cells(field.id):
            project.change_cell(cell.id, cell_class="Neutrophil", attributes=NEUTROPHIL)
        for region in project.regions(field.id):
            project.change_region(region.id, shape=Shape.rectangle(*REGION))
        if options.quick:
            from training.propose import propose_from_stain

            known = project.regions(field.id)[0].shape
            found = propose_from_stain(project.pixels(field.id))
            project.suggest(field.id, [p for p in found if not known.contains_centre(p.box)], model_id=None)
    if not options.quick:
        from training.client import run_worker
        from training.protocol import PredictRequest

        run_worker(PredictRequest(project=str(folder), model="starter"))


def take(folder: Path, out: Path) -> None:
    """Open the window and take its picture twice."""
    from napari_lld.desk import build_window

    viewer, dock = build_window()
    from qtpy.QtTest import QTest

    window = viewer.window._qt_window
    window.resize(1366, 768)
    session = dock.desk.session
    session.open(folder, annotator="Dr. Example")
    session.show_field(next(f.id for f in session.project.fields() if f.name == FIELD))
    session.threshold = 0.3
    for theme in ("dark", "light"):
        viewer.theme = theme
        if theme == "dark" and session.suggestions:
            session.next_suggestion()
        elif session.cells:
            session.select("cell", session.cells[0].id)
        QTest.qWait(1500)
        viewer.reset_view()
        QTest.qWait(500)
        file = out / f"desk-{theme}.png"
        viewer.screenshot(str(file), canvas_only=False, flash=False)
        counts = f"{len(session.regions)} region, {len(session.cells)} cells"
        print(f"{file}: {counts}, {len(session.suggestions)} suggestions")
    viewer.close()


def main() -> None:
    """Take the pictures of a throw-away project."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
            os.environ[name] = str(Path(temporary) / name.lower())  # leave the user's recent projects alone
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        ours = Path(__file__).parents[1] / "docs" / "images"
        out = options.out or (Path(temporary) if options.quick else ours)
        out.mkdir(parents=True, exist_ok=True)
        folder = Path(temporary) / "leukaemia-films.lld"
        prepare(folder)
        take(folder, out)


main()
