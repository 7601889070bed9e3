"""Is the thought used, and when is the answer there? Runs on a laptop in a minute.

python examples/is_the_thought_used.py [model] [--n 120] [--out folder]
"""

import argparse
from pathlib import Path

from cot_attn import ContinuousThoughtModel, load_problems, plots, stats
from cot_attn.experiments import exit_curve, usage

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="toy-gpt2")
parser.add_argument("--problems", default="toy")
parser.add_argument("--n", type=int, default=120)
parser.add_argument("--out", type=Path, default=Path("is_the_thought_used"))
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)
model = ContinuousThoughtModel.from_pretrained(arguments.model)
problems = load_problems(arguments.problems, n=arguments.n)

# Replace all thoughts at once, in seven ways. Interrupted, the same call goes on.
used = usage(model, problems, resume=arguments.out / "unfinished")
table = stats.usage_summary(used)
for name in table.condition.values:
    row = table.sel(condition=name)
    right, kl = row.estimate.item(), row.kl_value.item()
    print(
        f"{name:18} {right:4.0%} right [{row.low.item():.0%}, {row.high.item():.0%}], KL {kl:.1f}"
    )
print(used.attrs["verdict"])
plots.save(plots.accuracy_by_condition(table), arguments.out / "conditions")

# Force the answer after fewer thoughts, and after more than the model was trained with.
exits = exit_curve(model, problems, resume=arguments.out / "unfinished")
there = stats.committed(stats.commitment(exits), by="difficulty")
half = there["median"].sel(target="right", kind="stable")
for difficulty, n_thoughts in zip(half.difficulty.values, half.values, strict=True):
    print(f"difficulty {difficulty:g}: half are right for good after {n_thoughts:g} thoughts")
accuracy = stats.exit_accuracy(exits, by="difficulty")
plots.save(plots.accuracy_by_exit(accuracy), arguments.out / "exits")
