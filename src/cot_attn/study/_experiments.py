"""The experiments that a study makes when it is asked for them by name, and what they say."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from cot_attn import stats
from cot_attn.data.problem import Problem
from cot_attn.experiments import (
    causal_graph,
    difference_of_means,
    draw_pairs,
    exit_curve,
    frontier,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.experiments.exits import BEYOND
from cot_attn.experiments.heads import check_heads
from cot_attn.experiments.one_number import require_one_number
from cot_attn.experiments.problem_graphs import graph_of
from cot_attn.interventions import Attention
from cot_attn.models.continuous import ContinuousThoughtModel

N_SOURCES = 2  # of each base
DOSES = (1.0, 2.0)
FEWEST_PROBLEMS, FEWEST_THOUGHTS = 3, 2
STORE = "experiment_"
"""How the stores of a study's folder begin that hold an experiment."""


Options = dict[str, Any]
"""`max_new_tokens`, `batch_size`, `resume`, and the `seed` of experiments that draw."""
Ask = Callable[[ContinuousThoughtModel, Sequence[Problem], Options], xr.Dataset]


def _exits(model: ContinuousThoughtModel, problems: Sequence[Problem], how: Options) -> xr.Dataset:
    """Force the answer at every exit; nothing is drawn."""
    return exit_curve(model, problems, **{name: how[name] for name in how.keys() - {"seed"}})


def _interchange(
    model: ContinuousThoughtModel, problems: Sequence[Problem], how: Options
) -> xr.Dataset:
    """Exchange thoughts between problems of different answers, which can be told apart."""

    def unlike(base: Problem, source: Problem) -> bool:
        return base.answer != source.answer

    pairs = draw_pairs(problems, N_SOURCES, allowed=unlike, seed=how["seed"])
    return interchange(model, pairs, **how)


def _steer(model: ContinuousThoughtModel, problems: Sequence[Problem], how: Options) -> xr.Dataset:
    """Lead one half of the problems to the commonest answer of the other, of which it is made."""
    made_from, tried_on = _halves(problems, how["seed"])
    goal = _commonest(made_from)
    towards = [problem for problem in made_from if problem.answer == goal]
    away = [problem for problem in made_from if problem.answer != goal]
    direction = difference_of_means(model, towards, away, label=f"towards {goal!r}")
    return steer(model, tried_on, direction, DOSES, target=goal, **how)


def _heads(model: ContinuousThoughtModel, problems: Sequence[Problem], how: Options) -> xr.Dataset:
    """Look at the last thought; a backward pass has smaller batches of its own."""
    chosen = {name: value for name, value in how.items() if value is not None}
    return rank_heads(model, problems, model.n_thoughts - 1, **chosen)


def _frontier(
    model: ContinuousThoughtModel, problems: Sequence[Problem], how: Options
) -> xr.Dataset:
    """Compare thoughts with nodes; nothing is answered."""
    chosen = {name: how[name] for name in how.keys() - {"max_new_tokens"}}
    return frontier(model, problems, **chosen)


ASKED: Mapping[str, Ask] = {
    "usage": lambda model, problems, how: usage(model, problems, **how),
    "exits": _exits,
    "interchange": _interchange,
    "steer": _steer,
    "graph": lambda model, problems, how: causal_graph(model, problems, **how),
    "heads": _heads,
    "frontier": _frontier,
}


def check_experiments(
    names: Sequence[str],
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    max_new_tokens: int,
    seed: int,
) -> None:
    """Raise where experiments are not known or could not be made.

    Raises
    ------
    ValueError
        Where a name is not known or given twice, there are too few problems or thoughts, a question
        leaves no room for more thoughts, attention cannot be taken away, heads cannot be ranked, or
        problems tell no graph.
    TypeError
        Where one name stands in the place of a list.
    """
    if isinstance(names, str):
        raise TypeError(f"experiments is {names!r}; give a list, as in [{names!r}].")
    accepted = f"Accepted, each once: {', '.join(ASKED)}."
    for name in names:
        if name not in ASKED or list(names).count(name) > 1:
            raise ValueError(f"experiments are {list(names)}, with {name!r} among them. {accepted}")
    for name in names:
        require_one_number(model, f"The experiment {name!r}")
    if names and (len(problems) < FEWEST_PROBLEMS or model.n_thoughts < FEWEST_THOUGHTS):
        raise ValueError(
            f"There are {len(problems)} problems and {model.n_thoughts} thoughts; experiments need "
            f"at least {FEWEST_PROBLEMS} and {FEWEST_THOUGHTS}."
        )
    if "interchange" in names and len({problem.answer for problem in problems}) < 2:
        raise ValueError(
            "All problems have the same answer, so an interchange could not change it. Give "
            "problems with different answers."
        )
    if "exits" in names:
        most = model.n_thoughts + BEYOND
        model.encode(problems, n_thoughts=most, max_new_tokens=max_new_tokens)
    if "graph" in names:
        with model.isolated():
            Attention().check(model)
    if "heads" in names:
        check_heads(model)
    if "frontier" in names:
        for problem in problems:
            graph_of(problem)
    if "steer" in names:
        made_from, _ = _halves(problems, seed)
        if len({problem.answer for problem in made_from}) < 2:
            raise ValueError(
                f"The {len(made_from)} problems that a direction would be made from have no two "
                "different answers. Give more problems, or problems with different answers."
            )


def experiment_tables(experiments: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the statistic of each experiment, by the name of its table."""
    if "usage" in experiments:
        yield "usage", stats.usage_summary(experiments["usage"])
    if "exits" in experiments:
        exits = experiments["exits"]
        yield "exit_accuracy", stats.exit_accuracy(exits, by=_difficulty(exits))
        yield "commitment", stats.committed(stats.commitment(exits))
    if "interchange" in experiments:
        yield "interchange", stats.interchange_accuracy(experiments["interchange"])
    if "steer" in experiments:
        yield "steering", stats.dose_response(experiments["steer"])
    if "graph" in experiments:
        yield "causal_graph", stats.edge_effects(experiments["graph"])
    if "heads" in experiments:
        yield "head_sets", stats.head_sets(experiments["heads"])
        yield "head_agreement", stats.rank_agreement(experiments["heads"])
    if "frontier" in experiments:
        yield "frontier", stats.frontier_excess(experiments["frontier"])
        yield "frontier_mass", stats.frontier_excess(experiments["frontier"], "mass")


def _halves(problems: Sequence[Problem], seed: int) -> tuple[list[Problem], list[Problem]]:
    """Return two halves, by hash."""
    streams = {problem.id: random.Random(f"{seed} {problem.id}").random() for problem in problems}
    ordered = sorted(problems, key=lambda problem: (streams[problem.id], problem.id))
    return ordered[: len(ordered) // 2], ordered[len(ordered) // 2 :]


def _commonest(problems: Sequence[Problem]) -> str:
    """Return the gold answer that most problems have, the first in order where several do."""
    counts = Counter(problem.answer for problem in problems if problem.answer is not None)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def _difficulty(exits: xr.Dataset) -> str | None:
    return "difficulty" if exits["difficulty"].notnull().any() else None
