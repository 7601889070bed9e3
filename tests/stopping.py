"""A model with a stop rule beside plain runs of the same weights, which stop by the same rule."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from conftest import BUILDERS, wrap
from cot_attn import Problem
from cot_attn.models import EntropyBelow, Projection, StopRule
from families import FAMILIES
from plain_loop import Plain, PlainLoop

N_MOST, N_NEW, IN_A_ROW = 4, 5, 2


def plain_entropy(logits: Tensor) -> float:
    p = torch.softmax(logits.double(), dim=-1)
    return float(sum(-each * each.log() for each in p if each > 0))


@dataclass(frozen=True)
class After(StopRule):
    """Stops every problem after its own number of thoughts, or all after the same."""

    counts: tuple[tuple[str, int], ...] = ()
    otherwise: int = 99

    def stops(self, hidden, moment):
        counts = dict(self.counts)
        reached = [
            moment.thought >= counts.get(each, self.otherwise) for each in moment.problem_ids
        ]
        return torch.tensor(reached)


class Stopping:
    """A model with a stop rule, and plain runs of the same weights that stop by the same rule."""

    def __init__(self, architecture: str, questions: list[str]) -> None:
        torch.manual_seed(7)
        feedback = Projection(32, 40).eval()
        models = []
        for _ in range(2):
            torch.manual_seed(11)
            models.append({**BUILDERS, **FAMILIES}[architecture]())
        self.model = wrap(models[0], feedback, N_MOST)
        self.tokens = [self.model.tokenizer(text)["input_ids"] for text in questions]
        template = self.model.template

        def run(tokens: list[int], n_thoughts: int, *edits: Any, **options: Any) -> Plain:
            loop = PlainLoop(models[1], feedback.transform, template, n_thoughts, N_NEW)
            return loop.run(tokens, *edits, **options)

        self.run = run
        longest = [run(tokens, N_MOST, words=[0]) for tokens in self.tokens]
        with torch.no_grad():
            entropies = [
                [plain_entropy(models[1].lm_head(h)) for h in plain.hidden] for plain in longest
            ]
        # So that some stop early and some never.
        pairs = [max(each[i : i + 2]) for each in entropies for i in range(N_MOST - 1)]
        self.threshold = float(np.quantile(pairs, 0.3)) + 1e-4
        self.n_thoughts = [self._stopped(each) for each in entropies]
        self.plain = [
            run(tokens, n) for tokens, n in zip(self.tokens, self.n_thoughts, strict=True)
        ]
        self.model.stop = EntropyBelow(self.threshold, IN_A_ROW)
        self.problems = [
            Problem(f"p{i}", text, self.model.decode(plain.answer) or "w0", answer_type="text")
            for i, (text, plain) in enumerate(zip(questions, self.plain, strict=True))
        ]

    def _stopped(self, entropies: list[float]) -> int:
        for thought in range(1, N_MOST):
            if entropies[thought] < self.threshold and entropies[thought - 1] < self.threshold:
                return thought
        return N_MOST
