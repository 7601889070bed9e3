"""What a user with an afternoon writes: all variants of a problem as one batch.

`python -m benchmarks.batched MODEL WAY PROBLEMS` runs one of the ways (`scratch`, `shared` or
`engine`) in a process of its own and prints its peak memory in MB.
"""

import sys
from collections.abc import Sequence

import torch
from einops import repeat
from torch import Tensor
from transformers import DynamicCache

from benchmarks import plain, planted
from benchmarks.growth import peak
from benchmarks.models import N_ANSWER, Subject, problems, subject
from cot_attn.data import Problem
from cot_attn.interventions import CleanActivations, Context, Intervention, run_variants


@torch.no_grad()
def answer(
    subject: Subject,
    problem: Problem,
    question: Sequence[int],
    changes: Sequence[Intervention],
    clean: CleanActivations,
    *,
    shared: bool,
) -> list[list[int]]:
    """Answer one question unchanged and with every change, as the rows of one batch.

    Parameters
    ----------
    subject, problem, question, changes, clean
        As in `plain`.
    shared
        Whether the prompt is read once, and its keys and values are copied to all rows.
    """
    model, template, n_rows = subject.model, subject.model.template, 1 + len(changes)
    embed, inner = subject.plain.get_input_embeddings(), subject.plain.base_model
    cache = DynamicCache()
    tokens = torch.tensor([[*question, *template.bot]], device=model.device)
    if not shared:
        tokens = repeat(tokens, "1 position -> row position", row=n_rows)
    hidden = _fed(inner, cache, input_ids=tokens)
    if shared:
        cache.batch_repeat_interleave(n_rows)
        hidden = repeat(hidden, "1 d -> row d", row=n_rows)
    for index in range(model.n_thoughts):
        thoughts = subject.feedback.transform(hidden).clone()  # rows may share their memory
        for row, change in enumerate(changes, start=1):
            if index in change.thoughts:
                context = Context(problem.id, index, 0, clean)
                thoughts[row] = change.corruption(thoughts[row], context)
        hidden = _fed(inner, cache, inputs_embeds=thoughts[:, None])
    eot = torch.tensor([list(template.eot)], device=model.device)
    fed = embed(repeat(eot, "1 position -> row position", row=n_rows))
    said: list[Tensor] = []
    ended = torch.zeros(n_rows, dtype=torch.bool, device=model.device)
    while len(said) < N_ANSWER and not ended.all():
        logits = subject.plain.get_output_embeddings()(_fed(inner, cache, inputs_embeds=fed))
        logits[:, list(template.suppressed)] = -torch.inf
        best = logits.argmax(dim=-1).masked_fill(ended, template.eos)
        ended |= best == template.eos
        said.append(best)
        fed = embed(best[:, None])
    return [_until(row, template.eos) for row in torch.stack(said, dim=1).tolist()]


def all_answers(
    subject: Subject,
    problems: Sequence[Problem],
    changes: Sequence[Intervention],
    clean: CleanActivations,
    *,
    shared: bool,
) -> list[list[str]]:
    """Answer every problem unchanged and with every change."""
    model = subject.model
    _, questions = model.encode(problems)
    found = []
    for problem, question in zip(problems, questions, strict=True):
        rows = answer(subject, problem, question, changes, clean, shared=shared)
        found.append([model.decode(row) for row in rows])
    return found


def _fed(inner: torch.nn.Module, cache: DynamicCache, **inputs: Tensor) -> Tensor:
    """Feed a language model and return the last hidden state of each row."""
    hidden: Tensor = inner(**inputs, past_key_values=cache, use_cache=True).last_hidden_state
    return hidden[:, -1]


def _until(tokens: list[int], eos: int) -> list[int]:
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens


def main(name: str, way: str, n_problems: int) -> None:
    one, given, changes = subject(name), problems(n_problems), planted.changes(0.2)
    if way == "engine":
        asked = ["failed", "answer"]
        run_variants(one.model, given, changes, asked, max_new_tokens=N_ANSWER, only_correct=False)
    else:
        clean = plain.inputs(one, given)
        all_answers(one, given, changes, clean, shared=way == "shared")
    print(peak())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
