"""What teacher-forced variants are measured by: their logits, and their attention.

Logits are read a few rows at a time, so that they are never all kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import ForcedAnswers, next_tokens
from cot_attn.models.rollout import Rollout
from cot_attn.models.unembedding import MANY, Workspace

QUERIES = ("eot", "answer_value")


@dataclass(frozen=True, eq=False)
class Reading:
    """What the logits behind the forced answers of a batch said.

    Attributes
    ----------
    best
        The most likely token that is not suppressed, where it was asked for.
    measured
        Outcomes by name.
    """

    best: Int[Tensor, "batch n_tokens"]
    measured: dict[str, Float[Tensor, " batch"]]


class LogitReader:
    """Reads from logits what some outcomes need, and nothing else.

    Divergences and log-probabilities are in nats: `kl_first` and `kl_value` are KL(baseline ||
    variant) at the answer's first token and at the first token of its value; `logprob_baseline` is
    the log-probability of the whole answer and `logprob_gold` that of the value's tokens alone. In
    a right answer these are the gold value's; of a wrong one `Results` keeps none.

    Parameters
    ----------
    outcomes
        What is measured.
    """

    def __init__(self, outcomes: Sequence[str]) -> None:
        self.answers = bool({"failed", "answer"} & set(outcomes))
        self.divergences = [name for name in ("kl_first", "kl_value") if name in outcomes]
        self.likelihoods = [
            name for name in ("logprob_gold", "logprob_baseline") if name in outcomes
        ]
        self._workspace = Workspace()
        self._of_value = {"kl_value", "disruption_l2", "disruption_tv"} & set(outcomes)

    def needed(self, forced: ForcedAnswers) -> ForcedAnswers:
        """Return the answers as far as the outcomes depend on them."""
        if self.answers or "logprob_baseline" in self.likelihoods:
            return forced
        n_tokens = 1
        if self._of_value:
            n_tokens = max(n_tokens, int(forced.value[:, 0].max()) + 1)
        if self.likelihoods:
            n_tokens = max(n_tokens, int(forced.value[:, 1].max()))
        return forced.truncate(n_tokens)

    def baseline(
        self,
        rollout: Rollout,
        forced: ForcedAnswers,
        hidden: Float[Tensor, "batch n_tokens d_model"],
    ) -> dict[str, Float[Tensor, "batch d_vocab"]]:
        """Return the baselines' log-probabilities where divergences are measured."""
        rows = torch.arange(len(hidden), device=hidden.device)
        log_p = {}
        for name in self.divergences:
            states = hidden[rows, _column(name, forced).clamp(min=0)]
            few_by_few = [
                rollout.logits(few).log_softmax(dim=-1) for few in torch.split(states, MANY)
            ]
            log_p[name] = torch.cat(few_by_few)
        return log_p

    def read(
        self,
        rollout: Rollout,
        forced: ForcedAnswers,
        hidden: Float[Tensor, "batch n_tokens d_model"],
        baseline: dict[str, Float[Tensor, "n_baselines d_vocab"]],
        baseline_rows: Int[Tensor, " batch"],
    ) -> Reading:
        """Measure variants, each against its row of the baselines."""
        best = torch.zeros_like(forced.tokens)
        logprobs = torch.zeros(forced.tokens.shape, device=hidden.device)
        columns = torch.arange(forced.tokens.shape[1], device=hidden.device)
        compared = {name: columns == _column(name, forced)[:, None] for name in self.divergences}
        measured = {
            name: logprobs.new_full((len(baseline_rows),), torch.nan) for name in self.divergences
        }
        wanted = torch.zeros_like(forced.real)
        if self.answers or "logprob_baseline" in self.likelihoods:
            wanted |= forced.real
        if self.likelihoods:
            wanted |= forced.in_value
        for mask in compared.values():
            wanted |= mask
        for few in torch.split(wanted.nonzero(), MANY):
            row, column = few.unbind(dim=1)
            logits = rollout.logits(hidden[row, column], self._workspace)
            if self.answers:
                best[row, column] = next_tokens(logits, rollout.model.template)
            for name, mask in compared.items():
                chosen = mask[row, column]
                rows = row[chosen]
                measured[name][rows] = kl_divergence(
                    baseline[name][baseline_rows[rows]], logits[chosen]
                )
            if self.likelihoods:
                of_token = logits.gather(-1, forced.tokens[row, column, None])[:, 0]
                logprobs[row, column] = of_token - _log_sum_exp_(logits)
        if "logprob_baseline" in self.likelihoods:
            measured["logprob_baseline"] = (logprobs * forced.real).sum(dim=1)
        if "logprob_gold" in self.likelihoods:
            of_value = (logprobs * forced.in_value).sum(dim=1)
            measured["logprob_gold"] = of_value.masked_fill(forced.value[:, 0] < 0, torch.nan)
        return Reading(best, measured)


class AttentionDisruption:
    """How far variants move attention, from the queries that read the answer.

    Rows go over positions and are compared head by head with those of the baseline, which was
    forced to the same answer; the result is the mean over heads.

    Parameters
    ----------
    model
        The model.
    names
        Which distances: `disruption_l2` (Euclidean), `disruption_tv` (total variation, 0 to 1).
    shape
        Numbers of problems and of variants.
    """

    def __init__(
        self, model: ContinuousThoughtModel, names: set[str], shape: tuple[int, int]
    ) -> None:
        self.model = model
        full = (*shape, model.n_layers, len(QUERIES))
        self.arrays = {name: np.full(full, np.nan) for name in sorted(names)}
        self._baseline: list[Tensor] = []

    @contextmanager
    def baseline(self, forced: ForcedAnswers) -> Iterator[None]:
        """Keep the rows of baselines that are forced to answers while the context lasts."""
        with self._recorded(forced) as rows:
            yield
        self._baseline = rows

    @contextmanager
    def variant(
        self,
        baseline_rows: Int[Tensor, " rows"],
        forced: ForcedAnswers,
        cells: tuple[list[int], list[int]],
    ) -> Iterator[None]:
        """Compare the rows of variants with those of their baselines, and keep it in cells."""
        with self._recorded(forced) as rows:
            yield
        for query, (baseline, variant) in enumerate(zip(self._baseline, rows, strict=True)):
            for name, values in self.arrays.items():
                distance = DISTANCES[name](baseline[baseline_rows], variant).mean(dim=-1)
                values[*cells, :, query] = distance.cpu().numpy()

    def variables(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return the results with their dimensions."""
        dims = ("problem", "variant", "layer", "query")
        return {name: (dims, values) for name, values in self.arrays.items()}

    def coordinates(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates that the results add."""
        return {"layer": range(self.model.n_layers), "query": list(QUERIES)} if self.arrays else {}

    @contextmanager
    def _recorded(self, forced: ForcedAnswers) -> Iterator[list[Tensor]]:
        """Collect rows (batch, layer, head, key), one tensor a query, while the context lasts."""
        collected: list[Tensor] = []
        if not self.arrays:
            yield collected
            return
        model, first = self.model, forced.value[:, 0]
        batch = torch.arange(len(first), device=first.device)
        n_tokens = forced.tokens.shape[1]
        closing: list[Tensor] = []
        valuing: list[Tensor] = []

        def record(pattern: Float[Tensor, "batch head query key"], hook: object) -> None:
            # One pass over EOT and the answer: its last `n_tokens` queries predict a token each.
            predicting = pattern[:, :, -n_tokens:]
            closing.append(predicting[:, :, 0].float())
            valuing.append(predicting[batch, :, first.clamp(min=0)].float())

        names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.n_layers)]
        with model.hooks([(name, record) for name in names]):
            yield collected
        answering = torch.stack(valuing, dim=1)
        answering[first < 0] = torch.nan
        collected.extend([torch.stack(closing, dim=1), answering])


def kl_divergence(
    log_p: Float[Tensor, "batch d_vocab"], logits: Float[Tensor, "batch d_vocab"]
) -> Float[Tensor, " batch"]:
    """Return KL(p || q) = sum p (log p - log q) in nats, where q is the softmax of logits."""
    log_q = logits.log_softmax(dim=-1)
    # Rounding can leave a divergence of nothing slightly below zero.
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp(min=0)


def euclidean(
    p: Float[Tensor, "*batch key"], q: Float[Tensor, "*batch key"]
) -> Float[Tensor, "*batch"]:
    """Return sqrt(sum (p - q)^2)."""
    return (q - p).square().sum(dim=-1).sqrt()


def total_variation(
    p: Float[Tensor, "*batch key"], q: Float[Tensor, "*batch key"]
) -> Float[Tensor, "*batch"]:
    """Return sum |p - q| / 2, which is 0 for equal distributions and 1 for disjoint ones."""
    return (q - p).abs().sum(dim=-1) / 2


DISTANCES = {"disruption_l2": euclidean, "disruption_tv": total_variation}


def _column(name: str, forced: ForcedAnswers) -> Int[Tensor, " batch"]:
    """Return which token a divergence is about; -1 where there is none."""
    value = forced.value[:, 0]
    return torch.zeros_like(value) if name == "kl_first" else value


def _log_sum_exp_(logits: Float[Tensor, "batch d_vocab"]) -> Float[Tensor, " batch"]:
    """Return the logarithm of the sum of exponentials; the logits are used up."""
    greatest = logits.amax(dim=-1, keepdim=True)
    return logits.sub_(greatest).exp_().sum(dim=-1).log() + greatest[:, 0]
