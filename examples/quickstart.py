"""Does a model look at the thoughts that it needs? Runs on a laptop in seconds."""

import sys

from cot_attn import AttentionRecorder, ContinuousThoughtModel, TokenAblator, load_problems, stats
from cot_attn.interventions import Resample

n = int(sys.argv[1]) if len(sys.argv) > 1 else 120
model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
problems = load_problems("toy", n=n)

with AttentionRecorder(model) as recorder:
    run = model.run(problems)
print(problems[0].question, "->", run.answers[0])

effects = TokenAblator(model, [Resample()]).run(problems)
print("importance of thoughts 0..5:", stats.importance(effects).estimate.values.round(2))

share = stats.share(recorder.dataset(), query="answer_value").mean("head")
for layer, r in stats.correlate(share, effects.failed.mean("corruption")).groupby("layer"):
    r = r.squeeze()
    print(f"layer {layer}: r = {r.estimate:.2f} [{r.low:.2f}, {r.high:.2f}], q = {r.q:.3f}")
