"""Heads that look at a thought: gradients as finite differences, knock-outs, and what is known."""

from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import spearmanr

from conftest import BUILDERS, wrap
from cot_attn import ContinuousThoughtModel, stats
from cot_attn.data import Problem
from cot_attn.experiments import _attribution, rank_heads
from cot_attn.experiments._attribution import head_views
from cot_attn.experiments._trials import Trials
from cot_attn.experiments.heads import check_heads
from cot_attn.interventions import Attention, Intervention, KnockOut, run_variants
from cot_attn.models import Sampled
from cot_attn.recording import PositionRecorder
from cot_attn.toy import handmade_model, handmade_problems, toy_problems
from plain_loop import N_NEW, N_THOUGHTS, Twins

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

N_LAYERS, N_HEADS, D_HEAD = 3, 4, 8


def log_odds(logits: torch.Tensor, words: list[int]) -> float:
    total = 0.0
    for row, word in zip(logits, words, strict=True):
        others = torch.cat([row[:word], row[word + 1 :]])
        total += float(row[word] - others.logsumexp(0))
    return total


@pytest.mark.parametrize("thought", [0, 2])
def test_an_attribution_is_the_slope_that_a_plain_loop_has(
    thought: int, questions: list[str]
) -> None:
    """Add a little of what a head takes from the thought, and see by how much the odds rise."""
    twins = Twins("gpt2", questions[:4], n_layers=3)
    chosen = [row for row in range(4) if twins.plain[row].answer]
    tokens = [twins.tokens[row] for row in chosen]
    with torch.no_grad():
        run = Trials(twins.model, [twins.problems[row] for row in chosen], tokens, N_NEW)
    views = head_views(twins.model, tokens, run.forced, thought)
    loop = twins.loop
    twins.model.feedback.double()
    loop.model.double()
    blocks = loop.model.transformer.h
    for at, row in enumerate(chosen):
        words, key = twins.plain[row].answer, len(twins.tokens[row]) + 1 + thought
        values: dict[int, torch.Tensor] = {}
        with ExitStack() as stack:
            for layer, block in enumerate(blocks):

                def keep(module, args, output, layer=layer, key=key, values=values):
                    if output.shape[1] > key:
                        values[layer] = output[0, key, -32:].view(N_HEADS, D_HEAD)

                stack.callback(block.attn.c_attn.register_forward_hook(keep).remove)
            clean = loop.run(twins.tokens[row], words=words)
        pattern = clean.patterns
        n_later = pattern.shape[2] - key - 1
        np.testing.assert_allclose(
            views.attention[at].numpy(), pattern[:, :, key + 1 :, key].mean(-1), atol=1e-4
        )
        assert n_later == N_THOUGHTS - 1 - thought + 1 + len(words) - 1

        def odds(layer, head, size, row=row, key=key, pattern=pattern, values=values, words=words):
            def add(module, args):
                z = args[0].clone()
                later = range(key + 1, z.shape[1])
                for query in later:
                    part = slice(head * D_HEAD, (head + 1) * D_HEAD)
                    z[0, query, part] += (
                        size * pattern[layer, head, query, key] * values[layer][head]
                    )
                return (z,)

            handle = blocks[layer].attn.c_proj.register_forward_pre_hook(add)
            try:
                return log_odds(loop.run(twins.tokens[row], words=words).logits, words)
            finally:
                handle.remove()

        for layer, head in ((0, 1), (1, 3), (2, 0)):
            slope = (odds(layer, head, 1e-4) - odds(layer, head, -1e-4)) / 2e-4
            found = float(views.attribution[at, layer, head])
            assert found == pytest.approx(slope, rel=2e-3, abs=2e-4)
    twins.model.feedback.float()


def test_knock_outs_are_those_of_run_variants(tiny_gpt2_model, questions) -> None:
    run = tiny_gpt2_model.run(questions, max_new_tokens=4)
    problems = [
        Problem(f"p{i}", text, answer or "w0", answer_type="text")
        for i, (text, answer) in enumerate(zip(questions, run.answers, strict=True))
    ]
    found = rank_heads(tiny_gpt2_model, problems, 1, n_random=2, max_new_tokens=4, sizes=[1, 12])
    change = Intervention(1, KnockOut(), Attention())
    whole = run_variants(tiny_gpt2_model, problems, [change], ["kl_value"], max_new_tokens=4)
    test = found["half"] == "test"
    assert int(test.sum()) == 4
    together = found["set_kl_value"].sel(size=12)[test]
    expected = whole["kl_value"].isel(variant=0)[test]
    for name in found["set"].values:
        np.testing.assert_allclose(together.sel(set=name), expected, rtol=1e-3, atol=1e-5)
    assert found["set_kl_value"][~test].isnull().all()
    best = found["rank"].where(found["rank"] == 0, drop=True)
    layer, head = int(best["layer"][0]), int(best["head"][0])
    one = found["kl_value"].sel(layer=layer, head=head)[test]
    np.testing.assert_allclose(
        found["set_kl_value"].sel(size=1, set="top")[test], one, rtol=1e-3, atol=1e-5
    )


def test_the_hand_built_model_has_one_head_that_reads_its_thought() -> None:
    found = rank_heads(handmade_model(), handmade_problems(16), 2, n_random=3, max_new_tokens=4)
    assert int(found["rank"].sel(layer=1, head=0)) == 0
    failed = found["failed"].mean("problem")
    assert float(failed.sel(layer=1, head=0)) == 1
    assert float(failed.sum()) == 1
    sets = stats.head_sets(found)
    assert (sets["estimate"] == 1).all()
    assert sets.attrs["smallest_top"] == 1


@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_one_head_or_two_of_the_bundled_models_read_the_last_thought(name: str) -> None:
    model = ContinuousThoughtModel.from_pretrained(name)
    found = rank_heads(model, toy_problems(10, steps=[6]), 5, n_random=3, max_new_tokens=8)
    sets = stats.head_sets(found)
    assert int(found["rank"].sel(layer=0, head=2)) <= 1
    assert sets.attrs["smallest_top"] <= 2
    assert sets.attrs["smallest_random"] >= 4
    unread = rank_heads(
        model, toy_problems(4, steps=[6]), 1, n_single=0, sizes=[16], n_random=1, max_new_tokens=8
    )
    assert (unread["set_failed"].sel(set="top").dropna("problem") == 0).all()


def test_what_cannot_be_is_refused(tiny_gpt2_model) -> None:
    problems = [Problem(f"p{i}", f"w{i}", "1") for i in range(3)]
    with pytest.raises(ValueError, match="thought is 9"):
        rank_heads(tiny_gpt2_model, problems, 9)
    with pytest.raises(ValueError, match="numbers from 1 to 12"):
        rank_heads(tiny_gpt2_model, problems, 0, sizes=[13])


@pytest.mark.parametrize("fires", [True, False])
def test_a_bridge_that_does_not_compute_with_its_heads_views_is_refused(
    tiny_gpt2_model, monkeypatch, fires
) -> None:
    """Its gradients would be those of nothing, though its weights have some."""
    watching = _attribution._watching

    def only_seen(function):
        def see(z: torch.Tensor) -> None:
            function(z)

        return see

    def thrown_away(model, name, functions):
        if name != "hook_z":
            return watching(model, name, functions)
        seeing = [only_seen(function) for function in functions]
        return watching(model, name, seeing) if fires else nullcontext()

    check_heads(tiny_gpt2_model)
    assert any(each.requires_grad for each in tiny_gpt2_model.bridge.original_model.parameters())
    monkeypatch.setattr(_attribution, "_watching", thrown_away)
    with pytest.raises(ValueError, match="does not compute with what stands at 'hook_z'"):
        check_heads(tiny_gpt2_model)


def heads(related: bool, seed: int, n_heads: int = 24) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    level = rng.gamma(1.0, size=(3, n_heads))
    level[1:] = level[0] if related else level[1:]
    values = np.abs(level[:, None] + 0.3 * rng.normal(size=(3, 40, n_heads)))
    dims = ("problem", "layer", "head")
    return xr.Dataset(
        {
            name: (dims, each.reshape(40, n_heads // 4, 4))
            for name, each in zip(("attention", "attribution", "kl_value"), values, strict=True)
        }
    )


def test_rankings_that_have_nothing_to_do_with_each_other_agree_in_5_percent_at_most() -> None:
    """Calibration, of one pair of measures."""
    p = [
        float(stats.rank_agreement(heads(False, seed), n_resamples=20)["p"][0])
        for seed in range(200)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)
    same = stats.rank_agreement(heads(True, 0))
    assert (same["estimate"] > 0.9).all()
    assert ((same["low"] <= same["estimate"]) & (same["estimate"] <= same["high"] + 1e-9)).all()
    assert (same["p_holm"] < 1e-6).all()


def test_an_interval_of_agreement_holds_what_there_would_be_without_noise() -> None:
    """Calibration: means of 20 problems are noisy, and noise hides agreement."""
    rng = np.random.default_rng(3)
    n_heads, covered, too_small = 36, [], []
    for _ in range(100):
        level = rng.normal(size=(3, n_heads)) + 8
        level[2] = level[1] + rng.normal(size=n_heads)
        values = level[:, None] + 2 * rng.normal(size=(3, 20, n_heads))
        dims, names = ("problem", "layer", "head"), ("attention", "attribution", "kl_value")
        shaped = {
            name: (dims, each.reshape(20, 6, 6)) for name, each in zip(names, values, strict=True)
        }
        found = stats.rank_agreement(xr.Dataset(shaped), n_resamples=99).isel(pair=2)
        truth = spearmanr(level[1], level[2]).statistic
        covered.append(found["low"] <= truth <= found["high"])
        too_small.append(found["measured"] - truth)
    assert np.mean(covered) >= 0.85
    assert np.mean(too_small) < -0.05


def test_heads_that_were_not_knocked_out_do_not_count() -> None:
    made_up = heads(True, 1)
    made_up["kl_value"] = made_up["kl_value"].where(made_up["head"] < 2)
    found = stats.rank_agreement(made_up, n_resamples=50)
    assert found["n_heads"].values.tolist() == [24, 12, 12]


def test_heads_are_attributed_in_the_runs_that_a_drawing_loop_makes(questions: list[str]) -> None:
    """The draws are those of the problems, alone and in a batch, and not those of the rows."""
    torch.manual_seed(7)
    model = wrap(BUILDERS["gpt2"](), Sampled(temperature=3.0, seed=4), N_THOUGHTS)
    problems = [
        Problem(f"p{i}", text, "w0", answer_type="text") for i, text in enumerate(questions)
    ]
    tokens = model.encode(problems)[1]
    ids = [problem.id for problem in problems]
    with torch.no_grad():
        forced = Trials(model, problems, tokens, N_NEW).forced
    thought = 1
    views = head_views(model, tokens, forced, thought, ids)

    with PositionRecorder(model) as recorder:
        model.run(problems, max_new_tokens=N_NEW)
    for row, name in enumerate(ids):
        pattern = recorder.dataset(name)["attention"].values
        key = len(tokens[row]) + 1 + thought
        last = len(tokens[row]) + 1 + N_THOUGHTS + int(forced.real[row].sum())
        seen = pattern[:, :, key + 1 : last, key].mean(-1)
        np.testing.assert_allclose(views.attention[row].numpy(), seen, atol=1e-4)

    alone = [
        head_views(model, [tokens[row]], forced.rows([row]), thought, [ids[row]]).attribution
        for row in range(len(ids))
    ]
    np.testing.assert_allclose(views.attribution, torch.cat(alone), rtol=1e-2, atol=1e-4)
    others = head_views(model, tokens, forced, thought, [f"q{i}" for i in range(len(ids))])
    assert not torch.allclose(others.attention, views.attention, atol=1e-3)
