from .attention_against_importance import (
    attention_against_importance as attention_against_importance,
)
from .attention_by_head import attention_by_head as attention_by_head
from .attention_by_layer import attention_by_layer as attention_by_layer
from .colours import thought_colour as thought_colour
from .concentration_by_layer import concentration_by_layer as concentration_by_layer
from .correlation import correlation_by_layer as correlation_by_layer
from .correlation import correlation_by_thought as correlation_by_thought
from .importance_beside_attention import (
    importance_beside_attention as importance_beside_attention,
)
from .importance_beside_attention import (
    importance_beside_attention_by_layer as importance_beside_attention_by_layer,
)
from .importance_by_thought import importance_by_thought as importance_by_thought
from .style import COLUMN as COLUMN
from .style import PAGE as PAGE
from .style import figure as figure
from .style import save as save
from .style import style as style
from .style import subplots as subplots

__all__ = [
    "COLUMN",
    "PAGE",
    "attention_against_importance",
    "attention_by_head",
    "attention_by_layer",
    "concentration_by_layer",
    "correlation_by_layer",
    "correlation_by_thought",
    "figure",
    "importance_beside_attention",
    "importance_beside_attention_by_layer",
    "importance_by_thought",
    "save",
    "style",
    "subplots",
    "thought_colour",
]
