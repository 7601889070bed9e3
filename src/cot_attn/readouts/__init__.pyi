from .lens import logit_lens as logit_lens
from .targets import step_results as step_results
from .top import top_tokens as top_tokens

__all__ = ["logit_lens", "step_results", "top_tokens"]
