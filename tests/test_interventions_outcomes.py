"""Outcomes against direct computations from a plain loop's logits and attention."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import noise_floor_left_out
from cot_attn.data import Problem, grade
from cot_attn.interventions import Intervention, Zero, noise_floor, run_variants
from cot_attn.interventions._engine import batches, engine
from cot_attn.models import ContinuousThoughtModel
from cot_attn.models.batching import Batches
from plain_loop import N_NEW, N_THOUGHTS, Plain, PlainLoop, twins

pytestmark = pytest.mark.slow

CHANGES = [Intervention(i, Zero()) for i in range(N_THOUGHTS)]
OUTCOMES = [
    "kl_first",
    "kl_value",
    "logprob_gold",
    "logprob_baseline",
    "disruption_l2",
    "disruption_tv",
]


def variants(*given: object, **options: object) -> xr.Dataset:
    with noise_floor_left_out():
        return run_variants(*given, **options)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model_and_loop(request: pytest.FixtureRequest) -> tuple[ContinuousThoughtModel, PlainLoop]:
    return twins(request.param)


@pytest.fixture(scope="module")
def right(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
) -> tuple[list[Problem], dict[str, range]]:
    """Problems that the model gets right, and which answer tokens hold the value of each.

    One word is one token. Of a text every word is its value; of numbers the last one is.
    """
    model, loop = model_and_loop
    problems, values = [], {}
    for i in range(4):
        question = f"w{i} w{(7 * i) % 30} w{(11 * i) % 30}"[: 3 + 3 * i]
        words = model.decode(loop.run(model.tokenizer(question)["input_ids"]).answer).split()
        kind = "text" if i % 2 else "number"
        gold = " ".join(words) if i % 2 else words[-1].strip("w")
        problems.append(Problem(f"p{i}", question, gold, answer_type=kind))
        values[f"p{i}"] = range(0 if i % 2 else len(words) - 1, len(words))
    return problems, values


@dataclass
class Zeroed:
    """Plain runs of one problem that are forced to its answer: as it is, and without a thought."""

    tokens: list[int]
    words: list[int]
    base: Plain
    without: list[Plain]


@pytest.fixture(scope="module")
def zeroed(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
) -> dict[str, Zeroed]:
    model, loop = model_and_loop
    found = {}
    for problem in right[0]:
        tokens = model.tokenizer(problem.question)["input_ids"]
        words = [*loop.run(tokens).answer, model.template.eos][:N_NEW]
        base = loop.run(tokens, words=words)
        without = [
            loop.run(
                tokens,
                {("input", thought): torch.zeros_like},
                inputs=dict(enumerate(base.thoughts[: thought + 1])),
                words=words,
            )
            for thought in range(N_THOUGHTS)
        ]
        found[problem.id] = Zeroed(tokens, words, base, without)
    return found


def test_divergences_and_log_probabilities_are_those_of_plain_logits(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
    zeroed: dict[str, Zeroed],
) -> None:
    model, _ = model_and_loop
    problems, values = right
    result = variants(model, problems, CHANGES, OUTCOMES, max_new_tokens=N_NEW)
    assert result["baseline_correct"].all()
    for problem in problems:
        plain, value = zeroed[problem.id], values[problem.id]
        tokens, words, base = plain.tokens, plain.words, plain.base
        log_p = base.logits.log_softmax(dim=-1)
        for run, change in zip(plain.without, CHANGES, strict=True):
            log_q = run.logits.log_softmax(dim=-1)
            kl = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
            said = log_q[torch.arange(len(words)), words]
            expected = {
                "kl_first": kl[0],
                "kl_value": kl[value.start],
                "logprob_gold": said[value.start : value.stop].sum(),
                "logprob_baseline": said.sum(),
            }
            one = result.sel(problem=problem.id, variant=change.label)
            for name, figure in expected.items():
                assert float(one[name]) == pytest.approx(float(figure), abs=2e-4), name
            # EOT's row, and the row that predicts the value, over positions.
            eot = len(tokens) + 1 + N_THOUGHTS
            for query, row in {"eot": eot, "answer_value": eot + value.start}.items():
                difference = run.patterns[:, :, row] - base.patterns[:, :, row]
                l2 = difference.square().sum(dim=-1).sqrt().mean(dim=-1)
                tv = difference.abs().sum(dim=-1).mean(dim=-1) / 2
                found = one.sel(query=query)
                np.testing.assert_allclose(found["disruption_l2"], l2, atol=1e-5)
                np.testing.assert_allclose(found["disruption_tv"], tv, atol=1e-5)


def test_an_answer_without_a_value_has_nothing_to_measure_at_the_value(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
) -> None:
    model, _ = model_and_loop
    silent = [Problem(f"p{i}", f"w{i}", "yes", answer_type="boolean") for i in range(2)]
    result = variants(model, silent, CHANGES, OUTCOMES, max_new_tokens=N_NEW, only_correct=False)
    for name in ("kl_value", "logprob_gold"):
        assert np.isnan(result[name]).all()
    assert np.isnan(result["disruption_tv"].sel(query="answer_value")).all()
    assert np.isfinite(result["disruption_tv"].sel(query="eot")).all()
    assert np.isfinite(result["kl_first"]).all()


def test_the_value_of_a_wrong_answer_is_not_called_gold(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
    zeroed: dict[str, Zeroed],
) -> None:
    model, _ = model_and_loop
    all_right, values = right
    wrong = [replace(p, answer="777", answer_type="number") for p in all_right[::2]]
    unknown = [replace(p, answer=None) for p in all_right[1:2]]
    others = {problem.id: problem for problem in [*wrong, *unknown]}
    problems = [others.get(problem.id, problem) for problem in all_right]
    result = variants(model, problems, CHANGES, OUTCOMES, max_new_tokens=N_NEW, only_correct=False)
    for problem in problems:
        plain, value = zeroed[problem.id], values[problem.id]
        words = plain.words
        for run, change in zip(plain.without, CHANGES, strict=True):
            said = run.logits.log_softmax(dim=-1)[torch.arange(len(words)), words]
            gold = np.nan if problem.id in others else float(said[value.start : value.stop].sum())
            one = result.sel(problem=problem.id, variant=change.label)
            np.testing.assert_allclose(one["logprob_gold"], gold, atol=2e-4)
            # What is said of the baseline's own words holds whether they are right or not.
            np.testing.assert_allclose(one["logprob_baseline"], float(said.sum()), atol=2e-4)
    np.testing.assert_array_equal(
        result["baseline_correct"], [p.id not in others for p in problems]
    )


def test_only_what_was_asked_is_in_the_result(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
) -> None:
    model, _ = model_and_loop
    problems = [Problem("a", "w1 w2", "3"), Problem("b", "w3", "4")]
    for outcomes in (["answer"], ["failed", "kl_value"], ["disruption_tv", "logprob_gold"]):
        result = run_variants(model, problems, CHANGES[:1], outcomes, max_new_tokens=N_NEW)
        assert set(result.data_vars) == set(outcomes)
        assert set(result.attrs["noise_floor"]) == set(outcomes) - {"answer"}


def test_failed_is_what_grading_the_answer_says(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
) -> None:
    model, _ = model_and_loop
    problems, _ = right
    result = variants(model, problems, CHANGES, ["failed", "answer"], max_new_tokens=N_NEW)
    for problem in problems:
        for change in CHANGES:
            one = result.sel(problem=problem.id, variant=change.label)
            assert float(one["failed"]) == (not grade(str(one["answer"].item()), problem).correct)
    assert 0 < float(result["failed"].mean()) < 1


def test_the_noise_floor_is_float_noise(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
) -> None:
    model, _ = model_and_loop
    problems = right[0][:3]
    floor = noise_floor(model, problems, ["failed", *OUTCOMES], max_new_tokens=N_NEW)
    assert set(floor) == {"failed", *OUTCOMES}
    assert floor["failed"] == 0
    assert all(0 <= value < 1e-3 for value in floor.values())


def test_the_noise_floor_takes_as_many_rows_as_fit(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = model_and_loop
    problems = right[0][:3]
    sizes: list[int] = []

    class Noted(Batches):
        def __init__(self, size: int) -> None:
            sizes.append(size)
            super().__init__(size)

    monkeypatch.setattr(engine, "Batches", Noted)
    for fit in (7, 10_000):
        monkeypatch.setattr(batches, "fitting", lambda model, n_positions, fit=fit: fit)
        noise_floor(model, problems, ["kl_first"], max_new_tokens=N_NEW)
    noise_floor(model, problems, ["kl_first"], max_new_tokens=N_NEW, batch_size=4)
    n_rows = len(problems) * N_THOUGHTS
    # Baselines, then each shape for as many of them as have room with their rows.
    assert sizes == [7, *(7, 2) * 2, n_rows, *(n_rows, n_rows // 3), 4, *(4, 1) * 3]


def test_a_noise_floor_is_measured_once_for_what_it_depends_on(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, _ = model_and_loop
    one, other = right[0][:2]
    measured: list[int] = []
    run_in_sizes = engine.Engine.run_in_sizes

    def counted(self: engine.Engine, sizes: list[int]) -> list[dict[str, np.ndarray]]:
        measured.append(len(self.problems))
        return run_in_sizes(self, sizes)

    monkeypatch.setattr(engine.Engine, "run_in_sizes", counted)

    def floor(problem: Problem, thought: int = 1, batch_size: int | None = None) -> float:
        change = Intervention(thought, Zero())
        result = run_variants(
            model, [problem], [change], ["kl_first"], max_new_tokens=N_NEW, batch_size=batch_size
        )
        return float(result.attrs["noise_floor"]["kl_first"])

    first = floor(one)
    assert floor(one, thought=2) == first
    assert len(measured) == 1
    floor(other)
    floor(one, batch_size=2)
    assert len(measured) == 3
    weight = next(model.feedback.parameters())
    before = weight.detach().clone()
    with torch.no_grad():
        weight.mul_(1.01)
    try:
        floor(one)
    finally:
        with torch.no_grad():
            weight.copy_(before)
    assert len(measured) == 4


def test_the_change_of_later_thoughts_is_their_cosine_distance_to_the_baselines(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
) -> None:
    model, loop = model_and_loop
    problems, _ = right
    changes = [*CHANGES, Intervention((0, 2), Zero())]
    result = variants(model, problems, changes, ["thought_change"], max_new_tokens=N_NEW)
    assert result["thought_change"].dims == ("problem", "variant", "later_thought")
    for problem in problems:
        tokens = model.tokenizer(problem.question)["input_ids"]
        base = loop.run(tokens, words=[0]).thoughts
        for change in changes:
            edits = {("input", i): torch.zeros_like for i in change.thoughts}
            thoughts = loop.run(tokens, edits, words=[0]).thoughts
            expected = 1 - torch.cosine_similarity(base, thoughts, dim=-1)
            expected[: change.thoughts[0]] = torch.nan
            expected[list(change.thoughts)] = torch.nan
            found = result["thought_change"].sel(problem=problem.id, variant=change.label)
            np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_later_thoughts_move_only_where_they_are_recomputed(
    model_and_loop: tuple[ContinuousThoughtModel, PlainLoop],
    right: tuple[list[Problem], dict[str, range]],
    downstream: str,
) -> None:
    model, _ = model_and_loop
    problems, _ = right
    change = Intervention(0, Zero(), downstream=downstream)
    result = variants(model, problems, [change], ["thought_change"], max_new_tokens=N_NEW)
    later = result["thought_change"].sel(later_thought=[1, 2])
    assert (later > 1e-3).all() if downstream == "recompute" else (later < 1e-6).all()
