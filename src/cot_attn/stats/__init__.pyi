from .averages import mean_over_problems as mean_over_problems
from .concentration import concentration as concentration
from .concentration import concentration_of as concentration_of
from .correlate import correlate as correlate
from .importance import importance as importance
from .importance import worst_thought as worst_thought
from .multiplicity import benjamini_hochberg as benjamini_hochberg
from .multiplicity import holm as holm
from .shares import sequence_attention as sequence_attention
from .shares import share as share

__all__ = [
    "benjamini_hochberg",
    "concentration",
    "concentration_of",
    "correlate",
    "holm",
    "importance",
    "mean_over_problems",
    "sequence_attention",
    "share",
    "worst_thought",
]
