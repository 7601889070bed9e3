"""Rows that share a prefix attend to it as if each had a copy."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.llama.modeling_llama import repeat_kv

from cot_attn.interventions import Intervention, Resample, Zero, run_variants
from cot_attn.models import _cache
from cot_attn.models._shared_prefix import PrefixOfRows, SharedPrefix
from plain_loop import N_NEW, Twins

N_HEADS, N_SHARED, N_OWN, D_HEAD = 2, 5, 3, 4


def states(numbers: list[int], seed: int = 0) -> tuple[SharedPrefix, Tensor]:
    """Return rows that share prefixes, and the same where each has a copy."""
    generator = torch.Generator().manual_seed(seed)
    of_rows = PrefixOfRows(torch.tensor(numbers))
    prefixes, own = (
        torch.randn(n, N_HEADS, width, D_HEAD, dtype=torch.float64, generator=generator)
        for n, width in ((9, N_SHARED), (len(numbers), N_OWN))
    )
    copied = torch.cat([torch.stack([prefixes[number] for number in numbers]), own], dim=2)
    return SharedPrefix(of_rows.present(prefixes), own, of_rows), copied


def queries(n_rows: int, n_queries: int, width: int, n_heads: int = N_HEADS) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (n_rows, n_heads, n_queries, width)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


@given(st.lists(st.integers(0, 8), min_size=1, max_size=12), st.integers(1, 3))
def test_scores_and_sums_of_values_are_those_of_copies(numbers: list[int], n: int) -> None:
    shared, copied = states(numbers)
    query = queries(len(numbers), n, D_HEAD)
    scores = torch.matmul(query, shared.transpose(-2, -1))
    torch.testing.assert_close(scores, query @ copied.transpose(-2, -1), rtol=0, atol=1e-12)
    pattern = queries(len(numbers), n, N_SHARED + N_OWN)
    torch.testing.assert_close(pattern @ shared, pattern @ copied, rtol=0, atol=1e-12)


NUMBERS = [3, 3, 7, 3, 5, 7]
WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "keys of heads that share them": lambda k: (
        queries(6, 2, D_HEAD, 6) @ k.repeat_interleave(3, dim=1).transpose(2, 3)
    ),
    "the same in Llama's way": lambda k: queries(6, 2, D_HEAD, 6) @ repeat_kv(k, 3).transpose(2, 3),
    "values of heads that share them": lambda v: queries(6, 2, N_SHARED + N_OWN, 6).matmul(
        repeat_kv(v, 3)
    ),
    "keys in another type": lambda k: (
        queries(6, 1, D_HEAD).float() @ k.to(torch.float32).transpose(-1, -2)
    ),
}
"""What attention asks, which is answered in parts."""
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "fused attention": lambda k: scaled_dot_product_attention(queries(6, 2, D_HEAD), k, k),
    "a sum": lambda k: k + 1,
    "an item": lambda k: k[:, 0, -2:],
    "turned over": lambda k: k.transpose(1, 2),
    "in another shape": lambda k: k.reshape(6, N_HEADS, -1),
    "repeated rows": lambda k: k.repeat_interleave(2, dim=0),
    "in a list": lambda k: torch.cat([k, k]),
    "by name": lambda k: torch.mul(input=k, other=k),
    "multiplied from the left": lambda k: k.transpose(2, 3) @ queries(6, 8, 3),
    "einsum": lambda k: torch.einsum("rhqd,rhkd->rhqk", queries(6, 2, D_HEAD), k),
    "contiguous": lambda k: k.contiguous(),
    "turned by name": lambda k: k.transpose(dim0=2, dim1=3),
    "turned as a property": lambda k: k.mT,
    "a copy in another type": lambda k: k.to(torch.float32, copy=True),
    "a dimension in front": lambda k: k.expand(2, *k.shape),
}
"""What may be asked beside."""


@pytest.mark.parametrize("way", [*WAYS, *OTHERS])
def test_whatever_is_asked_of_them_is_answered_as_by_copies(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, copied = states(NUMBERS)
    made: list[SharedPrefix] = []
    whole = SharedPrefix.whole
    monkeypatch.setattr(SharedPrefix, "whole", lambda self: made.append(self) or whole(self))
    asked = {**WAYS, **OTHERS}[way]
    found = asked(shared)
    assert type(found) is Tensor
    torch.testing.assert_close(found, asked(copied), rtol=1e-6, atol=1e-12)
    assert bool(made) == (way in OTHERS)


def test_they_look_like_copies_to_whoever_asks_for_their_shape() -> None:
    shared, copied = states(NUMBERS)
    assert isinstance(shared, Tensor)
    assert shared.shape == copied.shape == shared.size()
    assert (shared.ndim, shared.dtype, shared.device) == (4, copied.dtype, copied.device)
    assert len(shared) == 6


@pytest.mark.parametrize(
    "change",
    [
        lambda k: k.mul_(2),
        lambda k: k.__setitem__((slice(None), 0), 1.0),
        lambda k: k.__iadd__(1),
        lambda k: torch.add(k.whole(), 1, out=k),
    ],
    ids=["a method", "an item", "an operator", "an output"],
)
def test_they_are_not_changed_in_place(change: Callable[[SharedPrefix], object]) -> None:
    with pytest.raises(RuntimeError, match="in place"):
        change(states(NUMBERS)[0])


def test_gradients_reach_both_parts() -> None:
    shared, _ = states(NUMBERS)
    prefixes, own = (each.requires_grad_() for each in (shared._prefixes, shared._own))
    keys = SharedPrefix(prefixes, own, shared._rows).transpose(2, 3)
    (queries(6, 2, D_HEAD) @ keys).sum().backward()
    for part in (prefixes, own):
        assert part.grad is not None
        assert (part.grad[0] != 0).all()


OUTCOMES = ("failed", "answer", "kl_value", "logprob_baseline", "disruption_l2")


@pytest.mark.slow
@pytest.mark.usefixtures("no_noise_floor")
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_variants_that_share_a_prompt_do_what_copies_of_it_do(
    architecture: str, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Twins(architecture, questions[:5])
    changes = [Intervention(i, change) for i in range(3) for change in (Zero(), Resample())]
    shared: list[int] = []
    update = _cache.RoomyLayer.update

    def noted(self: _cache.RoomyLayer, *args: Any) -> tuple[Tensor, Tensor]:
        shared.append(self._n_shared)
        return update(self, *args)

    monkeypatch.setattr(_cache.RoomyLayer, "update", noted)

    def found(worth: int) -> xr.Dataset:
        monkeypatch.setattr(_cache, "WORTH_SHARING", worth)
        options = {"max_new_tokens": N_NEW, "only_correct": False, "batch_size": 31}
        return run_variants(pair.model, pair.problems, changes, OUTCOMES, **options)

    copied = found(2**62)
    assert not any(shared)
    parts = found(0)
    assert any(shared)
    assert (copied["answer"] != copied["baseline_answer"]).any()
    xr.testing.assert_allclose(parts, copied, rtol=1e-4, atol=1e-5)
