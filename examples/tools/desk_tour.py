"""A scripted hematologist works through six sample fields; every key and every mouse action is counted.

python examples/tools/desk_tour.py [--quick] [--out FOLDER]

On each field new cells are boxed and described (class and seven attributes), by turns with a drag, and with
a click whose proposed box Enter takes; then the suggestions that wait are reviewed: accepted, corrected,
rejected. All through key and mouse events, as from a keyboard and a mouse. The fields are the composed ones:
of their cells the truth knows class and attributes (but for the nucleolus, which is answered "unsure").

There is no training in it: the suggestions are the truth's cells, put into the project as a model would,
one a field with a wrong class and one beside all cells. So the numbers are those of the hand, not of a model.

With a display it drives a napari window (so under xvfb-run), without one or with --quick the dock under Qt's
offscreen platform on a viewer that has no canvas; there the mouse comes in where napari hands it on.
It fails where a budget is broken or the project does not hold what was said.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

KEYS_PER_CELL, MOUSE_PER_CELL, KEYS_PER_SUGGESTION = 9, 2, 2

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="no window, three fields with half as many cells")
parser.add_argument("--out", type=Path, default=Path("desk-tour"), help="for the pictures (%(default)s)")
options = parser.parse_args()
FIELDS = [f"pbc_{number:02}.jpg" for number in range(3 if options.quick else 6)]
NEW_CELLS, SUGGESTED = (2, 4) if options.quick else (4, 8)  # of a field
WINDOW = not options.quick and (not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY")))
if not WINDOW:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"

from annotation_store import Project, Proposal, SuggestionState  # noqa: E402 - Qt reads the environment above
from annotation_store.records import Box  # noqa: E402
from annotation_store.schema.reserved import UNSURE  # noqa: E402
from napari_lld import sample  # noqa: E402
from napari_lld.demo.truth import best_overlap, iou, read_truth  # noqa: E402
from training.evaluation.ground_truth import TrueCell  # noqa: E402
from training.ranking import CostModel  # noqa: E402


@dataclass
class Effort:
    """What one kind of work took: keystrokes (a chord is one) and mouse actions, each time."""

    title: str
    keys: list[int] = field(default_factory=list)
    mouse: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        """Describe it in a line."""
        if not self.keys:
            return f"{self.title}: none"
        each = len(self.keys)
        return (
            f"{self.title}: {each} times, {sum(self.keys) / each:.2f} keystrokes (at most {max(self.keys)}) "
            f"and {sum(self.mouse) / each:.2f} mouse actions (at most {max(self.mouse)}) each"
        )


def keystroke_level(effort: Effort, decisions: int) -> float:
    """Return the seconds of one act by the keystroke-level model (see `training.ranking.cost`).

    Parameters
    ----------
    decisions
        How often one prepares an act in the mind.
    """
    each = len(effort.keys)
    key, pointing, homing, mental = 0.28, 1.1 + 0.28, 0.4, 1.35
    return (key * sum(effort.keys) + (pointing + homing) * sum(effort.mouse)) / each + mental * decisions


class Hand:
    """Presses keys and moves the mouse, and counts."""

    def __init__(self, viewer: Any, dock: Any, window: Any) -> None:
        self.viewer, self.dock, self.window = viewer, dock, window
        self.session = dock.desk.session
        self.keys = self.mouse = 0
        self.canvas = viewer.window._qt_viewer.canvas.native if WINDOW else None

    def settle(self, milliseconds: int = 20) -> None:
        """Let the window show what was done."""
        from qtpy.QtTest import QTest

        QTest.qWait(milliseconds)

    def press(self, *keys: str) -> None:
        """Press keys, in Qt's notation such as ``Shift+N``, on what has the focus."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        for key in keys:
            combination = QKeySequence(key)[0]
            target = QApplication.focusWidget() or self.canvas or self.dock
            QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
            self.keys += 1
            self.settle()

    def click(self, x: float, y: float) -> None:
        """Click on a point of the field."""
        self.drag((x, y))

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first point of the field, move over the others, let go: one mouse action."""
        self.mouse += 1
        steps = list(points[:1])
        for start, end in pairwise(points):
            steps += [
                (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
                for share in (0.1, 0.5, 1.0)
            ]
        if self.canvas is not None:
            self._on_canvas(steps)
        else:
            self._on_model(steps)
        self.settle()

    def _on_canvas(self, steps: list[tuple[float, float]]) -> None:
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        camera = self.viewer.scene.camera
        _z, row, column = camera.center
        places = [
            QPoint(
                round(self.canvas.width() / 2 + (x - column) * camera.zoom),
                round(self.canvas.height() / 2 + (y - row) * camera.zoom),
            )
            for x, y in steps
        ]
        QTest.mouseMove(self.canvas, places[0])
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(self.canvas, place)
            self.settle(10)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=places[-1])

    def _on_model(self, steps: list[tuple[float, float]]) -> None:
        event = SimpleNamespace(
            type="mouse_press", button=1, modifiers=(), handled=False, position=steps[0][::-1]
        )
        running = [callback(self.viewer, event) for callback in self.viewer.mouse_drag_callbacks]
        running = [drag for drag in running if next(drag, self) is not self]
        for step in steps[1:]:
            event.type, event.position = "mouse_move", step[::-1]
            running = [drag for drag in running if next(drag, self) is not self]
        event.type = "mouse_release"
        for drag in running:
            next(drag, None)

    def did(self, effort: Effort) -> None:
        """Put what was counted since the last time down to a kind of work."""
        effort.keys.append(self.keys)
        effort.mouse.append(self.mouse)
        self.keys = self.mouse = 0

    def picture(self, name: str) -> None:
        """Take a picture of the window."""
        self.settle(300)
        file = options.out / f"{name}.png"
        if WINDOW:
            self.viewer.screenshot(str(file), canvas_only=False, flash=False)
        else:
            self.window.grab().save(str(file))


class Hematologist:
    """Knows the truth and types it; looks at what the window shows before each decision."""

    def __init__(self, hand: Hand, truth: dict[str, list[TrueCell]]) -> None:
        self.hand, self.truth = hand, truth
        self.session = hand.session
        self.new = Effort("a fully labelled new cell")
        self.accepted = Effort("a correct suggestion")
        self.settled = Effort("a suggestion that was corrected or rejected")
        self.between = Effort("from field to field")
        self.commands = hand.dock.desk.commands

    def true_cell(self, box: Box) -> TrueCell | None:
        """Return the cell that a box is of."""
        assert self.session.fields.current is not None
        cells = self.truth[self.session.fields.current.name]
        best = max(cells, key=lambda cell: iou(cell.box, box))
        return best if iou(best.box, box) >= 0.5 else None

    def class_key(self, cell: TrueCell) -> str:
        """Return the key that stands on a class's button."""
        return str(self.commands[f"class.{cell.cell_class}"].keys[0])

    def label(self, cell: TrueCell, *, drag: bool) -> None:
        """Box a cell and give its class and every attribute."""
        x, y, w, h = cell.box
        if str(self.session.tool) != "box":
            self.hand.press("B")  # once: the tool stays
        if not drag:
            self.hand.click(x + w / 2, y + h / 2)
            proposed = self.session.selection.proposed_box
            drag = proposed is None or iou(proposed, cell.box) < 0.5  # badly framed: draw it after all
        if drag:
            self.hand.drag((x, y), (x + w, y + h))
        else:
            self.hand.press("Return")
        if self.session.selection.cell is None or iou(self.session.selection.cell.box, cell.box) < 0.5:
            raise SystemExit(f"no box came where {cell.box} was drawn or taken")
        self.hand.press(self.class_key(cell))
        for attribute in self.session.attributes:
            known = cell.attributes.get(attribute.name)
            self.hand.press("Q" if known is None else str(attribute.value_names.index(known) + 1))
        self.hand.did(self.new)

    def review(self) -> None:
        """Accept what is right, correct a wrong class, reject what is not a cell, until none is left."""
        while self.session.suggestions.shown:
            if self.session.selection.suggestion is None:
                self.hand.press("S")
            suggestion = self.session.selection.suggestion
            assert suggestion is not None
            cell = self.true_cell(suggestion.box)
            if cell is None:
                self.hand.press("X")
                self.hand.did(self.settled)
            elif cell.cell_class != suggestion.proposal.best_class:
                self.hand.press(self.class_key(cell))  # a correction accepts
                self.hand.did(self.settled)
            else:
                self.hand.press("A")
                self.hand.did(self.accepted)

    def work(self, names: list[str]) -> None:
        """Iterate over the fields in the order of the list."""
        for number, name in enumerate(names):
            if number:
                self.hand.press("N")
                self.hand.did(self.between)
            if self.session.fields.current is None or self.session.fields.current.name != name:
                raise SystemExit(f"{name} was to be shown, not {self.session.fields.current}")
            self.hand.settle(200)
            for turn, cell in enumerate(self.truth[name][:NEW_CELLS]):
                self.label(cell, drag=turn % 2 == 0)
            if self.session.suggestions.shown:
                self.hand.press("S")
            self.hand.picture(f"{number + 1}-{Path(name).stem}")
            self.review()
            print(
                f"{name}: {len(self.session.marks.cells)} cells, "
                f"{len(self.session.suggestions.shown)} suggestions left"
            )
        self.hand.picture("end")

    def broken(self) -> Iterator[str]:
        """List the budgets that do not hold, and what the project does not hold."""
        if max(self.new.keys) > KEYS_PER_CELL:
            yield f"a new cell took {max(self.new.keys)} keystrokes, not at most {KEYS_PER_CELL}"
        if max(self.new.mouse) > MOUSE_PER_CELL:
            yield f"a new cell took {max(self.new.mouse)} mouse actions, not at most {MOUSE_PER_CELL}"
        if max(self.accepted.keys) > KEYS_PER_SUGGESTION:
            yield (
                f"a correct suggestion took {max(self.accepted.keys)} keystrokes, "
                f"not at most {KEYS_PER_SUGGESTION}"
            )
        for one in self.session.project.fields.all():
            cells, truth = self.session.project.cells.all(one.id), self.truth[one.name]
            if len(cells) != NEW_CELLS + SUGGESTED:
                yield f"{one.name} holds {len(cells)} cells, not {NEW_CELLS + SUGGESTED}"
            for cell in cells:
                number, _ = best_overlap(cell.box, [true.box for true in truth])
                true = truth[number or 0]
                values = dict(true.attributes)
                if number in range(NEW_CELLS):  # every row was answered; a suggestion says what it knows
                    values = {a.name: values.get(a.name, UNSURE) for a in self.session.attributes}
                if cell.cell_class != true.cell_class or dict(cell.attributes) != values:
                    yield f"{one.name}: cell {cell.id} is not what was said of it"
            if self.session.project.suggestions.find(one.id, states=(SuggestionState.PENDING,)):
                yield f"{one.name}: suggestions still wait"
        yield from (str(problem) for problem in self.session.project.check())


def prepare(folder: Path, truth: dict[str, list[TrueCell]]) -> None:
    """Make a project of fields whose cells are suggested, but for those to be labelled by hand."""
    with Project.create(folder, annotator="Dr. Example") as project:
        project.fields.add([path for path in sample.fields() if path.name in FIELDS])
        names = [attribute.name for attribute in project.schema.attributes]
        for one in project.fields.all():
            proposals = []
            for number, cell in enumerate(truth[one.name][NEW_CELLS : NEW_CELLS + SUGGESTED]):
                label = cell.cell_class if number != 1 else wrong_class(cell.cell_class)
                # what the truth does not know, a model that was taught it does not say
                values = {name: {cell.attributes[name]: 1.0} for name in names if name in cell.attributes}
                proposals.append(Proposal(cell.box, 0.95 - 0.02 * number, {str(label): 1.0}, values))
            proposals.append(Proposal((2.0, 2.0, 30.0, 30.0), 0.5, {"Monocyte": 1.0}))
            project.suggestions.replace(one.id, proposals, model_id=None)


def wrong_class(cell_class: str | None) -> str:
    """Return another class."""
    return "Monocyte" if cell_class != "Monocyte" else "Lymphocyte"


def open_window(folder: Path) -> Hand:
    """Show the project: in a napari window, or offscreen in a bare one."""
    if WINDOW:
        from napari_lld.window import build_window

        viewer, dock = build_window()
        window = viewer.window._qt_window
    else:
        from napari.components import ViewerModel
        from napari.qt import get_qapp
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

        from napari_lld.controllers.dock import AnnotateDock

        get_qapp()
        viewer, window = ViewerModel(), QMainWindow()
        dock = AnnotateDock(viewer)
        window.setCentralWidget(QWidget())  # in the canvas's place
        holder = QDockWidget(window)
        holder.setWidget(dock)
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, holder)
        window.resize(1366, 768)
        window.show()
    dock.desk.session.open(folder, annotator="Dr. Example")
    hand = Hand(viewer, dock, window)
    hand.settle(500)
    return hand


def main() -> int:
    """Take the tour in a throw-away project; say what it took."""
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
            os.environ[name] = str(Path(temporary) / name.lower())  # leave the user's recent projects alone
        os.environ["NAPARI_CONFIG"] = str(Path(temporary) / "napari.yaml")
        options.out.mkdir(parents=True, exist_ok=True)
        truth = read_truth(sample.truth())
        folder = Path(temporary) / "tour.lld"
        prepare(folder, truth)
        hand = open_window(folder)
        try:
            doctor = Hematologist(hand, truth)
            doctor.work(FIELDS)
            broken = list(doctor.broken())
            attributes = len(hand.session.project.schema.attributes)
        finally:
            if WINDOW:
                hand.viewer.close()
            else:
                hand.window.close()
            hand.settle(100)
    efforts = [doctor.new, doctor.accepted, doctor.settled, doctor.between]
    print(*efforts, sep="\n")
    cells = len(doctor.new.keys)
    everything = sum(sum(effort.keys) for effort in efforts)
    print(
        f"budgets: {KEYS_PER_CELL} keystrokes and {MOUSE_PER_CELL} mouse actions a new cell, "
        f"{KEYS_PER_SUGGESTION} keystrokes a correct suggestion: {'broken' if broken else 'kept'}; "
        f"{everything} keystrokes in all for {cells} new cells and "
        f"{len(doctor.accepted.keys) + len(doctor.settled.keys)} suggestions (no model was trained)"
    )
    cost = CostModel()
    print(
        f"by the keystroke-level model a new cell takes {keystroke_level(doctor.new, 2 + attributes):.1f} s "
        f"(the cost model says {cost.new_cell(attributes):.1f}), a correct suggestion "
        f"{keystroke_level(doctor.accepted, 1):.1f} s and a glance at each value ({cost.accept:.1f})"
    )
    print(*broken, sep="\n", end="\n" if broken else "")
    (options.out / "tour.json").write_text(
        json.dumps({e.title: {"keystrokes": e.keys, "mouse_actions": e.mouse} for e in efforts}, indent=1)
    )
    print(f"pictures and tour.json: {options.out}")
    return 1 if broken else 0


sys.exit(main())
