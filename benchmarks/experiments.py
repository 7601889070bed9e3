"""What an experiment costs beside `run_variants` with as many variants.

`python -m benchmarks.experiments [--problems 40] [--repeats 3]`
"""

import argparse
from itertools import product
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import interleaved
from cot_attn import ContinuousThoughtModel, Intervention, run_variants
from cot_attn.experiments import (
    Direction,
    causal_graph,
    draw_pairs,
    exit_curve,
    interchange,
    rank_heads,
    steer,
    usage,
)
from cot_attn.interventions import Attention, KnockOut, Replace
from cot_attn.toy import toy_problems

WANTED = 1.2


def ratios(model: ContinuousThoughtModel, n: int, repeats: int) -> dict[str, dict[str, Any]]:
    """Time each experiment in turns with as many variants of the engine, of the same thoughts."""
    problems = toy_problems(n, steps=[4])
    fed = model.run(problems).thoughts
    thoughts = range(model.n_thoughts)
    pairs = draw_pairs(problems, n_sources=2)
    direction = Direction.given(fed[0, 3], model.n_thoughts)
    every = list(product(range(model.n_layers), range(model.n_heads)))
    doses = (0.5, 1.0)

    def replaced(chosen: list[Any], outcomes: list[str]) -> Any:
        changes = [
            Intervention(own, Replace(fed[number % n, 0], f"replaced {number}"))
            for number, own in enumerate(chosen)
        ]
        return run_variants(model, problems, changes, outcomes, only_correct=False)

    def knocked_out() -> Any:
        changes = [
            Intervention(3, KnockOut(), Attention(layers=[layer], heads=[head]))
            for layer, head in every
        ]
        return run_variants(model, problems, changes, ["failed", "kl_value"], only_correct=False)

    answers = ["answer", "kl_value"]
    works = {
        "usage": lambda: usage(model, problems),
        "7 variants": lambda: replaced([thoughts] * 7, answers),
        "exits": lambda: exit_curve(model, problems),
        "9 variants": lambda: replaced([*thoughts, *[thoughts] * 3], answers),
        "interchange": lambda: interchange(model, pairs),
        "24 variants": lambda: replaced([*thoughts] * 4, ["answer"]),
        "steer": lambda: steer(model, problems, direction, doses, thoughts=[3], n_random=9),
        "20 variants": lambda: replaced([3] * 20, answers),
        "heads": lambda: rank_heads(model, problems, 3, sizes=[1], n_random=1),
        "16 knock-outs": knocked_out,
        "graph": lambda: causal_graph(model, problems),
        "170 variants": lambda: replaced([*thoughts, 5] * 24 + [0, 1], answers),
    }
    seconds = interleaved(works, repeats)
    names = list(works)
    return {
        f"{one} / {other}": {
            "wall": seconds[one].wall / seconds[other].wall,
            "cpu": seconds[one].cpu / seconds[other].cpu,
            "seconds": seconds[one].wall,
        }
        for one, other in zip(names[::2], names[1::2], strict=True)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="toy-gpt2")
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    model = ContinuousThoughtModel.from_pretrained(asked.model)
    shown = Table("experiment / variants", "wall clock", "processor time", "seconds")
    for name, value in ratios(model, asked.problems, asked.repeats).items():
        numbers = (f"{value[each]:.2f}" for each in ("wall", "cpu", "seconds"))
        shown.add_row(name, *numbers)
    Console().print(shown)


if __name__ == "__main__":
    main()
