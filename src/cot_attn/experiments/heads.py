"""Which heads look at a thought for the answer's sake? Ranked by three measures, then blinded."""

import random
from collections.abc import Sequence
from functools import partial
from os import PathLike

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool
from torch import Tensor

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import right
from cot_attn.experiments._attribution import head_views
from cot_attn.experiments._batches import Arrays, batch_by_batch, problem_coordinates
from cot_attn.experiments._hiding import node_columns
from cot_attn.experiments._trials import Trial, Trials
from cot_attn.experiments.one_number import require_one_number
from cot_attn.interventions import Attention
from cot_attn.interventions.resume import outlasting_its_parts
from cot_attn.models import ContinuousThoughtModel, Jacobi
from cot_attn.models.decoding import ForcedAnswers

TOP = "top"
Head = tuple[int, int]


@outlasting_its_parts
def rank_heads(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    thought: int,
    *,
    n_single: int = 32,
    sizes: Sequence[int] | None = None,
    n_random: int = 20,
    max_new_tokens: int = 64,
    batch_size: int | None = 16,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Ask which heads' view of a thought the answer hangs on.

    Heads are ranked by the gradient of the answer along what they take from the thought: one
    backward pass. Then the thought is hidden from single heads (those that rank high, and as many
    at random), and from the highest 1, 2, 4, ... together, beside random sets of the same size. The
    ranking is made on one half of the problems and the sets are tried on the other.

    Parameters
    ----------
    model
        The model.
    problems
        Problems with gold answers; ids must differ. None is dropped.
    thought
        Which thought is looked at.
    n_single
        How many heads are knocked out one by one: half of them the highest. Where there are no more
        than that, all.
    sizes
        How many heads are knocked out together; by default 1, 2, 4, ... and all.
    n_random
        How many random sets there are of each size.
    max_new_tokens, batch_size, seed, resume
        As for `run_variants`; `batch_size` is how many problems one backward pass has.

    Returns
    -------
    xr.Dataset
        Over (problem, layer, head): `attention` (to the thought, mean over later positions),
        `attribution` (what the head's view adds to the log-odds of the answer's value, to first
        order), and of its knock-out `kl_value` and `failed`, NaN where it was not made. Over
        (layer, head): `rank`, 0 the highest mean attribution. Over (problem, set, size), where
        `set` is "top", "random 0", ...: `set_kl_value` and `set_failed`. Along `problem`: `half`,
        "rank" or "test"; sets are NaN for the former.

    Raises
    ------
    ValueError
        Where there is no such thought, or too few problems for two halves; where the bridge allows
        no backward pass to its heads.
    """
    check_heads(model)
    problems = check_problems(problems)
    if not 0 <= thought < model.n_thoughts or len(problems) < 2 or n_random < 1:
        raise ValueError(
            f"thought is {thought}, n_random {n_random}, and there are {len(problems)} problems. "
            f"Give one of {model.n_thoughts} thoughts, a random set at least, and two problems."
        )
    every: list[Head] = list(np.ndindex(model.n_layers, model.n_heads))
    counts = _sizes(len(every), sizes)
    views = _views(model, problems, thought, max_new_tokens, batch_size, resume)
    halves = _halves(problems, seed)
    means = np.nanmean(views["attribution"][halves == "rank"], axis=0)
    order = sorted(every, key=lambda head: (-np.nan_to_num(means[head]), head))
    single = _singles(order, n_single, seed)
    hidden_from = partial(
        _hidden_from,
        model,
        thought,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=resume,
    )
    alone = hidden_from(problems, [[head] for head in single])
    tested = [problem for problem, half in zip(problems, halves, strict=True) if half == "test"]
    sets = _sets(order, counts, n_random, seed)
    joined = hidden_from(tested, [each for row in sets for each in row])
    shape = (len(problems), model.n_layers, model.n_heads)
    found = {name: np.full(shape, np.nan) for name in ("kl_value", "failed")}
    for name, values in found.items():
        for column, (layer, head) in enumerate(single):
            values[:, layer, head] = alone[name][:, column]
    ranks = np.empty(shape[1:], dtype=int)
    for rank, of_layer in enumerate(order):
        ranks[of_layer] = rank
    names = [TOP, *(f"random {number}" for number in range(n_random))]
    joint = {}
    for name in found:
        values = np.full((len(problems), len(names), len(counts)), np.nan)
        values[halves == "test"] = joined[name].reshape(len(tested), len(names), len(counts))
        joint[f"set_{name}"] = values
    by_head, by_set = ("problem", "layer", "head"), ("problem", "set", "size")
    return xr.Dataset(
        {
            **{name: (by_head, values) for name, values in {**views, **found}.items()},
            "rank": (("layer", "head"), ranks),
            **{name: (by_set, values) for name, values in joint.items()},
        },
        coords={
            **problem_coordinates(problems),
            "baseline_correct": ("problem", alone["correct"]),
            "half": ("problem", halves),
            "layer": range(model.n_layers),
            "head": range(model.n_heads),
            "set": names,
            "size": counts,
        },
        attrs={
            **model.provenance(),
            "experiment": "rank_heads",
            "thought": thought,
            "max_new_tokens": max_new_tokens,
            "seed": seed,
        },
    )


def check_heads(model: ContinuousThoughtModel) -> None:
    """Raise where a model's heads cannot be ranked: a backward pass from one token is tried.

    Raises
    ------
    ValueError
        Where problems have numbers of thoughts of their own, all thoughts are made at once, a
        thought cannot be hidden from a head, or no backward pass reaches the heads.
    """
    require_one_number(model, "rank_heads")
    if isinstance(model.feedback, Jacobi):
        raise ValueError(
            f"{model.name} makes all thoughts at once (Jacobi); heads are ranked by gradients "
            "that go from thought to thought. Rank them in a model whose loop makes one after "
            "the other."
        )
    answer = ForcedAnswers.of([[0]], [range(1)], 1, model.template, model.device)
    with model.isolated():
        Attention().check(model)
        head_views(model, [[0]], answer, model.n_thoughts - 1)


def _sizes(n_heads: int, sizes: Sequence[int] | None) -> list[int]:
    if sizes is None:
        doubled = [2**i for i in range(n_heads.bit_length()) if 2**i < n_heads]
        return [*doubled, n_heads]
    chosen = sorted(set(sizes))
    if not chosen or len(chosen) < len(sizes) or not 1 <= chosen[0] <= chosen[-1] <= n_heads:
        raise ValueError(f"sizes are {list(sizes)}; give different numbers from 1 to {n_heads}.")
    return chosen


def _halves(problems: Sequence[Problem], seed: int) -> np.ndarray:
    """Put one half of the problems to ranking heads and the other to testing, by hash."""
    ids = [problem.id for problem in problems]
    shuffled = sorted(ids, key=lambda each: (random.Random(f"{seed} {each}").random(), each))
    ranking = set(shuffled[: len(ids) // 2])
    return np.array(["rank" if each in ranking else "test" for each in ids])


def _singles(order: Sequence[Head], n_single: int, seed: int) -> list[Head]:
    if n_single >= len(order):
        return sorted(order)
    high = list(order[: n_single - n_single // 2])
    rest = random.Random(f"{seed} single").sample(list(order[len(high) :]), n_single // 2)
    return sorted([*high, *rest])


def _sets(
    order: Sequence[Head], sizes: Sequence[int], n_random: int, seed: int
) -> list[list[list[Head]]]:
    """Return the heads of every set at every size; a random set grows as the top one does."""
    orders = [list(order)]
    for number in range(n_random):
        shuffled = sorted(order)
        random.Random(f"{seed} set {number}").shuffle(shuffled)
        orders.append(shuffled)
    return [[each[:size] for size in sizes] for each in orders]


def _views(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    thought: int,
    max_new_tokens: int,
    batch_size: int | None,
    resume: str | PathLike[str] | None,
) -> Arrays:
    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        forced = Trials(model, batch, questions, max_new_tokens).forced
        ids = [problem.id for problem in batch]
        views = head_views(model, questions, forced, thought, ids)
        return {
            "attribution": views.attribution.double().cpu().numpy(),
            "attention": views.attention.double().cpu().numpy(),
        }

    return batch_by_batch(
        model,
        problems,
        job,
        question="heads",
        n_thoughts=model.n_thoughts,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=resume,
        thought=thought,
    )


def _hidden_from(
    model: ContinuousThoughtModel,
    thought: int,
    problems: Sequence[Problem],
    sets: Sequence[Sequence[Head]],
    *,
    max_new_tokens: int,
    batch_size: int | None,
    resume: str | PathLike[str] | None,
) -> Arrays:
    """Hide the thought from each set of heads, at all later positions."""

    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        run = Trials(model, batch, questions, max_new_tokens)
        holes = run.no_holes()
        key = node_columns(run.layout, f"thought {thought}").start
        holes[:, key + 1 :, key] = True
        failed, kl = np.full((2, len(batch), len(sets)), np.nan)
        correct = _right(run.answers, batch)
        trials = [Trial(holes, _mask(model, heads), first=thought + 1) for heads in sets]
        for column, (answers, divergences) in enumerate(run.run(trials)):
            kl[:, column] = divergences
            failed[:, column] = np.where(correct, ~_right(answers, batch), np.nan)
        return {"kl_value": kl, "failed": failed, "correct": correct}

    return batch_by_batch(
        model,
        problems,
        job,
        question="knock-outs",
        n_thoughts=model.n_thoughts,
        max_new_tokens=max_new_tokens,
        batch_size=None if batch_size is None else 4 * batch_size,
        resume=resume,
        thought=thought,
        sets=[list(map(list, heads)) for heads in sets],
    )


def _right(answers: Sequence[str], problems: Sequence[Problem]) -> np.ndarray:
    pairs = zip(answers, problems, strict=True)
    return np.array([right(text, problem) for text, problem in pairs])


def _mask(model: ContinuousThoughtModel, heads: Sequence[Head]) -> Bool[Tensor, "1 layer head"]:
    mask = torch.zeros(1, model.n_layers, model.n_heads, dtype=torch.bool, device=model.device)
    for layer, head in heads:
        mask[0, layer, head] = True
    return mask
