from ._checks.check import Check as Check
from ._inference.estimands import Estimand as Estimand
from ._inference.multiplicity import benjamini_hochberg as benjamini_hochberg
from ._inference.multiplicity import holm as holm
from ._labelled.labels import as_array as as_array
from ._labelled.labels import join_by_label as join_by_label
from .audit import audit as audit
from .audit import audit_arrays as audit_arrays
from .averages import mean_over_problems as mean_over_problems
from .centring import double_centred as double_centred
from .checks import run_checks as run_checks
from .commitment import commitment as commitment
from .commitment import committed as committed
from .commitment import exit_accuracy as exit_accuracy
from .concentration import concentration as concentration
from .concentration import concentration_per_problem as concentration_per_problem
from .concentration import importance_concentration as importance_concentration
from .contrasts import contrasts as contrasts
from .correlate import correlate as correlate
from .divergence import cosine_similarity as cosine_similarity
from .divergence import js_divergence as js_divergence
from .divergence import kl_divergence as kl_divergence
from .divergence import l2_distance as l2_distance
from .divergence import total_variation as total_variation
from .evolution import evolution as evolution
from .evolution import trend as trend
from .flow import causal_baseline as causal_baseline
from .flow import flow as flow
from .flow import hub_scores as hub_scores
from .flow import path_scores as path_scores
from .frontier import frontier_excess as frontier_excess
from .geometry import effective_rank as effective_rank
from .geometry import norms as norms
from .geometry import successive_cosine as successive_cosine
from .graph import edge_effects as edge_effects
from .heads import head_sets as head_sets
from .heads import rank_agreement as rank_agreement
from .importance import importance as importance
from .importance import worst_thought as worst_thought
from .interchange import interchange_accuracy as interchange_accuracy
from .lens import lens_agreement as lens_agreement
from .line import fitted_line as fitted_line
from .rates import rate_over_problems as rate_over_problems
from .shares import sequence_attention as sequence_attention
from .shares import share as share
from .side_by_side import at_relative_depth as at_relative_depth
from .side_by_side import correlation_differences as correlation_differences
from .specialisation import specialisation as specialisation
from .steering import dose_response as dose_response
from .trend_over import trend_over as trend_over
from .usage import usage_summary as usage_summary

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
    "commitment",
    "committed",
    "concentration",
    "concentration_per_problem",
    "contrasts",
    "correlate",
    "correlation_differences",
    "cosine_similarity",
    "dose_response",
    "double_centred",
    "edge_effects",
    "effective_rank",
    "evolution",
    "exit_accuracy",
    "fitted_line",
    "flow",
    "frontier_excess",
    "head_sets",
    "holm",
    "hub_scores",
    "importance",
    "importance_concentration",
    "interchange_accuracy",
    "join_by_label",
    "js_divergence",
    "kl_divergence",
    "l2_distance",
    "lens_agreement",
    "mean_over_problems",
    "norms",
    "path_scores",
    "rank_agreement",
    "rate_over_problems",
    "run_checks",
    "sequence_attention",
    "share",
    "specialisation",
    "successive_cosine",
    "total_variation",
    "trend",
    "trend_over",
    "usage_summary",
    "worst_thought",
]
