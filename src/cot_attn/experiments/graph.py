"""By which path? The effect of every edge between question, BOT, thoughts, EOT and answer."""

import random
from collections.abc import Sequence
from itertools import product
from os import PathLike

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from torch import Tensor

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._answers import right
from cot_attn.experiments._batches import Arrays, batch_by_batch, problem_coordinates
from cot_attn.experiments._hiding import Holes, node_columns
from cot_attn.experiments._trials import Trial, Trials
from cot_attn.experiments.edges import (
    Cut,
    Edge,
    all_edges,
    check_cuts,
    cut_at,
    cut_label,
    thought_of,
)
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.usage import strangers
from cot_attn.interventions import Attention, Downstream, collect
from cot_attn.models import ContinuousThoughtModel, Layout

HIDDEN = ("source", "others")
DOWNSTREAMS: tuple[Downstream, ...] = ("recompute", "frozen")


def causal_graph(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    edges: Sequence[Edge | Sequence[Edge]] | None = None,
    layers: Sequence[int] | None = None,
    heads: Sequence[int] | None = None,
    max_new_tokens: int = 64,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Take edges away, one at a time, and measure what becomes of the answer.

    An edge of attention is the target's view of the source: it is knocked out in all layers, or in
    chosen ones. An edge of the feedback is what a thought is made of: the same thought of another
    problem is fed in its place. Beside each edge of attention stands a control: as many *other*
    positions that the target sees, drawn at random (or all others, where there are no more), are
    hidden instead.

    Parameters
    ----------
    model
        The model.
    problems
        Problems with gold answers; ids must differ. None is dropped.
    edges
        Which; by default `all_edges`. Several in a list are taken away together.
    layers, heads
        Where attention is knocked out; by default everywhere.
    max_new_tokens
        The greatest number of tokens in an answer.
    batch_size
        How many problems run at once.
    seed
        For the positions of the controls and the donors of the feedback.
    resume
        A folder from which an interrupted run goes on.

    Returns
    -------
    xr.Dataset
        Over (problem, edge, downstream, hidden), where `downstream` is "recompute" (later thoughts
        follow from the change) or "frozen" (later thoughts' inputs are the baseline's), and
        `hidden` is "source" or "others": `answer`, `failed` (NaN where the baseline is wrong) and
        `kl_value` (KL(baseline || changed) at the baseline's value, in nats). Controls of the
        feedback, and of an edge beside which the target sees nothing else, are NaN. Along `edge`:
        `source`, `target` and `path`.

    Raises
    ------
    ValueError
        Where a node does not exist, edges repeat, or the feedback does not lead along an edge.
    """
    require_one_number(model, "causal_graph")
    problems = check_problems(problems)
    n_thoughts = model.n_thoughts
    if n_thoughts < 1 or len(problems) < 2:
        raise ValueError(
            f"There are {n_thoughts} thoughts and {len(problems)} problems. Give a model that "
            "thinks, and two problems, one of which can donate thoughts to the other."
        )
    wanted = all_edges(n_thoughts) if edges is None else edges
    cuts: list[Cut] = [(each,) if isinstance(each, Edge) else tuple(each) for each in wanted]
    check_cuts(cuts, n_thoughts)
    where = _where(model, layers, heads)
    used = torch.nonzero(where.any(dim=(0, 2)))[:, 0].tolist()
    with model.isolated():
        Attention(layers=used).check(model)
    sources = strangers(problems, seed)
    clean = collect(model, problems, ["input"])

    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        run = Trials(model, batch, questions, max_new_tokens)
        donors = clean.rows([sources[problem.id] for problem in batch])
        strange = clean["input"][donors]
        shape = (len(batch), len(cuts), len(DOWNSTREAMS), len(HIDDEN))
        answers, kl = np.full(shape, "", dtype=object), np.full(shape, np.nan)
        # One place after the other: the holes of all edges at once would fill the memory.
        for first in sorted({cut_at(cut, n_thoughts) for cut in cuts}):
            trials = {
                (row, column, side): trial
                for (row, cut), (column, downstream), (side, hidden) in product(
                    enumerate(cuts), enumerate(DOWNSTREAMS), enumerate(HIDDEN)
                )
                if cut_at(cut, n_thoughts) == first
                and (trial := _trial(run, cut, downstream, hidden, where, strange, seed))
            }
            found = run.run(list(trials.values()))
            for cell, (texts, divergences) in zip(trials, found, strict=True):
                answers[:, *cell], kl[:, *cell] = texts, divergences
        last = [cut_at(cut, n_thoughts) >= n_thoughts for cut in cuts]  # no thought follows
        answers[:, last, 1], kl[:, last, 1] = answers[:, last, 0], kl[:, last, 0]
        return {"answer": answers, "kl_value": kl, "baseline": np.array(run.answers, dtype=object)}

    arrays = batch_by_batch(
        model,
        problems,
        job,
        question="edges",
        n_thoughts=n_thoughts,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        resume=resume,
        edges=cuts,
        heads=where,
        sources=sources,
        seed=seed,
    )
    return _labelled(model, problems, cuts, arrays).assign_attrs(
        layers=str(used), max_new_tokens=max_new_tokens, seed=seed
    )


def _trial(
    run: Trials,
    cut: Cut,
    downstream: Downstream,
    hidden: str,
    heads: Bool[Tensor, "1 layer head"],
    strange: Float[Tensor, "batch n_thoughts d_model"],
    seed: int,
) -> Trial | None:
    """Take edges away, or hide others instead; None where there is nothing to be run."""
    first = cut_at(cut, run.model.n_thoughts)
    looks = [edge for edge in cut if edge.path == "attention"]
    holes = run.no_holes()
    if downstream == "frozen" and first >= run.model.n_thoughts:
        return None
    if hidden == "source":
        for edge in looks:
            _open(holes, run.layout, edge)
    elif len(looks) < len(cut) or not _open_others(holes, run, looks, seed):
        return None
    made = {thought_of(edge.target) for edge in cut if edge.path == "feedback"}
    return Trial(holes, heads, first, downstream, {i: strange[:, i] for i in made})


def _open_others(holes: Holes, run: Trials, edges: Sequence[Edge], seed: int) -> bool:
    """Hide as many other positions as the sources have; say whether there are any."""
    opened = False
    for edge in edges:
        queries = _clipped(node_columns(run.layout, edge.target), holes)
        source = node_columns(run.layout, edge.source)
        for row, problem in enumerate(run.problems):
            seen = range(run.layout.padding(row), queries.start)
            others = [column for column in seen if column not in source]
            n_hidden = sum(column in source for column in seen)
            stream = random.Random(f"{seed} {problem.id} {edge.label}")
            chosen = stream.sample(range(len(others)), min(n_hidden, len(others)))
            for column in chosen:
                holes[row, queries.start : queries.stop, others[column]] = True
            opened |= bool(chosen)
    return opened


def _open(holes: Holes, layout: Layout, edge: Edge) -> None:
    queries = _clipped(node_columns(layout, edge.target), holes)
    keys = _clipped(node_columns(layout, edge.source), holes)
    holes[:, queries.start : queries.stop, keys.start : keys.stop] = True


def _clipped(columns: range, holes: Holes) -> range:
    return range(columns.start, min(columns.stop, holes.shape[1]))


def _where(
    model: ContinuousThoughtModel, layers: Sequence[int] | None, heads: Sequence[int] | None
) -> Bool[Tensor, "1 layer head"]:
    """Return where attention is knocked out."""
    shape = (model.n_layers, model.n_heads)
    chosen = [
        list(range(n)) if indices is None else list(indices)
        for indices, n in zip((layers, heads), shape, strict=True)
    ]
    wrong = [i for indices, n in zip(chosen, shape, strict=True) for i in indices if not 0 <= i < n]
    if wrong or not all(chosen):
        raise ValueError(
            f"layers are {layers} and heads {heads}; this model has layers 0 to "
            f"{model.n_layers - 1} and heads 0 to {model.n_heads - 1}."
        )
    where = torch.zeros(1, *shape, dtype=torch.bool, device=model.device)
    where[0, torch.tensor(chosen[0])[:, None], torch.tensor(chosen[1])] = True
    return where


def _labelled(
    model: ContinuousThoughtModel, problems: Sequence[Problem], cuts: Sequence[Cut], arrays: Arrays
) -> xr.Dataset:
    answers, baseline = arrays["answer"], arrays["baseline"]
    correct = np.array(
        [right(text, problem) for text, problem in zip(baseline, problems, strict=True)]
    )
    failed = np.full(answers.shape, np.nan)
    there = np.isfinite(arrays["kl_value"]) | (answers != "")
    for index in np.argwhere(there & correct[:, None, None, None]):
        cell = tuple(index)
        failed[cell] = float(not right(str(answers[cell]), problems[index[0]]))
    dims = ("problem", "edge", "downstream", "hidden")

    def of(name: str) -> list[str]:
        return [" + ".join(getattr(edge, name) for edge in cut) for cut in cuts]

    return xr.Dataset(
        {
            "answer": (dims, answers),
            "failed": (dims, failed),
            "kl_value": (dims, arrays["kl_value"]),
        },
        coords={
            **problem_coordinates(problems),
            "baseline_correct": ("problem", correct),
            "baseline_answer": ("problem", baseline),
            "edge": [cut_label(cut) for cut in cuts],
            **{name: ("edge", of(name)) for name in ("source", "target", "path")},
            "downstream": list(DOWNSTREAMS),
            "hidden": list(HIDDEN),
        },
        attrs={
            **model.provenance(),
            "experiment": "causal_graph",
            "n_thoughts": model.n_thoughts,
        },
    )
