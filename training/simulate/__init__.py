"""A simulated annotator: plays a hematologist from full truth, and counts the seconds that it would take."""

from annotation_store.geometry import SAME_CELL
from training.simulate.annotator import AnnotationWork, SimulatedAnnotator
from training.simulate.verdicts import NEARLY, Action, Verdict, judge

__all__ = ["NEARLY", "SAME_CELL", "Action", "AnnotationWork", "SimulatedAnnotator", "Verdict", "judge"]
