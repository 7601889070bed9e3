"""The residual stream at every position of a run, words and thoughts alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.layout import Role
from cot_attn.recording.memory import require_memory


@dataclass(frozen=True)
class Positions:
    """States of all positions of some problems.

    Attributes
    ----------
    states
        (position, layer, d_model), float32.
    problem
        The number of the problem that each position is of.
    is_thought
        Whether a thought is fed there, or made there.
    """

    states: Float[Tensor, "position layer d_model"]
    problem: Int[np.ndarray, " position"]
    is_thought: Bool[np.ndarray, " position"]


def every_position(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    max_new_tokens: int,
    batch_size: int,
) -> Positions:
    """Run problems and return the stream behind every block, at every position.

    Raises
    ------
    MemoryError
        Where that is more than there is room for.
    """
    _, tokens = model.encode(problems, max_new_tokens=max_new_tokens)
    template = model.template
    others = len(template.bot) + model.n_thoughts + len(template.eot) + max_new_tokens
    n_positions = sum(map(len, tokens)) + others * len(problems)
    require_memory(
        4 * n_positions * model.n_layers * model.d_model,
        f"The states of {len(problems)} problems at {n_positions} positions",
        "Give fewer problems, or a lower max_new_tokens=.",
    )
    parts = []
    for start in range(0, len(problems), batch_size):
        batch = problems[start : start + batch_size]
        parts.append(_batch(model, batch, start, max_new_tokens))
    return Positions(
        torch.cat([positions.states for positions in parts]),
        np.concatenate([positions.problem for positions in parts]),
        np.concatenate([positions.is_thought for positions in parts]),
    )


def _batch(
    model: ContinuousThoughtModel, problems: Sequence[Problem], first: int, max_new_tokens: int
) -> Positions:
    seen: dict[str, list[Tensor]] = {}

    def keep(state: Tensor, hook: Any) -> None:
        seen.setdefault(hook.name, []).append(state.to("cpu", torch.float32))

    names = [f"blocks.{layer}.hook_out" for layer in range(model.n_layers)]
    with model.isolated(), model.hooks([(name, keep) for name in names]):
        run = model.run(problems, max_new_tokens=max_new_tokens)
    states = torch.stack([torch.cat(seen[name], dim=1) for name in names], dim=2)
    roles = run.layout.roles()[:, : states.shape[1]]
    there = roles != Role.PAD
    rows = np.broadcast_to(np.arange(len(problems))[:, None] + first, roles.shape)
    is_thought = (roles == Role.THOUGHT) | (roles == Role.BOT)
    return Positions(states[torch.from_numpy(there)], rows[there], is_thought[there])
