"""What is known exactly of a model whose weights were set by hand is found."""

import pytest

from cot_attn.interventions import (
    Intervention,
    Mean,
    Resample,
    ShuffleAll,
    TokenAblator,
    Zero,
    run_variants,
)
from cot_attn.toy import handmade_model, handmade_problems

WEIGHTS = (1, 1, 4, 1, 1, 1)
READS = 2


@pytest.mark.slow
@pytest.mark.parametrize("downstream", ["recompute", "frozen"])
def test_importance_is_exactly_what_the_weights_say(downstream: str) -> None:
    """Another digit in thought i reaches the answer through the feedback, or only if it is read."""
    problems = handmade_problems(20, WEIGHTS)
    # Donors with the same digit change nothing, so the truth is told by the donor's digit.
    donors = [problem for problem in problems if problem.question.split()[-1] == "7"]
    others = [problem for problem in problems if problem.question.split()[-1] != "7"]
    effects = TokenAblator(
        handmade_model(WEIGHTS), [Resample()], downstream=downstream, donors=donors
    ).run(others, ["failed"], max_new_tokens=4)
    through = range(READS + 1) if downstream == "recompute" else [READS]
    expected = [float(i in through) for i in range(len(WEIGHTS))]
    for problem in others:
        failed = effects["failed"].sel(problem=problem.id, corruption="resample")
        assert failed.values.tolist() == expected


@pytest.mark.slow
def test_the_answer_becomes_the_donors() -> None:
    problems = handmade_problems(12, WEIGHTS)
    donor = next(problem for problem in problems if problem.question.split()[-1] == "7")
    change = Intervention(1, Resample())
    answers = run_variants(
        handmade_model(WEIGHTS), problems[:5], [change], ["answer"], donors=[donor]
    )["answer"]
    assert (answers == donor.answer).all()


@pytest.mark.slow
def test_no_thought_that_is_not_read_matters_and_the_mean_tells_nothing() -> None:
    problems = handmade_problems(20, WEIGHTS)
    effects = TokenAblator(handmade_model(WEIGHTS), [Zero(), Mean()], downstream="frozen").run(
        problems, ["failed", "kl_value"], max_new_tokens=4
    )
    mean = effects.mean("problem")
    unread = [i for i in range(len(WEIGHTS)) if i != READS]
    assert (mean["failed"].sel(thought=unread) == 0).all()
    strongest = mean["kl_value"].sel(corruption="zero").argmax("thought")
    assert int(strongest) == READS


@pytest.mark.slow
def test_it_finds_the_thought_that_it_reads_wherever_that_one_stands() -> None:
    """Its attention goes by what a thought is, so a permutation of all of them changes nothing."""
    problems = handmade_problems(10, WEIGHTS)
    everything = Intervention(range(len(WEIGHTS)), ShuffleAll())
    failed = run_variants(handmade_model(WEIGHTS), problems, [everything], ["failed"])["failed"]
    assert (failed == 0).all()
