"""The answer after fewer thoughts, or more, is what a plain loop with so many thoughts gives."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import CensoredData, ecdf

from cot_attn import ContinuousThoughtModel, load_problems, stats
from cot_attn.data import Problem
from cot_attn.experiments import exit_curve
from plain_loop import N_NEW, N_THOUGHTS, divergence, shared_twins

EXITS = [0, 1, N_THOUGHTS, N_THOUGHTS + 2]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_each_exit_is_a_plain_run_with_so_many_thoughts(
    architecture: str, questions: list[str]
) -> None:
    twins = shared_twins(architecture, *questions[:5])
    found = exit_curve(twins.model, twins.problems, exits=EXITS, max_new_tokens=N_NEW)
    eos = twins.model.template.eos
    n_compared = 0
    for row, problem in enumerate(twins.problems):
        words = twins.plain[row].answer
        words = words if len(words) == N_NEW else [*words, eos]
        final = twins.loop.run(twins.tokens[row], words=words)
        for n_thoughts in EXITS:
            twins.loop.n_thoughts = n_thoughts
            here = found.sel(problem=problem.id, n_thoughts=n_thoughts)
            guess = twins.read(here["answer"].item())
            plain = twins.loop.run(twins.tokens[row], guess=guess)
            forced = twins.loop.run(twins.tokens[row], words=words)
            if plain.decided(twins.loop.template) == len(plain.logits):
                assert here["answer"].item() == twins.model.decode(plain.answer)
            said = forced.logits.log_softmax(-1)
            expected = sum(float(said[i, token]) for i, token in enumerate(words))
            assert here["logprob_final"].item() == pytest.approx(expected, abs=2e-3)
            if words[0] != eos:
                start = twins.model.value_tokens(twins.plain[row].answer, (0, 1)).start
                kl = divergence(final.logits[start], forced.logits[start])
                assert here["kl_value"].item() == pytest.approx(kl, abs=1e-4)
                n_compared += 1
        twins.loop.n_thoughts = N_THOUGHTS
    assert n_compared > 5


@pytest.mark.slow
def test_no_thoughts_is_what_the_model_says_without_any(tiny_gpt2_model, questions) -> None:
    problems = [Problem(f"p{i}", text) for i, text in enumerate(questions)]
    found = exit_curve(tiny_gpt2_model, problems, exits=[0], max_new_tokens=5)
    said = tiny_gpt2_model.generate(questions, n_thoughts=0, max_new_tokens=5)
    assert found["answer"].values[:, 0].tolist() == said


@pytest.mark.slow
def test_leaving_where_training_ended_changes_nothing(tiny_gpt2_model, questions) -> None:
    """A no-op: the exit after all thoughts is the final answer."""
    run = tiny_gpt2_model.run(questions, max_new_tokens=5)
    problems = [
        Problem(f"p{i}", text, answer or "w0", answer_type="text")
        for i, (text, answer) in enumerate(zip(questions, run.answers, strict=True))
    ]
    found = exit_curve(tiny_gpt2_model, problems, max_new_tokens=5)
    here = found.sel(n_thoughts=tiny_gpt2_model.n_thoughts)
    assert (here["agrees"] == 1).all()
    assert here["answer"].values.tolist() == run.answers
    assert float(here["kl_value"].max()) == 0
    assert found.attrs["trained_with"] == tiny_gpt2_model.n_thoughts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_k_steps_need_k_thoughts(name: str) -> None:
    model = ContinuousThoughtModel.from_pretrained(name)
    problems = load_problems("toy", n=36)
    found = exit_curve(model, problems, exits=range(7))
    enough = found["n_thoughts"] >= found["difficulty"]
    assert (found["correct"].where(enough) == 1).sum() == enough.sum()
    assert float(found["correct"].where(~enough).mean()) < 0.15
    committed = stats.commitment(found)
    assert (committed["stable"].sel(target="right") == committed["difficulty"]).mean() > 0.9


@pytest.mark.parametrize("exits", [[], [1, 1], [-1]])
def test_exits_that_cannot_be_are_refused(exits, tiny_gpt2_model) -> None:
    with pytest.raises(ValueError, match="different numbers of thoughts"):
        exit_curve(tiny_gpt2_model, [Problem("a", "w1 w2")], exits=exits)


# Commitment --------------------------------------------------------------------------------------


def curve(right: list[list[float]], trained: int) -> xr.Dataset:
    values = np.array(right, dtype=float)
    coords = {"problem": range(len(values)), "n_thoughts": range(values.shape[1])}
    array = xr.DataArray(values, coords, ("problem", "n_thoughts"))
    return xr.Dataset({"correct": array, "agrees": array}, attrs={"trained_with": trained})


def test_nobody_is_dropped_and_what_lies_beyond_training_does_not_count() -> None:
    found = stats.commitment(curve([[0, 1, 1, 0], [0, 0, 0, 1], [1, 0, 1, 1]], trained=2))
    right = found.sel(target="right")
    np.testing.assert_array_equal(right["first"], [1, np.nan, 0])
    np.testing.assert_array_equal(right["stable"], [1, np.nan, 2])
    assert found.attrs["censored_at"] == 2


def test_the_part_that_has_committed_is_scipys_kaplan_meier() -> None:
    rng = np.random.default_rng(0)
    found = stats.commitment(curve((rng.random((40, 7)) < 0.15).tolist(), trained=6))
    table = stats.committed(found).sel(target="right", kind="first")
    times = found["first"].sel(target="right").values
    missing = np.isnan(times)
    assert 0 < missing.sum() < 40
    data = CensoredData.right_censored(np.where(missing, 6, times), missing)
    np.testing.assert_allclose(table["estimate"], ecdf(data).cdf.evaluate(np.arange(7)))
    assert (table["n_problems"] == 40).all()


def test_a_median_that_is_never_reached_is_none() -> None:
    never = stats.committed(stats.commitment(curve([[0, 0], [0, 0], [0, 1]], trained=1)))
    assert never["median"].isnull().all()
    always = stats.committed(stats.commitment(curve([[0, 1], [0, 1], [0, 0]], trained=1)))
    assert (always["median"] == 1).all()
