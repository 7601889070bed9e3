"""Who rounds otherwise in bfloat16: the engine, its batches, or the bridge below them?

`python -m benchmarks.rounding [--models small ...] [--problems 24]` answers problems as they are
and with one thought drowned, by a plain loop, by the same loop through the bridge, and by the
engine with batches of one row and of many, in float32 and in bfloat16, and prints in how many
answers each two agree. Many problems, few variants: those of one problem turn together.
"""

import argparse
from itertools import combinations

import torch

from benchmarks import plain
from benchmarks.models import N_ANSWER, SHAPES, subject
from benchmarks.models import problems as some_problems
from cot_attn import Intervention, run_variants
from cot_attn.interventions import GaussianNoise

DROWNED = [Intervention(2, GaussianNoise(5.0, relative=True))]


def answers(name: str, dtype: torch.dtype, n_problems: int) -> dict[str, list[str]]:
    """Answer every problem in each way, unchanged and changed."""
    one, problems = subject(name, dtype), some_problems(n_problems)
    clean = plain.inputs(one, problems)
    found = {
        "plain loop": plain.all_answers(one, problems, DROWNED, clean),
        "bridge's loop": plain.all_answers(one, problems, DROWNED, clean, bridge=True),
    }
    for way, batch_size in (("engine, one row", 1), ("engine, many rows", 64)):
        result = run_variants(
            one.model,
            problems,
            DROWNED,
            ["answer"],
            max_new_tokens=N_ANSWER,
            only_correct=False,
            batch_size=batch_size,
        )
        rows = zip(result["baseline_answer"].values, result["answer"].values, strict=True)
        found[way] = [[unchanged, *changed] for unchanged, changed in rows]
    return {way: [str(each) for row in rows for each in row] for way, rows in found.items()}


def agreeing(left: list[str], right: list[str]) -> float:
    """Return the fraction of answers that are the same."""
    return sum(map(str.__eq__, left, right)) / len(left)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["small", "gpt2-124m"], choices=list(SHAPES))
    parser.add_argument("--problems", type=int, default=24)
    asked = parser.parse_args()
    for name in asked.models:
        exact, rounded = (
            answers(name, dtype, asked.problems) for dtype in (torch.float32, torch.bfloat16)
        )
        for first, second in combinations(exact, 2):
            in_each = f"{agreeing(exact[first], exact[second]):7.0%} in float32"
            in_each += f"{agreeing(rounded[first], rounded[second]):7.0%} in bfloat16"
            print(f"{name:18} {first:18} {second:18} {in_each}")
        for way in exact:
            kept = agreeing(exact[way], rounded[way])
            print(f"{name:18} {way:18} {'float32, bfloat16':18} {kept:7.0%}")


if __name__ == "__main__":
    main()
