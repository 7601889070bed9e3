"""What a thought carries: the bundled models are the truth, a plain loop the check."""

import numpy as np
import pytest
import xarray as xr

from cot_attn import ContinuousThoughtModel, stats
from cot_attn.data import Problem
from cot_attn.experiments import draw_pairs, interchange
from cot_attn.stats._inference.dyads import dyadic_mean, dyadic_rate, dyadic_test
from cot_attn.toy import expected_answer, handmade_model, handmade_problems, toy_problems
from cot_attn.toy.expected import operations
from plain_loop import N_NEW, N_THOUGHTS, shared_twins

BEHIND = {"toy-gpt2": (0.760, 0.347), "toy-llama": (1.0, 1.0)}
"""How often thoughts 4 and 5 of another four-step problem bring its answer along, by a loop with
Hugging Face alone over the same pairs (`python -m benchmarks.interchange_truth`)."""


def asked(questions: list[str]) -> list[Problem]:
    return [Problem(f"p{i}", text, "w1", answer_type="text") for i, text in enumerate(questions)]


@pytest.mark.slow
@pytest.mark.usefixtures("no_noise_floor")
@pytest.mark.parametrize("name", ["toy-gpt2", "toy-llama"])
def test_a_thought_of_another_problem_gives_the_answer_that_its_value_predicts(name: str) -> None:
    """100 % at thoughts 0 to 3 of four-step problems; behind the last step, toy-gpt2 looks back."""
    model = ContinuousThoughtModel.from_pretrained(name)
    pairs = draw_pairs(toy_problems(40, steps=[4]), n_sources=2)
    found = interchange(model, pairs, expected=expected_answer)
    changes = found["hit"].where(found["stays"] == 0).sel(site="input", vector="source")
    stays = found["base_hit"].where(found["stays"] == 1).sel(site="input", vector="source")
    hit = changes.mean("pair")
    assert (hit.sel(thought=range(4)) == 1).all()
    assert (stays.mean("pair").fillna(1) == 1).all()
    own = found["base_hit"].where(found["stays"] == 0).sel(site="input", vector="source")
    np.testing.assert_allclose(hit.sel(thought=[4, 5]), BEHIND[name], atol=0.02)
    # Where it is not the source's answer it is the base's own: no third one comes of it.
    np.testing.assert_allclose((own.mean("pair") + hit).sel(thought=[4, 5]), 1)
    table = stats.interchange_accuracy(found).sel(site="input", prediction="changes")
    predicted = table.sel(outcome="predicted")
    assert (predicted["low"].sel(vector="source", thought=range(4)) > 0.8).all()
    assert (predicted["high"].sel(vector="random", thought=range(4)) < 0.3).all()
    assert (table["p_holm"].sel(thought=range(4)) < 1e-6).all()


@pytest.mark.slow
def test_the_hand_built_models_digit_is_what_travels() -> None:
    """Thought i holds the digit and i; the answer reads thought 2."""
    problems = handmade_problems(20)
    pairs = draw_pairs(problems, n_sources=3)

    def expected(base: Problem, source: Problem, thought: int) -> str:
        return source.answer if thought <= 2 else base.answer

    found = interchange(handmade_model(), pairs, expected=expected, max_new_tokens=4)
    assert (found["hit"].sel(vector="source") == 1).all()
    assert (found["source_hit"].sel(vector="source", thought=[0, 1, 2]) == 1).all()
    assert (found["base_hit"].sel(vector="source", thought=[3, 4, 5]) == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("site", ["input", "blocks.0.hook_out"])
def test_the_answers_are_those_of_a_plain_loop(site: str, questions: list[str]) -> None:
    twins = shared_twins("gpt2", *questions)
    pairs = draw_pairs(twins.problems, n_sources=2)[:-1]  # one base has a source less
    found = interchange(twins.model, pairs, sites=[site], max_new_tokens=N_NEW)
    rows = {problem.id: row for row, problem in enumerate(twins.problems)}
    n_changed = 0
    for number, (base, source) in enumerate(pairs):
        for thought in range(N_THOUGHTS):
            theirs = twins.plain[rows[source.id]].seen[site, thought]
            edits = {(site, thought): lambda own, theirs=theirs: theirs}
            said = found["answer"].isel(pair=number, site=0).sel(thought=thought, vector="source")
            guess = twins.read(said.item())
            plain = twins.loop.run(twins.tokens[rows[base.id]], edits, guess=guess)
            if plain.decided(twins.loop.template) == len(plain.logits):
                assert said.item() == twins.model.decode(plain.answer)
                n_changed += plain.answer != twins.plain[rows[base.id]].answer
    assert n_changed >= 3
    assert found["hit"].isnull().all()
    assert found["base_correct"].all()


@pytest.mark.slow
def test_a_problem_as_its_own_source_changes_nothing(tiny_gpt2_model, questions) -> None:
    said = tiny_gpt2_model.generate(questions, max_new_tokens=4)
    pairs = [(problem, problem) for problem in asked(questions)]
    sites = ["input", "blocks.1.hook_out", "kv"]
    found = interchange(tiny_gpt2_model, pairs, sites=sites, thoughts=[0, 2], max_new_tokens=4)
    same = found.sel(vector="source")
    assert (same["answer"] == xr.DataArray(said, dims="pair")).all()
    assert (same["base_hit"].fillna(1) == 1).all()
    assert (found["answer"].sel(vector="random") != same["answer"]).any()


@pytest.mark.slow
def test_sources_that_are_no_bases_are_asked_too_and_pairs_keep_their_order() -> None:
    model = handmade_model()
    bases, sources = handmade_problems(4, seed=1), handmade_problems(9, seed=2)
    pairs = [(bases[0], sources[5]), (bases[1], sources[0]), (bases[0], sources[8])]
    found = interchange(model, pairs, thoughts=[2], max_new_tokens=4)
    assert found["pair"].values.tolist() == [f"{base.id} <- {source.id}" for base, source in pairs]
    answers = found["answer"].isel(site=0, thought=0).sel(vector="source").values.tolist()
    assert answers == [source.answer for _, source in pairs]
    assert (found["source_hit"].sel(vector="source") == 1).all()


def test_pairs_that_cannot_be_are_refused(tiny_gpt2_model) -> None:
    one, other, third = (Problem(f"p{i}", f"w{i}", "1") for i in range(3))
    with pytest.raises(ValueError, match="given twice"):
        interchange(tiny_gpt2_model, [(one, other), (one, other), (one, third)])
    with pytest.raises(ValueError, match="at least three"):
        interchange(tiny_gpt2_model, [(one, other)])
    with pytest.raises(ValueError, match="no pair that is allowed"):
        draw_pairs([one, other], allowed=lambda base, source: False)
    with pytest.raises(ValueError, match="sites are"):
        interchange(tiny_gpt2_model, [(one, other), (one, third)], sites="input")


def test_pairs_do_not_depend_on_the_order_of_problems() -> None:
    problems = toy_problems(20)
    drawn = {(base.id, source.id) for base, source in draw_pairs(problems, 3)}
    again = {(base.id, source.id) for base, source in draw_pairs(problems[::-1], 3)}
    assert drawn == again
    assert len(drawn) == 60
    same = draw_pairs(
        problems, 3, allowed=lambda base, source: base.difficulty == source.difficulty
    )
    assert all(base.difficulty == source.difficulty for base, source in same)


# What is predicted -------------------------------------------------------------------------------


def test_the_question_says_what_the_problem_does() -> None:
    for problem in toy_problems(60, seed=3):
        words = problem.question.split()
        value = int(words[words.index("to") + 1].rstrip("."))
        for operation, step in zip(operations(problem), problem.steps, strict=True):
            value = operation.apply(value)
            assert str(value) == step


def test_ones_own_thought_predicts_ones_own_answer() -> None:
    for problem in toy_problems(30):
        for thought in range(6):
            assert expected_answer(problem, problem, thought) == problem.answer


def test_other_problems_have_no_prediction() -> None:
    with pytest.raises(ValueError, match="no toy problem"):
        expected_answer(*handmade_problems(2), 0)


# Intervals and tests where pairs share problems --------------------------------------------------


def pairs_of(n: int, n_sources: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat(np.arange(n), n_sources)
    steps = np.concatenate([rng.permutation(n - 1)[:n_sources] + 1 for _ in range(n)])
    return first, (first + steps) % n


def test_pairs_that_share_nothing_have_the_usual_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=30)
    mean = dyadic_mean(values, np.arange(30), np.arange(30, 60))
    usual = values.std(ddof=1) / np.sqrt(30)
    assert mean.standard_error == pytest.approx(usual, rel=0.02)


def test_the_variance_counts_all_pairs_of_pairs_that_share_a_problem() -> None:
    rng = np.random.default_rng(1)
    first, second = pairs_of(8, 3, rng)
    values = rng.normal(size=8)[first] + rng.normal(size=8)[second]
    own = values - values.mean()
    total = sum(
        own[i] * own[j]
        for i in range(24)
        for j in range(24)
        if {first[i], second[i]} & {first[j], second[j]}
    )
    mean = dyadic_mean(values, first, second)
    assert mean.standard_error == pytest.approx(np.sqrt(8 / 7 * total) / 24)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 1.5])
def test_intervals_hold_the_truth_and_tests_reject_in_5_percent(spread: float) -> None:
    """Calibration: problems of their own difficulty, as bases and as sources."""
    rng = np.random.default_rng(2)

    def odds(base, source):
        return 1 / (1 + np.exp(-(base + source)))

    truth = odds(*(spread * rng.normal(size=(2, 200_000)))).mean()
    n_runs, covered, naive, rejected = 200, [], [], []
    for _ in range(n_runs):
        first, second = pairs_of(60, 4, rng)
        base, source = spread * rng.normal(size=(2, 60))
        chance = odds(base[first], source[second])
        one, other = (rng.random((2, len(first))) < chance).astype(float)
        low, high = dyadic_rate(dyadic_mean(one, first, second), 0.95)
        covered.append(low <= truth <= high)
        error = one.std() / np.sqrt(len(one))
        naive.append(abs(one.mean() - truth) < 1.96 * error)
        rejected.append(dyadic_test(dyadic_mean(one - other, first, second)) < 0.05)
    assert np.mean(covered) >= 0.93
    assert np.mean(rejected) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_runs)
    if spread:
        assert np.mean(naive) < np.mean(covered)


def test_what_is_always_so_still_has_an_interval_and_a_p_value() -> None:
    first, second = pairs_of(12, 3, np.random.default_rng(0))
    mean = dyadic_mean(np.ones(36), first, second)
    low, high = dyadic_rate(mean, 0.95)
    assert high == 1
    assert 0.6 < low < 0.9  # as of twelve pairs, not of thirty-six
    assert dyadic_test(mean) == pytest.approx(2 * 0.5**mean.fewest)
    assert dyadic_test(dyadic_mean(np.zeros(36), first, second)) == 1
    nothing = dyadic_mean(np.full(36, np.nan), first, second)
    assert np.isnan([nothing.estimate, dyadic_test(nothing), *dyadic_rate(nothing, 0.95)]).all()


def test_outcomes_are_counted_by_what_was_predicted() -> None:
    dims = ("pair", "site", "thought", "vector")
    shape = (4, 1, 1, 2)
    hit = np.array([1, 0, 1, np.nan]).reshape(4, 1, 1, 1) * np.ones(shape)
    zero = np.zeros(shape)
    found = xr.Dataset(
        {"hit": (dims, hit), "source_hit": (dims, zero), "base_hit": (dims, zero),
         "stays": (("pair", "thought"), [[0.0], [0.0], [1.0], [np.nan]])},
        coords={"base": ("pair", ["a", "b", "c", "d"]), "source": ("pair", ["b", "c", "d", "a"]),
                "site": ["input"], "thought": [0], "vector": ["source", "random"]},
    )  # fmt: skip
    table = stats.interchange_accuracy(found).isel(site=0, thought=0).sel(vector="source")
    predicted = table["estimate"].sel(outcome="predicted")
    assert predicted.sel(prediction="changes").item() == 0.5
    assert predicted.sel(prediction="stays").item() == 1
    assert np.isnan(predicted.sel(prediction="unknown").item())
    another = table["estimate"].sel(outcome="another", prediction="changes")
    assert another.item() == 0.5
    assert table["n_pairs"].values.tolist() == [2, 1, 1]
