"""Steering: exact against a plain loop, blind where nothing is there, and never on its own data."""

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import tiny_gpt2, wrap
from cot_attn import ContinuousThoughtModel, stats
from cot_attn.data import Problem
from cot_attn.experiments import Direction, TowardsProblem, difference_of_means, steer
from cot_attn.experiments.directions import AddRandom
from cot_attn.interventions import Context, Hook, Zero, collect
from cot_attn.models import Projection
from cot_attn.toy import handmade_model, handmade_problems, toy_problems
from plain_loop import N_NEW, N_THOUGHTS, ROUNDING, shared_twins

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_a_dose_is_what_a_plain_loop_adds(downstream: str, questions: list[str]) -> None:
    twins = shared_twins("gpt2", *questions[:5])
    vector = 2 * torch.randn(32, generator=torch.Generator().manual_seed(0))
    direction = Direction.given(vector, N_THOUGHTS, "blocks.0.hook_out")
    found = steer(
        twins.model, twins.problems, direction, [1.5], thoughts=[1], target="w5", n_random=1,
        downstream=downstream, max_new_tokens=N_NEW,
    )  # fmt: skip
    token = twins.model.tokenizer("w5")["input_ids"][0]
    edits = {("blocks.0.hook_out", 1): lambda own: own + 1.5 * vector}
    n_moved = 0
    for row, problem in enumerate(twins.problems):
        kept = (0, 1, 2) if downstream == "frozen" else (0, 1)
        inputs = {index: twins.plain[row].thoughts[index] for index in kept}
        here = found.sel(problem=problem.id, direction="given", dose=1.5)
        guess = twins.read(here["answer"].item())
        plain = twins.loop.run(twins.tokens[row], edits, inputs=inputs, guess=guess)
        if plain.decided(twins.loop.template) == len(plain.logits):
            assert here["answer"].item() == twins.model.decode(plain.answer)
            n_moved += plain.answer != twins.plain[row].answer
        if twins.plain[row].answer:
            expected = float(plain.logits[0].log_softmax(-1)[token])
            assert here["logprob_target"].item() == pytest.approx(expected, abs=2e-3)
    assert n_moved > 0
    norms = found["norm"].values
    np.testing.assert_allclose(norms, float(vector.norm()), rtol=1e-5)


@pytest.fixture(scope="module")
def exact() -> ContinuousThoughtModel:
    """A model in float64, in which batches of other shapes do not round otherwise."""
    torch.manual_seed(7)
    return wrap(tiny_gpt2().double(), Projection(32, 40).double())


@pytest.mark.parametrize("site", ["input", "blocks.1.hook_out", "kv"])
def test_dose_0_changes_nothing(site: str, exact, questions) -> None:
    problems = [Problem(f"p{i}", text, "1") for i, text in enumerate(questions)]
    direction = difference_of_means(exact, problems[:3], problems[3:5], site)
    found = steer(exact, problems[5:], direction, [0.0, 4.0], n_random=2, max_new_tokens=3)
    unchanged = found.sel(dose=0)
    assert (unchanged["stays"] == 1).all()
    assert (unchanged["elsewhere"] == 0).all()
    assert float(unchanged["kl_value"].max()) < 1e-9
    assert float(found["kl_value"].sel(dose=4).min()) > 100 * ROUNDING


def test_dose_1_towards_a_problem_is_an_interchange() -> None:
    model, problems = handmade_model(), handmade_problems(12)
    source = next(p for p in handmade_problems(12, seed=5) if p.question.endswith("7"))
    towards = TowardsProblem(source.id, Hook("input"))
    found = steer(
        model, problems, towards, [1.0], thoughts=[1], target=source.answer, sources=[source],
        n_random=1, max_new_tokens=4,
    )  # fmt: skip
    own = np.array([problem.answer == source.answer for problem in problems])
    given = found.sel(direction="given", dose=1.0)
    assert (given["answer"] == source.answer).all()
    assert (given["target"].values[~own] == 1).all()
    assert np.isnan(given["target"].values[own]).all()
    assert (given["stays"].values == own).all()


def test_corrupting_one_thought_and_boosting_another_are_one_run(questions) -> None:
    twins = shared_twins("gpt2", *questions[:5])
    direction = TowardsProblem(twins.problems[0].id, Hook("input"))
    problems, rows = twins.problems[1:], range(1, len(twins.problems))
    found = steer(
        twins.model, problems, direction, [0.5], thoughts=[1], also={2: Zero()}, n_random=1,
        sources=[twins.problems[0]], max_new_tokens=N_NEW,
    )  # fmt: skip
    target = twins.plain[0].thoughts[1]
    for row, problem in zip(rows, problems, strict=True):
        base = twins.plain[row].thoughts[1]
        edits = {
            ("input", 1): lambda own, base=base: own + 0.5 * (target - base),
            ("input", 2): torch.zeros_like,
        }
        said = found["answer"].sel(problem=problem.id, direction="given", dose=0.5)
        plain = twins.loop.run(twins.tokens[row], edits, guess=twins.read(said.item()))
        if plain.decided(twins.loop.template) == len(plain.logits):
            assert said.item() == twins.model.decode(plain.answer)


def test_a_value_can_be_written_into_a_thought_of_the_bundled_model() -> None:
    """Its thoughts hold results; the direction of one, of other problems, leads to that answer."""
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    known = toy_problems(120, steps=[3])
    problems = toy_problems(8, seed=1, steps=[3])
    groups = [[p for p in known if (p.answer == "5") == five] for five in (True, False)]
    direction = difference_of_means(model, *groups)
    found = steer(model, problems, direction, [0.0, 2.0], thoughts=[2], target="5", n_random=20)
    table = stats.dose_response(found)
    reached = table.sel(outcome="target")
    assert float(reached["estimate"].sel(dose=2)) > 0.8
    assert float(reached["random_high"].sel(dose=2)) < 0.3
    assert float(reached["p"].sel(dose=2)) == pytest.approx(1 / 21)
    assert float(table["estimate"].sel(outcome="stays", dose=0)) == 1
    rising = table["logprob_target"].values
    assert (np.diff(rising) > 0).all()


def test_a_direction_is_not_tried_on_what_it_was_made_from(tiny_gpt2_model, questions) -> None:
    problems = [Problem(f"p{i}", text, "1") for i, text in enumerate(questions)]
    direction = difference_of_means(tiny_gpt2_model, problems[:2], problems[2:4])
    with pytest.raises(ValueError, match="was made from"):
        steer(tiny_gpt2_model, problems[3:], direction, [1.0])
    towards = TowardsProblem(problems[3].id, Hook("input"))
    with pytest.raises(ValueError, match="was made from"):
        steer(tiny_gpt2_model, problems, towards, [1.0])
    with pytest.raises(ValueError, match="different doses"):
        steer(tiny_gpt2_model, problems[4:], direction, [1.0, 1.0])
    with pytest.raises(ValueError, match="each thought one thing"):
        steer(tiny_gpt2_model, problems[4:], direction, [1.0], thoughts=[1], also={1: Zero()})


def test_random_directions_have_the_norm_and_are_the_same_for_every_problem() -> None:
    model, problems = handmade_model(), handmade_problems(10)
    known = collect(model, problems, ["input"])
    like = Direction.given(torch.arange(float(model.d_model)), model.n_thoughts)
    own = known["input"][:, 2]
    contexts = [Context(problem, 2, 0, known) for problem in known.ids]
    moved = AddRandom(like, 1.5, 3).many(own, contexts) - own
    norm = float(torch.arange(float(model.d_model)).norm())
    assert float(moved[0].norm()) == pytest.approx(1.5 * norm, rel=1e-4)
    torch.testing.assert_close(moved[0], moved[7], rtol=1e-4, atol=1e-3)
    other = AddRandom(like, 1.5, 4).many(own, contexts) - own
    assert not torch.allclose(moved[0], other[0], rtol=0.1)


def world(given: float, others: float, n_worlds: int = 1) -> xr.Dataset:
    """Answers that reach a target with given chances; each dose is a world of its own."""
    n, n_random = 60, 20
    rates = np.array([given] + [others] * n_random)
    draws = np.random.default_rng(0).random((n, n_random + 1, n_worlds))
    hit = (draws < rates[:, None]).astype(float)
    dims = ("problem", "direction", "dose")
    return xr.Dataset(
        {
            "target": (dims, hit),
            "elsewhere": (dims, np.zeros_like(hit)),
            "stays": (dims, 1 - hit),
        },
        coords={
            "problem": range(n),
            "direction": ["given", *(f"random {i}" for i in range(n_random))],
            "dose": range(n_worlds),
        },
    )


def test_a_direction_that_does_what_random_ones_do_is_found_in_5_percent_at_most() -> None:
    """Calibration: the given direction is one more random one."""
    p = stats.dose_response(world(0.3, 0.3, n_worlds=400))["p"].sel(outcome="target")
    assert float((p < 0.05).mean()) <= 0.05
    strong = stats.dose_response(world(0.9, 0.3)).sel(outcome="target", dose=0)
    assert strong["p"].item() == pytest.approx(1 / 21)
    assert strong["random_low"].item() < 0.3 < strong["random_high"].item() < 0.6
