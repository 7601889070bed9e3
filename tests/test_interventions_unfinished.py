"""A run that was interrupted goes on where it was, and never takes another run's results."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import xarray as xr

from cot_attn.data import Problem
from cot_attn.interventions import GaussianNoise, Intervention, Replace, Resample, run_variants
from cot_attn.interventions.baseline import Baseline
from cot_attn.interventions.unfinished import Lasting, Part, Unfinished
from cot_attn.models import ContinuousThoughtModel

PROBLEMS = [Problem(f"p{i}", f"w{i} w{i + 1} w{2 * i}"[: 3 + 2 * i], "1") for i in range(6)]
CHANGES = [Intervention(i, c) for i in range(2) for c in (GaussianNoise(1.0), Resample())]
OPTIONS = {
    "outcomes": ["failed", "answer", "kl_first", "thought_change", "disruption_tv"],
    "max_new_tokens": 4,
    "only_correct": False,
    "batch_size": 8,  # two problems at a time
}


class Stopped(BaseException):
    """What a person does to a long run."""


@pytest.fixture
def n_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the problems of the baselines; the noise floor's single problem is among them."""
    counts: list[int] = []
    build = Baseline.__init__

    def counted(self: Baseline, model: object, problems: list[Problem], *others: object) -> None:
        counts.append(len(problems))
        build(self, model, problems, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(Baseline, "__init__", counted)
    return counts


def interrupted(
    model: ContinuousThoughtModel, folder: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """Run until some batches of problems are done."""
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
            run_variants(model, PROBLEMS, CHANGES, **OPTIONS, unfinished=folder)


def test_an_interrupted_run_goes_on_and_gives_the_same_result(
    tiny_gpt2_model: ContinuousThoughtModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_read: list[int],
) -> None:
    expected = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS)
    n_all = sum(n_read)
    interrupted(tiny_gpt2_model, tmp_path, monkeypatch, after=2)
    assert len(list(tmp_path.rglob("*.npz"))) == 2
    n_read.clear()
    result = run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, unfinished=tmp_path)
    assert sum(n_read) == n_all - 4
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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_read: list[int],
    other: dict[str, object],
) -> None:
    interrupted(tiny_gpt2_model, tmp_path, monkeypatch, after=2)
    kept = sorted(tmp_path.rglob("*.npz"))
    asked = {"problems": PROBLEMS, "interventions": CHANGES, **OPTIONS, **other}
    n_read.clear()
    run_variants(tiny_gpt2_model, **asked, unfinished=tmp_path)
    assert sum(n_read) >= len(asked["problems"])
    assert sorted(tmp_path.rglob("*.npz")) == kept


def test_corruptions_of_one_label_are_told_apart_by_their_values(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    from cot_attn.interventions.unfinished import fields_of

    ones, twos = (Replace(torch.full((32,), value)) for value in (1.0, 2.0))
    assert ones.label == twos.label
    assert fields_of(ones) == fields_of(Replace(torch.ones(32)))
    assert fields_of(ones) != fields_of(twos)
    assert Unfinished(tmp_path, fields_of(ones)).folder != Unfinished(tmp_path, 1).folder


def test_what_cannot_be_told_apart_is_not_kept(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    def double(activation: torch.Tensor, place: object) -> torch.Tensor:
        return 2 * activation

    with pytest.raises(ValueError, match="double is no dataclass"):
        run_variants(
            tiny_gpt2_model, PROBLEMS, [Intervention(0, double)], **OPTIONS, unfinished=tmp_path
        )

    @dataclass(frozen=True)
    class Double:
        label: str = "double"

        def __call__(self, activation: torch.Tensor, place: object) -> torch.Tensor:
            return 2 * activation

    run_variants(
        tiny_gpt2_model, PROBLEMS, [Intervention(0, Double())], **OPTIONS, unfinished=tmp_path
    )


def test_parts_in_a_lasting_folder_stay_until_their_owner_removes_them(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path, n_read: list[int]
) -> None:
    first = run_variants(
        tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, unfinished=Lasting(tmp_path)
    )
    assert len(list(tmp_path.rglob("*.npz"))) == 3
    n_read.clear()
    again = run_variants(
        tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, unfinished=Lasting(tmp_path)
    )
    assert sum(n_read) < len(PROBLEMS)  # the noise floor alone
    xr.testing.assert_identical(again, first)


def test_two_runs_of_the_same_are_told_of_each_other(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    def run() -> xr.Dataset:
        return run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, unfinished=tmp_path)

    keep = Unfinished.keep

    def meanwhile(self: Unfinished, part: Part) -> None:
        with pytest.raises(BlockingIOError, match="Another process is at the same run"):
            run()
        keep(self, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unfinished, "keep", meanwhile)
        result = run()
    xr.testing.assert_allclose(result, run())
    assert list(tmp_path.rglob("*")) == []


def test_what_a_killed_process_was_writing_is_swept(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tiny_gpt2_model, tmp_path, monkeypatch, after=2)
    kept = next(tmp_path.rglob("*.npz"))
    half = kept.with_suffix(".part")
    half.write_bytes(kept.read_bytes()[:99])
    folder = Lasting(tmp_path)
    run_variants(tiny_gpt2_model, PROBLEMS, CHANGES, **OPTIONS, unfinished=folder)
    assert kept.exists()
    assert not half.exists()
