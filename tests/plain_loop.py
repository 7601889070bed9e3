"""A plain Hugging Face loop to compare with: one question, no cache, no padding, no hooks of ours.

The whole sequence is run anew for every step, and whatever is changed at a thought is changed
whenever that thought is part of the sequence.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from transformers import PreTrainedModel

from conftest import BUILDERS, wrap
from cot_attn.data import Problem
from cot_attn.interventions import Attention, CleanActivations, Context, Hook, Intervention
from cot_attn.models import ContinuousThoughtModel, Projection, Template
from families import FAMILIES

Edit = Callable[[Tensor], Tensor]
N_THOUGHTS, N_NEW = 3, 5
ROUNDING = 2e-6
"""How far two divergences may differ in float32."""


@dataclass
class Plain:
    """What a plain run did.

    Attributes
    ----------
    thoughts, hidden
        The vectors that were fed, and the hidden states that they were made from.
    logits
        One row for each answer token and one for the EOS behind it.
    answer
        Its tokens, without EOS.
    seen
        What the model had at each site of each thought, after any edit.
    patterns
        Attention of the last pass, (layer, head, query, key).
    """

    thoughts: Tensor
    hidden: Tensor
    logits: Tensor
    answer: list[int]
    seen: dict[tuple[str, int], Tensor] = field(default_factory=dict)
    patterns: Tensor | None = None

    def decided(self, template: Template) -> int:
        """Return before which answer token the two best are closer than 1e-3."""
        allowed = self.logits.clone()
        allowed[:, list(template.suppressed)] = -torch.inf
        best = allowed.topk(2, dim=-1).values
        close = (best[:, 0] - best[:, 1] <= 1e-3).tolist()
        return close.index(True) if True in close else len(close)


class PlainLoop:
    """Questions, thoughts and answers with a Hugging Face model alone.

    Parameters
    ----------
    model
        A GPT-2, a Llama, or a model of one of the families in `families.py`.
    transform
        From a hidden state to the next input embedding.
    template, n_thoughts, n_new
        As in the model under test; `n_new` is the greatest number of answer tokens.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        transform: Edit,
        template: Template,
        n_thoughts: int,
        n_new: int,
    ) -> None:
        model.set_attn_implementation("eager")
        self.model, self.transform, self.template = model, transform, template
        self.n_thoughts, self.n_new = n_thoughts, n_new
        self.embed = model.get_input_embeddings()

    @torch.no_grad()
    def run(
        self,
        question: Sequence[int],
        edits: Mapping[tuple[str, int], Edit] | None = None,
        *,
        inputs: Mapping[int, Tensor] | None = None,
        words: Sequence[int] | None = None,
        blocked: Sequence[tuple[int, int, int, int]] = (),
        look: bool = False,
        guess: Sequence[int] = (),
    ) -> Plain:
        """Run one question.

        Parameters
        ----------
        question
            Its tokens, without BOT.
        edits
            What is done to (site, thought).
        inputs
            Vectors to feed instead of thoughts, before any edit of the input. What they would be
            made of is not computed, unless it is edited too: as `hidden`, it is NaN.
        words
            The answer that is forced on the model; by default its own.
        blocked
            (layer, head, query, key): attention that is taken away, by position.
        look
            Whether `seen` holds what there is at every site, or at those that are edited alone.
        guess
            What the answer may be. As far as the model's own is the same, one pass shows it all.
        """
        edits, inputs = edits or {}, inputs or {}
        template = self.template
        start = len(question) + len(template.bot)
        sequence = self.embed(torch.tensor([[*question, *template.bot]]))
        seen: dict[tuple[str, int], Tensor] = {}
        thoughts, hidden = [], []

        def edited(site: str, index: int, value: Tensor) -> Tensor:
            if (site, index) in edits:
                value = edits[site, index](value)
            seen[site, index] = value.clone()
            return value

        with self._edited(edits, seen, start, look), self._blocked(blocked):
            for index in range(self.n_thoughts):
                if index in inputs and ("hidden", index) not in edits:
                    hidden.append(torch.full_like(inputs[index], torch.nan))
                else:
                    last = self._forward(sequence).hidden_states[-1][0, -1]
                    hidden.append(edited("hidden", index, last))
                fed = inputs[index] if index in inputs else self.transform(hidden[-1])
                thoughts.append(edited("input", index, fed))
                sequence = torch.cat([sequence, thoughts[-1][None, None]], dim=1)
            sequence = torch.cat([sequence, self.embed(torch.tensor([list(template.eot)]))], dim=1)
            start_of_answer = sequence.shape[1]
            fed = list(guess)[: self.n_new - 1] if words is None else list(words)[:-1]
            ended = False
            while not ended:
                embedded = self.embed(torch.tensor([fed]).long())
                output = self._forward(torch.cat([sequence, embedded], dim=1))
                logits = output.logits[0, start_of_answer - 1 :]
                if words is None:
                    answer, ended = self._own(logits, fed)
                    n_fed, fed = min(len(answer), self.n_new - 1), answer
                else:
                    answer, ended, n_fed = list(words), True, len(fed)
        nothing = sequence[:0, 0]  # where there is no thought
        end = start_of_answer + n_fed  # behind it is what was guessed and is not the answer
        return Plain(
            torch.stack(thoughts) if thoughts else nothing,
            torch.stack(hidden) if hidden else nothing,
            logits[: n_fed + 1],
            answer,
            seen,
            torch.stack([layer[0, :, :end, :end] for layer in output.attentions]),
        )

    def _own(self, logits: Tensor, fed: Sequence[int]) -> tuple[list[int], bool]:
        """Return as much of the model's own answer as what was fed shows, and whether it is all."""
        logits = logits.clone()
        logits[:, list(self.template.suppressed)] = -torch.inf
        best = logits.argmax(dim=-1).tolist()
        right = [one == other for one, other in zip(best, fed, strict=False)]
        answer = best[: [*right, False].index(False) + 1]
        if self.template.eos in answer:
            return answer[: answer.index(self.template.eos)], True
        return answer, len(answer) == self.n_new

    def _forward(self, sequence: Tensor) -> Any:
        return self.model(inputs_embeds=sequence, output_hidden_states=True, output_attentions=True)

    @contextmanager
    def _edited(
        self,
        edits: Mapping[tuple[str, int], Edit],
        seen: dict[tuple[str, int], Tensor],
        start: int,
        look: bool,
    ) -> Any:
        """Change activations at the positions of thoughts, and note what is there."""
        edited = {site for site, _ in edits}

        def change(site: str, value: Tensor, shape: Sequence[int]) -> Tensor:
            value = value.clone()
            for index in range(min(value.shape[1] - start, self.n_thoughts)):
                own = value[0, start + index].view(*shape)
                if (site, index) in edits:
                    own = edits[site, index](own.clone())
                    value[0, start + index] = own.reshape(-1)
                seen[site, index] = own.clone()
            return value

        with ExitStack() as stack:
            for layer, block in enumerate(self._blocks()):
                for site, module, where, columns, shape in self._sites(layer, block):
                    if not (look or site in edited):
                        continue

                    def hook(
                        module: nn.Module,
                        args: tuple[Any, ...],
                        output: Any = None,
                        *,
                        site: str = site,
                        columns: slice | Tensor = columns,
                        shape: tuple[int, ...] = shape,
                    ) -> Any:
                        whole = args[0] if output is None else output
                        tensor = whole[0] if isinstance(whole, tuple) else whole
                        tensor = tensor.clone()
                        tensor[..., columns] = change(site, tensor[..., columns], shape)
                        if isinstance(whole, tuple):
                            return (tensor, *whole[1:])
                        return (tensor, *args[1:]) if output is None else tensor

                    register = getattr(module, where)
                    stack.callback(register(hook).remove)
            yield

    @contextmanager
    def _blocked(self, blocked: Sequence[tuple[int, int, int, int]]) -> Any:
        def hide(module: nn.Module, args: Any, kwargs: Any, *, layer: int) -> Any:
            mask = kwargs["attention_mask"]
            holes = [(head, *hole) for where, head, *hole in blocked if where == layer]
            n_heads = self.model.config.num_attention_heads
            alike = len({head for head, *_ in holes}) == n_heads  # XGLM takes one mask for all
            mask = mask.expand(-1, 1 if alike else n_heads, -1, -1).clone()
            hidden = True if mask.dtype == torch.bool else torch.finfo(mask.dtype).min
            for head, query, key in holes:
                if query < mask.shape[2]:
                    mask[0, 0 if alike else head, query, key] = hidden
            return args, {**kwargs, "attention_mask": mask}

        with ExitStack() as stack:
            for layer, block in enumerate(self._blocks()):
                attention = _attention(block)

                def hook(module: nn.Module, args: Any, kwargs: Any, *, layer: int = layer) -> Any:
                    return hide(module, args, kwargs, layer=layer)

                if any(where == layer for where, *_ in blocked):
                    handle = attention.register_forward_pre_hook(hook, with_kwargs=True)
                    stack.callback(handle.remove)
            yield

    def _blocks(self) -> Sequence[Any]:
        base = self.model.base_model
        return _first(getattr(base, "decoder", base), "h", "layers", "blocks")

    def _sites(
        self, layer: int, block: Any
    ) -> list[tuple[str, Any, str, slice | Tensor, tuple[int, ...]]]:
        config, attention = self.model.config, _attention(block)
        width, n_heads = config.hidden_size, config.num_attention_heads
        own = getattr(config, "head_dim", None) or width // n_heads
        n_kv = 1 if getattr(config, "multi_query", False) else n_heads
        n_kv = getattr(config, "num_key_value_heads", n_kv)
        name, every = f"blocks.{layer}", slice(None)
        after, before = "register_forward_hook", "register_forward_pre_hook"
        sites = [(f"{name}.hook_out", block, after, every, (width,))]
        if hasattr(block, "mlp"):
            sites.append((f"{name}.mlp.hook_out", block.mlp, after, every, (width,)))
        out = _first(attention, "c_proj", "o_proj", "out_proj", "dense")
        sites.append((f"{name}.attn.hook_z", out, before, every, (n_heads, own)))
        if hasattr(attention, "k_proj"):
            projections = {each: (getattr(attention, f"{each}_proj"), every) for each in "kv"}
        else:
            joint = _first(attention, "c_attn", "query_key_value", "Wqkv", "qkv_proj")
            columns = torch.arange((n_heads + 2 * n_kv) * own)
            if joint is getattr(attention, "query_key_value", None) and n_kv == n_heads:
                parts = columns.view(n_heads, 3, own).unbind(1)  # a head's three in a row
            elif config.model_type == "codegen":
                queries, values, keys = columns.view(4, 3, -1).unbind(1)  # for four devices
                parts = (queries, keys, values)
            else:
                parts = columns.split([n_heads * own, n_kv * own, n_kv * own])
            _, keys, values = (part.flatten() for part in parts)
            projections = {"k": (joint, keys), "v": (joint, values)}
        return sites + [
            (f"{name}.attn.hook_{each}", module, after, columns, (n_kv, own))
            for each, (module, columns) in projections.items()
        ]


def _attention(block: Any) -> Any:
    outer = _first(block, "attn", "self_attn", "attention", "self_attention")
    return getattr(outer, "attention", outer)


def _first(module: Any, *names: str) -> Any:
    return next(getattr(module, name) for name in names if hasattr(module, name))


def twins(
    architecture: str, n_new: int = N_NEW, n_layers: int = 2
) -> tuple[ContinuousThoughtModel, PlainLoop]:
    """A model under test and a plain loop with the same random weights."""
    sized = {name: partial(build, n_layers) for name, build in BUILDERS.items()}
    torch.manual_seed(7)
    feedback = Projection(32, 40).eval()
    models = []
    for _ in range(2):
        torch.manual_seed(11)
        models.append({**sized, **FAMILIES}[architecture]())
        if architecture == "gpt2":  # louder heads: a change of one is more than rounding
            for block in models[-1].transformer.h:
                block.attn.c_proj.weight.data *= 3
    model = wrap(models[0], feedback, N_THOUGHTS)
    return model, PlainLoop(models[1], feedback.transform, model.template, N_THOUGHTS, n_new)


class Twins:
    """A model, a plain loop with the same weights, and problems whose baselines are right."""

    def __init__(
        self, architecture: str, questions: list[str], n_new: int = N_NEW, n_layers: int = 2
    ) -> None:
        self.model, self.loop = twins(architecture, n_new, n_layers)
        self._changed: dict[tuple[int, str, int], Plain] = {}
        self.tokens = [self.read(text) for text in questions]
        self.plain = [self.loop.run(tokens, look=True) for tokens in self.tokens]
        self.problems = [
            Problem(f"p{i}", text, self.model.decode(plain.answer) or "w0", answer_type="text")
            for i, (text, plain) in enumerate(zip(questions, self.plain, strict=True))
        ]

    def read(self, text: str) -> list[int]:
        """Return the tokens of a text: of an answer, a good guess of the plain loop's."""
        tokens: list[int] = self.model.tokenizer(text)["input_ids"]
        return tokens

    def clean(self, hooks: Sequence[Hook]) -> CleanActivations:
        """Return what the plain loop saw at some hooks of unchanged runs."""
        seen = {}
        for hook in hooks:
            name, heads = Hook(hook.name).label, hook.heads
            rows = [
                torch.stack([plain.seen[name, i] for i in range(N_THOUGHTS)])
                for plain in self.plain
            ]
            whole = torch.stack(rows)
            seen[hook] = whole if heads is None else whole[:, :, list(heads)]
        ids = tuple(problem.id for problem in self.problems)
        return CleanActivations(ids, seen, frozenset(ids))

    def changed(
        self, row: int, change: Intervention, seed: int = 0, guess: Sequence[int] = ()
    ) -> Plain:
        """Run one problem plainly with one change, once; a guess of its answer saves passes."""
        key = (row, change.label, seed)
        if key not in self._changed:
            self._changed[key] = self._run_changed(row, change, seed, guess)
        return self._changed[key]

    def _run_changed(
        self, row: int, change: Intervention, seed: int, guess: Sequence[int]
    ) -> Plain:
        hooks = change.site.hooks(self.model)
        clean = self.clean(hooks)

        def edit(hook: Hook, index: int) -> Edit:
            context = Context(self.problems[row].id, index, seed, clean, hook)

            def replace(activation: Tensor) -> Tensor:
                if hook.heads is None:
                    return change.corruption(activation, context)
                activation = activation.clone()
                heads = list(hook.heads)
                activation[heads] = change.corruption(activation[heads], context)
                return activation

            return replace

        edits = {
            (Hook(hook.name).label, index): edit(hook, index)
            for hook in hooks
            for index in change.thoughts
        }
        first, frozen = change.thoughts[0], change.downstream == "frozen"
        before = range(first if change.site.label == "hidden" else first + 1)
        later = range(first + 1, N_THOUGHTS) if frozen else ()
        inputs = {index: self.plain[row].thoughts[index] for index in (*before, *later)}
        blocked = self.blocked(row, change) if isinstance(change.site, Attention) else ()
        tokens = self.tokens[row]
        return self.loop.run(tokens, edits, inputs=inputs, blocked=blocked, guess=guess)

    def blocked(self, row: int, change: Intervention) -> list[tuple[int, int, int, int]]:
        """Return the (layer, head, query, key) that a knock-out takes away, by position."""
        site = change.site
        first = len(self.tokens[row]) + 1
        eot = first + N_THOUGHTS
        queries = {f"thought {i}": [first + i] for i in range(N_THOUGHTS)}
        queries |= {"eot": [eot], "answer": list(range(eot + 1, eot + 1 + N_NEW))}
        asked = queries if site.queries is None else site.queries
        return [
            (layer, head, query, first + thought)
            for layer in (range(self.model.n_layers) if site.layers is None else site.layers)
            for head in (range(self.model.n_heads) if site.heads is None else site.heads)
            for name in asked
            for query in queries[name]
            for thought in change.thoughts
            if query > first + thought
        ]

    def assert_agrees(self, change: Intervention, results: xr.Dataset) -> bool:
        """Hold results against plain runs, which must have changed something; were it answers?

        The divergence at the first token tells however small the change is. Answers are compared
        wherever the plain margin exceeds 1e-3.
        """
        found = results.sel(variant=change.label)
        n_changed, divergences = 0, []
        for row, problem in enumerate(self.problems):
            text = str(found["answer"].sel(problem=problem.id).item())
            guess = self.read(text)
            expected, unchanged = self.changed(row, change, guess=guess), self.plain[row]
            n = expected.decided(self.loop.template)
            if n == len(expected.logits):
                assert text == self.model.decode(expected.answer), (change.label, problem.id)
            else:
                assert text.startswith(self.model.decode(expected.answer[:n]))
            n_changed += expected.answer != unchanged.answer
            divergences.append(divergence(unchanged.logits[0], expected.logits[0]))
        kl = found["kl_first"].sel(problem=[problem.id for problem in self.problems])
        np.testing.assert_allclose(kl, divergences, rtol=0.02, atol=ROUNDING, err_msg=change.label)
        assert max(divergences) > 5 * ROUNDING, f"{change.label} changes nothing"
        return n_changed > 0


@cache
def shared_twins(architecture: str, *questions: str) -> Twins:
    """Return the same twins to all tests that leave them as they are."""
    return Twins(architecture, list(questions))


def divergence(logits: Tensor, other: Tensor) -> float:
    """Return KL(softmax of logits || softmax of the others) in nats."""
    p, q = logits.double().log_softmax(-1), other.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum())
