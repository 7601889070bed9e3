"""The least that the answers cost: floating-point operations of matrix products, and their rate."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import Seconds
from benchmarks.models import N_ANSWER, N_QUESTION, N_THOUGHTS, Subject


class Cost:
    """Floating-point operations in the matrix products of a model."""

    def __init__(self, subject: Subject) -> None:
        config, inner = subject.plain.config, subject.plain.base_model
        matrices = sum(p.numel() for p in inner.parameters() if p.ndim == 2)
        tables = sum(m.weight.numel() for m in inner.modules() if isinstance(m, nn.Embedding))
        self.blocks = 2 * (matrices - tables)
        self.logits = 2 * subject.plain.get_input_embeddings().get_parameter("weight").numel()
        self.feedback = 2 * sum(p.numel() for p in subject.feedback.parameters() if p.ndim == 2)
        # Scores and their sum of values, per key.
        self.key: float = 4 * config.num_hidden_layers * config.hidden_size

    def tokens(self, n: int, before: int) -> float:
        """Feed n tokens behind others."""
        return n * self.blocks + self.key * sum(range(before + 1, before + n + 1))

    def problem(self) -> float:
        """Read, think and answer once; every thought is made and every answer token predicted."""
        length = N_QUESTION + 1 + N_THOUGHTS + 1 + N_ANSWER - 1
        return self.tokens(length, 0) + N_THOUGHTS * self.feedback + N_ANSWER * self.logits

    def variant(self, thought: int, departure: int | None) -> float:
        """Branch off at a thought, say the baseline's words, and go on from a departure."""
        n_thoughts = N_THOUGHTS - thought
        before = N_QUESTION + 1 + thought
        n_new = n_thoughts + 1 + N_ANSWER - 1
        cost = self.tokens(n_new, before) + n_thoughts * self.feedback + N_ANSWER * self.logits
        if departure is not None:
            n_decoded = N_ANSWER - 1 - departure
            said = before + n_thoughts + 1 + departure
            cost += self.tokens(n_decoded, said) + n_decoded * self.logits
        return cost


def departures(baseline: Sequence[str], answers: np.ndarray) -> list[tuple[int, int | None]]:
    """Return for every answer its variant and the first token that differs from the baseline's."""
    found: list[tuple[int, int | None]] = []
    for own, row in zip(baseline, answers, strict=True):
        words = own.split()
        for variant, text in enumerate(row):
            differing = [
                i for i, (a, b) in enumerate(zip(words, text.split(), strict=True)) if a != b
            ]
            found.append((variant, differing[0] if differing else None))
    return found


def needed(subject: Subject, baseline: Sequence[str], answers: np.ndarray) -> float:
    """Return the operations that the answers of an engine's run need."""
    cost = Cost(subject)
    per_thought = answers.shape[1] // N_THOUGHTS
    variants = [
        cost.variant(variant // per_thought, at) for variant, at in departures(baseline, answers)
    ]
    return len(baseline) * cost.problem() + sum(variants)


def rate(subject: Subject, seconds: float = 1.0) -> Seconds:
    """Return operations per second of wall clock and of processor time, for large products."""
    model = subject.model
    a, b = (torch.randn(2048, 2048, device=model.device, dtype=model.dtype) for _ in range(2))
    a @ b
    wall, cpu, n = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < seconds:
        a @ b
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        n += 1
    done = n * 2 * 2048**3
    return Seconds(done / (time.perf_counter() - wall), done / (time.process_time() - cpu))
