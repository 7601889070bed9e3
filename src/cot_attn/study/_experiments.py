"""The experiments that a study makes when it is asked for them by name, and what they say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import xarray as xr

from cot_attn import stats
from cot_attn.data.problem import Problem
from cot_attn.experiments import causal_graph, draw_pairs, exit_curve, interchange, usage
from cot_attn.experiments.exits import BEYOND
from cot_attn.experiments.one_number import require_one_number
from cot_attn.interventions import Attention
from cot_attn.models.continuous import ContinuousThoughtModel

N_SOURCES = 2  # of each base
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


ASKED: Mapping[str, Ask] = {
    "usage": lambda model, problems, how: usage(model, problems, **how),
    "exits": _exits,
    "interchange": _interchange,
    "graph": lambda model, problems, how: causal_graph(model, problems, **how),
}
"""Those that need nothing but a model and problems."""
NEEDS = {
    "steer": "a direction, doses, and problems that the direction was not made from",
    "heads": "the thought that heads look at",
    "frontier": "problems on graphs, run a second time with their names exchanged",
}
"""What the others need, which a study does not know."""


def check_experiments(
    names: Sequence[str],
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    max_new_tokens: int,
) -> None:
    """Raise where experiments are not known or could not be made.

    Raises
    ------
    ValueError
        Where a name is not known or given twice, there are too few problems or thoughts, a question
        leaves no room for more thoughts, or attention cannot be taken away.
    TypeError
        Where one name stands in the place of a list.
    """
    if isinstance(names, str):
        raise TypeError(f"experiments is {names!r}; give a list, as in [{names!r}].")
    accepted = f"Accepted, each once: {', '.join(ASKED)}."
    for name in names:
        if name in NEEDS:
            raise ValueError(
                f"The experiment {name!r} needs {NEEDS[name]}: call it from cot_attn.experiments. "
                + accepted
            )
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
    if "graph" in experiments:
        yield "causal_graph", stats.edge_effects(experiments["graph"])


def _difficulty(exits: xr.Dataset) -> str | None:
    return "difficulty" if exits["difficulty"].notnull().any() else None
