"""How many of the engine's answers are those of a plain loop, in float32 and in bfloat16."""

from typing import TypedDict

import torch

from benchmarks import plain
from benchmarks.models import Subject
from cot_attn import CCTA, ContinuousThoughtModel, Intervention, grade, load_problems, run_variants

Agreement = TypedDict(
    "Agreement",
    {
        "variants": int,
        "answers that agree": float,
        "failures that agree": float,
        "noise floor of failed": float,
    },
)


def agreement(name: str, dtype: torch.dtype, n_problems: int) -> Agreement:
    """Answer every variant of a bundled model both ways and count where they differ.

    The plain loop runs one variant at a time, each from its prompt. In bfloat16 the two round
    differently, and where two tokens are nearly equally likely the other one may come first.
    """
    model = ContinuousThoughtModel.from_pretrained(name, dtype=dtype)
    problems = load_problems("toy", n=n_problems)
    changes = [Intervention(i, each) for i in range(model.n_thoughts) for each in CCTA]
    subject = Subject(model, model.bridge.original_model, model.feedback)
    found = run_variants(model, problems, changes, ["answer", "failed"], max_new_tokens=8)
    clean = plain.inputs(subject, problems)
    loop = plain.all_answers(subject, problems, changes, clean, n_answer=8)
    same, same_failure = [], []
    right = found["baseline_correct"].values
    for row, problem in enumerate(problems):
        if not right[row]:
            continue  # its variants were not run
        for ours, theirs in zip(found["answer"].values[row], loop[row][1:], strict=True):
            same.append(ours == theirs)
            same_failure.append(grade(ours, problem).correct == grade(theirs, problem).correct)
    return {
        "variants": len(same),
        "answers that agree": sum(same) / len(same),
        "failures that agree": sum(same_failure) / len(same),
        "noise floor of failed": found.attrs["noise_floor"]["failed"],
    }
