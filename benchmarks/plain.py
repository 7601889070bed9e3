"""The loops that people write: every variant from scratch, one at a time."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from benchmarks.models import N_ANSWER, Subject
from cot_attn.data import Problem
from cot_attn.interventions import CleanActivations, Context, Hook, Intervention


@torch.no_grad()
def answer(
    subject: Subject,
    language_model: PreTrainedModel,
    problem: Problem,
    question: Sequence[int],
    change: Intervention | None,
    clean: CleanActivations,
    n_answer: int = N_ANSWER,
) -> list[int]:
    """Answer one question with a key-value cache, with one thought changed, until EOS."""
    model, template = subject.model, subject.model.template
    cache = DynamicCache()
    embed, inner = language_model.get_input_embeddings(), language_model.base_model
    tokens = torch.tensor([[*question, *template.bot]], device=model.device)
    hidden = inner(input_ids=tokens, past_key_values=cache, use_cache=True).last_hidden_state
    for index in range(model.n_thoughts):
        fed = subject.feedback.transform(hidden[:, -1])
        if change is not None and index in change.thoughts:
            fed = change.corruption(fed[0], Context(problem.id, index, 0, clean))[None]
        hidden = inner(
            inputs_embeds=fed[:, None], past_key_values=cache, use_cache=True
        ).last_hidden_state
    fed = embed(torch.tensor([list(template.eot)], device=model.device))
    said: list[int] = []
    while True:
        logits = language_model(inputs_embeds=fed, past_key_values=cache, use_cache=True).logits
        allowed = logits[0, -1]
        allowed[list(template.suppressed)] = -torch.inf
        said.append(int(allowed.argmax()))
        if len(said) == n_answer or said[-1] == template.eos:
            return said
        fed = embed(torch.tensor([said[-1:]], device=model.device))


def all_answers(
    subject: Subject,
    problems: Sequence[Problem],
    changes: Sequence[Intervention],
    clean: CleanActivations,
    *,
    bridge: bool = False,
    n_answer: int = N_ANSWER,
) -> list[list[str]]:
    """Answer every variant of every problem, through the bridge or without it."""
    model = subject.model
    language_model = model.bridge.original_model if bridge else subject.plain
    _, questions = model.encode(problems)
    return [
        [
            model.decode(
                answer(subject, language_model, problem, question, change, clean, n_answer)
            )
            for change in (None, *changes)
        ]
        for problem, question in zip(problems, questions, strict=True)
    ]


def inputs(subject: Subject, problems: Sequence[Problem]) -> CleanActivations:
    """Return the unchanged thoughts of the problems, for corruptions that ask for them."""
    ordered = sorted(problems, key=lambda problem: problem.id)
    thoughts: Tensor = subject.model.think(ordered).thoughts
    ids = tuple(problem.id for problem in ordered)
    return CleanActivations(ids, {Hook("input"): thoughts}, frozenset(ids))
