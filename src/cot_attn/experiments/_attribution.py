"""How much each head's view of a thought raises the answer: one backward pass.

What a head takes from a thought is its attention to it times the thought's value vector. How much
the answer's log-odds rise along that, at every later position, is to first order what they would
lose without it. Log-odds, because the logarithm of a probability near 1 hardly moves whatever is
done; and not the derivative by the attention, which is nearly 0 where a head looks at nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from einops import einsum, repeat
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from cot_attn.models import ContinuousThoughtModel, Layout, Moment, Thought
from cot_attn.models.decoding import ForcedAnswers


class HeadViews(NamedTuple):
    """What each head sees of a thought.

    Attributes
    ----------
    attribution
        How much its view raises the log-odds of the answer's value.
    attention
        Its attention to the thought, mean over all later positions up to the end of the answer.
    """

    attribution: Float[Tensor, "batch layer head"]
    attention: Float[Tensor, "batch layer head"]


def head_views(
    model: ContinuousThoughtModel,
    questions: Sequence[Sequence[int]],
    forced: ForcedAnswers,
    thought: int,
    problem_ids: Sequence[str] | None = None,
) -> HeadViews:
    """Return how each head attends to a thought, and what its view does for the answer.

    Later thoughts follow from what the heads see, as in `recompute`. The attribution is NaN where
    an answer has no value.

    Raises
    ------
    ValueError
        Where the bridge does not compute with what stands at `hook_z`, so that there is nothing to
        differentiate.
    """
    steps = _Steps(model, questions, problem_ids or [str(row) for row in range(len(questions))])
    views = [_View() for _ in range(model.n_layers)]
    key = steps.layout.columns(Thought(thought)).start
    with torch.no_grad():
        steps.read()
        for _ in range(thought):
            steps.think()
        with _watching(model, "hook_v", [view.keep_value for view in views]):
            steps.think()
    looks = [view.looks_at(key) for view in views]
    with (
        torch.enable_grad(),
        _watching(model, "hook_pattern", looks),
        _watching(model, "hook_z", [view.open for view in views]),
    ):
        for _ in range(thought + 1, model.n_thoughts):
            steps.think()
        odds = _log_odds(steps.force(forced), forced).sum()
        leaves = [leaf for view in views for leaf in view.leaves]
        if leaves and odds.requires_grad:
            torch.autograd.backward(odds, inputs=leaves)
    if not all(any(leaf.grad is not None for leaf in view.leaves) for view in views):
        raise ValueError(
            f"{model.name} does not compute with what stands at 'hook_z' (this bridge keeps "
            "another attention), so that heads cannot be told apart by a backward pass."
        )
    attribution = torch.stack([view.gain() for view in views], dim=1)
    attribution[~forced.has_value] = torch.nan
    n_later = steps.layout.eot.stop - key - 1
    looked = torch.stack([view.mean_look(n_later, forced) for view in views], dim=1)
    return HeadViews(attribution, looked)


@dataclass(eq=False)
class _View:
    """What one layer's heads see of the thought, step by step."""

    value: Tensor | None = None
    looks: list[Float[Tensor, "batch head query"]] = field(default_factory=list)
    leaves: list[Float[Tensor, "batch query head d_head"]] = field(default_factory=list)

    def keep_value(self, value: Float[Tensor, "batch 1 kv_head d_head"]) -> None:
        self.value = value[:, 0].float()

    def looks_at(self, key: int) -> Callable[[Tensor], None]:
        def keep(pattern: Float[Tensor, "batch head query key"]) -> None:
            self.looks.append(pattern[..., key].detach().float())

        return keep

    def open(self, z: Float[Tensor, "batch query head d_head"]) -> Tensor:
        self.leaves.append(torch.zeros_like(z, requires_grad=True))
        return z + self.leaves[-1]

    def mean_look(self, n_later: int, forced: ForcedAnswers) -> Float[Tensor, "batch head"]:
        """Average over the thoughts and EOT that come later, and over each row's own answer."""
        whole = torch.cat(self.looks, dim=-1)
        lengths = forced.real.sum(dim=1) - 1  # the last token is fed to nobody
        columns = torch.arange(whole.shape[-1], device=whole.device)
        counted = columns < n_later + lengths.clamp(min=0)[:, None]
        return (whole * counted[:, None]).sum(dim=-1) / counted.sum(dim=-1)[:, None]

    def gain(self) -> Float[Tensor, "batch head"]:
        assert self.value is not None
        n_heads, n_kv = self.looks[0].shape[1], self.value.shape[1]
        value = repeat(self.value, "b kv d -> b (kv group) d", group=n_heads // n_kv)
        total = torch.zeros(value.shape[:2], device=value.device)
        for look, leaf in zip(self.looks, self.leaves, strict=True):
            if leaf.grad is not None:
                total += einsum(leaf.grad.float(), look, value, "b q h d, b h q, b h d -> b h")
        return total


@contextmanager
def _watching(
    model: ContinuousThoughtModel, name: str, functions: Sequence[Callable[[Tensor], Tensor | None]]
) -> Iterator[None]:
    """Call a function with what each layer's attention has at a hook."""

    def without_hook(
        function: Callable[[Tensor], Tensor | None],
    ) -> Callable[[Tensor, object], Tensor | None]:
        return lambda activation, hook: function(activation)

    hooks = [
        (f"blocks.{layer}.attn.{name}", without_hook(function))
        for layer, function in enumerate(functions)
    ]
    with model.hooks(hooks):
        yield


class _Steps:
    """A run step by step on a cache that can be differentiated through."""

    def __init__(
        self,
        model: ContinuousThoughtModel,
        questions: Sequence[Sequence[int]],
        problem_ids: Sequence[str],
    ) -> None:
        self.model, template = model, model.template
        self.problem_ids, self.n_fed = tuple(problem_ids), 0
        prompts = [template.prompt(question) for question in questions]
        lengths = tuple(len(prompt) - template.bot_width for prompt in prompts)
        self.layout = Layout(lengths, template.bot_width, model.n_thoughts, len(template.eot))
        width = self.layout.bot.stop
        self.prompt = torch.full((len(prompts), width), template.eos, device=model.device)
        self.mask = torch.zeros_like(self.prompt)
        for row, prompt in enumerate(prompts):
            self.prompt[row, width - len(prompt) :] = torch.tensor(prompt, device=model.device)
            self.mask[row, width - len(prompt) :] = 1
        self.positions = torch.zeros(len(prompts), dtype=torch.long, device=model.device)
        self.cache = DynamicCache()
        self.hidden: Tensor | None = None

    def read(self) -> None:
        """Read the prompts."""
        real, self.mask = self.mask, self.mask[:, :0]
        self.hidden = self._inner(real, input_ids=self.prompt)

    def think(self) -> None:
        """Feed the next thought."""
        assert self.hidden is not None
        language_model = self.model.bridge.original_model
        moment = Moment(language_model, self.problem_ids, self.n_fed)
        fed = self.model.feedback(self.hidden, moment)
        self.n_fed += 1
        self.hidden = self._inner(torch.ones_like(self.mask[:, :1]), inputs_embeds=fed[:, None])

    def force(self, forced: ForcedAnswers) -> Float[Tensor, "batch n_tokens d_vocab"]:
        """Feed EOT and the answers, and return the logits that predict each of their tokens."""
        tokens = forced.tokens
        eot = torch.tensor(self.model.template.eot, device=tokens.device)
        fed = torch.cat([eot.expand(len(tokens), -1), tokens[:, :-1]], dim=1)
        # What stands behind a row's own answer is seen by nobody who is asked.
        inputs = self._extended(torch.ones_like(fed))
        logits: Tensor = self.model.bridge.original_model(input_ids=fed, **inputs).logits
        return logits[:, len(eot) - 1 :].float()

    def _inner(self, real: Tensor, **inputs: Tensor) -> Tensor:
        inner = self.model.bridge.original_model.base_model
        hidden: Tensor = inner(**inputs, **self._extended(real)).last_hidden_state[:, -1]
        return hidden

    def _extended(self, real: Tensor) -> dict[str, object]:
        self.mask = torch.cat([self.mask, real], dim=1)
        positions = self.positions[:, None] + real.cumsum(dim=1) - 1
        self.positions = self.positions + real.sum(dim=1)
        return {
            "attention_mask": self.mask,
            "position_ids": positions.clamp(min=0),
            "past_key_values": self.cache,
            "use_cache": True,
        }


def _log_odds(logits: Float[Tensor, "batch n_tokens d_vocab"], forced: ForcedAnswers) -> Tensor:
    """Return the sum of the log-odds of the value's tokens."""
    row, column = forced.in_value.nonzero(as_tuple=True)
    here, tokens = logits[row, column], forced.tokens[row, column, None]
    token_logits = here.gather(-1, tokens)[:, 0]
    others = here.scatter(-1, tokens, -torch.inf).logsumexp(dim=-1)
    return token_logits - others
