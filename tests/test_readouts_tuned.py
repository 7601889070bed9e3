"""The tuned lens learns what an affine map can, and is measured on problems it has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors.torch import save_file

from conftest import BUILDERS, wrap
from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel, Projection
from cot_attn.readouts import TunedLens, logit_lens, top_tokens
from cot_attn.readouts._positions import every_position
from cot_attn.recording import StateRecorder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    rng = np.random.default_rng(0)
    words = [[f"w{number}" for number in rng.integers(0, 30, size=3 + i % 8)] for i in range(40)]
    return [Problem(f"p{i:02}", " ".join(each), "3") for i, each in enumerate(words)]


def affine_model() -> ContinuousThoughtModel:
    """A model whose last block only adds a vector: an affine map is the whole truth."""
    torch.manual_seed(5)
    hf_model = BUILDERS["gpt2"]()
    with torch.no_grad():
        last = hf_model.transformer.h[-1]
        for part in (last.attn.c_proj, last.mlp.c_proj):
            part.weight.zero_()
            part.bias.normal_(std=2.0)
    return wrap(hf_model, Projection(32, 40), n_thoughts=2)


@pytest.fixture(scope="module")
def fitted(problems: list[Problem]) -> tuple[ContinuousThoughtModel, TunedLens]:
    model = affine_model()
    lens = TunedLens.fit(model, problems, n_epochs=60, learning_rate=3e-2, max_new_tokens=4)
    return model, lens


def test_what_is_affine_is_learnt(fitted: tuple[ContinuousThoughtModel, TunedLens]) -> None:
    kl = fitted[1].divergence.estimate.sel(layer=1)  # one block before the last
    assert (kl.sel(lens="plain") > 0.5).all()
    assert (kl.sel(lens="tuned") < 0.02 * kl.sel(lens="plain")).all()


def test_every_position_is_what_a_plain_pass_sees(
    fitted: tuple[ContinuousThoughtModel, TunedLens], problems: list[Problem]
) -> None:
    model = fitted[0]
    every = every_position(model, problems, max_new_tokens=3, batch_size=5)
    plain = model.bridge.original_model
    run = model.run(problems, max_new_tokens=3)
    embed = plain.get_input_embeddings()
    for row in (0, 7, 39):
        ids = [*model.tokenizer(problems[row].question)["input_ids"], *model.template.bot]
        after = [*model.template.eot, *run.answer_tokens[row][:2]]
        parts = [embed(torch.tensor(ids)), run.thoughts[row], embed(torch.tensor(after))]
        with torch.no_grad():
            hidden = plain(inputs_embeds=torch.cat(parts)[None], output_hidden_states=True)
        own = every.problem == row
        states = every.states[torch.from_numpy(own)]
        expected = torch.stack(hidden.hidden_states[1:-1], dim=2)[0]
        torch.testing.assert_close(states[:, :-1], expected, atol=2e-5, rtol=0)
        n = len(ids)
        assert np.flatnonzero(every.is_thought[own]).tolist() == [n - 1, n, n + 1]


def test_the_plain_lens_beside_it_is_as_far_off_as_hugging_face_says(
    fitted: tuple[ContinuousThoughtModel, TunedLens], problems: list[Problem]
) -> None:
    model, _ = fitted
    lens = TunedLens.fit(model, problems, n_epochs=0, max_new_tokens=0)
    xr.testing.assert_allclose(
        lens.divergence.sel(lens="plain", drop=True), lens.divergence.sel(lens="tuned", drop=True)
    )
    plain, found = model.bridge.original_model, []
    held_out = [problem for problem in problems if problem.id in lens.held_out]
    assert len(held_out) == kl_problems(lens) < len(problems)
    for problem in held_out:
        ids = [*model.tokenizer(problem.question)["input_ids"], *model.template.bot]
        thoughts = model.think([problem]).thoughts[0]
        embed = plain.get_input_embeddings()
        eot = embed(torch.tensor(model.template.eot))
        whole = torch.cat([embed(torch.tensor(ids)), thoughts, eot])
        with torch.no_grad():
            out = plain(inputs_embeds=whole[None], output_hidden_states=True)
            early = plain.lm_head(plain.transformer.ln_f(out.hidden_states[2]))
        p, q = out.logits.log_softmax(-1), early.log_softmax(-1)
        kl = (p.exp() * (p - q)).sum(-1)[0]
        found.append([float(kl.mean()), float(kl[len(ids) - 1 : -1].mean())])
    ours = lens.divergence.estimate.sel(lens="plain", layer=1, place=["everywhere", "thoughts"])
    np.testing.assert_allclose(ours, np.mean(found, axis=0), atol=1e-5)


def kl_problems(lens: TunedLens) -> int:
    return int(lens.divergence.n_problems.max())


def test_a_lens_is_the_same_whatever_the_order_and_the_batch(problems: list[Problem]) -> None:
    model, options = affine_model(), {"n_epochs": 1, "max_new_tokens": 2}
    one = TunedLens.fit(model, problems, **options)
    other = TunedLens.fit(model, problems[::-1], batch_size=7, **options)
    torch.testing.assert_close(one.weight, other.weight, atol=1e-5, rtol=0)
    different = TunedLens.fit(model, problems, seed=1, **options)
    assert (one.weight - different.weight).abs().max() > 1e-4


def test_reading_through_it_is_reading_what_it_translates(
    fitted: tuple[ContinuousThoughtModel, TunedLens], problems: list[Problem]
) -> None:
    model, lens = fitted
    with StateRecorder(model) as recorder:
        model.run(problems, max_new_tokens=3)
    states = recorder.dataset()
    some = states.sel(layer=[2, 0])
    tuned = logit_lens(model, some, problems, "answer", lens=lens)
    plain = logit_lens(model, some, problems, "answer")
    assert (tuned.attrs["lens"], plain.attrs["lens"]) == ("tuned", "logit")
    xr.testing.assert_allclose(tuned["logprob"].sel(layer=2), plain["logprob"].sel(layer=2))
    by_hand = some.copy(deep=True)
    early = torch.from_numpy(some.state.sel(layer=0).values)
    mapped = early + early @ lens.weight[0].T + lens.bias[0]
    by_hand.state.loc[{"layer": 0}] = mapped.numpy()
    again = logit_lens(model, by_hand, problems, "answer")
    np.testing.assert_allclose(tuned["logprob"], again["logprob"], atol=1e-4)
    # Where an affine map is the whole truth, an early layer says what the last one does.
    agree = {}
    for name, own in {"tuned": lens, "plain": None}.items():
        said = top_tokens(states, model, k=1, lens=own)["token_id"].sel(place=["bot", "eot"])
        agree[name] = float((said.sel(layer=1) == said.sel(layer=2)).mean())
    assert agree["tuned"] > 0.85 > agree["plain"] + 0.1


def test_a_lens_is_kept_in_one_file(
    fitted: tuple[ContinuousThoughtModel, TunedLens], tmp_path: Path
) -> None:
    model, lens = fitted
    lens.save(tmp_path / "lens.safetensors")
    again = TunedLens.load(tmp_path / "lens.safetensors")
    assert torch.equal(again.weight, lens.weight)
    assert torch.equal(again.bias, lens.bias)
    xr.testing.assert_identical(again.divergence, lens.divergence)
    assert again.held_out == lens.held_out
    again.check(model)


def test_bad_input_is_refused_with_a_sentence(
    fitted: tuple[ContinuousThoughtModel, TunedLens], problems: list[Problem], tmp_path: Path
) -> None:
    model, lens = fitted
    torch.manual_seed(6)
    other = wrap(BUILDERS["gpt2"](), Projection(32, 40), n_thoughts=2)
    with StateRecorder(other) as recorder:
        other.run(problems, max_new_tokens=1)
    with pytest.raises(ValueError, match="Fit one to this model"):
        logit_lens(other, recorder.dataset(), problems, "answer", lens=lens)
    with pytest.raises(FileNotFoundError, match="is no file"):
        TunedLens.load(tmp_path / "nothing")
    (tmp_path / "text").write_text("a lens")
    with pytest.raises(ValueError, match="no safetensors file"):
        TunedLens.load(tmp_path / "text")
    save_file({"weight": torch.zeros(2)}, tmp_path / "weights")
    with pytest.raises(ValueError, match="holds no tuned lens"):
        TunedLens.load(tmp_path / "weights")
    with pytest.raises(ValueError, match="make 1 groups of questions"):
        TunedLens.fit(model, [Problem(f"{i}", f"w1 {i}", "3") for i in range(9)])
    single = wrap(BUILDERS["gpt2"](n_layer=1), Projection(32, 40), n_thoughts=2)
    with pytest.raises(ValueError, match="has one layer"):
        TunedLens.fit(single, problems)
