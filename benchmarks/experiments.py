"""What an experiment costs beside `run_variants` with as many variants.

`python -m benchmarks.experiments [--model gpt2-124m] [--problems 120] [--repeats 5] [--all]`

Variants are compared that draw, as experiments do, on the unchanged runs of all problems: each puts
another problem's thoughts in the place of one's own. Heads are compared with knock-outs.
"""

import argparse
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypedDict

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import middle, timed
from benchmarks.models import N_ANSWER, SHAPES, subject
from benchmarks.models import problems as random_problems
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
Ratio = TypedDict(
    "Ratio",
    {"wall": float, "cpu": float, "least cpu": float, "most cpu": float, "seconds": float},
)
Ratios = dict[str, Ratio]


def all_ratios(model: ContinuousThoughtModel, n: int, repeats: int) -> Ratios:
    """Time every experiment on a bundled model."""
    given = toy_problems(n, steps=[4])
    thoughts = range(model.n_thoughts)
    direction = Direction.given(model.run(given[:1]).thoughts[0, 3], model.n_thoughts)
    every = list(product(range(model.n_layers), range(model.n_heads)))
    doses = (0.5, 1.0)

    def knocked_out() -> Any:
        changes = [
            Intervention(3, KnockOut(), Attention(layers=[layer], heads=[head]))
            for layer, head in every
        ]
        return run_variants(model, given, changes, ["failed", "kl_value"], only_correct=False)

    def replaced(chosen: list[Any]) -> Any:
        return exchanged(model, given, chosen, ANSWERS)

    works = {
        **used_and_carried(model, given),
        "exits": lambda: exit_curve(model, given),
        "9 variants": lambda: replaced([*thoughts, *[thoughts] * 3]),
        "steer": lambda: steer(model, given, direction, doses, thoughts=[3], n_random=9),
        "20 variants": lambda: replaced([3] * 20),
        "heads": lambda: rank_heads(model, given, 3, sizes=[1], n_random=1),
        "16 knock-outs": knocked_out,
        "graph": lambda: causal_graph(model, given),
        "170 variants": lambda: replaced([*thoughts, 5] * 24 + [0, 1]),
    }
    return compared(works, repeats)


def used_and_carried(
    model: ContinuousThoughtModel, problems: Sequence[Problem], max_new_tokens: int = 64
) -> Works:
    """Return those that run the most of the model's own variants, and as many others."""
    pairs, thoughts = draw_pairs(problems, n_sources=2), range(model.n_thoughts)

    def replaced(chosen: Sequence[Any], outcomes: list[str]) -> xr.Dataset:
        return exchanged(model, problems, chosen, outcomes, max_new_tokens=max_new_tokens)

    return {
        "usage": lambda: usage(model, problems, max_new_tokens=max_new_tokens),
        "7 variants": lambda: replaced([thoughts] * 7, ANSWERS),
        "interchange": lambda: interchange(model, pairs, max_new_tokens=max_new_tokens),
        "24 variants": lambda: replaced([*thoughts] * 4, ["answer"]),
    }


def exchanged(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    chosen: Sequence[Any],
    outcomes: list[str],
    max_new_tokens: int = 64,
) -> xr.Dataset:
    """Give each variant another problem's thoughts, of the chosen ones."""
    ids = [problem.id for problem in problems]
    changes = [
        Intervention(own, Transplant(dict(zip(ids, np.roll(ids, number + 1), strict=True)), name))
        for number, own in enumerate(chosen)
        for name in [f"exchanged {number}"]
    ]
    return run_variants(
        model, problems, changes, outcomes, max_new_tokens=max_new_tokens, only_correct=False
    )


def compared(works: Works, repeats: int) -> Ratios:
    """Time pieces of work in turns and divide the first of each two by the second, each time."""
    names = list(works)
    for work in works.values():
        work()  # what is done once is done by now
    taken = [{name: timed(work)[0] for name, work in works.items()} for _ in range(repeats)]
    found: Ratios = {}
    for one, other in zip(names[::2], names[1::2], strict=True):
        ratios = [each[one] / each[other] for each in taken]
        cpu = [ratio.cpu for ratio in ratios]
        found[f"{one} / {other}"] = {
            "wall": middle(ratios).wall,
            "cpu": middle(ratios).cpu,
            "least cpu": min(cpu),
            "most cpu": max(cpu),
            "seconds": middle([each[one] for each in taken]).cpu,
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="toy-gpt2", help="a bundled model, or gpt2-124m")
    parser.add_argument("--problems", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--all", action="store_true", help="all experiments of a bundled model")
    asked = parser.parse_args()
    if asked.model in SHAPES:
        model, given = subject(asked.model).model, random_problems(asked.problems)
        ratios = compared(used_and_carried(model, given, N_ANSWER), asked.repeats)
    else:
        model = ContinuousThoughtModel.from_pretrained(asked.model)
        given = toy_problems(asked.problems, steps=[4])
        ratios = (
            all_ratios(model, asked.problems, asked.repeats)
            if asked.all
            else compared(used_and_carried(model, given), asked.repeats)
        )
    shown = Table("experiment / variants", "wall clock", "processor time", "from, to", "seconds")
    for name, value in ratios.items():
        numbers = (f"{value['wall']:.2f}", f"{value['cpu']:.2f}")
        spread = f"{value['least cpu']:.2f} to {value['most cpu']:.2f}"
        shown.add_row(name, *numbers, spread, f"{value['seconds']:.2f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
