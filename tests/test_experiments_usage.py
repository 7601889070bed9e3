"""Whether thoughts are used: conditions as a plain loop runs them, and verdicts that are known."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import binomtest

from conftest import tiny_gpt2, wrap
from cot_attn import ContinuousThoughtModel, load_problems, stats
from cot_attn.data import Problem
from cot_attn.experiments import usage
from cot_attn.experiments.replacements import (
    MatchedNoise,
    Transplant,
    normal_weights,
    weighted_deviations,
)
from cot_attn.experiments.usage import pause_token, strangers
from cot_attn.interventions import Context, Intervention, collect, run_variants
from cot_attn.models import Close, Projection, Prompt, Thought
from cot_attn.toy import handmade_model, handmade_problems
from plain_loop import N_NEW, N_THOUGHTS, divergence, shared_twins

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

N = 20


def test_every_condition_is_what_a_plain_loop_does(questions: list[str]) -> None:
    twins = shared_twins("gpt2", *questions[:5])
    found = usage(twins.model, twins.problems, max_new_tokens=N_NEW, pause="w3")
    thoughts = torch.stack([plain.thoughts for plain in twins.plain])
    pause = twins.loop.embed.weight[pause_token(twins.model, "w3")].detach()
    sources = strangers(twins.problems, seed=0)
    rows = {problem.id: row for row, problem in enumerate(twins.problems)}
    for row, problem in enumerate(twins.problems):
        fed = {
            "mean thought": thoughts.mean(dim=(0, 1)).expand(N_THOUGHTS, -1),
            "pause": pause.expand(N_THOUGHTS, -1),
            "another problem's": thoughts[rows[sources[problem.id]]],
            "first repeated": thoughts[row, :1].expand(N_THOUGHTS, -1),
        }
        said = found["answer"].sel(problem=problem.id)
        guesses = {each: twins.read(said.sel(condition=each).item()) for each in fed}
        plains = {
            condition: twins.loop.run(
                twins.tokens[row], inputs=dict(enumerate(vectors)), guess=guesses[condition]
            )
            for condition, vectors in fed.items()
        }
        twins.loop.n_thoughts = 0
        plains["no thoughts"] = twins.loop.run(twins.tokens[row])
        twins.loop.n_thoughts = N_THOUGHTS
        for condition, plain in plains.items():
            here = found.sel(problem=problem.id, condition=condition)
            if plain.decided(twins.loop.template) == len(plain.logits):
                assert here["answer"].item() == twins.model.decode(plain.answer)
            if twins.plain[row].answer:
                kl = divergence(twins.plain[row].logits[0], plain.logits[0])
                assert here["kl_value"].item() == pytest.approx(kl, abs=1e-4)
    assert sources.keys() == rows.keys()
    assert not any(problem == source for problem, source in sources.items())


@pytest.mark.parametrize("batch_size", [None, 14], ids=["one batch", "several"])
def test_nothing_is_run_twice_that_as_many_variants_run_once(
    batch_size: int | None, tiny_gpt2_model: ContinuousThoughtModel
) -> None:
    """Answers are decoded for as long as they are; all else is the same work, or less."""
    model, n_conditions = tiny_gpt2_model, 7
    problems = [Problem(f"p{i}", " ".join(["w1", "w2", "w3"][: 1 + i % 3]), "1") for i in range(9)]
    ids = [problem.id for problem in problems]
    changes = [
        Intervention(
            range(model.n_thoughts),
            Transplant(dict(zip(ids, np.roll(ids, shift), strict=True)), f"moved {shift}"),
        )
        for shift in range(1, n_conditions + 1)
    ]
    how = {"max_new_tokens": 3, "batch_size": batch_size}
    measured = ["answer", "kl_value"]
    works: list[Callable[[], object]] = [
        lambda: usage(model, problems, **how),
        lambda: run_variants(model, problems, changes, measured, only_correct=False, **how),
    ]
    for work in works:
        work()  # what is tried out once for each model is known by now
    asked, variants = (rows_fed(model, work) for work in works)
    assert asked[Prompt] == variants[Prompt] == len(problems) * (1 if batch_size is None else 2)
    assert asked[Thought] <= variants[Thought]
    assert asked[Close] <= variants[Close]


def rows_fed(model: ContinuousThoughtModel, work: Callable[[], object]) -> Counter[type]:
    """Count the rows that a piece of work feeds to a language model, by the kind of stage."""
    counts: Counter[type] = Counter()

    def count(module: object, arguments: object, inputs: dict[str, torch.Tensor]) -> None:
        counts[type(model.running.stage)] += len(inputs["attention_mask"])

    transformer = model.bridge.original_model.base_model
    handle = transformer.register_forward_pre_hook(count, with_kwargs=True)
    try:
        work()
    finally:
        handle.remove()
    return counts


@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_models_that_were_trained_to_need_their_thoughts_use_their_content(name: str) -> None:
    found = usage(ContinuousThoughtModel.from_pretrained(name), load_problems("toy", n=N))
    assert found.attrs["verdict"].startswith("Content used: with another problem's thoughts")
    right = found["correct"].mean("problem")
    assert float(right.sel(condition="as trained")) == 1
    others = ["no thoughts", "mean thought", "pause", "another problem's", "noise"]
    assert float(right.sel(condition=others).max()) < 0.2


def test_the_hand_built_model_uses_the_content_of_its_thoughts() -> None:
    found = usage(handmade_model(), handmade_problems(30), max_new_tokens=4)
    right = found["correct"].mean("problem")
    assert found.attrs["verdict"].startswith("Content used")
    assert float(right.sel(condition="another problem's")) == 0
    assert float(right.sel(condition="another order")) == 1  # it looks for what it needs


def test_thoughts_that_are_the_same_for_every_problem_are_computation_time(
    questions: list[str],
) -> None:
    """A feedback that says one thing whatever it is given: a pause token."""
    torch.manual_seed(7)
    feedback = Projection(32, 40, layer_norm=False)
    with torch.no_grad():
        for weight in (feedback.expand.weight, feedback.contract.weight):
            weight.zero_()
        feedback.contract.bias.copy_(3 * torch.randn(32))
    model = wrap(tiny_gpt2(), feedback)
    many = [f"{text} w{i}" for text in questions for i in range(5)]
    answers = model.generate(many, max_new_tokens=4)
    problems = [
        Problem(f"p{i}", text, answer or "w0", answer_type="text")
        for i, (text, answer) in enumerate(zip(many, answers, strict=True))
    ]
    found = usage(model, problems, max_new_tokens=4, margin=0.15)
    same = ["another problem's", "mean thought", "another order", "first repeated", "noise"]
    assert (found["changed"].sel(condition=same) == 0).all()
    assert float(found["kl_value"].sel(condition=same).max()) < 1e-6
    assert found.attrs["verdict"].startswith("Only computation time used")


def test_noise_has_the_covariance_of_thoughts_and_the_norm_of_the_one_it_replaces() -> None:
    generator = torch.Generator().manual_seed(0)
    thoughts = torch.randn(200, 5, generator=generator).double() @ torch.randn(5, 5).double()
    weights = torch.stack([normal_weights(200, generator) for _ in range(20_000)])
    drawn = weighted_deviations(weights, thoughts, thoughts.mean(0).expand(20_000, -1))
    torch.testing.assert_close(torch.cov(drawn.T), torch.cov(thoughts.T), rtol=0.1, atol=0.3)
    torch.testing.assert_close(drawn.mean(0), torch.zeros(5).double(), rtol=0.1, atol=0.1)

    model, problems = handmade_model(), handmade_problems(8)
    known = collect(model, problems, ["input"])
    for row, problem in enumerate(known.ids):
        own = known["input"][row, 2]
        noise = MatchedNoise()(own, Context(problem, 2, 0, known))
        assert float(noise.norm()) == pytest.approx(float(own.norm()), rel=1e-5)
        assert not torch.equal(noise, own)


def test_what_is_no_token_or_too_little_is_refused(tiny_gpt2_model) -> None:
    problems = [Problem(f"p{i}", f"w{i}", "1") for i in range(3)]
    with pytest.raises(ValueError, match="2 tokens of this model"):
        usage(tiny_gpt2_model, problems, pause="w1 w2")
    with pytest.raises(ValueError, match="at least three problems"):
        usage(tiny_gpt2_model, problems[:2])


# Verdicts ----------------------------------------------------------------------------------------

CONDITIONS = ("as trained", "no thoughts", "mean thought", "pause", "another problem's", "noise")


def world(n: int = 200, most_common: float = 0.1, seed: int = 0, **right: float) -> xr.Dataset:
    """Made-up answers: as trained 90 % right; under a condition, so many of all, the same first."""
    rng = np.random.default_rng(seed)
    easy = rng.permutation(n)
    rates = {name: right.get(name.split("'")[0].replace(" ", "_"), 0.9) for name in CONDITIONS}
    correct = np.stack([easy < round(rate * n) for rate in rates.values()], axis=1).astype(float)
    dims, coords = ("problem", "condition"), {"problem": range(n), "condition": list(CONDITIONS)}
    return xr.Dataset(
        dict.fromkeys(("correct", "changed", "kl_value"), (dims, correct)),
        coords=coords,
        attrs={"margin": 0.05, "most_common": most_common},
    )


@pytest.mark.parametrize(
    ("made_up", "verdict"),
    [
        (world(another_problem=0.5), "Content used"),
        (world(another_problem=0.5, no_thoughts=0.2), "Content used"),
        (world(no_thoughts=0.3), "Only computation time used"),
        (world(), "Not used"),
        (world(no_thoughts=0.3, mean_thought=0.3, pause=0.3), "Cannot tell: with another"),
        (world(most_common=0.89), "Cannot tell: as trained"),
        (world(n=20, another_problem=0.8), "Cannot tell: too few problems"),
        (world(n=1000, another_problem=0.85), "Content used"),
    ],
)
def test_the_verdict_follows_its_rule(made_up: xr.Dataset, verdict: str) -> None:
    assert stats.usage_summary(made_up).attrs["verdict"].startswith(verdict)


def test_the_summary_is_what_scipy_says() -> None:
    made_up = world(n=50, another_problem=0.7)
    table = stats.usage_summary(made_up).sel(condition="another problem's")
    assert float(table["difference"]) == pytest.approx(-0.2)
    assert float(table["p"]) == pytest.approx(binomtest(0, 10).pvalue)
    interval = binomtest(35, 50).proportion_ci(method="wilson")
    assert (float(table["low"]), float(table["high"])) == pytest.approx(interval)


def test_where_nothing_differs_a_loss_is_found_in_5_percent_at_most() -> None:
    """Calibration: each condition flips answers at random, as many right ones as wrong ones."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        trained = (rng.random((80, 1)) < 0.6).astype(float)
        flips = rng.random((80, len(CONDITIONS) - 1)) < 0.2
        fresh = (rng.random(flips.shape) < 0.6).astype(float)
        correct = np.concatenate([trained, np.where(flips, fresh, trained)], axis=1)
        made_up = world(80).assign(correct=(("problem", "condition"), correct))
        table = stats.usage_summary(made_up)
        found.append(bool((table["p_holm"] < 0.05).any()))
        assert not table.attrs["verdict"].startswith("Only") or found[-1]
    assert np.mean(found) <= 0.05


def test_a_result_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no thoughts"):
        stats.usage_summary(world().drop_sel(condition="no thoughts"))
