"""A simulated annotator: plays a hematologist from full truth, and counts the seconds that it would take."""

from annotation_store.geometry import SAME_CELL
from training.simulate.annotator import SimulatedAnnotator, Work
from training.simulate.verdicts import NEARLY, Action, Verdict, judge

__all__ = ["NEARLY", "SAME_CELL", "Action", "SimulatedAnnotator", "Verdict", "Work", "judge"]
