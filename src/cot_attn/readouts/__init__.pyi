from .directions import label_directions as label_directions
from .grouping import question_groups as question_groups
from .lens import logit_lens as logit_lens
from .probing import probe as probe
from .targets import step_results as step_results
from .top import top_tokens as top_tokens
from .transfer import probe_transfer as probe_transfer
from .tuned import TunedLens as TunedLens

__all__ = [
    "TunedLens",
    "label_directions",
    "logit_lens",
    "probe",
    "probe_transfer",
    "question_groups",
    "step_results",
    "top_tokens",
]
