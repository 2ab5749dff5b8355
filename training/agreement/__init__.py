"""Agreement of several readings, their differences and their consensus; no torch.

Only areas that the readings compared have both finished count: elsewhere nothing is known to be complete, and
a blind reader learns nothing before a region is finished.
"""

from training.agreement.consensus import ConsensusReport, write_consensus
from training.agreement.matching import ReadingView, Unit, match_readings
from training.agreement.project import Difference, agreement, differences, read

__all__ = [
    "ConsensusReport",
    "Difference",
    "ReadingView",
    "Unit",
    "agreement",
    "differences",
    "match_readings",
    "read",
    "write_consensus",
]
