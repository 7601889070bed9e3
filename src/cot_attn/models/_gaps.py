"""Whether a model can pass over the columns that a problem leaves which stopped early.

Such columns are masked and take no position. A model that takes positions or distances from columns
all the same goes on otherwise than it would alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.models.feedback import Hidden, Moment
from cot_attn.models.hooks import HookedModel, on_its_own_account
from cot_attn.models.rollout import Rollout
from cot_attn.models.stopping import StopRule

_QUESTIONS = ([0, 1, 2, 3, 4], [0, 1, 2])
_LENGTHS = {"long": 3, "short": 1}
_WINDOWS = ("sliding_window", "window_size", "attention_window", "attention_chunk_size")


class _Fixed(StopRule):
    """Stops each problem after its own number of thoughts."""

    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        reached = [moment.thought >= _LENGTHS[problem] for problem in moment.problem_ids]
        return torch.tensor(reached, device=hidden.device)


@on_its_own_account
@torch.no_grad()
def check_gaps(model: HookedModel) -> None:
    """Raise where a problem that stops early goes on in a batch otherwise than alone.

    Raises
    ------
    ValueError
        Where positions or distances are counted in columns (ALiBi, windows), or the model keeps a
        state in which what it passes over leaves something.
    """
    vocabulary = len(model.bridge.original_model.get_input_embeddings().weight)
    questions = [[token % vocabulary for token in question] for question in _QUESTIONS]
    together = _after_closing(model, list(_LENGTHS), questions)[-1]
    alone = _after_closing(model, list(_LENGTHS)[1:], questions[1:])[-1]
    exact = model.dtype in (torch.float32, torch.float64)
    off = float((together - alone).abs().max())
    if not off <= (3e-4 if exact else 6e-2) * float(alone.abs().max()):
        raise ValueError(
            f"{model.name} cannot be given a stop rule: a problem that stops early goes on in a "
            f"batch otherwise than alone (its logits are off by {off:.2g}). The model counts "
            "positions or distances in columns, as with ALiBi or windows, or keeps a state. Leave "
            "stop out, so that all problems think n_thoughts thoughts."
        )


def check_window(config: Any, n_columns: int) -> None:
    """Raise where attention reaches less far back than a run is long, counted in columns.

    Raises
    ------
    ValueError
        With the greatest number of columns.
    """
    kinds = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None)
    everywhere = kinds is not None and set(kinds) <= {"full_attention", "global"}
    if everywhere or getattr(config, "use_sliding_window", True) is False:
        return
    found = [getattr(config, name, None) for name in _WINDOWS]
    windows = [window for window in found if isinstance(window, int) and window > 0]
    if windows and n_columns > min(windows):
        raise ValueError(
            f"With a stop rule, a run is at most {min(windows)} columns long in this model, which "
            f"attends over a window of so many; this run can have {n_columns}. A problem that "
            "stops early leaves columns that nobody reads, and the window would count them. Lower "
            "n_thoughts or max_new_tokens, leave long questions out, or set model.stop to None."
        )


def _after_closing(
    model: HookedModel, names: Sequence[str], questions: Sequence[Sequence[int]]
) -> Tensor:
    """Return the logits behind EOT of problems that think different numbers of thoughts."""
    problems = [Problem(name, name) for name in names]
    n_thoughts = max(_LENGTHS[name] for name in names)
    rollout = Rollout(model, problems, questions, n_thoughts, _Fixed())
    model.bridge.eval()
    model.feedback.eval()
    rollout.read()
    for index in range(n_thoughts):
        rollout.think(index)
    return rollout.close()
