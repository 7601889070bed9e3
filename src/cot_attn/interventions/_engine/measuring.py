"""What the logits behind forced words say, a few rows at a time so that they are never all kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cot_attn.interventions._engine.baseline import Words
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.decoding import next_tokens
from cot_attn.models.rollout import Rollout
from cot_attn.models.unembedding import MANY, Workspace


@dataclass(frozen=True, eq=False)
class Reading:
    """What the logits behind the words of a batch said.

    Attributes
    ----------
    best
        The most likely token that is not suppressed, where it was asked for.
    measured
        Outcomes by name.
    """

    best: Int[Tensor, "batch n_tokens"]
    measured: dict[str, Float[Tensor, " batch"]]


class Reader:
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
        self._at_value = {"kl_value", "disruption_l2", "disruption_tv"} & set(outcomes)

    def needed(self, words: Words) -> Words:
        """Return the words as far as the outcomes depend on them."""
        if self.answers or "logprob_baseline" in self.likelihoods:
            return words
        n_tokens = 1
        if self._at_value:
            n_tokens = max(n_tokens, int(words.value[:, 0].max()) + 1)
        if self.likelihoods:
            n_tokens = max(n_tokens, int(words.value[:, 1].max()))
        return words.up_to(n_tokens)

    def baseline(
        self, rollout: Rollout, words: Words, hidden: Float[Tensor, "batch n_tokens d_model"]
    ) -> dict[str, Float[Tensor, "batch d_vocab"]]:
        """Return the baselines' log-probabilities where divergences are measured."""
        rows = torch.arange(len(hidden), device=hidden.device)
        kept = {}
        for name in self.divergences:
            states = hidden[rows, _column(name, words).clamp(min=0)]
            some = [rollout.logits(few).log_softmax(dim=-1) for few in torch.split(states, MANY)]
            kept[name] = torch.cat(some)
        return kept

    def read(
        self,
        rollout: Rollout,
        words: Words,
        hidden: Float[Tensor, "batch n_tokens d_model"],
        baseline: dict[str, Float[Tensor, "n_baselines d_vocab"]],
        at: Int[Tensor, " batch"],
    ) -> Reading:
        """Measure variants, each against the row of the baselines that `at` names."""
        best = torch.zeros_like(words.tokens)
        spoken = torch.zeros(words.tokens.shape, device=hidden.device)
        columns = torch.arange(words.tokens.shape[1], device=hidden.device)
        places = {name: columns == _column(name, words)[:, None] for name in self.divergences}
        measured = {name: spoken.new_full((len(at),), torch.nan) for name in self.divergences}
        wanted = torch.zeros_like(words.said)
        if self.answers or "logprob_baseline" in self.likelihoods:
            wanted |= words.said
        if self.likelihoods:
            wanted |= words.in_value
        for place in places.values():
            wanted |= place
        for some in torch.split(wanted.nonzero(), MANY):
            row, column = some.unbind(dim=1)
            logits = rollout.logits(hidden[row, column], self._workspace)
            if self.answers:
                best[row, column] = next_tokens(logits, rollout.model.template)
            for name, place in places.items():
                chosen = place[row, column]
                here = row[chosen]
                measured[name][here] = _divergence(baseline[name][at[here]], logits[chosen])
            if self.likelihoods:
                said = logits.gather(-1, words.tokens[row, column, None])[:, 0]
                spoken[row, column] = said - _log_sum_exp_(logits)
        if "logprob_baseline" in self.likelihoods:
            measured["logprob_baseline"] = (spoken * words.said).sum(dim=1)
        if "logprob_gold" in self.likelihoods:
            value = (spoken * words.in_value).sum(dim=1)
            measured["logprob_gold"] = value.masked_fill(words.value[:, 0] < 0, torch.nan)
        return Reading(best, measured)


def _column(name: str, words: Words) -> Int[Tensor, " batch"]:
    """Return which word a divergence is about; -1 where there is none."""
    value = words.value[:, 0]
    return torch.zeros_like(value) if name == "kl_first" else value


def _divergence(
    log_p: Float[Tensor, "batch d_vocab"], logits: Float[Tensor, "batch d_vocab"]
) -> Float[Tensor, " batch"]:
    log_q = logits.log_softmax(dim=-1)
    # Rounding can leave a divergence of nothing slightly below zero.
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp(min=0)


def _log_sum_exp_(logits: Float[Tensor, "batch d_vocab"]) -> Float[Tensor, " batch"]:
    """Return the logarithm of the sum of exponentials; the logits are used up."""
    greatest = logits.amax(dim=-1, keepdim=True)
    return logits.sub_(greatest).exp_().sum(dim=-1).log() + greatest[:, 0]


QUERIES = ("eot", "answer_value")


class Disruption:
    """Distances between attention rows of baselines and variants that say the same words.

    Rows go over positions and are compared head by head; the result is the mean over heads.

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
    def baseline(self, words: Words) -> Iterator[None]:
        """Keep the rows of baselines that say their words while the context lasts."""
        with self._recorded(words) as rows:
            yield
        self._baseline = rows

    @contextmanager
    def variant(
        self, at: Int[Tensor, " rows"], words: Words, here: tuple[list[int], list[int]]
    ) -> Iterator[None]:
        """Compare the rows of variants with the baselines' rows `at`, and keep it `here`."""
        with self._recorded(words) as rows:
            yield
        for query, (baseline, variant) in enumerate(zip(self._baseline, rows, strict=True)):
            for name, values in self.arrays.items():
                distance = _distance(name, baseline[at], variant).mean(dim=-1)
                values[*here, :, query] = distance.cpu().numpy()

    def variables(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Return the results with their dimensions."""
        dims = ("problem", "variant", "layer", "query")
        return {name: (dims, values) for name, values in self.arrays.items()}

    def coordinates(self) -> dict[str, Sequence[Any]]:
        """Return the coordinates that the results add."""
        return {"layer": range(self.model.n_layers), "query": list(QUERIES)} if self.arrays else {}

    @contextmanager
    def _recorded(self, words: Words) -> Iterator[list[Tensor]]:
        """Collect rows (batch, layer, head, key), one tensor a query, while the context lasts."""
        collected: list[Tensor] = []
        if not self.arrays:
            yield collected
            return
        model, first = self.model, words.value[:, 0]
        batch = torch.arange(len(first), device=first.device)
        n_tokens = words.tokens.shape[1]
        closing: list[Tensor] = []
        valuing: list[Tensor] = []

        def record(pattern: Float[Tensor, "batch head query key"], hook: object) -> None:
            # One pass over EOT and the words: its last `n_tokens` queries predict one word each.
            predicting = pattern[:, :, -n_tokens:]
            closing.append(predicting[:, :, 0].float())
            valuing.append(predicting[batch, :, first.clamp(min=0)].float())

        names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.n_layers)]
        with model.hooks([(name, record) for name in names]):
            yield collected
        answering = torch.stack(valuing, dim=1)
        answering[first < 0] = torch.nan
        collected.extend([torch.stack(closing, dim=1), answering])


def _distance(
    name: str, baseline: Float[Tensor, "*batch key"], variant: Float[Tensor, "*batch key"]
) -> Float[Tensor, "*batch"]:
    difference = variant - baseline
    if name == "disruption_l2":
        return difference.square().sum(dim=-1).sqrt()
    return difference.abs().sum(dim=-1) / 2
