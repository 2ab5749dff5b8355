"""A simulated annotator with access to the ground truth, whose time is estimated by the cost model."""

from annotation_store.geometry import SAME_CELL
from training.simulate.annotator import AnnotationWork, SimulatedAnnotator
from training.simulate.verdicts import BAD_BOX_IOU, Action, Verdict, judge

__all__ = ["BAD_BOX_IOU", "SAME_CELL", "Action", "AnnotationWork", "SimulatedAnnotator", "Verdict", "judge"]
