"""What an experiment costs beside `run_variants` with as many variants.

`python -m benchmarks.experiments [--problems 120] [--repeats 3]`

Variants are compared that draw, as experiments do, on the unchanged runs of all problems: each puts
another problem's thoughts in the place of one's own. Heads are compared with knock-outs.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import interleaved
from cot_attn import ContinuousThoughtModel, Intervention, run_variants
from cot_attn.data import Problem
from cot_attn.experiments import (
    Direction,
    Transplant,
    causal_graph,
    draw_pairs,
    exit_curve,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.interventions import Attention, KnockOut
from cot_attn.toy import toy_problems

ANSWERS = ["answer", "kl_value"]
Works = dict[str, Callable[[], Any]]
Ratios = dict[str, dict[str, float]]


def all_ratios(model: ContinuousThoughtModel, n: int, repeats: int) -> Ratios:
    """Time every experiment on a bundled model."""
    problems = toy_problems(n, steps=[4])
    thoughts = range(model.n_thoughts)
    direction = Direction.given(model.run(problems[:1]).thoughts[0, 3], model.n_thoughts)
    every = list(product(range(model.n_layers), range(model.n_heads)))
    doses = (0.5, 1.0)

    def knocked_out() -> Any:
        changes = [
            Intervention(3, KnockOut(), Attention(layers=[layer], heads=[head]))
            for layer, head in every
        ]
        return run_variants(model, problems, changes, ["failed", "kl_value"], only_correct=False)

    def replaced(chosen: list[Any]) -> Any:
        return exchanged(model, problems, chosen, ANSWERS)

    works = {
        **used_and_carried(model, problems),
        "exits": lambda: exit_curve(model, problems),
        "9 variants": lambda: replaced([*thoughts, *[thoughts] * 3]),
        "steer": lambda: steer(model, problems, direction, doses, thoughts=[3], n_random=9),
        "20 variants": lambda: replaced([3] * 20),
        "heads": lambda: rank_heads(model, problems, 3, sizes=[1], n_random=1),
        "16 knock-outs": knocked_out,
        "graph": lambda: causal_graph(model, problems),
        "170 variants": lambda: replaced([*thoughts, 5] * 24 + [0, 1]),
    }
    return compared(works, repeats)


def used_and_carried(
    model: ContinuousThoughtModel, problems: Sequence[Problem], max_new_tokens: int = 64
) -> Works:
    """Return those that run the most of the model's own variants, and as many others."""
    pairs, thoughts = draw_pairs(problems, n_sources=2), range(model.n_thoughts)
    longest = {"max_new_tokens": max_new_tokens}
    return {
        "usage": lambda: usage(model, problems, **longest),
        "7 variants": lambda: exchanged(model, problems, [thoughts] * 7, ANSWERS, **longest),
        "interchange": lambda: interchange(model, pairs, **longest),
        "24 variants": lambda: exchanged(model, problems, [*thoughts] * 4, ["answer"], **longest),
    }


def exchanged(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    chosen: Sequence[Any],
    outcomes: list[str],
    **how: Any,
) -> xr.Dataset:
    """Give each variant another problem's thoughts, of the chosen ones."""
    ids = [problem.id for problem in problems]
    changes = [
        Intervention(own, Transplant(dict(zip(ids, np.roll(ids, number + 1), strict=True)), name))
        for number, own in enumerate(chosen)
        for name in [f"exchanged {number}"]
    ]
    return run_variants(model, problems, changes, outcomes, only_correct=False, **how)


def compared(works: Works, repeats: int) -> Ratios:
    """Time pieces of work in turns and divide the first of each two by the second."""
    next(iter(works.values()))()  # what is done once is done by now
    seconds, names = interleaved(works, repeats), list(works)
    return {
        f"{one} / {other}": {
            "wall": seconds[one].wall / seconds[other].wall,
            "cpu": seconds[one].cpu / seconds[other].cpu,
            "seconds": seconds[one].cpu,
        }
        for one, other in zip(names[::2], names[1::2], strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="toy-gpt2")
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    model = ContinuousThoughtModel.from_pretrained(asked.model)
    shown = Table("experiment / variants", "wall clock", "processor time", "seconds of it")
    for name, value in all_ratios(model, asked.problems, asked.repeats).items():
        numbers = (f"{value[each]:.2f}" for each in ("wall", "cpu", "seconds"))
        shown.add_row(name, *numbers)
    Console().print(shown)


if __name__ == "__main__":
    main()
