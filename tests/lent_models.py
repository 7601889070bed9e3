"""Bundled models are read once, and lent to one after another: most tests only use them.

A model is lent again where nobody holds it, or a part of it, any more, and it is as it was when it
was read: hooks, watchers, stop rule, modes, modules and weights. Where anything was left on it or
changed, it is never lent again. So two loads give two models, as ever, and no test meets what
another one did.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

from cot_attn.checkpoints.bundled import bundled_models
from cot_attn.models import ContinuousThoughtModel
from cot_attn.models._bridge import every_module
from cot_attn.models._weight_hash import checksum, stored_tensors
from cot_attn.models.pretrained import PretrainedModel

PLAIN = (int, float, str, bool, tuple, type(None))
MOST = 3  # of a kind that are kept
MEMORY = {"_weight_hash", "_pattern"}  # hashes by weights; what a layer's last step attended to


class _Copy:
    """A model, and how it was when it was read."""

    def __init__(self, read: Callable[[], ContinuousThoughtModel]) -> None:
        self.model = read()
        self.state = _state(self.model)
        self.weights = _weights(self.model)
        self.n_holders = _n_holders(self.model)

    def free(self) -> bool:
        """Say whether nobody else holds the model or a part of it."""
        now = _n_holders(self.model)
        return len(now) == len(self.n_holders) and all(
            n <= before for n, before in zip(now, self.n_holders, strict=True)
        )

    def unchanged(self) -> bool:
        return _same(self.state, _state(self.model)) and self.weights == _weights(self.model)


class Lending:
    """What `from_pretrained` is while tests run: bundled models come from here, others are read."""

    def __init__(self) -> None:
        self._read = PretrainedModel.__dict__["from_pretrained"]
        self._lends = False
        self._copies: dict[str, list[_Copy]] = {}

    def lend(self, lend: bool) -> None:
        """Let `from_pretrained` lend from now on, or read."""
        if lend is self._lends:
            return  # what a module's fixture has put in its place stays there
        self._lends, from_pretrained = lend, self._read
        if lend:
            lent = wraps(self._read.__func__)(lambda cls, *args, **options: self(*args, **options))
            from_pretrained = classmethod(lent)
        PretrainedModel.from_pretrained = from_pretrained  # type: ignore[method-assign]

    def __call__(self, name_or_path: Any, **options: Any) -> ContinuousThoughtModel:
        """Return a model that is as if it had just been read."""
        read = partial(self._read.__get__(None, ContinuousThoughtModel), name_or_path, **options)
        bundled = isinstance(name_or_path, str) and name_or_path in bundled_models()
        if not bundled or options.get("validate") is False:  # its first run changes a few things
            return read()
        copies = self._copies.setdefault(f"{name_or_path} {sorted(options.items())}", [])
        for copy in [*copies]:
            if copy.free():
                if copy.unchanged():
                    return copy.model
                copies.remove(copy)
        del copies[: 1 - MOST]
        copies.append(_Copy(read))
        return copies[-1].model


def _parts(model: ContinuousThoughtModel) -> Iterator[Any]:
    bridge = model.bridge
    yield from (model, model.tokenizer, bridge.cfg, bridge.original_model.config)
    yield from every_module(bridge, bridge.original_model, model.feedback)


def _state(model: ContinuousThoughtModel) -> list[Any]:
    """List what the model and all its modules have: themselves, and not copies of them."""
    state: list[Any] = [(model, "words", model.tokenizer.backend_tokenizer.to_str())]
    for part in _parts(model):
        for name, value in vars(part).items():
            if name in MEMORY:
                continue
            state.append((part, name, value))
            if isinstance(value, dict):
                state += [(part, key, each) for key, each in value.items()]
            elif isinstance(value, list):
                state += [(part, name, each) for each in value]
    return state


def _same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(
        part is part_now and name == name_now and (value is value_now or _equal(value, value_now))
        for (part, name, value), (part_now, name_now, value_now) in zip(before, now, strict=True)
    )


def _equal(value: Any, value_now: Any) -> bool:
    return isinstance(value, PLAIN) and type(value) is type(value_now) and value == value_now


def _n_holders(model: ContinuousThoughtModel) -> list[int]:
    return [sys.getrefcount(part) for part in _parts(model)]


def _weights(model: ContinuousThoughtModel) -> str:
    tensors = list(stored_tensors(model.bridge.original_model, model.feedback))
    modes = [(each.requires_grad, each.grad is None) for each in tensors]
    return f"{checksum(tensors)} {modes}"


LENT = Lending()
