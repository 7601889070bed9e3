"""On models whose thoughts are known, lens and probe find exactly what is there.

Thought i of the bundled models was trained to hold the result of step i + 1, and a problem of k
steps uses k thoughts.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cot_attn import load_problems, stats
from cot_attn.data import Problem
from cot_attn.models import ContinuousThoughtModel
from cot_attn.readouts import logit_lens, probe, probe_transfer, step_results
from cot_attn.recording import StateRecorder

pytestmark = pytest.mark.slow

CONTROL = Path(__file__).parent / "controls" / "toy-gpt2-control"  # trained without thoughts
BUNDLED = ["toy-gpt2", "toy-llama"]
UNSURE = 0.999  # of each interval: there are many


@cache
def model_of(name: str) -> ContinuousThoughtModel:
    source = CONTROL if name == "control" else name
    return ContinuousThoughtModel.from_pretrained(source, validate=False)


@cache
def recorded(name: str, n: int, difficulty: int | None = None) -> tuple[list[Problem], xr.Dataset]:
    problems = load_problems("toy", n=n, difficulties=difficulty and [difficulty])
    places = ["bot", *(f"thought {i}" for i in range(6))]
    with StateRecorder(model_of(name), layers=[-1], places=places) as recorder:
        model_of(name).run(problems, max_new_tokens=4)
    return problems, recorder.dataset()


@cache
def agreement(name: str, space: str) -> xr.Dataset:
    """(thought, step), the step counted from 1."""
    problems, states = recorded(name, 180)
    found = logit_lens(model_of(name), states, problems, space=space)
    agreed = stats.lens_agreement(found, confidence=UNSURE).sel(answered="all")
    if space == "hidden":
        agreed = agreed.isel(layer=0, drop=True).rename(place="thought")
        agreed = agreed.isel(thought=slice(6)).assign_coords(thought=range(6))  # as they become
    return agreed.rename(target="step").assign_coords(step=range(1, 7))


@pytest.mark.parametrize("space", ["fed", "hidden"])
@pytest.mark.parametrize("name", BUNDLED)
def test_the_lens_finds_step_i_plus_1_in_thought_i(name: str, space: str) -> None:
    rate = agreement(name, space).rate
    for thought in range(6):
        assert rate.sel(thought=thought, step=thought + 1) > 0.95


@pytest.mark.parametrize("space", ["fed", "hidden"])
@pytest.mark.parametrize("name", BUNDLED)
def test_a_step_that_is_not_reached_is_found_no_better_than_elsewhere(
    name: str, space: str
) -> None:
    found = agreement(name, space)
    later = found.step > found.thought + 1
    assert (found.low.where(later, 0) <= 0).all()
    assert (found.rate.where(later, 0) < 0.2).all()


@pytest.mark.parametrize("name", BUNDLED)
def test_a_problem_of_k_steps_keeps_its_result_in_the_thoughts_it_does_not_use(name: str) -> None:
    """So an earlier step is found later in the problems that end with it, and hardly in others."""
    problems, states = recorded(name, 180)
    rank = logit_lens(model_of(name), states, problems, space="fed")["rank"]
    for step in (1, 3):
        later = rank.sel(target=f"step {step}", thought=[4, 5]) == 1
        ends_there = later["difficulty"] == step
        assert later[ends_there.values].mean() > 0.95
        goes_on = (later["difficulty"] > step).values
        assert later[goes_on].mean() < 0.15


@pytest.mark.parametrize("space", ["fed", "hidden"])
def test_in_the_control_that_never_thought_the_lens_finds_nothing(space: str) -> None:
    assert (agreement("control", space).low <= 0).all()


@pytest.mark.parametrize("name", BUNDLED)
def test_the_probe_finds_a_step_where_it_is_and_not_before(name: str) -> None:
    problems, states = recorded(name, 280, 3)
    labels = step_results(problems).sel(step=2)
    found = probe(
        states.sel(place=["bot", "thought 0"]), labels, n_permutations=19, n_controls=1
    ).isel(layer=0)
    assert found.accuracy.sel(place="thought 0") > 0.95  # it becomes thought 1
    assert found.gain_low.sel(place="thought 0") > 0.5
    assert found.selectivity.sel(place="thought 0") > 0.8
    assert found.question_only.max() < 0.4
    fed = probe(states, labels, space="fed", n_permutations=19, n_controls=1)
    assert fed.accuracy.sel(thought=1) > 0.95
    assert (fed.accuracy.sel(thought=[0, 3, 4, 5]) < 0.4).all()
    # What thought 0 holds is read at bot already: no gain.
    first = probe(
        states.sel(thought=[0]),
        step_results(problems).sel(step=1),
        space="fed",
        n_permutations=19,
        n_controls=1,
    )
    assert first.accuracy.sel(thought=0) > 0.95
    assert abs(first.gain.sel(thought=0)) < 0.05


def test_in_the_control_that_never_thought_the_probe_finds_nothing() -> None:
    problems, states = recorded("control", 280, 3)
    labels = step_results(problems).sel(step=2)
    found = probe(states, labels, space="fed", n_permutations=19, n_controls=1)
    assert (found.accuracy < 0.15).all()
    assert (found.gain_low <= 0).all()


def test_the_thoughts_share_one_code() -> None:
    """A probe of thought 0's result reads that of thoughts 1 and 2, each its own."""
    problems, states = recorded("toy-gpt2", 280, 3)
    own = step_results(problems).assign_coords(step=[0, 1, 2]).rename(step="thought")
    found = probe_transfer(states.sel(thought=[0, 1, 2]), own, space="fed").accuracy
    assert (found > 0.95).all()
    other = probe_transfer(states.sel(thought=[0, 1, 2]), own.sel(thought=2), space="fed").accuracy
    assert other.sel(trained=2, tested=2) > 0.95
    assert other.sel(trained=2, tested=0) < 0.3
    assert np.isfinite(other).all()
