"""The two bundled models side by side: same problems, same treatment, one figure, one report.

python examples/two_models.py [--n 120] [--out comparison]
"""

import argparse
from pathlib import Path

from cot_attn import ContinuousThoughtModel, compare, load_problems, plots, run_study, stats
from cot_attn.interventions import Resample
from cot_attn.report import write_report

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--n", type=int, default=120, help="how many problems")
parser.add_argument("--out", type=Path, default=Path("comparison"), help="folder that is written")
arguments = parser.parse_args()

problems = load_problems("toy", n=arguments.n)
studies = [
    run_study(ContinuousThoughtModel.from_pretrained(name), problems, corruptions=[Resample()])
    for name in ("toy-gpt2", "toy-llama")
]
for study in studies:
    print(f"{study.name}: {study.accuracy:.0%} right")
    print("  importance:", study.importance.estimate.values.round(2))
    print("  share, layer 0:", study.shares.sel(layer=0).mean("problem").values.round(2))

# Refused with a sentence if the two were treated differently.
both = compare(studies)
differences = stats.contrasts(both.failed.mean("corruption"), between="model")
print("toy-llama less toy-gpt2, importance by thought:")
print(differences[["estimate", "low", "high"]].squeeze(drop=True).to_dataframe().round(2))

arguments.out.mkdir(parents=True, exist_ok=True)
panels = plots.importance_beside_attention_by_layer(
    stats.importance(both, by="model"),
    both.share,
    totals=both.sequence_attention.sum("thought"),
)
for file in plots.save(panels, arguments.out / "importance_beside_attention"):
    print("wrote", file)
print("wrote", write_report(studies, arguments.out))
