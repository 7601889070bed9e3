from .attention_maps import attention_by_head as attention_by_head
from .attention_maps import attention_by_layer as attention_by_layer
from .beside import importance_beside_attention as importance_beside_attention
from .beside import importance_beside_attention_by_layer as importance_beside_attention_by_layer
from .canvas import COLUMN as COLUMN
from .canvas import PAGE as PAGE
from .canvas import figure as figure
from .canvas import save as save
from .canvas import style as style
from .canvas import subplots as subplots
from .capacity import quantity_by_size as quantity_by_size
from .capacity import strategies_by_size as strategies_by_size
from .centred import (
    attention_against_importance_within_problems as attention_against_importance_within_problems,
)
from .colours import thought_colour as thought_colour
from .concentration import concentration_by_layer as concentration_by_layer
from .correlation import correlation_by_layer as correlation_by_layer
from .correlation import correlation_by_thought as correlation_by_thought
from .correlation_map import correlation_by_layer_and_thought as correlation_by_layer_and_thought
from .corruptions import importance_by_corruption as importance_by_corruption
from .downstream import recompute_against_frozen as recompute_against_frozen
from .exits import accuracy_by_exit as accuracy_by_exit
from .exits import commitment_by_exit as commitment_by_exit
from .flow import flow_between_thoughts as flow_between_thoughts
from .frontier import frontier_by_thought as frontier_by_thought
from .graph import causal_graph as causal_graph
from .heads import failure_by_heads as failure_by_heads
from .importance_bars import importance_by_thought as importance_by_thought
from .importance_matrix import importance_by_problem as importance_by_problem
from .interchange import interchange_by_thought as interchange_by_thought
from .lens_maps import lens_by_layer as lens_by_layer
from .lens_maps import lens_by_step as lens_by_step
from .probe_lines import probe_accuracy as probe_accuracy
from .problem_words import one_problem as one_problem
from .scatter import attention_against_importance as attention_against_importance
from .steering import steering_by_dose as steering_by_dose
from .usage import accuracy_by_condition as accuracy_by_condition
from .word_table import top_words as top_words

__all__ = [
    "COLUMN",
    "PAGE",
    "accuracy_by_condition",
    "accuracy_by_exit",
    "attention_against_importance",
    "attention_against_importance_within_problems",
    "attention_by_head",
    "attention_by_layer",
    "causal_graph",
    "commitment_by_exit",
    "concentration_by_layer",
    "correlation_by_layer",
    "correlation_by_layer_and_thought",
    "correlation_by_thought",
    "failure_by_heads",
    "figure",
    "flow_between_thoughts",
    "frontier_by_thought",
    "importance_beside_attention",
    "importance_beside_attention_by_layer",
    "importance_by_corruption",
    "importance_by_problem",
    "importance_by_thought",
    "interchange_by_thought",
    "lens_by_layer",
    "lens_by_step",
    "one_problem",
    "probe_accuracy",
    "quantity_by_size",
    "recompute_against_frozen",
    "save",
    "steering_by_dose",
    "strategies_by_size",
    "style",
    "subplots",
    "thought_colour",
    "top_words",
]
