"""Claims about the toy problems, their tokenizer, the trainer and the bundled models."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cot_attn.checkpoints import bundled_models
from cot_attn.data.problem import Problem
from cot_attn.data.sets.toy import toy_problems
from cot_attn.interventions.ablator import TokenAblator
from cot_attn.interventions.corruption import Resample
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.toy.measuring import accuracy
from cot_attn.toy.tokenizer import toy_template, toy_tokenizer
from cot_attn.toy.training import Progress, Recipe, train

SPLITS = ("test", "train")
BUNDLED = ("toy-gpt2", "toy-llama")


def read(question: str) -> tuple[int, list[tuple[str, str]]]:
    """Read the start value and the (verb, object) of each step out of the text."""
    start = int(re.search(r"sets a 23 \w+ \w+ to (\d+)\.", question)[1])
    return start, re.findall(r"(\w+) (\d+|it) on \w+day", question)


def follow(question: str) -> list[int]:
    """Do what the text says, one step after the other."""
    effects = {
        "adds": 1,
        "contributes": 1,
        "gives": 1,
        "subtracts": -1,
        "removes": -1,
        "takes": -1,
    }
    value, steps = read(question)
    shown = []
    for verb, what in steps:
        if what == "it":
            value *= {"doubles": 2, "triples": 3}[verb]
        else:
            value += effects[verb] * int(what)
        shown.append(value % 23)
    return shown


def skeleton(problem: Problem) -> tuple[int, tuple[int | str, ...]]:
    """Return what a problem computes, whatever the wording."""
    start, steps = read(problem.question)
    signs = {"adds": 1, "contributes": 1, "gives": 1}
    return start, tuple(
        verb if what == "it" else signs.get(verb, -1) * int(what) for verb, what in steps
    )


# Problems ------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), split=st.sampled_from(SPLITS))
def test_the_steps_are_what_the_text_says(seed: int, split: str) -> None:
    for problem in toy_problems(30, seed, split):
        results = follow(problem.question)
        assert problem.steps == tuple(map(str, results))
        assert problem.answer == str(results[-1])
        assert problem.difficulty == len(results)


@pytest.mark.slow
def test_no_training_problem_computes_what_a_held_out_one_does() -> None:
    for steps in (1, 2, 3):
        held_out, trained = (
            {skeleton(problem) for problem in toy_problems(1000, 5, split, [steps])}
            for split in SPLITS
        )
        assert held_out
        assert not held_out & trained


@pytest.mark.slow
def test_problems_of_one_step_leave_a_fifth_of_all_there_are_to_testing() -> None:
    held_out, trained = (
        {skeleton(problem) for problem in toy_problems(2500, 0, split, [1])} for split in SPLITS
    )
    n_skeletons = 23 * 20  # nine sums, nine differences, two products of each start value
    assert len(held_out | trained) > 0.95 * n_skeletons
    assert 0.15 < len(held_out) / n_skeletons < 0.25


def test_the_same_seed_gives_the_same_problems_and_another_seed_others() -> None:
    assert toy_problems(60, seed=3) == toy_problems(60, seed=3)
    assert toy_problems(60, seed=3)[:20] == toy_problems(20, seed=3)
    assert toy_problems(60, seed=3) != toy_problems(60, seed=4)


@pytest.mark.slow
def test_a_problem_has_the_same_id_in_every_list() -> None:
    ids: dict[str, str] = {}
    for seed in range(10):
        for problem in toy_problems(200, seed, steps=[1]):
            assert ids.setdefault(problem.id, problem.question) == problem.question
    assert len(set(ids.values())) == len(ids)


def test_every_number_of_steps_has_as_many_problems() -> None:
    assert Counter(p.difficulty for p in toy_problems(120)) == dict.fromkeys(range(1, 7), 20)
    assert Counter(p.difficulty for p in toy_problems(30, steps=[2, 5])) == {2: 15, 5: 15}


@pytest.mark.slow
def test_a_long_list_of_one_step_problems_repeats_no_question() -> None:
    questions = [problem.question for problem in toy_problems(3000, steps=[1])]
    assert len(set(questions)) == len(questions)


@pytest.mark.parametrize(
    "wrong", [{"n": -1}, {"n": 10**6}, {"split": "dev"}, {"steps": [0, 1]}, {"steps": []}]
)
def test_what_cannot_be_had_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        toy_problems(**{"n": 6, **wrong})


def test_making_problems_needs_no_torch() -> None:
    code = "import sys, cot_attn.data.sets.toy; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# Tokenizer -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_question_and_answer_survives_the_tokenizer() -> None:
    tokenizer = toy_tokenizer()
    for problem in toy_problems(1200):
        for text in (problem.question, f"The answer is {problem.answer}"):
            tokens = tokenizer(text).input_ids
            assert tokenizer.unk_token_id not in tokens
            assert tokenizer.decode(tokens) == text


def test_every_number_is_one_token() -> None:
    tokenizer = toy_tokenizer()
    assert all(len(tokenizer(str(number)).input_ids) == 1 for number in range(24))


def test_the_marks_round_thoughts_and_answer_are_different_tokens() -> None:
    tokenizer = toy_tokenizer()
    template = toy_template(tokenizer)
    marks = [*template.bot, *template.eot, template.eos, tokenizer.pad_token_id]
    assert len(set(marks)) == 4
    assert tokenizer("<bot><eot>").input_ids == [*template.bot, *template.eot]
    assert template.eos not in template.suppressed


# Training ------------------------------------------------------------------------------------


class InterruptedRunError(Exception):
    """Stands for whatever ends a run early."""


def weights(progress: Progress) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in progress.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Progress:
    # Twelve steps pass through all stages: given thoughts, the hand-over, thoughts of its own.
    recipe = Recipe("toy-llama", steps=12, batch_size=4)
    return train(recipe, tmp_path_factory.mktemp("run") / "run.pt")


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_weights(
    uninterrupted: Progress, tmp_path: Path
) -> None:
    def interrupt(progress: Progress, losses: dict[str, float]) -> None:
        if progress.step == 10:
            raise InterruptedRunError

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(InterruptedRunError):
        train(uninterrupted.recipe, checkpoint, save_every=9, on_step=interrupt)
    assert Progress.load(checkpoint).step == 9
    resumed = train(uninterrupted.recipe, checkpoint, save_every=9)
    assert resumed.step == 12
    assert same(weights(resumed), weights(uninterrupted))
    assert resumed.curriculum == uninterrupted.curriculum


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    uninterrupted: Progress, tmp_path: Path
) -> None:
    torch.manual_seed(123)  # what else was drawn must not matter
    again = train(uninterrupted.recipe, tmp_path / "again.pt")
    other = train(Recipe("toy-llama", steps=12, batch_size=4, seed=1), tmp_path / "other.pt")
    assert same(weights(again), weights(uninterrupted))
    assert not same(weights(other), weights(uninterrupted))


def test_a_run_passes_from_given_thoughts_to_its_own(tmp_path: Path) -> None:
    latent: list[float] = []
    train(
        Recipe("toy-gpt2", steps=12, batch_size=2),
        tmp_path / "run.pt",
        on_step=lambda progress, losses: latent.append(losses["latent"]),
    )
    assert latent[:7] == [0.0] * 7
    assert latent[-2:] == [1.0] * 2


def test_the_control_never_thinks(tmp_path: Path) -> None:
    recipe = Recipe("toy-gpt2", steps=2, batch_size=2).control
    untrained = weights(Progress.start(recipe))
    trained = weights(train(recipe, tmp_path / "run.pt"))
    changed = {name for name in trained if not torch.equal(trained[name], untrained[name])}
    assert changed
    assert not any(name.startswith("feedback.") for name in changed)


@pytest.mark.slow
def test_a_save_that_fails_leaves_the_old_checkpoint_whole(
    uninterrupted: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "run.pt"
    uninterrupted.save(checkpoint)

    def fail(saved: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        uninterrupted.save(checkpoint)
    assert same(weights(Progress.load(checkpoint)), weights(uninterrupted))


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(
    uninterrupted: Progress, tmp_path: Path
) -> None:
    uninterrupted.save(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="another folder"):
        train(Recipe("toy-llama", steps=13), tmp_path / "run.pt")


# The bundled models ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BUNDLED)
def bundled(request: pytest.FixtureRequest) -> ContinuousThoughtModel:
    return ContinuousThoughtModel.from_pretrained(request.param)


@pytest.mark.slow
def test_a_bundled_model_solves_held_out_problems_of_every_number_of_steps(
    bundled: ContinuousThoughtModel,
) -> None:
    solved = accuracy(bundled, 60, [6], seed=99)
    assert (solved >= 0.95).all(), solved.values


@pytest.mark.slow
def test_k_thoughts_are_enough_for_k_steps_and_fewer_are_not(
    bundled: ContinuousThoughtModel,
) -> None:
    solved = accuracy(bundled, 20, range(7), seed=98)
    for steps in range(1, 7):
        assert (solved.sel(steps=steps, n_thoughts=slice(steps, 6)) >= 0.95).all()
        assert (solved.sel(steps=steps, n_thoughts=slice(0, steps - 1)) <= 0.2).all()


@pytest.mark.slow
def test_another_problems_thought_breaks_the_steps_that_build_on_it(
    bundled: ContinuousThoughtModel,
) -> None:
    problems = toy_problems(90, seed=97)
    effects = TokenAblator(bundled, [Resample()]).run(problems, ["failed"], max_new_tokens=8)
    failed = effects["failed"].squeeze("corruption").groupby("difficulty").mean()
    for steps in range(1, 7):
        # A donor's thought holds the same number now and then.
        assert (failed.sel(difficulty=steps, thought=slice(0, steps - 1)) >= 0.7).all()


@pytest.mark.slow
def test_a_bundled_model_is_small(bundled: ContinuousThoughtModel) -> None:
    folder = bundled_models()[bundled.name]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
