"""Work on problems batch by batch, of which an interrupted run keeps what is done."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from os import PathLike

import numpy as np
import torch

from cot_attn._progress import progress
from cot_attn.data import Problem, check_problems
from cot_attn.interventions.resume import finished_problems
from cot_attn.models import ContinuousThoughtModel
from cot_attn.models.batching import check_sizes

Arrays = dict[str, np.ndarray]
Batch = Mapping[str, np.ndarray]
Job = Callable[[list[Problem], list[list[int]]], Arrays]
BATCH_SIZE = 64


@torch.no_grad()
def batch_by_batch(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    job: Job,
    *,
    question: str,
    n_thoughts: int,
    max_new_tokens: int,
    batch_size: int | None,
    resume: str | PathLike[str] | None,
    **settings: object,
) -> Arrays:
    """Hand problems and their tokens to a job, and lay its arrays together in the problems' order.

    Hooks and recorders that are on the model are set aside.

    Parameters
    ----------
    job
        Takes a batch and gives arrays whose first dimension is the batch.
    question
        What the experiment is called: in the progress, and in what tells its run from others.
    n_thoughts
        The most thoughts that a run has.
    resume
        A folder in which finished batches are kept until all are done.
    settings
        Whatever else the arrays depend on.
    """
    problems = check_problems(problems)
    check_sizes(batch_size, max_new_tokens)
    _, questions = model.encode(problems, n_thoughts=n_thoughts, max_new_tokens=max_new_tokens)
    kept = None
    if resume is not None:
        kept = finished_problems(
            resume,
            model,
            problems,
            questions,
            (),
            (),
            question=question,
            max_new_tokens=max_new_tokens,
            **settings,
        )
    # Of like length side by side, so that little is padding.
    order = sorted(range(len(problems)), key=lambda i: (len(questions[i]), problems[i].id))
    title = f"{model.name} {question}"
    with kept or nullcontext(), progress(title, len(order)) as advance, model.isolated():
        done: list[Batch] = list(kept.read()) if kept else []
        finished = {int(i) for batch in done for i in batch["problems"]}
        advance(len(finished))
        left = [i for i in order if i not in finished]
        size = batch_size or BATCH_SIZE
        for start in range(0, len(left), size):
            chosen = left[start : start + size]
            arrays = job([problems[i] for i in chosen], [questions[i] for i in chosen])
            batch: Batch = {**arrays, "problems": np.array(chosen)}
            done.append(batch)
            if kept:
                kept.keep({name: _plain(array) for name, array in batch.items()})
            advance(len(chosen))
    whole: Arrays = {}
    for batch in done:
        rows = batch["problems"]
        for name, array in batch.items():
            dtype = object if array.dtype.kind in "OU" else array.dtype
            whole.setdefault(name, np.empty((len(problems), *array.shape[1:]), dtype))[rows] = array
    if kept:
        kept.remove()
    del whole["problems"]
    return whole


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype(str) if array.dtype == object else array


def problem_coordinates(problems: Sequence[Problem]) -> dict[str, tuple[str, np.ndarray]]:
    """Return the labels that every result has along its problems."""
    difficulty = [np.nan if p.difficulty is None else p.difficulty for p in problems]
    return {
        "problem": ("problem", np.array([problem.id for problem in problems], dtype=object)),
        "difficulty": ("problem", np.array(difficulty, dtype=float)),
    }
