"""Attention scores that can be changed, whoever computes with them.

Most bridges of TransformerLens compute attention themselves: what a hook makes of the scores is
what they go on with. Others keep Hugging Face's own attention, which has used its scores before a
hook sees them. There the attention mask is changed instead, which is added to them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cot_attn.interventions._probe import ROWS, After, after, memory, moved, read
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Close, Stage, Thought

Scores = Float[Tensor, "#rows #heads query key"]
Attended = dict[int, list[Float[Tensor, "rows head query"]]]
Change = Callable[[int, Scores], Scores]
Heads = tuple[int, int | None]
"""A layer, and one of its heads or all of them."""
Route = Literal["scores", "mask"]

_LATER: tuple[Stage, ...] = (Thought(1), Close())
_REFUSALS = (ValueError, RuntimeError, LookupError, AttributeError)
"""What comes of a bridge without such a hook, and of attention that takes no such mask."""


@contextmanager
def scores_changed(
    model: ContinuousThoughtModel, layers: Iterable[int], change: Change
) -> Iterator[None]:
    """Let `change(layer, scores)` return other attention scores for as long as the context lasts.

    Where the mask is changed instead, it may stand for all heads at once; see `whole`.
    """
    ways = {layer: routes(model)[layer] for layer in layers}
    with _along(ways, model, change):
        yield


@on_its_own_account
def routes(model: ContinuousThoughtModel) -> dict[int, Route]:
    """Return for each layer where its scores are changed.

    It is the scores themselves where the attention pattern follows from what a hook makes of them.
    """
    found = memory(model)
    if "routes" not in found:
        layers: list[Heads] = [(layer, None) for layer in range(model.n_layers)]
        tried = _tried(model, layers, dict.fromkeys(range(model.n_layers), "scores"))
        found["routes"] = {
            layer: "scores" if taken else "mask"
            for (layer, _), (taken, _) in zip(layers, tried, strict=True)
        }
    ways: dict[int, Route] = found["routes"]
    return ways


@on_its_own_account
def unmasked(model: ContinuousThoughtModel, heads: Sequence[Heads]) -> list[Heads]:
    """Return the heads of which attention to a thought cannot be taken away.

    Taken away it is where the pattern is zero at the thought, for the chosen heads and no others,
    and where something that comes later moves when attention to the thought is changed.
    """
    maskable = memory(model)
    new = [each for each in dict.fromkeys(heads) if each not in maskable]
    for each, (taken, moves) in zip(new, _tried(model, new, routes(model)), strict=True):
        if taken and moves:
            maskable[each] = True
    return [each for each in new if each not in maskable]


def _tried(
    model: ContinuousThoughtModel, heads: Sequence[Heads], ways: Mapping[int, Route]
) -> list[tuple[bool, bool]]:
    """Return whether attention to a thought can be taken away, and moves anything, one by one."""
    found: list[tuple[bool, bool]] = []
    if not heads:
        return found
    question = read(model)
    for start in range(0, len(heads), ROWS):
        batch = heads[start : start + ROWS]
        before, attended = _changed(model, question, batch, {})
        try:
            without, masked = _changed(model, question, batch, ways, by=-torch.inf)
            more, _ = _changed(model, question, batch, ways, by=30.0)
        except _REFUSALS:
            if len(batch) == 1:
                found.append((False, False))
            else:
                found += [tried for each in batch for tried in _tried(model, [each], ways)]
            continue
        moves = [any(row) for row in zip(moved(before, without), moved(before, more), strict=True)]
        taken = [
            _taken_away(each, row, attended, masked) for row, each in enumerate(batch, start=1)
        ]
        found += zip(taken, moves, strict=True)
    return found


def _taken_away(heads: Heads, row: int, before: Attended, after: Attended) -> bool:
    """Whether heads attend to the thought no more, and the layer's other heads as they did.

    Others are compared at the first query; later ones see what the first has changed.
    """
    layer, head = heads
    if len(before.get(layer, ())) < len(_LATER):
        return False
    gone = all(not each[row, slice(None) if head is None else head].any() for each in after[layer])
    first, then = before[layer][0][row], after[layer][0][row]
    others = [other for other in range(len(first)) if other != head and head is not None]
    return gone and torch.allclose(first[others], then[others], atol=1e-4)


def _changed(
    model: ContinuousThoughtModel,
    question: Rollout,
    heads: Sequence[Heads],
    ways: Mapping[int, Route],
    by: float = 0.0,
) -> tuple[After, Attended]:
    """Change the scores of a thought, each row those of its own heads.

    Returns
    -------
    tuple
        What came later, and the attention of each layer to the thought, query by query.
    """
    attended: Attended = {}
    rows: dict[int, list[tuple[int, int | None]]] = {}
    for row, (layer, head) in enumerate(heads, start=1):
        rows.setdefault(layer, []).append((row, head))

    def change(layer: int, scores: Scores) -> Scores:
        rollout = running(model)
        if rollout.stage not in _LATER:
            return scores
        by_head = any(head is not None for _, head in rows[layer])
        result = whole(scores, model, by_head).clone()
        for row, head in rows[layer]:
            row_scores = result[row, slice(None) if head is None else head]
            column = row_scores[..., rollout.layout.columns(Thought(0)).start]
            column.copy_((column + by).clamp(min=torch.finfo(scores.dtype).min))
        return result

    def note(pattern: Scores, hook: object, layer: int) -> None:
        rollout = running(model)
        if rollout.stage in _LATER:
            key = rollout.layout.columns(Thought(0)).start
            attended.setdefault(layer, []).append(pattern[..., key].clone())

    patterns = {layer: f"blocks.{layer}.attn.hook_pattern" for layer in rows}
    seen = [
        (name, partial(note, layer=layer))
        for layer, name in patterns.items()
        if name in model.bridge.hook_dict
    ]
    with _along({layer: ways[layer] for layer in rows if ways}, model, change):
        return after(model, question, len(heads) + 2, seen), attended


def whole(scores: Scores, model: ContinuousThoughtModel, by_head: bool) -> Scores:
    """Return scores, or a mask that stands for all rows, with each of the rows that are running.

    Where heads are told apart, with each of the heads too.
    """
    n_heads = model.n_heads if by_head else -1
    return scores.expand(len(running(model).problems), n_heads, -1, -1)


def running(model: ContinuousThoughtModel) -> Rollout:
    """Return the batch that a hook sees."""
    assert model.running is not None
    return model.running


@contextmanager
def _along(
    ways: Mapping[int, Route], model: ContinuousThoughtModel, change: Change
) -> Iterator[None]:
    """Let scores be changed along chosen ways, layer by layer."""
    with ExitStack() as stack:

        def at_scores(scores: Scores, hook: object, layer: int) -> Scores:
            return change(layer, scores)

        def before_attention(activation: Tensor, hook: object, layer: int) -> None:
            # The hook in front of the attention says that it is about to run: whatever sets hooks
            # aside sets this one aside too.
            attention = model.bridge.blocks[layer].attn.original_component

            def at_mask(module: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
                handle.remove()
                mask = kwargs.get("attention_mask")
                if not isinstance(mask, Tensor) or mask.ndim != 4 or not mask.is_floating_point():
                    raise ValueError(f"The attention of layer {layer} adds no mask to its scores.")
                return args, {**kwargs, "attention_mask": change(layer, mask)}

            handle = attention.register_forward_pre_hook(at_mask, with_kwargs=True)
            stack.callback(handle.remove)

        hooks: list[tuple[str, Callable[..., Tensor | None]]] = [
            (f"blocks.{layer}.attn.hook_attn_scores", partial(at_scores, layer=layer))
            if way == "scores"
            else (f"blocks.{layer}.attn.hook_in", partial(before_attention, layer=layer))
            for layer, way in sorted(ways.items())
        ]
        stack.enter_context(model.hooks(hooks))
        yield
