from .audit import audit as audit
from .audit_arrays import audit_arrays as audit_arrays
from .averages import mean_over_problems as mean_over_problems
from .check import Check as Check
from .checks import run_checks as run_checks
from .commitment import commitment as commitment
from .commitment import committed as committed
from .commitment import exit_accuracy as exit_accuracy
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
from .graph import edge_effects as edge_effects
from .heads import head_sets as head_sets
from .heads import rank_agreement as rank_agreement
from .importance import importance as importance
from .importance import worst_thought as worst_thought
from .interchange import interchange_accuracy as interchange_accuracy
from .line import fitted_line as fitted_line
from .multiplicity import benjamini_hochberg as benjamini_hochberg
from .multiplicity import holm as holm
from .profile import profile_concentration as profile_concentration
from .rates import rate_over_problems as rate_over_problems
from .shares import sequence_attention as sequence_attention
from .shares import share as share
from .side_by_side import at_relative_depth as at_relative_depth
from .side_by_side import correlation_differences as correlation_differences
from .specialisation import specialisation as specialisation
from .steering import dose_response as dose_response
from .usage import usage_summary as usage_summary

__all__ = [
    "Check",
    "at_relative_depth",
    "audit",
    "audit_arrays",
    "benjamini_hochberg",
    "causal_baseline",
    "commitment",
    "committed",
    "concentration",
    "concentration_of",
    "contrasts",
    "correlate",
    "correlation_differences",
    "dose_response",
    "edge_effects",
    "evolution",
    "exit_accuracy",
    "fitted_line",
    "flow",
    "head_sets",
    "holm",
    "hub_scores",
    "importance",
    "interchange_accuracy",
    "mean_over_problems",
    "path_scores",
    "profile_concentration",
    "rank_agreement",
    "rate_over_problems",
    "run_checks",
    "sequence_attention",
    "share",
    "specialisation",
    "trend",
    "usage_summary",
    "worst_thought",
]
