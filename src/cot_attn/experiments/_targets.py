"""How likely changed runs find what they are driven to."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
from einops import rearrange

from cot_attn.data import Problem
from cot_attn.experiments._batches import Arrays, batch_by_batch
from cot_attn.experiments._forced import TeacherForced, forced_values
from cot_attn.experiments._trials import ROWS
from cot_attn.interventions import CleanActivations, Intervention, apply_interventions
from cot_attn.models import ContinuousThoughtModel, Prompt, Thought, greedy


def target_logprobs(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    changes: Sequence[Intervention],
    goals: Sequence[str | None],
    clean: CleanActivations,
    *,
    seed: int,
    max_new_tokens: int,
    batch_size: int | None,
    resume: str | PathLike[str] | None,
) -> np.ndarray:
    """Return how likely each variant finds its target, (problem, variant), in nats."""
    n_thoughts = model.n_thoughts
    first = min(change.thoughts[0] for change in changes)
    goal_of = {problem.id: goal for problem, goal in zip(problems, goals, strict=True)}

    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        rows = torch.arange(len(batch), device=model.device)
        rollout = model.rollout(batch, questions, n_thoughts)
        rollout.read()
        for index in range(n_thoughts):
            rollout.think(index)
        unchanged = rollout.branch(rows)
        tokens = greedy(unchanged, unchanged.close(), max_new_tokens)
        forced = forced_values(model, batch, tokens, [goal_of[problem.id] for problem in batch])
        found = []
        at_once = max(1, ROWS // len(batch))
        for start in range(0, len(changes), at_once):
            few = changes[start : start + at_once]
            repeated = rows.repeat(len(few))
            branch = rollout.branch(repeated, after=Thought(first - 1) if first else Prompt())
            each = [change for change in few for _ in batch]
            with apply_interventions(model, each, clean, seed=seed):
                for index in range(first, n_thoughts):
                    branch.think(index)
                values = TeacherForced(branch, forced.rows(repeated)).of_values().cpu().numpy()
            found.append(rearrange(values, "(change row) -> row change", row=len(batch)))
        return {"logprob": np.concatenate(found, axis=1)}

    arrays = batch_by_batch(
        model,
        problems,
        job,
        question="targets",
        n_thoughts=n_thoughts,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=resume,
        changes=[(change.label, change) for change in changes],
        goals=list(goals),
        clean=clean.ids,
        seed=seed,
    )
    return arrays["logprob"]
