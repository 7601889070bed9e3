"""A loop that makes all thoughts at once, in several passes, gives what a plain one gives."""

import json

import pytest
import torch
from torch import nn

from conftest import BOT, BUILDERS, EOT, wrap
from cot_attn import Intervention, run_variants
from cot_attn.data import Problem
from cot_attn.experiments import rank_heads
from cot_attn.interventions import Attention, KnockOut, Resample, Zero, apply_interventions, collect
from cot_attn.models import (
    ContinuousThoughtModel,
    EntropyBelow,
    Identity,
    Jacobi,
    Projection,
    Prompt,
    Thought,
)
from cot_attn.recording import AttentionRecorder, PositionRecorder

PLACEHOLDER, N_THOUGHTS = 7, 4


@torch.no_grad()
def plain(hf_model: nn.Module, project, question: list[int], n_iterations: int):
    """All thoughts at once, the whole sequence anew in every pass; no cache and no padding."""
    hf_model.set_attn_implementation("eager")
    embed = hf_model.get_input_embeddings()
    prompt = embed(torch.tensor([[*question, BOT]]))
    fed = embed(torch.tensor([[PLACEHOLDER] * N_THOUGHTS]))
    passes = [fed[0]]
    for _ in range(n_iterations):
        inputs = torch.cat([prompt, fed], dim=1)
        hidden = hf_model(inputs_embeds=inputs, output_hidden_states=True).hidden_states[-1]
        fed = project(hidden[:, -1 - N_THOUGHTS : -1])
        passes.append(fed[0])
    inputs = torch.cat([prompt, fed, embed(torch.tensor([[EOT]]))], dim=1)
    output = hf_model(inputs_embeds=inputs, output_attentions=True)
    patterns = torch.stack([layer[0] for layer in output.attentions])
    return passes, output.logits[0, -1], patterns


def twins(architecture: str, n_iterations: int) -> tuple[nn.Module, ContinuousThoughtModel]:
    torch.manual_seed(11)
    reference = BUILDERS[architecture]()
    torch.manual_seed(11)
    wrapped = BUILDERS[architecture]()
    torch.manual_seed(5)
    loop = Jacobi(Projection(32, 40), n_iterations, PLACEHOLDER)
    return reference, wrap(wrapped, loop, N_THOUGHTS)


@pytest.fixture(scope="module")
def model() -> ContinuousThoughtModel:
    return twins("gpt2", 2)[1]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", BUILDERS)
def test_a_batch_gives_what_a_plain_loop_gives_for_each_question(architecture, questions):
    reference, model = twins(architecture, 2)
    with AttentionRecorder(model) as recorder, PositionRecorder(model) as positions:
        run = model.run(questions[:4], max_new_tokens=2)
    attention = recorder.dataset()["attention"]
    for row, question in enumerate(questions[:4]):
        ids = model.tokenizer(question)["input_ids"]
        passes, logits, patterns = plain(reference, model.feedback.transform, ids, 2)
        torch.testing.assert_close(run.thoughts[row], passes[-1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(run.first_logits[row], logits, atol=1e-4, rtol=1e-4)
        rows = attention.isel(problem=row).sel(query="eot", key="thought 1").transpose("layer", ...)
        expected = patterns[:, :, -1, len(ids) + 2]
        torch.testing.assert_close(torch.tensor(rows.values), expected, atol=1e-4, rtol=1e-4)
        all_rows = positions.dataset(run.problems[row].id)["attention"].values
        n_fed = patterns.shape[2]
        torch.testing.assert_close(
            torch.tensor(all_rows)[:, :, :n_fed, :n_fed], patterns, atol=1e-4, rtol=1e-4
        )


@pytest.mark.slow
def test_after_as_many_passes_as_thoughts_it_is_the_loop_alone(questions):
    _, model = twins("gpt2", N_THOUGHTS)
    alone = ContinuousThoughtModel(
        model.bridge, model.feedback.loop, model.template, N_THOUGHTS, tokenizer=model.tokenizer
    )
    expected, found = (each.run(questions, max_new_tokens=4) for each in (alone, model))
    torch.testing.assert_close(found.thoughts, expected.thoughts, atol=1e-5, rtol=1e-5)
    assert found.answers == expected.answers
    _, fewer = twins("gpt2", N_THOUGHTS - 2)
    assert not torch.allclose(fewer.run(questions).thoughts, expected.thoughts, atol=1e-3)


@pytest.mark.slow
def test_what_each_pass_feeds_can_be_asked_for(model, questions):
    reference, _ = twins("gpt2", 2)
    stages = [Thought(3), Thought(3, iteration=1), Prompt(), Thought(3, iteration=0)]
    # Behind the position's embedding, which is the same in every pass.
    _, cache = model.run_with_cache(questions[:2], "blocks.0.hook_in", stages=stages)
    labels = ["bot", "thought 3, pass 0", "thought 3, pass 1", "thought 3"]
    assert cache["stage"].values.tolist() == labels
    inputs = torch.tensor(cache["blocks.0.hook_in"].values)
    for row, question in enumerate(questions[:2]):
        ids = model.tokenizer(question)["input_ids"]
        passes, _, _ = plain(reference, model.feedback.transform, ids, 2)
        position = reference.transformer.wpe.weight[len(ids) + 4]
        for place, fed in enumerate(passes, start=1):
            torch.testing.assert_close(inputs[row, place], fed[3] + position, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_change_is_one_of_the_last_pass(model, questions):
    problems = [Problem(q, q, a or "w0", answer_type="text") for q, a in zip(
        questions[:4], model.generate(questions[:4], max_new_tokens=3), strict=True
    )]  # fmt: skip
    thoughts = model.think(problems).thoughts
    with apply_interventions(model, Intervention(1, Zero()), collect(model, problems)):
        changed = model.think(problems)
    assert not changed.thoughts[:, 1].any()
    # Later thoughts come from the pass before, so that only attention carries the change on.
    torch.testing.assert_close(changed.thoughts[:, 2:], thoughts[:, 2:], atol=1e-5, rtol=1e-5)
    sites = ["input", "kv", Attention(heads=[1])]
    changes = [
        *(Intervention(1, Zero(), site=site) for site in sites[:2]),
        Intervention(1, KnockOut(), site=sites[2]),
        Intervention(2, Resample()),
    ]
    effects = run_variants(model, problems, changes, outcomes=("answer",), max_new_tokens=3)
    clean = collect(model, problems, hooks=[h for c in changes for h in c.site.hooks(model)])
    for number, change in enumerate(changes):
        with apply_interventions(model, change, clean):
            run = model.run(problems, max_new_tokens=3)
        answers, (first, *_) = run.answers, change.thoughts
        others = [index for index in range(N_THOUGHTS) if index != first]
        torch.testing.assert_close(run.thoughts[:, others], thoughts[:, others])
        assert effects["answer"].transpose("problem", ...).values[:, number].tolist() == answers


def test_a_thought_less_leaves_the_others_as_they_are(model, questions):
    whole, part = (model.think(questions, n_thoughts=n).thoughts for n in (4, 2))
    torch.testing.assert_close(whole[:, :2], part, atol=1e-5, rtol=1e-5)
    assert model.run(questions[:1], n_thoughts=0, max_new_tokens=1).thoughts.shape[1] == 0


@pytest.mark.slow
def test_it_is_saved_and_comes_back(model, questions, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = ContinuousThoughtModel.from_pretrained(tmp_path / "saved")
    assert again.feedback.settings()["n_iterations"] == 2
    assert isinstance(again.feedback.loop, Projection)
    described = json.loads((tmp_path / "saved" / "cot_attn.json").read_text())["feedback"]
    assert described["kind"] == "jacobi"
    expected, found = (each.run(questions, max_new_tokens=3) for each in (model, again))
    torch.testing.assert_close(found.thoughts, expected.thoughts)
    assert found.answers == expected.answers


def test_what_cannot_be_says_so(model):
    with pytest.raises(ValueError, match="all thoughts at once"):
        model.stop = EntropyBelow(0.5)
    asked = [Problem(f"p{i}", "w1 w2", "w3", answer_type="text") for i in range(2)]
    with pytest.raises(ValueError, match="gradients that go from thought to thought"):
        rank_heads(model, asked, 0, max_new_tokens=1)
    with pytest.raises(ValueError, match="n_iterations is 0"):
        Jacobi(Identity(), 0, PLACEHOLDER)
    with pytest.raises(ValueError, match="placeholder is -1"):
        Jacobi(Identity(), 1, -1)
    with pytest.raises(TypeError, match="Jacobi loop itself"):
        Jacobi(model.feedback, 1, PLACEHOLDER)
    with (
        pytest.raises(ValueError, match="iteration=-1"),
        model.hooks([("feedback.hook_out", lambda fed, hook: None)], stages=[Thought(0, -1)]),
    ):
        pass
