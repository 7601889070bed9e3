"""A study of problems that stop at different thoughts says how many problems each thought has."""

import warnings

import numpy as np
import pytest
import torch

from cot_attn import ContinuousThoughtModel, load_problems, run_study, stats
from cot_attn.experiments import (
    causal_graph,
    difference_of_means,
    draw_pairs,
    exit_curve,
    frontier,
    interchange,
    rank_heads,
    usage,
)
from cot_attn.interventions import Zero
from cot_attn.models import StopRule

pytestmark = pytest.mark.slow


class AsManyAs(StopRule):
    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts

    def stops(self, hidden, moment):
        return torch.tensor([moment.thought >= self.counts[each] for each in moment.problem_ids])


@pytest.fixture(scope="module")
def model() -> ContinuousThoughtModel:
    return ContinuousThoughtModel.from_pretrained("toy-gpt2")


PROBLEMS = load_problems("toy", n=16, difficulties=[3])
COUNTS = {problem.id: 3 + i % 4 for i, problem in enumerate(PROBLEMS)}


@pytest.fixture(scope="module")
def study(model):
    model.stop = AsManyAs(COUNTS)
    made = run_study(model, PROBLEMS, corruptions=[Zero()], max_new_tokens=8)
    model.stop = None
    return made


HAVING = [16, 16, 16, 12, 8, 4]


def test_every_figure_of_a_thought_rests_on_the_problems_that_have_it(study):
    right = study.effects["baseline_correct"].values
    lengths = np.array([COUNTS[each] for each in study.effects["problem"].values])
    expected = [int((right & (lengths > thought)).sum()) for thought in range(6)]
    assert study.importance["n_problems"].values.tolist() == expected
    shares = stats.mean_over_problems(stats.share(study.attention, "eot").mean("head"))
    assert (shares["n_problems"].values == HAVING).all()


def test_shares_are_of_the_thoughts_that_a_problem_has(study):
    shares = stats.share(study.attention, "eot")
    np.testing.assert_allclose(shares.sum("thought"), 1, atol=1e-5)
    assert (shares.notnull().all(["layer", "head"]).sum("problem") == HAVING).all()
    numbers = stats.concentration_per_problem(shares).sel(measure="effective_number")
    assert bool((numbers <= shares["n_thoughts"] + 1e-6).all())


def test_what_needs_whole_profiles_says_whom_it_leaves_out(study):
    with pytest.warns(UserWarning, match="12 of 16 problems stopped before, and are left out"):
        found = stats.correlate(study.shares, study.failure, "within_problem", n_resamples=100)
    assert int(found["n_problems"].max()) <= 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = [each.sel(thought=[0, 1, 2]) for each in (study.shares, study.failure)]
        stats.correlate(*first, "within_problem", n_resamples=100)


def test_the_checks_say_how_many_problems_have_each_thought(study):
    check = next(each for each in study.checks if each.name == "All problems have all thoughts")
    assert check.status == "warn"
    assert "thought 2: 16, thought 3: 12, thought 4: 8, thought 5: 4" in check.message
    sums = next(each for each in study.checks if each.name == "Attention rows sum to 1")
    assert sums.status == "pass"


def test_a_study_is_stored_with_its_numbers_of_thoughts(study, tmp_path):
    study.save(tmp_path / "study")
    again = type(study).load(tmp_path / "study")
    assert again.attention.identical(study.attention)
    assert again.settings["stop"] == "AsManyAs()"


EXPERIMENTS = {
    "usage": lambda model: usage(model, PROBLEMS),
    "exit_curve": lambda model: exit_curve(model, PROBLEMS),
    "interchange": lambda model: interchange(model, draw_pairs(PROBLEMS, 1)),
    "causal_graph": lambda model: causal_graph(model, PROBLEMS),
    "rank_heads": lambda model: rank_heads(model, PROBLEMS, 1),
    "frontier": lambda model: frontier(model, PROBLEMS),
    "difference_of_means": lambda model: difference_of_means(model, PROBLEMS[:2], PROBLEMS[2:]),
    "The experiment 'exits'": lambda model: run_study(model, PROBLEMS, experiments=["exits"]),
}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_that_cannot_take_a_stop_rule_says_so(model, experiment):
    model.stop = AsManyAs(COUNTS)
    try:
        with pytest.raises(
            ValueError, match=f"{experiment} compares thoughts .* model.stop to None"
        ):
            EXPERIMENTS[experiment](model)
    finally:
        model.stop = None
