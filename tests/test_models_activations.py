"""`run_with_cache` gives the activations that a plain Hugging Face loop has, labelled."""

import re

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor

from conftest import BOT, EOS, EOT, tiny_gpt2, wrap
from cot_attn.data import Problem
from cot_attn.models import (
    Answer,
    Close,
    ContinuousThoughtModel,
    Identity,
    Prompt,
    Template,
    Thought,
)
from cot_attn.models.rollout import Rollout
from cot_attn.recording import AttentionRecorder
from plain_loop import N_NEW, N_THOUGHTS, PlainLoop, twins

RESIDUAL, HEADS = "blocks.1.hook_out", "blocks.1.attn.hook_z"
STAGES = ["bot", *(f"thought {i}" for i in range(N_THOUGHTS)), "eot"]


@torch.no_grad()
def plain_activations(loop: PlainLoop, tokens: list[int]) -> dict[str, dict[str, Tensor]]:
    """Run one question plainly, then its whole sequence once more, and look at every position."""
    plain, template = loop.run(tokens), loop.template
    reading = loop.embed(torch.tensor([[*tokens, *template.bot]]))
    closing = loop.embed(torch.tensor([[*template.eot, *plain.answer]]))
    sequence = torch.cat([reading, plain.thoughts[None], closing], dim=1)
    block = loop._blocks()[1]
    attention = getattr(block, "attn", None) or block.self_attn
    out = getattr(attention, "c_proj", None) or attention.o_proj
    seen = {}

    def residual(module: object, args: object, output: object) -> None:
        seen[RESIDUAL] = (output[0] if isinstance(output, tuple) else output)[0]

    def heads(module: object, args: tuple[Tensor, ...]) -> None:
        seen[HEADS] = args[0][0].unflatten(-1, (loop.model.config.num_attention_heads, -1))

    handles = [block.register_forward_hook(residual), out.register_forward_pre_hook(heads)]
    loop.model(inputs_embeds=sequence)
    for handle in handles:
        handle.remove()
    first = len(tokens) + len(template.bot) - 1
    labels = [*STAGES, *(f"answer {i}" for i in range(len(plain.answer)))]
    found = {
        name: {label: each[first + i] for i, label in enumerate(labels)}
        for name, each in seen.items()
    }
    found["feedback.hook_out"] = {f"thought {i}": t for i, t in enumerate(plain.thoughts)}
    found["feedback.hook_in"] = {f"thought {i}": h for i, h in enumerate(plain.hidden)}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_every_stage_has_what_a_plain_loop_has_there(
    architecture: str, batch_size: int | None, questions: list[str]
) -> None:
    model, loop = twins(architecture)
    names = [RESIDUAL, HEADS, "feedback.hook_in", "feedback.hook_out"]
    stages = [Prompt(), *map(Thought, range(N_THOUGHTS)), Close(), Answer(0), Answer(2)]
    run, cache = model.run_with_cache(
        questions, names, stages=stages, max_new_tokens=N_NEW, batch_size=batch_size
    )
    assert cache["stage"].values.tolist() == [*STAGES, "answer 0", "answer 2"]
    assert cache[HEADS].dims == ("problem", "stage", "head", "d_head")
    for row, question in enumerate(questions):
        expected = plain_activations(loop, model.tokenizer(question)["input_ids"])
        for name, by_stage in expected.items():
            activations = cache[name].sel(problem=run.problems[row].id)
            for label in cache["stage"].values:
                found = activations.sel(stage=label)
                if label in by_stage:
                    np.testing.assert_allclose(found, by_stage[label], atol=1e-4, rtol=1e-4)
                else:
                    assert found.isnull().all()
    assert cache.attrs == model.provenance()


@pytest.mark.slow
def test_nothing_stands_where_an_answer_had_ended(questions: list[str]) -> None:
    def with_eos(eos: int) -> ContinuousThoughtModel:
        torch.manual_seed(7)
        return wrap(tiny_gpt2(), Identity(), 2, Template(bot=(BOT,), eot=(EOT,), eos=eos))

    free = with_eos(EOS).run(questions, max_new_tokens=4).answer_tokens
    model = with_eos(free[0][2])  # a word of the first answer ends every answer from now on
    run, cache = model.run_with_cache(questions, RESIDUAL, stages=[Answer(2)], max_new_tokens=4)
    ended = [len(tokens) <= 2 for tokens in run.answer_tokens]
    assert ended[0]
    assert not all(ended)
    activations = cache[RESIDUAL].isel(stage=0)
    assert activations.isnull().all("d_model").values.tolist() == ended
    assert activations.isnull().any("d_model").values.tolist() == ended


@pytest.mark.slow
def test_order_and_company_of_the_problems_change_nothing(
    tiny: ContinuousThoughtModel, problems: list[Problem]
) -> None:
    names = ["blocks.2.hook_out", "blocks.0.attn.hook_k"]
    _, cache = tiny.run_with_cache(problems, names, max_new_tokens=4)
    _, other = tiny.run_with_cache(problems[::-1], names, max_new_tokens=4, batch_size=2)
    xr.testing.assert_allclose(cache, other.sel(problem=cache["problem"]), atol=1e-4, rtol=1e-4)
    _, alone = tiny.run_with_cache(problems[3:4], names, max_new_tokens=4)
    one = cache.sel(problem=[problems[3].id])
    xr.testing.assert_allclose(one, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_run_is_the_one_without_a_cache(
    tiny: ContinuousThoughtModel, questions: list[str]
) -> None:
    run, cache = tiny.run_with_cache(questions, RESIDUAL, max_new_tokens=6)
    plain = tiny.run(questions, max_new_tokens=6)
    assert run.answer_tokens == plain.answer_tokens
    torch.testing.assert_close(run.thoughts, plain.thoughts, atol=0, rtol=0)
    assert cache["problem"].values.tolist() == [problem.id for problem in plain.problems]


@pytest.mark.slow
def test_names_are_given_or_chosen_by_a_function(
    tiny_gpt2_model: ContinuousThoughtModel, questions: list[str]
) -> None:
    model, asked = tiny_gpt2_model, questions[:2]

    def of_block_1(name: str) -> bool:
        return name.startswith("blocks.1.")

    _, one = model.run_with_cache(asked, RESIDUAL, max_new_tokens=1)
    _, many = model.run_with_cache(asked, of_block_1, max_new_tokens=1)
    _, both = model.run_with_cache(asked, ["feedback.hook_out", of_block_1], max_new_tokens=1)
    assert list(one) == [RESIDUAL]
    xr.testing.assert_identical(one[RESIDUAL], many[RESIDUAL].drop_vars("head", errors="ignore"))
    assert {*both} == {*many, "feedback.hook_out"}
    # What is switched off or runs over keys is left out, and nothing stands there twice.
    assert all(of_block_1(name) for name in many)
    assert not {"blocks.1.hook_mlp_in", "blocks.1.attn.hook_pattern"} & {*many}
    points = [id(model.bridge.hook_dict[name]) for name in many]
    assert len(points) == len(set(points)) > 10
    sizes = {"d_model": 32, "d_mlp": 128, "head": 4, "d_head": 8}
    assert {**many.sizes, **sizes} == dict(many.sizes)


def test_keys_and_values_have_their_own_heads(questions: list[str]) -> None:
    model, _ = twins("llama")
    _, cache = model.run_with_cache(
        questions[:2], ["blocks.0.attn.hook_k", "blocks.0.attn.hook_q"], max_new_tokens=1
    )
    assert cache["blocks.0.attn.hook_k"].sizes["kv_head"] == 2
    assert cache["blocks.0.attn.hook_q"].sizes["head"] == 4


@pytest.mark.slow
def test_double_precision_is_kept_and_half_precision_is_widened(questions: list[str]) -> None:
    for dtype, kept in ((torch.float64, "float64"), (torch.bfloat16, "float32")):
        model = wrap(tiny_gpt2().to(dtype), Identity(), n_thoughts=1)
        _, cache = model.run_with_cache(questions[:2], RESIDUAL, max_new_tokens=1)
        assert cache[RESIDUAL].dtype == kept


@pytest.mark.slow
def test_memory_is_stated_before_it_is_taken(
    tiny_gpt2_model: ContinuousThoughtModel,
    questions: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, names = tiny_gpt2_model, [RESIDUAL, HEADS]
    _, cache = model.run_with_cache(questions, names, max_new_tokens=1)
    n_bytes = sum(cache[name].nbytes for name in names)
    _, fits = model.run_with_cache(questions, names, max_new_tokens=1, max_bytes=n_bytes)
    xr.testing.assert_identical(cache, fits)
    monkeypatch.setattr(model, "run", lambda *given, **options: pytest.fail("has run"))
    with pytest.raises(MemoryError, match="8 problems, 6 stages, 2 hooks") as error:
        model.run_with_cache(questions, names, max_new_tokens=1, max_bytes=n_bytes - 1)
    stated = re.search(r"would take ([\d.]+) kB", str(error.value))
    assert stated is not None
    assert float(stated[1]) == pytest.approx(n_bytes / 1e3, rel=5e-3)


def test_hooks_of_the_user_act_and_a_probe_is_nobodys_run(
    tiny_gpt2_model: ContinuousThoughtModel, questions: list[str]
) -> None:
    model, seen = tiny_gpt2_model, []
    remove = ("feedback.hook_out", lambda fed, hook: 0 * fed)
    with (
        AttentionRecorder(model) as recorder,
        model.hooks([remove], stages=[Thought(1)]),
        model.watch(seen.append),
    ):
        run, cache = model.run_with_cache(questions, "feedback.hook_out", max_new_tokens=1)
    assert len(seen) == 1
    assert recorder.dataset().sizes["problem"] == len(questions)
    fed = cache["feedback.hook_out"]
    assert (fed.sel(stage="thought 1") == 0).all()
    assert (abs(fed.sel(stage="thought 0")) > 0).any()
    np.testing.assert_array_equal(fed.sel(stage=["thought 0", "thought 1"]), run.thoughts[:, :2])
    assert model.running is None


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"names": "blocks.1.hook_ou"}, KeyError, "Did you mean 'blocks.1.hook_out'"),
        ({"names": lambda name: False}, KeyError, "chooses none"),
        ({"names": "blocks.1.attn.hook_pattern"}, ValueError, "AttentionRecorder"),
        ({"names": "embed.hook_in"}, ValueError, "torch.int64"),
        ({"names": lambda name: name.endswith("hook_mlp_in")}, ValueError, "switched on"),
        (
            {"names": "feedback.hook_in", "stages": [Close()]},
            ValueError,
            "it is not called in them",
        ),
        ({"stages": [Thought(4)]}, ValueError, "this run has 4 thoughts, counted from 0"),
        ({"stages": [Answer(2)], "max_new_tokens": 3}, ValueError, "the last token"),
        ({"stages": []}, ValueError, "stages is empty"),
        ({"questions": ["w1", "w1"]}, ValueError, "2 problems have the id"),
        ({"questions": "w1"}, TypeError, "give a list"),
    ],
)
def test_what_cannot_be_recorded_is_refused_before_the_run(
    wrong: dict[str, object],
    error: type[Exception],
    message: str,
    tiny_gpt2_model: ContinuousThoughtModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"questions": ["w1 w2"], "names": RESIDUAL, **wrong}
    monkeypatch.setattr(Rollout, "answer", lambda *given: pytest.fail("has run"))
    with pytest.raises(error, match=message):
        tiny_gpt2_model.run_with_cache(**options)
