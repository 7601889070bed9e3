"""Each sentence of the finding is there when it is true, and not when it is not.

Studies are made up: what they hold is known, and so is what is to be said.
"""

import re

import numpy as np
import pytest
import xarray as xr

from cot_attn import Problem, Study
from cot_attn.report._finding import finding

pytestmark = pytest.mark.slow

N, THOUGHTS, LAYERS = 120, 6, 2
STEPS = 1 + np.arange(N) % THOUGHTS
ON_THOUGHTS = (0.6, 0.3)  # of the whole row, at layer 0 and 1


def said(
    shares: np.ndarray,
    failed: np.ndarray,
    steps: np.ndarray = STEPS,
    corruptions: tuple[str, ...] = ("zero",),
) -> str:
    """The finding of a study with these shares (problem, layer, thought) and these failures."""
    ids = [f"p{i:03d}" for i in range(N)]
    known = {"difficulty": ("problem", steps.astype(float))}
    length = {"question_length": ("problem", np.random.default_rng(5).integers(9, 30, N))}
    keys = ["question", "bot", *(f"thought {i}" for i in range(THOUGHTS)), "eot", "answer"]
    rows = np.zeros((N, LAYERS, 1, 1, len(keys)))
    rows[:, :, 0, 0, 2 : 2 + THOUGHTS] = shares * np.array(ON_THOUGHTS)[:, None]
    rows[..., 0] = 1 - rows.sum(axis=-1)
    attention = xr.Dataset(
        {"attention": (("problem", "layer", "head", "query", "key"), rows)},
        coords={
            "problem": ids,
            "layer": range(LAYERS),
            "head": [0],
            "query": ["answer_value"],
            "key": keys,
        },
        attrs={"model": "made up"},
    ).assign_coords(known | length)
    if failed.ndim == 2:
        failed = np.repeat(failed[:, :, None], len(corruptions), axis=2)
    effects = xr.Dataset(
        {"failed": (("problem", "thought", "corruption"), failed.astype(float))},
        coords={
            "problem": ids,
            "thought": range(THOUGHTS),
            "corruption": list(corruptions),
            "baseline_correct": ("problem", np.isfinite(failed.astype(float)).all(axis=(1, 2))),
            **known,
            **length,
        },
        attrs={"model": "made up", "site": "input", "downstream": "recompute"},
    )
    problems = tuple(Problem(name, "?", "1") for name in ids)
    settings = {"model": "made up", "query": "answer_value", "seed": 0}
    sentences = finding(Study(attention, effects, problems, settings))
    return " ".join(sentences).replace("\N{NO-BREAK SPACE}", " ")


def normalised(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=-1, keepdims=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def equal(rng: np.random.Generator) -> np.ndarray:
    """Every thought gets the same, but for noise that has to do with nothing."""
    return normalised(1 + 0.2 * rng.random((N, LAYERS, THOUGHTS)))


@pytest.fixture
def unrelated(rng: np.random.Generator) -> np.ndarray:
    """Four answers of ten break, whichever thought is corrupted."""
    return rng.random((N, THOUGHTS)) < 0.4


NEEDED = np.arange(THOUGHTS) < STEPS[:, None]  # k steps need the first k thoughts


def test_how_many_are_right(equal: np.ndarray, unrelated: np.ndarray) -> None:
    failed = unrelated.astype(float)
    failed[:30] = np.nan
    assert "made up answered 90 of 120 problems right (75 %)." in said(equal, failed)


def test_of_a_model_that_answers_nothing_right_nothing_else_is_said(equal: np.ndarray) -> None:
    told = said(equal, np.full((N, THOUGHTS), np.nan))
    assert told.endswith("Nothing can be said about its thoughts: no answer was there to break.")
    assert "Corrupting" not in told


def test_the_thought_that_matters_most_is_named_with_the_rate_of_its_failures(
    equal: np.ndarray, unrelated: np.ndarray
) -> None:
    failed = unrelated.copy()
    failed[:, 3] = np.arange(N) % 10 < 9
    told = said(equal, failed)
    mean = 100 * failed.mean()
    found = re.search(r"broke ([\d.]+) % .* most often thought (\d): ([\d.]+) %", told)
    assert found
    assert float(found[1]) == pytest.approx(mean, abs=0.51)
    assert found.groups()[1:] == ("3", "90")
    assert "first in 100 % of resamples" in told


def test_the_corruption_that_stands_beside_the_mean_is_resample_where_it_differs_most(
    equal: np.ndarray,
) -> None:
    failed = np.zeros((N, THOUGHTS, 2))
    failed[:, 4, 1] = 1  # resample breaks thought 4 always, zero nothing
    failed[::2, 0] = 1
    told = said(equal, failed, corruptions=("zero", "resample"))
    assert "mean over 2 corruptions; resample alone broke 25 % on average" in told
    assert "differs most from that mean at thought 4: 100 % against 50 %." in told


def test_the_staircase_is_told_at_the_thought_where_it_is_steepest(equal: np.ndarray) -> None:
    failed = NEEDED | (np.arange(THOUGHTS) < 5)  # thought 5 alone is needed by some and not others
    told = said(equal, failed)
    found = re.search(
        r"most for thought 5: its corruption breaks 0 % \(0 to ([\d.]+)\) of the answers to "
        r"problems of 1 step, and 100 % \(([\d.]+) to 100\) to those of 6 steps\.",
        told,
    )
    assert found
    assert float(found[1]) < 30 < 70 < float(found[2])


@pytest.mark.parametrize("steps", [np.full(N, np.nan), np.full(N, 3)], ids=["unknown", "one kind"])
def test_there_is_no_staircase_where_steps_are_not_known_or_all_the_same(
    equal: np.ndarray, steps: np.ndarray
) -> None:
    assert "number of steps" not in said(equal, NEEDED, steps)


def test_of_equal_shares_none_is_named(equal: np.ndarray, unrelated: np.ndarray) -> None:
    told = said(equal, unrelated)
    assert "In no layer is any thought's share told apart from the equal share of 17 %." in told
    assert "from 30 % (layer 1) to 60 % (layer 0) of its attention" in told
    concentrated = re.search(r"on ([\d.]+) thoughts in effect .*; 6 if all got the same", told)
    assert concentrated
    assert float(concentrated[1]) == pytest.approx(6, abs=0.06)


def test_a_thought_that_is_looked_at_more_is_named_with_its_layer_and_no_other(
    equal: np.ndarray, unrelated: np.ndarray
) -> None:
    shares = equal.copy()
    shares[:, 1] = normalised(shares[:, 1] + 0.4 * (np.arange(THOUGHTS) == 2))
    told = said(shares, unrelated)
    named = re.findall(r"thought (\d) at layer (\d) \(([\d.]+) %", told.partition("More than")[2])
    assert named[0][:2] == ("2", "1")
    assert float(named[0][2]) == pytest.approx(100 * shares[:, 1, 2].mean(), abs=0.51)
    assert len(named) == 1
    assert "most concentrated at layer 1" in told


def test_attention_that_has_to_do_with_nothing_is_told_apart_in_no_layer(
    equal: np.ndarray, unrelated: np.ndarray
) -> None:
    told = said(equal, unrelated)
    assert "q is below 0.05 in 0 of 2 layers: in none." in told
    assert "Across problems, thought by thought" not in told


def test_the_layer_that_looks_where_it_is_needed_is_named_alone(
    equal: np.ndarray, unrelated: np.ndarray
) -> None:
    shares = equal.copy()
    shares[:, 1] = normalised(shares[:, 1] + 0.5 * unrelated)
    told = said(shares, unrelated)
    found = re.search(
        r"in 1 of 2 layers: r = ([\d.]+) at layer 1\. Furthest from 0 is layer 1", told
    )
    assert found
    centred = [
        values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
        for values in (shares[:, 1], unrelated.astype(float))
    ]
    assert float(found[1]) == pytest.approx(np.corrcoef(*map(np.ravel, centred))[0, 1], abs=0.011)
    assert "Between thoughts the sign is the other one" not in told
    across = re.search(r"(\d+) are positive \(furthest: thought \d at layer (\d)", told)
    assert across
    assert int(across[1]) >= THOUGHTS  # all six at layer 1, and what chance adds at layer 0
    assert across[2] == "1"


def test_where_all_thoughts_of_a_problem_fail_alike_it_cannot_be_said(equal: np.ndarray) -> None:
    alike = np.repeat((np.arange(N) % 2)[:, None], THOUGHTS, axis=1)
    told = said(equal, alike)
    assert "Whether attention tracks importance within problems cannot be said: " in told


def test_a_sign_that_turns_round_between_thoughts_is_told(rng: np.random.Generator) -> None:
    often = np.linspace(0.9, 0.2, THOUGHTS)  # earlier thoughts matter more on average
    failed = rng.random((N, THOUGHTS)) < often
    usual = np.linspace(1, 3, THOUGHTS)  # and are looked at less
    shares = normalised(
        usual + 0.9 * (failed - often)[:, None, :] + 0.1 * rng.random((N, LAYERS, THOUGHTS))
    )
    told = said(shares, failed)
    assert "Between thoughts the sign is the other one at layer" in told
    assert "over the means of 6 thoughts r = \N{MINUS SIGN}" in told
    same = normalised(
        usual[::-1] + 0.9 * (failed - often)[:, None, :] + 0.1 * rng.random((N, LAYERS, THOUGHTS))
    )
    assert "Between thoughts the sign is the other one" not in said(same, failed)
