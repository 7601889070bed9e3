"""Do thoughts hold the frontier of a search? Their likeness to the nodes of a graph, by part."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.data import Problem, check_problems
from cot_attn.experiments._batches import Arrays, batch_by_batch, problem_coordinates
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.problem_graphs import PARTS, Graph, graph_of, names_exchanged
from cot_attn.models import ContinuousThoughtModel

MEASURES = ("similarity", "mass")


def frontier(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    *,
    batch_size: int | None = None,
    seed: int = 0,
    resume: str | PathLike[str] | None = None,
) -> xr.Dataset:
    """Compare thoughts with the nodes of the graph that a problem tells.

    That a thought is like several nodes is not yet a search in parallel: it may be like their names
    whatever part they play. So each problem is also run with its *names exchanged*: the same graph,
    in which every name stands elsewhere. What thought i has beyond that for the nodes that a
    breadth-first search reaches at step i + 1 is theirs for their part.

    Parameters
    ----------
    model
        The model.
    problems
        ProsQA problems, or others of the form "Every b is a c. ... Is Tom a c or d?".
    batch_size, resume
        As for `run_variants`.
    seed
        Decides how names are exchanged.

    Returns
    -------
    xr.Dataset
        Over (problem, thought, part), where `part` is "optimal", "frontier" (the others at this
        step), "reached" (before), "later" or "unreachable": `similarity` (cosine of the thought, as
        it is fed, and the mean embedding of the name's tokens; mean over nodes) and `mass`
        (probability of the names' first tokens behind the unembedding of the state that becomes the
        thought; mean over nodes), `similarity_exchanged` and `mass_exchanged` (of the same names
        under the thoughts of the problem with names exchanged), NaN where no node has that part;
        `n_nodes`.

    Raises
    ------
    ValueError
        Where a problem tells no graph.
    """
    require_one_number(model, "frontier")
    problems = check_problems(problems)
    graphs = {problem.id: graph_of(problem) for problem in problems}
    others = {problem.id: names_exchanged(problem, seed)[0] for problem in problems}
    n_thoughts = model.n_thoughts
    if not n_thoughts:
        raise ValueError(f"{model.name} thinks 0 thoughts: there is nothing to compare.")
    encoded = dict(zip(others, model.encode([others[each] for each in others])[1], strict=True))

    def job(batch: list[Problem], questions: list[list[int]]) -> Arrays:
        shape = (len(batch), n_thoughts, len(PARTS))
        names = [f"{measure}{end}" for measure in MEASURES for end in ("", "_exchanged")]
        arrays = {name: np.full(shape, np.nan) for name in names}
        arrays["n_nodes"] = np.zeros(shape, dtype=int)
        unchanged = model.rollout(batch, questions, n_thoughts)
        exchanged = model.rollout(
            [others[problem.id] for problem in batch],
            [encoded[problem.id] for problem in batch],
            n_thoughts,
        )
        for end, rollout in (("", unchanged), ("_exchanged", exchanged)):
            rollout.read()
            for thought in range(n_thoughts):
                logits = rollout.logits(rollout.hidden).softmax(dim=-1)
                fed = rollout.think(thought)
                for row, problem in enumerate(batch):
                    graph = graphs[problem.id]
                    for column, part in enumerate(PARTS):
                        nodes = [n for n in graph.nodes if graph.part(n, thought + 1) == part]
                        arrays["n_nodes"][row, thought, column] = len(nodes)
                        if nodes:
                            likeness, mass = _likeness(model, nodes, fed[row], logits[row])
                            arrays[f"similarity{end}"][row, thought, column] = likeness
                            arrays[f"mass{end}"][row, thought, column] = mass
        return arrays

    arrays = batch_by_batch(
        model,
        problems,
        job,
        question="frontiers",
        n_thoughts=n_thoughts,
        max_new_tokens=1,
        batch_size=batch_size,
        resume=resume,
        exchanged=[(each.id, each.question) for each in others.values()],
    )
    dims = ("problem", "thought", "part")
    steps = [_steps(graphs[problem.id]) for problem in problems]
    return xr.Dataset(
        {name: (dims, values) for name, values in arrays.items()},
        coords={
            **problem_coordinates(problems),
            "n_steps": ("problem", np.array(steps, dtype=float)),
            "thought": range(n_thoughts),
            "part": list(PARTS),
        },
        attrs={**model.provenance(), "experiment": "frontier", "seed": seed},
    )


def _steps(graph: Graph) -> float:
    """Return how far away the target is; NaN where it cannot be reached."""
    return float(graph.distances(graph.start).get(graph.target, np.nan))


def _likeness(
    model: ContinuousThoughtModel,
    nodes: Sequence[str],
    fed: Float[Tensor, " d_model"],
    probabilities: Float[Tensor, " d_vocab"],
) -> tuple[float, float]:
    """Return the mean cosine with the nodes' names, and the mean probability of each."""
    weight: Tensor = model.bridge.original_model.get_input_embeddings().weight
    cosines, masses = [], []
    for node in nodes:
        # As the name stands in a sentence: behind a space.
        ids = model.tokenizer(f" {node}", add_special_tokens=False)["input_ids"]
        name = weight[torch.tensor(ids, device=weight.device)].float().mean(dim=0)
        cosines.append(float(torch.cosine_similarity(fed.float(), name, dim=0)))
        masses.append(float(probabilities[ids[0]]))
    return float(np.mean(cosines)), float(np.mean(masses))
