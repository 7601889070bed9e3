"""A run that was interrupted goes on where it was, and never takes another run's results."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from conftest import tiny_gpt2, wrap
from cot_attn._writing import LOCK, MARK, NEW
from cot_attn.data import Problem
from cot_attn.interventions import (
    Attention,
    GaussianNoise,
    Intervention,
    KnockOut,
    Replace,
    Resample,
    run_variants,
)
from cot_attn.interventions._engine.baseline import Baseline
from cot_attn.interventions._engine.contents import digest
from cot_attn.interventions._engine.identity import identity
from cot_attn.interventions.resume import Arrays, FinishedProblems, Lasting
from cot_attn.interventions.variants import measured_variants
from cot_attn.models import ContinuousThoughtModel, Feedback, Identity, Projection, Rollout
from cot_attn.models.decoding import ForcedAnswers

pytestmark = pytest.mark.slow

PROBLEMS = [Problem(f"p{i}", f"w{i} w{i + 1} w{2 * i}"[: 3 + 2 * i], "1") for i in range(6)]
CHANGES = [Intervention(i, c) for i in range(2) for c in (GaussianNoise(1.0), Resample())]
OPTIONS = {
    "outcomes": ["failed", "answer", "kl_first"],
    "max_new_tokens": 4,
    "only_correct": False,
    "batch_size": 8,  # two problems at a time
}


class Stopped(BaseException):
    """What a person does to a long run."""


@pytest.fixture(scope="module")
def tiny_gpt2_model() -> ContinuousThoughtModel:
    """A model of two layers and two thoughts, which are enough here."""
    torch.manual_seed(7)
    return wrap(tiny_gpt2(2), Projection(32, 40), n_thoughts=2)


@pytest.fixture
def n_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the problems of the baselines, among them one for the first noise floor."""
    counts: list[int] = []
    build = Baseline.__init__

    def counted(
        self: Baseline, model: object, thinking: object, problems: list[Problem], *others: object
    ) -> None:
        counts.append(len(problems))
        build(self, model, thinking, problems, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Baseline, "__init__", counted)
    return counts


@pytest.fixture(scope="module")
def expected(tiny_gpt2_model: ContinuousThoughtModel) -> xr.Dataset:
    """What a run gives that nothing interrupts."""
    return run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS)


@pytest.fixture(scope="module")
def interrupted(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a run that was stopped when two of its three batches were done."""
    folder = tmp_path_factory.mktemp("interrupted")
    with pytest.MonkeyPatch.context() as patch:
        stopped_at(
            patch,
            2,
            lambda: run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=folder),
        )
    return folder


@pytest.fixture
def folder(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to go on in."""
    return shutil.copytree(interrupted, tmp_path / "interrupted")


def stopped_at(monkeypatch: pytest.MonkeyPatch, after: int, run: Callable[[], object]) -> None:
    """Stop a run at a batch of problems."""
    build, n_done = Baseline.__init__, 0

    def stopping(self: Baseline, *arguments: object) -> None:
        nonlocal n_done
        if n_done == after:
            raise Stopped
        n_done += 1
        build(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Baseline, "__init__", stopping)
        with pytest.raises(Stopped):
            run()


def test_an_interrupted_run_resumes_and_gives_the_same_result(
    tiny_gpt2_model: ContinuousThoughtModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_read: list[int],
) -> None:
    options = {**OPTIONS, "outcomes": [*OPTIONS["outcomes"], "thought_change", "disruption_tv"]}

    def run(**more: Any) -> xr.Dataset:
        return run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **options, **more)

    expected = run()
    stopped_at(monkeypatch, 2, lambda: run(resume=tmp_path))
    assert len(list(tmp_path.rglob("*.npz"))) == 2
    n_read.clear()
    result = run(resume=tmp_path)
    assert sum(n_read) == len(PROBLEMS) - 4
    xr.testing.assert_equal(result["answer"], expected["answer"])
    xr.testing.assert_allclose(result, expected, atol=1e-5)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"max_new_tokens": 3},
        {"outcomes": ["answer"]},
        {"problems": PROBLEMS[:5]},
        {"interventions": [Intervention(0, GaussianNoise(2.0))]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_run_takes_nothing_of_it(
    tiny_gpt2_model: ContinuousThoughtModel,
    folder: Path,
    n_read: list[int],
    other: dict[str, object],
) -> None:
    kept = sorted(folder.rglob("*.npz"))
    assert len(kept) == 2
    asked = {"problems": PROBLEMS, "interventions": CHANGES, **OPTIONS, **other}
    run_variants(tiny_gpt2_model, **asked, resume=folder)
    assert sum(n_read) >= len(asked["problems"])
    assert sorted(folder.rglob("*.npz")) == kept


def test_corruptions_of_one_label_are_told_apart_by_their_values() -> None:
    ones, twos = (Replace(torch.full((32,), value)) for value in (1.0, 2.0))
    assert ones.label == twos.label
    assert digest(ones) == digest(Replace(torch.ones(32)))
    assert digest(ones) != digest(twos)
    assert digest(ones) != digest(1)


def test_what_cannot_be_told_apart_is_not_kept(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    def double(activation: torch.Tensor, context: object) -> torch.Tensor:
        return 2 * activation

    with pytest.raises(ValueError, match="double is no dataclass"):
        run_variants(
            tiny_gpt2_model, PROBLEMS, [Intervention(0, double)], **OPTIONS, resume=tmp_path
        )

    @dataclass(frozen=True)
    class Double:
        label: str = "double"

        def __call__(self, activation: torch.Tensor, context: object) -> torch.Tensor:
            return 2 * activation

    run_variants(tiny_gpt2_model, PROBLEMS, [Intervention(0, Double())], **OPTIONS, resume=tmp_path)


LONG = np.zeros(5000, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Shifted:
    """An array that NumPy abbreviates when it is printed."""

    by: np.ndarray
    label: str = "shifted"

    def __call__(self, activation: torch.Tensor, context: object) -> torch.Tensor:
        return activation.roll(int(self.by.sum()))  # what is added to all goes in the norm


def test_a_change_in_the_middle_of_a_long_array_is_another_run(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = LONG.copy()
    other[2500] = 9
    assert repr(Shifted(LONG)) == repr(Shifted(other))
    run = partial_run(tiny_gpt2_model, tmp_path)
    expected = run([Intervention(0, Shifted(other))], resume=None)
    assert (expected["kl_first"] > 1e-3).all()
    stopped_at(monkeypatch, 2, lambda: run([Intervention(0, Shifted(LONG))]))
    result = run([Intervention(0, Shifted(other))])
    xr.testing.assert_allclose(result, expected, atol=1e-5)


def partial_run(model: ContinuousThoughtModel, folder: Path) -> Callable[..., xr.Dataset]:
    def run(changes: list[Intervention], **options: Any) -> xr.Dataset:
        return run_variants(
            model, PROBLEMS, changes, **{**OPTIONS, "batch_size": 2, "resume": folder} | options
        )

    return run


class Halved(Feedback):
    """A feedback whose number is no parameter."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def transform(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden * self.by


def built(
    seed: int = 7, feedback: Feedback | None = None, **options: Any
) -> ContinuousThoughtModel:
    torch.manual_seed(seed)
    return wrap(tiny_gpt2(), feedback or Identity(), **options)


def names(model: ContinuousThoughtModel, **changed: Any) -> str:
    """Return what a run would be known by."""
    asked: dict[str, Any] = {
        "problems": PROBLEMS,
        "interventions": CHANGES,
        "donors": PROBLEMS,
        "outcomes": ["failed"],
        "seed": 0,
        "max_new_tokens": 4,
        "only_correct": True,
        **changed,
    }
    _, questions = model.encode(asked["problems"])
    return digest(identity(model, questions=questions, **asked))


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed_problems(**values: Any) -> list[Problem]:
    return [*PROBLEMS[:3], replace(PROBLEMS[3], **values), *PROBLEMS[4:]]


OTHERS: dict[str, dict[str, Any]] = {
    "question": {"problems": changed_problems(question="w9 w8")},
    "answer": {"problems": changed_problems(answer="2")},
    "answer type": {"problems": changed_problems(answer_type="text")},
    "id": {"problems": changed_problems(id="q")},
    "order of problems": {"problems": PROBLEMS[::-1]},
    "fewer problems": {"problems": PROBLEMS[:5]},
    "a donor's text": {"donors": changed_problems(question="w9 w8")},
    "a donor less": {"donors": PROBLEMS[:5]},
    "outcomes": {"outcomes": ["failed", "answer"]},
    "seed": {"seed": 1},
    "max_new_tokens": {"max_new_tokens": 5},
    "only_correct": {"only_correct": False},
    "downstream": {
        "interventions": [
            Intervention(c.thoughts, c.corruption, downstream="frozen") for c in CHANGES
        ]
    },
    "site": {"interventions": [Intervention(c.thoughts, c.corruption, "kv") for c in CHANGES]},
    "thoughts": {"interventions": [Intervention((0, 1), c.corruption) for c in CHANGES[:2]]},
    "order of interventions": {"interventions": CHANGES[::-1]},
    "the last digit of sigma": {"interventions": [Intervention(0, GaussianNoise(1.0 + 2**-52))]},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS.keys())
def test_whatever_a_result_depends_on_is_told_apart(
    tiny_gpt2_model: ContinuousThoughtModel, changed: dict[str, Any]
) -> None:
    assert names(tiny_gpt2_model, **changed) != names(tiny_gpt2_model)


def test_what_a_result_does_not_depend_on_is_not_told_apart(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    same = names(tiny_gpt2_model)
    assert names(tiny_gpt2_model) == same
    described = changed_problems(difficulty=3, dataset="mine", steps=("one",))
    assert names(tiny_gpt2_model, problems=described, donors=described[::-1]) == same


def test_sites_of_one_label_are_told_apart(tiny_gpt2_model: ContinuousThoughtModel) -> None:
    @dataclass(frozen=True)
    class Named(KnockOut):
        label: str = "mine"

    # The site is a part of the identity, not only of the label.
    found = {
        names(tiny_gpt2_model, interventions=[Intervention(0, Named(), Attention(layers=[layer]))])
        for layer in (0, 1)
    }
    assert len(found) == 2


def test_models_that_differ_in_anything_are_told_apart() -> None:
    plain, words = built(), built()
    words.tokenizer.add_tokens(["more"])
    models = {
        "plain": plain,
        "weights": built(seed=8),
        "thoughts": built(n_thoughts=3),
        "template": built(),
        "feedback": built(feedback=Halved(0.5)),
        "a number of the feedback": built(feedback=Halved(0.25)),
        "vocabulary": words,
        "eps": built(),
        "dtype": built(),
    }
    models["template"].template = replace(plain.template, stop_at_first=False)
    models["eps"].bridge.original_model.config.layer_norm_epsilon = 1e-3
    models["dtype"].bridge.to(torch.float64)
    found = {what: names(model) for what, model in models.items()}
    assert len(set(found.values())) == len(found), found
    assert found["plain"] == names(built())


def test_a_run_that_resumes_inside_a_hook_is_the_same(
    tiny_gpt2_model: ContinuousThoughtModel,
    expected: xr.Dataset,
    folder: Path,
    n_read: list[int],
) -> None:
    """The library's own runs set hooks aside, so a hook is no part of what a run is known by."""

    def double(activation: torch.Tensor, hook: object) -> torch.Tensor:
        return 2 * activation

    with tiny_gpt2_model.hooks([("feedback.hook_out", double), ("blocks.1.hook_out", double)]):
        result = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=folder)
    assert sum(n_read) == len(PROBLEMS) - 4
    xr.testing.assert_identical(result, expected)


def test_a_damaged_part_is_computed_again(
    tiny_gpt2_model: ContinuousThoughtModel, expected: xr.Dataset, folder: Path
) -> None:
    first, second = sorted(folder.rglob("*.npz"))
    first.write_bytes(first.read_bytes()[:-30])
    whole = bytearray(second.read_bytes())
    whole[len(whole) // 2] ^= 1
    second.write_bytes(whole)
    result = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=folder)
    xr.testing.assert_allclose(result, expected, atol=1e-5)


def test_no_flipped_byte_of_a_part_is_read(tmp_path: Path) -> None:
    kept = FinishedProblems(tmp_path, "one")
    part = {"problems": np.arange(3), "failed": np.ones((3, 2)), "answers": np.array(["a", "b"])}
    with kept:
        kept.keep(part)
    (file,) = kept.folder.glob("*.npz")
    whole = file.read_bytes()
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        for found in kept.read():
            assert found.keys() == part.keys()
            for name, array in part.items():
                np.testing.assert_array_equal(found[name], array)


def test_problems_in_a_lasting_folder_stay_until_their_owner_removes_them(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path, n_read: list[int]
) -> None:
    first = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=Lasting(tmp_path))
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    n_read.clear()
    again = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=Lasting(tmp_path))
    assert sum(n_read) < len(PROBLEMS)  # the noise floor alone
    xr.testing.assert_identical(again, first)


class Lengths:
    """How many tokens each problem was answered, measured beside variants."""

    def __init__(self) -> None:
        self.arrays = {"lengths": np.full(len(PROBLEMS), -1)}
        self.n_measured = 0

    def measure(
        self, problems: Sequence[int], rollout: Rollout, forced: ForcedAnswers, log_p: object
    ) -> None:
        self.n_measured += len(problems)
        self.arrays["lengths"][list(problems)] = forced.length.cpu().numpy()


def test_what_is_measured_beside_variants_is_kept_with_them(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(beside: Lengths, **options: Any) -> xr.Dataset:
        asked = {**OPTIONS, "seed": 0, "donors": None, "resume": tmp_path, **options}
        return measured_variants(tiny_gpt2_model, PROBLEMS, CHANGES, beside=beside, **asked)

    with torch.no_grad(), tiny_gpt2_model.isolated():
        expected = run(whole := Lengths(), resume=None)
        stopped_at(monkeypatch, 2, lambda: run(Lengths()))
        result = run(rest := Lengths())
    said = tiny_gpt2_model.run(PROBLEMS, max_new_tokens=OPTIONS["max_new_tokens"]).answer_tokens
    assert whole.arrays["lengths"].tolist() == rest.arrays["lengths"].tolist() == [*map(len, said)]
    assert (whole.n_measured, rest.n_measured) == (len(PROBLEMS), len(PROBLEMS) - 4)
    xr.testing.assert_allclose(result, expected, atol=1e-5)


def test_a_run_without_it_is_not_taken_for_one_with_it(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    folder, beside = Lasting(tmp_path), Lengths()
    asked: dict[str, Any] = {**OPTIONS, "seed": 0, "donors": None, "resume": folder}
    run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **asked)
    with torch.no_grad(), tiny_gpt2_model.isolated():
        measured_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **asked, beside=beside)
    assert beside.n_measured == len(PROBLEMS)


def test_two_runs_of_the_same_are_told_of_each_other(
    tiny_gpt2_model: ContinuousThoughtModel, expected: xr.Dataset, tmp_path: Path
) -> None:
    def run() -> xr.Dataset:
        return run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=tmp_path)

    keep = FinishedProblems.keep

    def meanwhile(self: FinishedProblems, arrays: Arrays) -> None:
        with pytest.raises(BlockingIOError, match="Another process is at the same run"):
            run()
        keep(self, arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FinishedProblems, "keep", meanwhile)
        result = run()
    xr.testing.assert_allclose(result, expected)
    assert list(tmp_path.rglob("*")) == []


def test_what_a_killed_process_was_writing_is_swept(
    tiny_gpt2_model: ContinuousThoughtModel, folder: Path
) -> None:
    kept = next(folder.rglob("*.npz"))
    staged = kept.with_name(f".{kept.name}{MARK}anything")
    staged.mkdir()
    (staged / LOCK).touch()
    (staged / NEW).write_bytes(kept.read_bytes()[:99])
    run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, resume=Lasting(folder))
    assert kept.exists()
    assert not staged.exists()
