"""What each corruption puts in a thought's place."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cot_attn.interventions import (
    CCTA,
    CleanActivations,
    Context,
    GaussianNoise,
    Hook,
    Mean,
    Replace,
    Resample,
    Scale,
    Shuffle,
    ShuffleAll,
    Swap,
    Unchanged,
    Zero,
)
from cot_attn.interventions.corruption import label

N_THOUGHTS, WIDTH = 5, 3
IDS = tuple(f"p{i}" for i in range(7))
# The activation of problem p, thought t, is full of 100 p + t: it says where it came from.
ACTIVATIONS = (
    (100 * torch.arange(len(IDS))[:, None] + torch.arange(N_THOUGHTS))[:, :, None]
    .expand(-1, -1, WIDTH)
    .float()
)
INPUT = Hook("input")
CLEAN = CleanActivations(IDS, {INPUT: ACTIVATIONS}, frozenset(IDS))

problems = st.sampled_from(IDS)
thoughts = st.integers(0, N_THOUGHTS - 1)
seeds = st.integers(0, 1000)


def context(problem: str, thought: int, seed: int = 0, clean: CleanActivations = CLEAN) -> Context:
    return Context(problem, thought, seed, clean)


def origin(activation: torch.Tensor) -> tuple[str, int]:
    """Say which problem and thought an activation came from."""
    (value,) = set(activation.tolist())
    return IDS[int(value) // 100], int(value) % 100


@pytest.mark.slow
@given(problem=problems, thought=thoughts, seed=seeds)
def test_resample_takes_the_same_thought_of_another_problem(
    problem: str, thought: int, seed: int
) -> None:
    given_by, index = origin(Resample()(torch.zeros(WIDTH), context(problem, thought, seed)))
    assert given_by != problem
    assert index == thought


def test_resample_reaches_every_other_problem() -> None:
    found = {
        origin(Resample()(torch.zeros(WIDTH), context("p2", 0, seed)))[0] for seed in range(200)
    }
    assert found == set(IDS) - {"p2"}


@pytest.mark.slow
@given(problem=problems, thought=thoughts, seed=seeds)
def test_shuffle_takes_another_thought_of_the_same_problem(
    problem: str, thought: int, seed: int
) -> None:
    given_by, index = origin(Shuffle()(torch.zeros(WIDTH), context(problem, thought, seed)))
    assert given_by == problem
    assert index != thought


@pytest.mark.slow
@given(problem=problems, seed=seeds)
def test_shuffle_all_is_a_permutation_that_leaves_no_thought_in_place(
    problem: str, seed: int
) -> None:
    moved = [origin(ShuffleAll()(torch.zeros(WIDTH), context(problem, i, seed))) for i in range(5)]
    assert {who for who, _ in moved} == {problem}
    assert sorted(index for _, index in moved) == list(range(N_THOUGHTS))
    assert all(index != i for i, (_, index) in enumerate(moved))


@given(problem=problems, thought=thoughts)
def test_the_mean_leaves_the_problem_itself_out(problem: str, thought: int) -> None:
    others = [ACTIVATIONS[i, thought] for i, name in enumerate(IDS) if name != problem]
    expected = torch.stack(others).mean(dim=0)
    torch.testing.assert_close(Mean()(torch.zeros(WIDTH), context(problem, thought)), expected)


def test_the_mean_of_donors_that_are_others_is_the_mean_of_all_donors() -> None:
    clean = CleanActivations(IDS, {INPUT: ACTIVATIONS}, frozenset(IDS[:3]))
    mean = Mean()(torch.zeros(WIDTH), context("p6", 1, clean=clean))
    torch.testing.assert_close(mean, ACTIVATIONS[:3, 1].mean(dim=0))


def test_only_donors_donate() -> None:
    clean = CleanActivations(IDS, {INPUT: ACTIVATIONS}, frozenset({"p1", "p4"}))
    for problem, expected in {"p1": {"p4"}, "p4": {"p1"}, "p0": {"p1", "p4"}}.items():
        contexts = [context(problem, 2, seed, clean) for seed in range(50)]
        assert {origin(Resample()(torch.zeros(WIDTH), each))[0] for each in contexts} == expected


def test_swap_exchanges_two_thoughts_and_refuses_others() -> None:
    swap = Swap(1, 3)
    assert origin(swap(torch.zeros(WIDTH), context("p0", 1))) == ("p0", 3)
    assert origin(swap(torch.zeros(WIDTH), context("p0", 3))) == ("p0", 1)
    with pytest.raises(ValueError, match=r"thoughts=\(1, 3\)"):
        swap(torch.zeros(WIDTH), context("p0", 2))


def test_simple_corruptions_do_what_their_names_say() -> None:
    activation, here = torch.tensor([1.0, -2.0, 3.0]), context("p0", 0)
    assert Zero()(activation, here).tolist() == [0, 0, 0]
    assert Unchanged()(activation, here).tolist() == [1, -2, 3]
    assert Scale(-0.5)(activation, here).tolist() == [-0.5, 1, -1.5]
    assert Replace(torch.tensor([7.0, 8.0, 9.0]))(activation, here).tolist() == [7, 8, 9]


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    activation = torch.full((20_000,), 3.0)
    absolute = GaussianNoise(0.5)(activation, context("p0", 0)) - activation
    relative = GaussianNoise(0.5, relative=True)(activation, context("p0", 0)) - activation
    assert absolute.std().item() == pytest.approx(0.5, rel=0.03)
    # The root mean square of the activation is 3.
    assert relative.std().item() == pytest.approx(1.5, rel=0.03)
    assert absolute.mean().item() == pytest.approx(0, abs=0.02)


def test_noise_depends_on_seed_problem_thought_and_corruption_alone() -> None:
    def noise(sigma: float, *where: object) -> list[float]:
        result: list[float] = GaussianNoise(sigma)(torch.zeros(WIDTH), context(*where)).tolist()
        return result

    first = noise(1.0, "p0", 0, 0)
    torch.manual_seed(123)
    assert noise(1.0, "p0", 0, 0) == first
    others = [("p1", 0, 0), ("p0", 1, 0), ("p0", 0, 1)]
    assert all(noise(1.0, *where) != first for where in others)
    # Two strengths are not the same noise at two scales.
    assert noise(2.0, "p0", 0, 0) != pytest.approx([2 * value for value in first])


def test_every_corruption_has_a_label_of_its_own() -> None:
    corruptions = [*CCTA, Mean(), ShuffleAll(), Swap(0, 1), Scale(2.0), GaussianNoise(0.5, True)]
    labels = [label(corruption) for corruption in corruptions]
    assert len(set(labels)) == len(labels)
    assert labels[:3] == ["zero", "gaussian(sigma=0.1)", "gaussian(sigma=0.5)"]

    def my_own(activation: torch.Tensor, context: Context) -> torch.Tensor:
        return activation

    assert label(my_own) == "my_own"


def test_impossible_choices_are_refused_with_a_sentence() -> None:
    alone = CleanActivations(("p0",), {INPUT: ACTIVATIONS[:1]}, frozenset({"p0"}))
    for corruption in (Resample(), Mean()):
        with pytest.raises(ValueError, match="at least two problems"):
            corruption(torch.zeros(WIDTH), context("p0", 0, clean=alone))
    single = CleanActivations(IDS, {INPUT: ACTIVATIONS[:, :1]}, frozenset(IDS))
    with pytest.raises(ValueError, match="at least two thoughts"):
        Shuffle()(torch.zeros(WIDTH), context("p0", 0, clean=single))
    with pytest.raises(ValueError, match="not among the clean"):
        Shuffle()(torch.zeros(WIDTH), context("stranger", 0))
    with pytest.raises(ValueError, match="above 0"):
        GaussianNoise(0.0)


@pytest.mark.parametrize(
    "corruption",
    [
        *CCTA,
        GaussianNoise(0.5, relative=True),
        Mean(),
        ShuffleAll(),
        Swap(1, 3),
        Scale(2.0),
        Replace(torch.ones(WIDTH)),
        Unchanged(),
    ],
    ids=label,
)
def test_several_problems_at_once_get_what_each_gets_alone(corruption) -> None:
    before = torch.randn(len(IDS), WIDTH)
    contexts = [context(problem, thought=1, seed=3) for problem in IDS]
    together = corruption.many(before, contexts)
    alone = [
        corruption(activation, there) for activation, there in zip(before, contexts, strict=True)
    ]
    assert torch.equal(together, torch.stack(alone))
