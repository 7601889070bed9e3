"""A tiny run in which each row is changed somewhere else, to see which changes reach anything.

A bridge may show an activation that the model does not compute with: a change there is thrown away,
and an intervention measures an effect of exactly nothing. Whether a hook is one of those depends on
the architecture, so it is tried, once for each model and hook.
"""

import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.models.hooks import on_its_own_account
from cot_attn.models.rollout import Rollout
from cot_attn.models.stages import Stage, Thought

ROWS = 64
"""So many rows are tried at once."""

Hooks = Iterable[tuple[str, Callable[..., Tensor | None]]]
After = Float[Tensor, "rows d_after"]


@dataclass(frozen=True)
class Point:
    """An activation while a thought is fed: all of a hook, or one head of it."""

    name: str
    head: int | None = None

    def __str__(self) -> str:
        return repr(self.name) + ("" if self.head is None else f" (head {self.head})")


@on_its_own_account
def seen_on_thoughts(
    model: ContinuousThoughtModel, names: Iterable[str], n_rows: int
) -> dict[str, Tensor]:
    """Return what those hooks see that fire where a thought is fed in `n_rows` problems.

    The tensors have a shape and a type but no values.

    Raises
    ------
    KeyError
        Where there is no such hook; near names are suggested.
    """
    seen: dict[str, Tensor] = memory(model).setdefault(("seen", n_rows), {})

    def note(activation: Tensor, hook: object, name: str) -> None:
        seen[name] = torch.empty_like(activation, device="meta")

    if new := [(name, partial(note, name=name)) for name in names if name not in seen]:
        rollout = _copies(read(model), n_rows)
        with model.hooks(new), torch.no_grad():
            rollout.think(0)
    return seen


@on_its_own_account
def unheeded(model: ContinuousThoughtModel, points: Sequence[Point]) -> list[Point]:
    """Return the points at which random numbers move nothing that comes later.

    What comes later are the hidden state where the thought is fed, that of the next thought and the
    logits behind EOT.

    Raises
    ------
    ValueError
        Where putting an activation back as it was moves something.
    """
    heeded = memory(model)
    new = [point for point in dict.fromkeys(points) if point not in heeded]
    silent: list[Point] = []
    if not new:
        return silent
    question = read(model)
    for start in range(0, len(new), ROWS):
        batch = new[start : start + ROWS]
        before, put_back, changed = (
            after(model, question, len(batch) + 2, hooks, stages=[Thought(0)])
            for hooks in ((), _noisy(batch, 0.0), _noisy(batch, 1.0))
        )
        by = (put_back - before).abs().amax(dim=1)
        tolerance = 1e-4 if model.dtype in (torch.float32, torch.float64) else 2e-2
        for point, much in zip(batch, by[1:-1].tolist(), strict=True):
            if not much <= tolerance * float(before.abs().max()):
                raise ValueError(
                    f"Putting back what was at {point} moves {model.name} by {much:.2g}: an effect "
                    "that is measured there would not be that of a change. Choose another site."
                )
        for point, moves in zip(batch, moved(before, changed), strict=True):
            if moves:
                heeded[point] = True
            else:
                silent.append(point)
    return silent


@torch.no_grad()
def read(model: ContinuousThoughtModel) -> Rollout:
    """Return one short question that has been read, with two thoughts to come."""
    vocabulary = int(model.bridge.original_model.get_input_embeddings().weight.shape[0])
    problems, questions = model.encode([torch.arange(3) % vocabulary], n_thoughts=2)
    with model.unstopped():
        rollout = model.rollout(problems, questions, 2)
    rollout.read()
    return rollout


def after(
    model: ContinuousThoughtModel,
    start: Rollout,
    n_rows: int,
    hooks: Hooks = (),
    *,
    stages: Iterable[Stage] | None = None,
) -> After:
    """Go on in copies of a question that was read, and return all that followed the first thought.

    It stays as it is, to go on from again.
    """
    rollout = _copies(start, n_rows)
    with torch.no_grad(), warnings.catch_warnings():
        # TransformerLens warns of changes that it throws away; here that is what is asked.
        warnings.simplefilter("ignore")
        with model.hooks(hooks, stages=stages):
            rollout.think(0)
            states = [rollout.hidden]
            rollout.think(1)
            states += [rollout.hidden, rollout.close()]
    return torch.cat(states, dim=1).float()


def moved(before: After, changed: After) -> list[bool]:
    """Return whether each row moved, but for the first and the last, in which nothing was changed.

    Those two say how much a row moves because others do.
    """
    by = (changed - before).abs().amax(dim=1)
    noise = 10 * torch.maximum(by[0], by[-1])
    moves: list[bool] = (~(by <= noise))[1:-1].tolist()  # infinity and NaN have moved
    return moves


def memory(model: ContinuousThoughtModel) -> dict[Hashable, Any]:
    """Return what was found out about a model as it is switched now.

    Switches of TransformerLens, such as `use_attn_result`, decide which hooks are used.
    """
    switches = {name: on for name, on in vars(model.bridge.cfg).items() if isinstance(on, bool)}
    mode = (id(model.bridge), getattr(model.bridge, "compatibility_mode", False))
    key = (mode, tuple(sorted(switches.items())))
    return _MEMORY.setdefault(model, {}).setdefault(key, {})


_Memory = dict[Hashable, dict[Hashable, Any]]
_MEMORY: WeakKeyDictionary[ContinuousThoughtModel, _Memory] = WeakKeyDictionary()


def _copies(start: Rollout, n_rows: int) -> Rollout:
    return start.branch(torch.zeros(n_rows, dtype=torch.long, device=start.hidden.device))


def _noisy(points: Sequence[Point], amount: float) -> Hooks:
    """Return hooks that add so much noise of an activation's own size, each row at its own point.

    The first and the last row have no point.
    """
    rows: dict[str, list[tuple[int, int | None]]] = {}
    for row, point in enumerate(points, start=1):
        rows.setdefault(point.name, []).append((row, point.head))

    def add(activation: Tensor, hook: object, heads: Sequence[tuple[int, int | None]]) -> Tensor:
        result = activation.clone()
        for row, head in heads:
            target = result[row] if head is None else result[row, 0, head]
            noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(row))
            size = target.float().square().mean().sqrt().clamp(min=1e-3)
            target += (amount * size * noise.to(size)).to(target)
        return result

    return [(name, partial(add, heads=heads)) for name, heads in rows.items()]
