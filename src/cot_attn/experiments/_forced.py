"""Answers that rollouts are forced to, and how likely they find them."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from cot_attn.data import Problem, grade
from cot_attn.models import ContinuousThoughtModel, Rollout
from cot_attn.models.decoding import ForcedAnswers, continued, next_tokens
from cot_attn.models.unembedding import MANY, Workspace

Tokens = list[int]


def forced_answers(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    answers: Sequence[Tokens],
    max_new_tokens: int,
) -> ForcedAnswers:
    """Return what was answered, to be forced again."""
    spans = [
        grade(model.decode(tokens), problem).span
        for tokens, problem in zip(answers, problems, strict=True)
    ]
    values = [model.value_tokens(tokens, span) for tokens, span in zip(answers, spans, strict=True)]
    return ForcedAnswers.of(answers, values, max_new_tokens, model.template, model.device)


def forced_values(
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    answers: Sequence[Tokens],
    values: Sequence[str | None],
) -> ForcedAnswers:
    """Return each answer up to its value, and then another value.

    Where there is no value, or what stands before it is tokenised otherwise with it, the row has an
    empty answer.
    """
    forced, places = [], []
    for problem, tokens, value in zip(problems, answers, values, strict=True):
        answer, place = _with_value(model, problem, tokens, value)
        forced.append(answer)
        places.append(place)
    return ForcedAnswers.of(forced, places, 0, model.template, model.device)  # none goes on


def _with_value(
    model: ContinuousThoughtModel, problem: Problem, tokens: Tokens, value: str | None
) -> tuple[Tokens, range | None]:
    text = model.decode(tokens)
    span = grade(text, problem).span
    before = model.value_tokens(tokens, span)
    if value is None or span is None or before is None:
        return [], None
    if text[slice(*span)] == value:
        return list(tokens[: before.stop]), before
    whole = model.tokenizer(text[: span[0]] + value, add_special_tokens=False)["input_ids"]
    if whole[: before.start] != list(tokens[: before.start]) or len(whole) <= before.start:
        return [], None
    return list(whole), range(before.start, len(whole))


class TeacherForced:
    """A rollout that was fed given answers; it cannot be used for anything else afterwards."""

    def __init__(self, rollout: Rollout, forced: ForcedAnswers) -> None:
        self.rollout, self.forced = rollout, forced
        self.hidden = forced.teacher_force(rollout)

    def at_value(self) -> Float[Tensor, "batch d_vocab"]:
        """Return the log-probabilities of the value's first token, NaN where there is none."""
        first = self.forced.value[:, 0].clamp(min=0)
        rows = torch.arange(len(first), device=first.device)
        logs: Tensor = self.rollout.logits(self.hidden[rows, first]).log_softmax(dim=-1)
        logs[~self.forced.has_value] = torch.nan
        return logs

    def of_answers(self) -> Float[Tensor, " batch"]:
        """Return the log-probabilities of whole answers, their EOS included, in nats."""
        return self._of(self.forced.real)

    def of_values(self) -> Float[Tensor, " batch"]:
        """Return the log-probabilities of the values, NaN where there is none, in nats."""
        sums = self._of(self.forced.in_value)
        sums[~self.forced.has_value] = torch.nan
        return sums

    def answers(self, max_new_tokens: int) -> list[Tokens]:
        """Return what each row answers when it is left to itself, without EOS.

        As long as a row's most likely tokens are those that it is forced to, nothing was forced:
        only what comes behind is decoded.
        """
        template, tokens = self.rollout.model.template, self.forced.tokens
        best, workspace = tokens.clone(), Workspace()
        for few in torch.split(self.forced.real.nonzero(), MANY):
            row, column = few.unbind(dim=1)
            logits = self.rollout.logits(self.hidden[row, column], workspace)
            best[row, column] = next_tokens(logits, template)
        departures = self.forced.departures(best)
        departed = torch.nonzero(departures >= 0)[:, 0]
        departed = departed[departures[departed].argsort(stable=True)]
        n_shared = departures[departed]
        self.rollout.select(departed)
        added = continued(self.rollout, best[departed, n_shared], n_shared, max_new_tokens)
        lengths = zip(tokens.tolist(), self.forced.length.tolist(), strict=True)
        answers = [answer[:length] for answer, length in lengths]
        for place, n, after in zip(departed.tolist(), n_shared.tolist(), added, strict=True):
            answers[place] = [*answers[place][:n], *after]
        return answers

    def departed(self) -> Int[Tensor, " rows"]:
        """Return the rows that, left to themselves, would have departed from their answer."""
        row, column = self.forced.real.nonzero(as_tuple=True)
        logits = self.rollout.logits(self.hidden[row, column])
        logits[:, list(self.rollout.model.template.suppressed)] = -torch.inf
        other = logits.argmax(dim=-1) != self.forced.tokens[row, column]
        rows: Tensor = torch.unique(row[other])
        return rows

    def _of(self, chosen: Bool[Tensor, "batch n_tokens"]) -> Float[Tensor, " batch"]:
        row, column = chosen.nonzero(as_tuple=True)
        logs = self.rollout.logits(self.hidden[row, column]).log_softmax(dim=-1)
        each = torch.zeros(chosen.shape, device=chosen.device)
        each[row, column] = logs.gather(-1, self.forced.tokens[row, column, None])[:, 0]
        return each.sum(dim=1)


def divergence(
    baseline: Float[Tensor, "batch d_vocab"], other: Float[Tensor, "batch d_vocab"]
) -> Float[Tensor, " batch"]:
    """Return KL(baseline || other) in nats, of log-probabilities."""
    return (baseline.exp() * (baseline - other)).sum(dim=-1).clamp(min=0)
