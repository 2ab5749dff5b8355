"""Agreement of several readings, their differences and their consensus; no torch.

Only areas that the compared readings have both finished count: elsewhere annotations may be incomplete, and
a blind reader learns nothing before a region is finished.
"""

from training.agreement.consensus import ConsensusReport, write_consensus
from training.agreement.matching import ReadingView, Unit, match_readings
from training.agreement.project import Difference, agreement, differences, match_project_readings

__all__ = [
    "ConsensusReport",
    "Difference",
    "ReadingView",
    "Unit",
    "agreement",
    "differences",
    "match_project_readings",
    "match_readings",
    "write_consensus",
]
