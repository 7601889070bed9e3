"""When is the answer there? The answer after no thought, after one, after two, ..."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike

import numpy as np
import torch
import xarray as xr

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import agree, right
from cot_attn.experiments._batches import Arrays, batch_by_batch, problem_coordinates
from cot_attn.experiments._forced import TeacherForced, divergence, forced_answers, forced_values
from cot_attn.experiments.one_number import require_one_number
from cot_attn.models import ContinuousThoughtModel, Prompt, Rollout, Thought, greedy

BEYOND = 2
"""So many thoughts more than it was trained with a model is given by default."""


def exit_curve(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    exits: Sequence[int] | None = None,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Force the answer after fewer thoughts than a model has, and after more.

    All exits of a problem branch off one rollout. Another number of thoughts than the model was
    trained with is off its distribution: a wrong answer there may say that the answer is not known
    yet, or that the model does not know how to stop. Exits beyond training tell the two apart.

    Parameters
    ----------
    model
        The model; its `n_thoughts` is what it was trained with.
    problems
        Problems with gold answers; ids must differ. None is dropped.
    exits
        Numbers of thoughts; by default 0 to `n_thoughts` and two more.
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many problems run at once.
    resume
        A folder from which an interrupted run goes on.

    Returns
    -------
    xr.Dataset
        Over (problem, n_thoughts): `answer`; `correct`; `agrees` (whether it has the value of the
        final answer, that after `n_thoughts`); `logprob_gold` (of the gold value, said after the
        final answer's words up to its value; NaN where these have none) and `logprob_final` (of the
        whole final answer), in nats; `kl_value` (KL(final || exit) at the final answer's value).
        Attributes say model, checkpoint and `trained_with`.

    Raises
    ------
    ValueError
        Where an exit is negative or named twice, or problems repeat.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, load_problems
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> found = exit_curve(model, load_problems("toy", n=8, difficulties=[2]))
    >>> found.correct.mean("problem").sel(n_thoughts=range(7)).values
    array([0., 0., 1., 1., 1., 1., 1.])
    """
    require_one_number(model, "exit_curve")
    problems = check_problems(problems)
    trained = model.n_thoughts
    chosen = list(range(trained + BEYOND + 1)) if exits is None else list(exits)
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise ValueError(f"exits are {chosen}; give different numbers of thoughts, 0 or more.")
    most = max(*chosen, trained)

    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        rollout = model.rollout(batch, questions, most)
        rollout.read()
        for index in range(most):
            rollout.think(index)
        final = leaving(rollout, trained)
        tokens = greedy(final, final.close(), max_new_tokens)
        forced = forced_answers(model, batch, tokens, max_new_tokens)
        golds = forced_values(model, batch, tokens, [problem.answer for problem in batch])
        final_logs = TeacherForced(leaving(rollout, trained), forced).at_value()
        names = ("logprob_gold", "logprob_final", "kl_value")
        arrays = {name: np.empty((len(batch), len(chosen))) for name in names}
        arrays["answer"] = np.empty((len(batch), len(chosen)), dtype=object)
        arrays["final"] = np.array([model.decode(each) for each in tokens], dtype=object)
        for column, n_thoughts in enumerate(chosen):
            here = leaving(rollout, n_thoughts)
            answers = greedy(here, here.close(), max_new_tokens)
            arrays["answer"][:, column] = [model.decode(each) for each in answers]
            teacher_forced = TeacherForced(leaving(rollout, n_thoughts), forced)
            gold = TeacherForced(leaving(rollout, n_thoughts), golds)
            for name, values in (
                ("logprob_gold", gold.of_values()),
                ("logprob_final", teacher_forced.of_answers()),
                ("kl_value", divergence(final_logs, teacher_forced.at_value())),
            ):
                arrays[name][:, column] = values.cpu().numpy()
        return arrays

    arrays = batch_by_batch(
        model,
        problems,
        job,
        question="exits",
        n_thoughts=most,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=resume,
        exits=chosen,
    )
    return _labelled(model, problems, chosen, arrays).assign_attrs(max_new_tokens=max_new_tokens)


def leaving(rollout: Rollout, n_thoughts: int) -> Rollout:
    """Return a copy of a rollout that has thought so much, and will think no more."""
    rows = torch.arange(len(rollout.problems), device=rollout.model.device)
    after = Thought(n_thoughts - 1) if n_thoughts else Prompt()
    copy = rollout.branch(rows, after=after)
    copy.layout = replace(copy.layout, n_thoughts=n_thoughts)
    return copy


def _labelled(
    model: ContinuousThoughtModel, problems: list[Problem], exits: list[int], arrays: Arrays
) -> xr.Dataset:
    final = arrays.pop("final")
    graded = {
        "correct": [
            [float(right(text, problem)) for text in row]
            for problem, row in zip(problems, arrays["answer"], strict=True)
        ],
        "agrees": [
            [float(agree(text, said, problem)) for text in row]
            for problem, said, row in zip(problems, final, arrays["answer"], strict=True)
        ],
    }
    dims = ("problem", "n_thoughts")
    return xr.Dataset(
        {name: (dims, np.asarray(values)) for name, values in {**graded, **arrays}.items()},
        coords={
            **problem_coordinates(problems),
            "final_answer": ("problem", final),
            "n_thoughts": exits,
        },
        attrs={
            **model.provenance(),
            "experiment": "exit_curve",
            "trained_with": model.n_thoughts,
        },
    )
