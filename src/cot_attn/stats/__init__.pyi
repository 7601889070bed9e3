from .audit import audit as audit
from .audit_arrays import audit_arrays as audit_arrays
from .averages import mean_over_problems as mean_over_problems
from .check import Check as Check
from .checks import run_checks as run_checks
from .concentration import concentration as concentration
from .concentration import concentration_of as concentration_of
from .contrasts import contrasts as contrasts
from .correlate import correlate as correlate
from .evolution import evolution as evolution
from .evolution import trend as trend
from .flow import causal_baseline as causal_baseline
from .flow import flow as flow
from .flow import hub_scores as hub_scores
from .flow import path_scores as path_scores
from .importance import importance as importance
from .importance import worst_thought as worst_thought
from .line import fitted_line as fitted_line
from .multiplicity import benjamini_hochberg as benjamini_hochberg
from .multiplicity import holm as holm
from .profile import profile_concentration as profile_concentration
from .shares import sequence_attention as sequence_attention
from .shares import share as share
from .side_by_side import at_relative_depth as at_relative_depth
from .side_by_side import correlation_differences as correlation_differences
from .specialisation import specialisation as specialisation
from .trend_over import trend_over as trend_over

__all__ = [
    "Check",
    "at_relative_depth",
    "audit",
    "audit_arrays",
    "benjamini_hochberg",
    "causal_baseline",
    "concentration",
    "concentration_of",
    "contrasts",
    "correlate",
    "correlation_differences",
    "evolution",
    "fitted_line",
    "flow",
    "holm",
    "hub_scores",
    "importance",
    "mean_over_problems",
    "path_scores",
    "profile_concentration",
    "run_checks",
    "sequence_attention",
    "share",
    "specialisation",
    "trend",
    "trend_over",
    "worst_thought",
]
