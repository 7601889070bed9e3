"""Families of toy models: one recipe, one stream of problems, resumable, two rows."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cot_attn.data import load_problems
from cot_attn.models import ContinuousThoughtModel
from cot_attn.sweeps import ladder_plan, open_sweep, plan_sweep, run_sweep
from cot_attn.sweeps.models import n_parameters
from cot_attn.toy import ladder, training
from cot_attn.toy.architecture import Shape
from cot_attn.toy.ladder import SHAPES, Rung, climb, models, rungs
from cot_attn.toy.losses import DrawnOnce, draw_batch
from cot_attn.toy.tokenizer import toy_tokenizer
from cot_attn.toy.training import Progress, Recipe, train

TINY = Shape(32, 1)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Measure few problems, and often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "PROBLEMS", 2)
        patch.setattr(ladder, "PROBLEMS_AT_THE_END", 2)
        patch.setattr(ladder, "MEASURE_EVERY", 2)
        yield


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model = ContinuousThoughtModel.from_pretrained(folder)
    return dict(model.bridge.original_model.state_dict()) | dict(model.feedback.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_ladder_has_every_family_size_and_seed_and_grows() -> None:
    ladder_of_all = rungs()
    assert len(ladder_of_all) == 2 * len(SHAPES) * 3
    assert len({rung.name for rung in ladder_of_all}) == len(ladder_of_all)
    assert len({rung.recipe.stream for rung in ladder_of_all}) == 1
    assert len({rung.steps for rung in ladder_of_all}) == 1
    assert {rung.seed for rung in ladder_of_all[: len(ladder_of_all) // 3]} == {0}
    assert len(SHAPES) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("family", ladder.FAMILIES)
def test_a_rung_leaves_both_rows_that_load_and_says_what_they_are(
    family: Any, tmp_path: Path
) -> None:
    rung = Rung(family, TINY, seed=1, steps=5)
    facts = climb(rung, tmp_path, threshold=0.0)
    assert facts["reached"] == {"step": 2, "accuracy": facts["reached"]["accuracy"]}
    assert climb(rung, tmp_path) == facts  # nothing is trained again
    for row, steps in (("equal-steps", 5), ("equal-accuracy", 2)):
        ((name, folder, about),) = models(tmp_path, row)  # type: ignore[arg-type]
        assert name == rung.name
        assert about["steps"] == steps
        assert about["family"] == family
        model = ContinuousThoughtModel.from_pretrained(folder)
        assert (model.d_model, model.n_layers, model.n_thoughts) == (32, 1, 6)
        assert 15_000 < n_parameters(model) < 30_000
    assert not same(
        weights(tmp_path / rung.name / "equal-steps"),
        weights(tmp_path / rung.name / "equal-accuracy"),
    )
    with pytest.raises(ValueError, match="was trained with steps 5, and steps 9 is asked for"):
        climb(Rung(family, TINY, seed=1, steps=9), tmp_path)


@pytest.mark.slow
def test_a_ladder_is_a_sweep_with_facts_along_its_models(tmp_path: Path) -> None:
    for seed in (0, 1):
        climb(Rung("toy-gpt2", TINY, seed, steps=2), tmp_path / "ladder", threshold=0.0)
    problems = load_problems("toy", n=2)
    plan = ladder_plan(tmp_path / "ladder", problems, "equal-accuracy", corruptions="zero")
    plan_sweep(plan, tmp_path / "sweep")
    assert run_sweep(tmp_path / "sweep").complete
    merged = open_sweep(tmp_path / "sweep")
    assert merged["training_seed"].values.tolist() == [0, 1]
    assert merged["family"].values.tolist() == ["toy-gpt2"] * 2
    assert merged["trained_accuracy"].dtype == float
    assert merged["failed"].sizes["model"] == 2
    with pytest.raises(FileNotFoundError, match="make ladder"):
        ladder_plan(tmp_path, problems)


@pytest.mark.slow
def test_a_rung_below_the_threshold_is_in_one_row_alone(tmp_path: Path) -> None:
    facts = climb(Rung("toy-gpt2", TINY, seed=0, steps=2), tmp_path, threshold=1.1)
    assert facts["reached"] is None
    assert len(list(models(tmp_path, "equal-steps"))) == 1
    assert not list(models(tmp_path, "equal-accuracy"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    climb(Rung("toy-gpt2", TINY, seed=0, steps=4), folder, threshold=0.0)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupted_rung_ends_with_the_same_weights(
    at: int, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = Rung("toy-gpt2", TINY, seed=0, steps=4)
    done = 0
    loss = training._loss

    def stopping(*given: Any) -> Any:
        nonlocal done
        if done == at:
            raise KeyboardInterrupt
        done += 1
        return loss(*given)

    def often(*given: Any, **options: Any) -> Progress:
        return train(*given, **{**options, "save_every": 1})

    monkeypatch.setattr(ladder, "train", often)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_loss", stopping)
        with pytest.raises(KeyboardInterrupt):
            climb(rung, tmp_path / "stopped", threshold=0.0)
    facts = climb(rung, tmp_path / "stopped", threshold=0.0)
    assert facts["reached"]["step"] == 2
    for row in ("equal-steps", "equal-accuracy"):
        whole, stopped = (each / rung.name / row for each in (uninterrupted, tmp_path / "stopped"))
        assert same(weights(whole), weights(stopped))


@pytest.mark.slow
def test_models_of_one_stream_see_the_same_problems_whatever_their_seed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, list[Any]] = {}
    draw = training.draw_batch

    def noted(*given: Any, **options: Any) -> Any:
        batch = draw(*given, **options)
        seen.setdefault(now, []).append(batch.question.tolist())
        return batch

    monkeypatch.setattr(training, "draw_batch", noted)
    for now, shape, seed in (("a", TINY, 0), ("b", Shape(48, 2), 3)):
        train(Rung("toy-gpt2", shape, seed, steps=3).recipe, tmp_path / f"{now}.pt")
    now = "c"
    train(Recipe("toy-gpt2", steps=3, seed=3, shape=TINY), tmp_path / "c.pt")
    assert seen["a"] == seen["b"] != seen["c"]


def test_what_is_drawn_once_is_what_would_be_drawn_each_time() -> None:
    tokenizer, once = toy_tokenizer(), DrawnOnce()
    for _ in range(2):
        one, other = random.Random(3), random.Random(3)
        for steps in (1, 2):
            how = {"size": 4, "steps": steps, "n_thoughts": 3}
            batch, again = draw_batch(one, tokenizer, **how), once(other, tokenizer, **how)
            assert torch.equal(batch.question, again.question)
            assert torch.equal(batch.results, again.results)
            assert torch.equal(batch.answer, again.answer)
            assert one.getstate() == other.getstate()
    assert len(once._drawn) == 2


@pytest.mark.slow
def test_a_ladder_of_shorter_problems_has_as_many_thoughts(tmp_path: Path) -> None:
    rung = Rung("toy-gpt2", TINY, seed=0, steps=2, longest=2, batch_size=4)
    facts = climb(rung, tmp_path, threshold=0.0)
    assert (facts["longest"], facts["batch_size"]) == (2, 4)
    model = ContinuousThoughtModel.from_pretrained(tmp_path / rung.name / "equal-steps")
    assert model.n_thoughts == 2
    with pytest.raises(ValueError, match="longest 2, and longest 3 is asked for"):
        climb(replace(rung, longest=3), tmp_path)


@pytest.mark.parametrize("shape", [(20, 1, 4), (33, 1, 4), (32, 0, 4), (48, 1, 3)])
def test_a_shape_that_cannot_be_built_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot be built"):
        Shape(*shape)


@pytest.mark.slow
def test_the_command_climbs_and_goes_on(tmp_path: Path) -> None:
    import typer
    from typer.testing import CliRunner

    app = typer.Typer()
    app.command()(ladder.main)
    asked = [
        str(tmp_path),
        "--sizes",
        "32x1",
        "--workers",
        "1",
        "--seeds",
        "1",
        "--steps",
        "3",
        "--families",
    ]
    for families, n in (("toy-gpt2", 1), ("toy-gpt2,toy-llama", 2)):
        result = CliRunner().invoke(app, [*asked, families])
        assert result.exit_code == 0, result.output
        assert f"{n} of {n}: " in result.output
    assert len(list(models(tmp_path, "equal-steps"))) == 2
    assert CliRunner().invoke(app, [*asked, "toy-gpt3"]).exit_code == 2
