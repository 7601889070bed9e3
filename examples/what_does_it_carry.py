"""What does a thought carry? Put it into another problem, and predict the answer.

python examples/what_does_it_carry.py [model] [--n 40] [--sources 3] [--out folder]
"""

import argparse
from pathlib import Path

from cot_attn import ContinuousThoughtModel, plots, stats
from cot_attn.experiments import draw_pairs, interchange
from cot_attn.toy import expected_answer, toy_problems

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model", nargs="?", default="toy-gpt2")
parser.add_argument("--n", type=int, default=40)
parser.add_argument("--sources", type=int, default=3)
parser.add_argument("--out", type=Path, default=Path("what_does_it_carry"))
arguments = parser.parse_args()
arguments.out.mkdir(parents=True, exist_ok=True)
model = ContinuousThoughtModel.from_pretrained(arguments.model)
problems = toy_problems(arguments.n, steps=[4])
base, source = draw_pairs(problems, 1)[0]

# The hypothesis: thought i carries the result of step i + 1, and nothing else does.
print(base.question, "->", base.answer)
print(source.question, "->", source.answer)
for thought in range(4):
    predicted = expected_answer(base, source, thought)
    print(f"with thought {thought} of the second, the first should be answered {predicted}")

pairs = draw_pairs(problems, arguments.sources)
patched = interchange(model, pairs, expected=expected_answer, resume=arguments.out / "unfinished")
table = stats.interchange_accuracy(patched).sel(site="input", prediction="changes")
for thought in table.thought.values:
    hit = table.sel(outcome="predicted", thought=thought)
    own, chance = hit.sel(vector="source"), hit.sel(vector="random")
    print(
        f"thought {thought}: {own.estimate.item():.0%} as predicted "
        f"[{own.low.item():.0%}, {own.high.item():.0%}], "
        f"{chance.estimate.item():.0%} with a random vector"
    )
plots.save(plots.interchange_by_thought(table), arguments.out / "interchange")
