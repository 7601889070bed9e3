"""Study a checkpoint of your own, or a public one, on GSM8K or a file of problems.

python examples/your_checkpoint.py zen-E/CODI-gpt2 --problems gsm8k --n 100
python examples/your_checkpoint.py runs/my-codi --base openai-community/gpt2 --lora-alpha 32 \
    --n-thoughts 6 --problems my_problems.jsonl
"""

import argparse
from pathlib import Path

from cot_attn import ContinuousThoughtModel, load_problems, run_study

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
)
parser.add_argument("checkpoint", help="hub id, folder or weight file")
parser.add_argument("--problems", default="gsm8k", help="a data set's name, or a file")
parser.add_argument("--n", type=int, default=100, help="how many problems")
parser.add_argument("--base", help="hub id or folder of the base model, if nothing says it")
parser.add_argument("--n-thoughts", type=int)
parser.add_argument("--lora-alpha", type=float)
parser.add_argument("--device", default="cpu")
parser.add_argument("--max-new-tokens", type=int, default=64)
parser.add_argument("--out", type=Path, default=Path("study"), help="folder that is written")
arguments = parser.parse_args()

problems = load_problems(arguments.problems, n=arguments.n)
model = ContinuousThoughtModel.from_pretrained(
    arguments.checkpoint,
    base=arguments.base,
    n_thoughts=arguments.n_thoughts,
    lora_alpha=arguments.lora_alpha,
    device=arguments.device,
)
print(model.load_report)

study = run_study(model, problems, max_new_tokens=arguments.max_new_tokens)
print(f"{study.n_correct} of {len(problems)} right")
for check in study.checks:
    if check.status != "pass":
        print(check)
print(study.table(study.layers[-1]).round(2))
print("wrote", study.save(arguments.out))
print("to read and to send:", study.report(arguments.out))
