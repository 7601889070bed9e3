from ._checks.check import Check as Check
from ._inference.estimands import Estimand as Estimand
from ._inference.multiplicity import benjamini_hochberg as benjamini_hochberg
from ._inference.multiplicity import holm as holm
from ._labelled.labels import as_array as as_array
from ._labelled.labels import join_by_label as join_by_label
from .audit import audit as audit
from .audit import audit_arrays as audit_arrays
from .averages import mean_over_problems as mean_over_problems
from .checks import run_checks as run_checks
from .concentration import concentration as concentration
from .concentration import concentration_per_problem as concentration_per_problem
from .concentration import importance_concentration as importance_concentration
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
from .shares import sequence_attention as sequence_attention
from .shares import share as share
from .side_by_side import at_relative_depth as at_relative_depth
from .side_by_side import correlation_differences as correlation_differences
from .specialisation import specialisation as specialisation

concentration_of = concentration_per_problem
profile_concentration = importance_concentration

__all__ = [
    "Check",
    "Estimand",
    "as_array",
    "at_relative_depth",
    "audit",
    "audit_arrays",
    "benjamini_hochberg",
    "causal_baseline",
    "concentration",
    "concentration_per_problem",
    "contrasts",
    "correlate",
    "correlation_differences",
    "evolution",
    "fitted_line",
    "flow",
    "holm",
    "hub_scores",
    "importance",
    "importance_concentration",
    "join_by_label",
    "mean_over_problems",
    "path_scores",
    "run_checks",
    "sequence_attention",
    "share",
    "specialisation",
    "trend",
    "worst_thought",
]
