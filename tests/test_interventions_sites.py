"""Every site: what is changed there is what a plain loop changes there, and nothing else."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from conftest import tiny_gpt2, tiny_llama, wrap
from cot_attn.data import Problem
from cot_attn.interventions import (
    Attention,
    GaussianNoise,
    Hook,
    Intervention,
    KeysValues,
    KnockOut,
    Mean,
    Resample,
    Shuffle,
    Swap,
    TokenAblator,
    Unchanged,
    Zero,
    run_variants,
)
from cot_attn.interventions.sites import Site, as_site
from cot_attn.models import ContinuousThoughtModel, Projection, Thought
from families import FAMILIES
from plain_loop import N_NEW, N_THOUGHTS, Twins

pytestmark = pytest.mark.slow

SITES: list[Site | str] = [
    "input",
    "hidden",
    "blocks.1.hook_out",
    "blocks.0.mlp.hook_out",
    "blocks.2.attn.hook_z",
    Hook("blocks.1.attn.hook_z", heads=[0, 3]),
    "kv",
    KeysValues(layers=[1]),
    KeysValues(layers=[0, 2], heads=[1]),
]
KNOCK_OUTS = [
    Attention(),
    Attention(layers=[1]),
    Attention(layers=[0, 2], heads=[1, 2]),
    Attention(queries=["eot"]),
    Attention(heads=[0, 3], queries=["answer", "thought 2"]),
]
CORRUPTIONS = [Zero(), GaussianNoise(1.0), Resample(), Shuffle()]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def pair(request: pytest.FixtureRequest, questions: list[str]) -> Twins:
    return Twins(request.param, questions[:3], n_layers=3)


def name_of(site: Site | str) -> str:
    return as_site(site).label


def changes_at(site: Site | str) -> list[Intervention]:
    """Every corruption of one thought, with both downstreams, and a change of two thoughts."""
    if isinstance(site, Attention):
        return [
            Intervention(1, KnockOut(), site),
            Intervention(0, KnockOut(), site, "frozen"),
            Intervention(range(N_THOUGHTS), KnockOut(), site),
        ]
    # What the last layer's heads put out is read by the thought's own hidden state alone.
    frozen = "recompute" if site == "blocks.2.attn.hook_z" else "frozen"
    return [
        Intervention(1, GaussianNoise(1.0), site),
        Intervention(1, Resample(), site),
        Intervention(0, Zero(), site, frozen),
        Intervention(0, Shuffle(), site, frozen),
        Intervention((0, 2), Swap(0, 2), site),
    ]


def put_back_at(site: Site | str) -> list[Intervention]:
    return [
        Intervention(i, Unchanged(), site, downstream)
        for i in range(N_THOUGHTS)
        for downstream in ("recompute", "frozen")
    ]


@pytest.fixture(scope="module")
def changed(pair: Twins) -> xr.Dataset:
    """What every change at every site does, and putting back what was there, in one run."""
    sites = (*SITES, *KNOCK_OUTS)
    changes = [change for site in sites for change in (*changes_at(site), *put_back_at(site))]
    outcomes = ["answer", "failed", "kl_first", "thought_change", "disruption_tv"]
    return run_variants(
        pair.model, pair.problems, changes, outcomes, max_new_tokens=N_NEW, batch_size=64
    )


@pytest.mark.parametrize("site", SITES, ids=name_of)
def test_answers_are_those_of_a_plain_loop_at_every_site(
    pair: Twins, changed: xr.Dataset, site: Site | str
) -> None:
    for change in changes_at(site):
        pair.assert_agrees(change, changed)


@pytest.mark.parametrize("site", KNOCK_OUTS, ids=name_of)
def test_a_knock_out_is_a_hole_in_the_mask(
    pair: Twins, changed: xr.Dataset, site: Attention
) -> None:
    for change in changes_at(site):
        pair.assert_agrees(change, changed)
        for row, problem in enumerate(pair.problems):
            plain = pair.changed(row, change).thoughts
            cosine = torch.cosine_similarity(pair.plain[row].thoughts, plain, dim=-1)
            found = changed["thought_change"].sel(problem=problem.id, variant=change.label)
            later = [i for i in range(change.thoughts[0] + 1, 3) if i not in change.thoughts]
            np.testing.assert_allclose(found[later], (1 - cosine)[later], atol=1e-4)


@pytest.mark.parametrize("site", [*SITES, *KNOCK_OUTS], ids=name_of)
def test_putting_back_what_was_there_moves_nothing_at_any_site(
    changed: xr.Dataset, site: Site | str
) -> None:
    result = changed.sel(variant=[change.label for change in put_back_at(site)])
    assert (result["failed"] == 0).all()
    for name in ("kl_first", "thought_change", "disruption_tv"):
        assert float(result[name].max()) < 1e-5
    assert all(value < 1e-4 for value in changed.attrs["noise_floor"].values())


Watched = tuple[Tensor, dict[tuple[str, int], Tensor]]


def watched(pair: Twins) -> Watched:
    """Return what is fed as thoughts, and what is there while they are."""
    seen: dict[tuple[str, int], Tensor] = {}

    def keep(activation: Tensor, hook: object) -> None:
        stage = pair.model.running.stage
        if isinstance(stage, Thought):
            seen[hook.name, stage.index] = activation.clone()

    names = ["feedback.hook_out", *(f"blocks.{layer}.hook_out" for layer in range(3))]
    with pair.model.hooks([(name, keep) for name in names]):
        fed = pair.model.think(pair.problems).thoughts
    return fed, seen


@pytest.fixture(scope="module")
def unchanged(pair: Twins) -> Watched:
    return watched(pair)


@pytest.mark.parametrize("site", [*SITES, *KNOCK_OUTS], ids=name_of)
def test_only_the_named_thoughts_contribution_changes(
    pair: Twins, unchanged: Watched, site: Site | str
) -> None:
    """With later inputs frozen, look at every activation of the first layer that is touched."""
    model, where = pair.model, as_site(site)
    knock_out = isinstance(where, Attention)
    change = Intervention(1, KnockOut() if knock_out else Zero(), where, "frozen")

    fed_before, before = unchanged
    with TokenAblator(model).applied(change, pair.problems):
        fed_after, after = watched(pair)
    moved = {where for where in before if not torch.equal(before[where], after[where])}
    moved_thoughts = {index for _, index in moved}
    # Nothing before the thought moves, and no other thought's input.
    assert 0 not in moved_thoughts
    assert torch.allclose(fed_before[:, [0, 2]], fed_after[:, [0, 2]], atol=1e-6)
    at_input = where.label in ("input", "hidden")
    assert at_input != torch.equal(fed_before[:, 1], fed_after[:, 1])
    # The thought itself moves unless only others' attention to it is gone.
    assert (1 in moved_thoughts) != knock_out


def test_keys_and_values_are_both_of_chosen_layers(tiny_gpt2_model: ContinuousThoughtModel) -> None:
    hooks = KeysValues(layers=[0, 2], heads=[1]).hooks(tiny_gpt2_model)
    names = {f"blocks.{layer}.attn.hook_{each}" for layer in (0, 2) for each in "kv"}
    assert {hook.name for hook in hooks} == names
    assert {hook.heads for hook in hooks} == {(1,)}


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
def test_a_knock_out_inside_another_is_one_of_both_thoughts(architecture: str) -> None:
    """Whether a bridge computes attention itself or has its mask changed, changes add up."""
    twins = Twins(architecture, ["w1 w2", "w3 w4 w5"])
    model, ablator = twins.model, TokenAblator(twins.model)
    first, second, both = (Intervention(i, KnockOut(), "attention") for i in (0, 1, (0, 1)))
    plain = model.think(twins.problems).first_logits
    with ablator.applied(first, twins.problems), ablator.applied(second, twins.problems):
        nested = model.think(twins.problems).first_logits
    with ablator.applied(both, twins.problems):
        together = model.think(twins.problems).first_logits
    assert torch.equal(nested, together)
    assert (nested - plain).abs().max() > 0.1
    assert torch.equal(model.think(twins.problems).first_logits, plain)


def test_heads_that_were_not_chosen_keep_what_they_had(pair: Twins) -> None:
    model = pair.model
    seen: list[Tensor] = []
    look = [("blocks.1.attn.hook_z", lambda z, hook: seen.append(z.clone()))]
    change = Intervention(1, Zero(), Hook("blocks.1.attn.hook_z", heads=[0, 3]))
    with model.hooks(look, stages=[Thought(1)]):
        model.think(pair.problems)
    with (
        TokenAblator(model).applied(change, pair.problems),
        model.hooks(look, stages=[Thought(1)]),
    ):
        model.think(pair.problems)
    before, after = seen
    assert (after[:, :, [0, 3]] == 0).all()
    assert torch.equal(before[:, :, [1, 2]], after[:, :, [1, 2]])


def test_all_attention_to_a_thought_gone_is_as_if_it_had_never_been(pair: Twins) -> None:
    """Without later thoughts to compute, knocking out everything hides keys and values alone."""
    last = N_THOUGHTS - 1
    knocked = Intervention(last, KnockOut(), "attention")
    noisy = [
        knocked,
        Intervention(last, GaussianNoise(2.0)),
    ]
    result = run_variants(pair.model, pair.problems, noisy, ["kl_first"], max_new_tokens=N_NEW)
    with TokenAblator(pair.model).applied(knocked, pair.problems):
        hidden = pair.model.think(pair.problems).first_logits
        with TokenAblator(pair.model).applied(noisy[1], pair.problems):
            also_noisy = pair.model.think(pair.problems).first_logits
    # What the thought was does not matter where nothing attends to it.
    torch.testing.assert_close(hidden, also_noisy, atol=1e-4, rtol=1e-4)
    assert (result["kl_first"] > 1e-6).all()


def test_donors_are_taken_from_the_same_site(pair: Twins) -> None:
    """The mean at a site over two donors is the mean of what the donors had there."""
    model, donors = pair.model, pair.problems[1:]
    site, seen = "blocks.1.attn.hook_v", []
    with model.hooks([(site, lambda v, hook: seen.append(v.clone()))], stages=[Thought(0)]):
        model.think(donors)
    expected = seen.pop()[:, 0].mean(dim=0)
    change = Intervention(0, Mean(), site)
    ablator = TokenAblator(model, donors=donors)
    look = [(site, lambda v, hook: seen.append(v.clone()))]
    with ablator.applied(change, pair.problems[:1]), model.hooks(look, stages=[Thought(0)]):
        model.think(pair.problems[:1])
    torch.testing.assert_close(seen[0][0, 0], expected, atol=1e-5, rtol=1e-5)


def test_an_ablator_works_at_any_site(pair: Twins) -> None:
    effects = TokenAblator(pair.model, [Zero(), Resample()], site="kv").run(
        pair.problems, ["failed"], max_new_tokens=N_NEW
    )
    assert dict(effects["failed"].sizes) == {"problem": 3, "thought": 3, "corruption": 2}
    assert effects.attrs["site"] == "kv"
    knocked = TokenAblator(pair.model, [KnockOut()], site=Attention(queries=["eot"])).run(
        pair.problems, ["kl_first"], max_new_tokens=N_NEW
    )
    assert knocked.attrs["site"] == "attention (queries eot)"
    assert (knocked["kl_first"] > 0).all()


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "opt"])
def test_every_hook_is_refused_or_moves_something(architecture: str) -> None:
    builders = {
        "gpt2": partial(tiny_gpt2, 1),
        "llama": partial(tiny_llama, 1),
        "opt": partial(FAMILIES["opt"], num_hidden_layers=1),
    }
    torch.manual_seed(7)
    model = wrap(builders[architecture](), Projection(32, 40), n_thoughts=2)

    def noisy(activation: Tensor, hook: object, row: int) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        activation = activation.clone()
        activation[row] += torch.randn(activation[row].shape, generator=generator)
        return activation

    def ran(n_rows: int, *hooks: tuple[str, Callable[..., Tensor]]) -> Tensor:
        with model.hooks(hooks, stages=[Thought(0)]):
            run = model.think([torch.tensor([3, 4, 5])] * n_rows)
        return torch.cat([run.thoughts[:, 1], run.first_logits], dim=1)

    accepted, refused = [], []
    for name in sorted(model.bridge.hook_dict):
        try:
            Hook(name).check(model)
        except ValueError:
            refused.append(name)
        else:
            accepted.append(name)
    before = ran(len(accepted) + 1)
    after = ran(  # each hook moves a row, and none the last
        len(accepted) + 1,
        *((name, partial(noisy, row=row)) for row, name in enumerate(accepted)),
    )
    *moved, still = (after - before).abs().amax(dim=1).tolist()
    assert still < 1e-6
    assert all(each > 1e-5 for each in moved), dict(zip(accepted, moved, strict=True))
    assert {"blocks.0.hook_out", "blocks.0.attn.hook_z", "blocks.0.mlp.hook_out"} <= {*accepted}
    assert {"embed.hook_out", "blocks.0.attn.hook_pattern"} <= {*refused}
    idle = {"gpt2": "pos_embed.hook_in", "llama": "rotary_emb.hook_in", "opt": "pos_embed.hook_in"}
    assert idle[architecture] in refused


@pytest.mark.parametrize("name", ["blocks.1.attn.hook_attn_scores", "blocks.1.attn.v.hook_out"])
def test_one_layer_that_throws_changes_away_is_found_among_others(name: str) -> None:
    """The hook of layer 1 shows a copy: what comes of it is not used."""
    model = Twins("llama", ["w1 w2"]).model
    point = model.bridge.hook_dict[name]
    shown = point.forward
    point.forward = lambda activation: (shown(activation.clone()), activation)[1]
    point.__class__ = type("Shown", (type(point),), {"__call__": lambda self, x: self.forward(x)})
    site = Attention() if "scores" in name else KeysValues()
    with pytest.raises(ValueError, match="layer 1" if "scores" in name else "blocks.1.attn"):
        site.check(model)


def test_what_was_shown_once_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Twins("opt", ["w1 w2"]).model
    sites = [KeysValues(), Attention(heads=[1, 2]), as_site("blocks.0.hook_out")]
    for site in sites:
        site.check(model)
    monkeypatch.setattr(model, "rollout", None)
    for site in sites:
        site.check(model)


def test_a_hook_that_is_switched_on_later_is_accepted_then_and_refused_before() -> None:
    model = Twins("gpt2", ["w1 w2"]).model
    site = Hook("blocks.0.attn.hook_result", heads=[1])
    for on in (False, True, False):
        model.bridge.set_use_attn_result(on)
        if on:
            site.check(model)
        else:
            with pytest.raises(ValueError, match="set_use_attn_result"):
                site.check(model)


@pytest.mark.parametrize(
    ("site", "error", "message"),
    [
        ("hook_embed", ValueError, "never fires on a thought"),
        ("blocks.0.attn.hook_result", ValueError, "use_attn_result"),
        ("blocks.1.hook_ouut", KeyError, "Did you mean 'blocks.1.hook_out'"),
        ("blocks.0.attn.hook_pattern", ValueError, "KnockOut"),
        (Hook("blocks.0.attn.hook_z", heads=[4]), ValueError, "heads 0 to 3"),
        (Hook("blocks.0.hook_out", heads=[0]), ValueError, "no heads"),
        (KeysValues(layers=[3]), ValueError, "layers 0 to 2"),
        (KeysValues(heads=[7]), ValueError, "heads 0 to"),
    ],
    ids=str,
)
def test_a_site_that_cannot_be_is_refused(
    tiny_gpt2_model: ContinuousThoughtModel,
    site: Site | str,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        TokenAblator(tiny_gpt2_model, [Zero()], site).run([Problem("a", "w1 w2", "3")])


def test_a_knock_out_that_cannot_be_is_refused(tiny_gpt2_model: ContinuousThoughtModel) -> None:
    with pytest.raises(ValueError, match="takes nothing else"):
        Intervention(0, Zero(), "attention")
    with pytest.raises(ValueError, match="belongs to the site 'attention'"):
        Intervention(0, KnockOut(), "kv")
    for site, message in {
        Attention(queries=["bot"]): "accepted: thought 1",
        Attention(queries=[]): "accepted: thought 1",
        Attention(layers=[9]): "layers 0 to 2",
        Attention(heads=[-9]): "heads 0 to 3",
    }.items():
        with pytest.raises(ValueError, match=message):
            site.check(tiny_gpt2_model)
