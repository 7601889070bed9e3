"""When a problem has thought enough: rules that stop before the greatest number of thoughts."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from cot_attn.models.feedback import Hidden, Moment
from cot_attn.models.seeds import generator


class StopRule(ABC):
    """Says which problems think no further.

    It is asked before each thought, of the hidden state that would become it: after BOT, when
    `moment.thought` is 0, and after each thought but the last possible one. A problem that has
    stopped stays so; what is said of it later does not count. Problems differ in their rows alone:
    a rule says of a row what it would say of it in any other batch.

    Write `stops`; a dataclass is saved with the model, and told in results, by its fields.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class After(StopRule):
    ...     n_thoughts: int
    ...     def stops(self, hidden, moment):
    ...         return torch.full((len(hidden),), moment.thought >= self.n_thoughts)
    >>> import cot_attn
    >>> model = cot_attn.ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> model.stop = After(3)
    >>> model.run(cot_attn.load_problems("toy", n=2, difficulties=[3])).n_thoughts
    (3, 3)
    """

    @abstractmethod
    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return which problems go without the thought that would be made of hidden states."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # a dataclass shows its fields

    def settings(self) -> dict[str, Any]:
        """Return what the constructor takes, as plain JSON values, so that it can be saved.

        Raises
        ------
        TypeError
            Where the class does not say it.
        """
        if is_dataclass(self):
            return asdict(self)
        raise TypeError(
            f"A {type(self).__name__} cannot be stored: it does not say what its constructor "
            "takes. Make it a dataclass, or give it a method settings() that returns that as a "
            "dict of plain values."
        )

    def __call__(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return what `stops` says.

        Raises
        ------
        ValueError
            Where that is not one truth value for each row.
        """
        said: object = self.stops(hidden, moment)
        if not (
            isinstance(said, Tensor) and said.shape == hidden.shape[:1] and said.dtype == torch.bool
        ):
            what = (
                f"a tensor of shape {tuple(said.shape)} and {said.dtype}"
                if isinstance(said, Tensor)
                else f"a {type(said).__name__}"
            )
            raise ValueError(
                f"The stop rule {type(self).__name__} returned {what} for {len(hidden)} problems; "
                "it must return a tensor of one True or False for each."
            )
        return said


@dataclass(frozen=True)
class EntropyBelow(StopRule):
    """Stops where the model is sure of the next token.

    With the entropy H = -sum p log p of the next-token probabilities p at a hidden state, a problem
    stops once H < `threshold` at `in_a_row` hidden states one after the other, that of BOT
    included: the Cold Stop of Soft Thinking (Zhang et al. 2025, arXiv:2505.15778).

    Parameters
    ----------
    threshold
        In nats, above 0.
    in_a_row
        So many, 1 or more.

    Examples
    --------
    >>> EntropyBelow(0.1, in_a_row=2)
    EntropyBelow(threshold=0.1, in_a_row=2)
    """

    threshold: float
    in_a_row: int = 1

    def __post_init__(self) -> None:
        if not self.threshold > 0 or self.in_a_row < 1:
            raise ValueError(
                f"threshold is {self.threshold} and in_a_row {self.in_a_row}; give a threshold "
                "above 0 nats, and 1 state or more."
            )

    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return where the entropy has been low for long enough."""
        states = (*moment.earlier, hidden)[-self.in_a_row :]
        low = [entropy(moment.logits(each)) < self.threshold for each in states]
        return torch.stack(low).all(dim=0) & (len(states) == self.in_a_row)


@dataclass(frozen=True)
class Separator(StopRule):
    """Stops where the likeliest next token is the one that separates thoughts from the answer.

    Parameters
    ----------
    token
        Its id.

    Examples
    --------
    >>> Separator(token=17)
    Separator(token=17)
    """

    token: int

    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return where the separator is the likeliest token."""
        return moment.logits(hidden).argmax(dim=-1) == self.token


@dataclass(frozen=True)
class SampledSeparator(StopRule):
    """Stops where a token that is drawn is the one that separates thoughts from the answer.

    Compressed Latent Reasoning (CoLaR; Tan et al. 2025, arXiv:2505.16552) draws a token behind
    every thought from the softmax of the logits over `temperature`; there is one thought at least.
    The draw depends on (seed, problem id, thought) alone.

    Parameters
    ----------
    token
        The separator's id.
    temperature
        What the logits are divided by, above 0.
    seed
        What else the draws depend on.

    Examples
    --------
    >>> SampledSeparator(token=17)
    SampledSeparator(token=17, temperature=1.0, seed=0)
    """

    token: int
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; give a number above 0.")

    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return where the separator is drawn."""
        logits = moment.logits(hidden) / self.temperature
        chance = logits.softmax(dim=-1)[:, self.token]
        drawn = [
            torch.rand(1, generator=generator(self.seed, "separator", each, moment.thought))
            for each in moment.problem_ids
        ]
        return (torch.cat(drawn).to(chance) < chance) & (moment.thought > 0)


@dataclass(frozen=True)
class BinaryHead(StopRule):
    """Stops where one token of the unembedding is likelier than another one.

    Adaptive latent reasoning (arXiv:2511.21581) reads the logits of two tokens that no text has.

    Parameters
    ----------
    go_on, stop
        The ids of the two tokens.

    Examples
    --------
    >>> BinaryHead(go_on=17, stop=18)
    BinaryHead(go_on=17, stop=18)
    """

    go_on: int
    stop: int

    def stops(self, hidden: Hidden, moment: Moment) -> Bool[Tensor, " batch"]:
        """Return where the logit of stopping is the greater one."""
        logits = moment.logits(hidden)
        return logits[:, self.stop] > logits[:, self.go_on]


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the softmax of logits, in nats."""
    log_p = logits.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)
