"""A study joins attention and effects by problem, is saved whole, and compares like with like."""

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from cot_attn.checkpoints import load
from cot_attn.checkpoints.report import options_of
from cot_attn.data import Problem
from cot_attn.interventions import Resample, Zero
from cot_attn.models import ContinuousThoughtModel
from cot_attn.models.rollout import Rollout
from cot_attn.report import page, write_report
from cot_attn.study import Study, _storage, compare, run_study
from cot_attn.study._display import study_tables
from cot_attn.study._export import write_summary
from cot_attn.study._output import new_folder
from cot_attn.study._packing import rounded
from cot_attn.study._storage import read_folder, write_folder
from cot_attn.toy.handmade import handmade_model, handmade_problems

WEIGHTS = (1, 2, 8, 1, 3, 1)


@pytest.fixture(scope="module")
def model() -> ContinuousThoughtModel:
    return handmade_model(WEIGHTS)


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    wrong = Problem("wrong", "take the digit 3", "3", difficulty=3)
    return [*handmade_problems(20, WEIGHTS), wrong]


@pytest.fixture(scope="module")
def study(model: ContinuousThoughtModel, problems: list[Problem]) -> Study:
    return run_study(model, problems, corruptions=[Zero(), Resample()], max_new_tokens=4)


@pytest.mark.slow
def test_the_truth_about_the_handmade_model_is_found(study: Study) -> None:
    table = study.table(1)
    # Thoughts before the one that is read carry it; those behind it do nothing.
    failed = study.effects["failed"].sel(corruption="zero").mean("problem").values
    np.testing.assert_array_equal(failed, [1, 1, 1, 0, 0, 0])
    lengths = study.attention["question_length"].values[:, None]
    # Head 0 reads with the weights, head 1 looks at every position alike.
    weights = np.array(WEIGHTS)
    read = weights / (weights.sum() + lengths + 2)
    alike = 1 / (lengths + 8)
    expected = 100 * ((read + alike) / 2).mean(axis=0)
    np.testing.assert_allclose(table["attention"], expected, rtol=1e-4)
    shares = 100 * (weights / weights.sum() + 1 / 6) / 2
    np.testing.assert_allclose(table["share"], shares, rtol=1e-4)


@pytest.mark.slow
def test_a_problem_answered_wrong_stays_in_the_study_and_counts_nowhere(study: Study) -> None:
    assert study.n_correct == 20
    assert len(study.problems) == 21
    assert np.isnan(study.effects["failed"].sel(problem="wrong")).all()
    assert int(study.importance["n_problems"].max()) == 20
    assert set(np.unique(study.correlations["n_problems"])) == {20}


@pytest.mark.slow
def test_problems_without_a_difficulty_make_a_study_without_that_table(
    model: ContinuousThoughtModel, problems: list[Problem]
) -> None:
    mine = [Problem(p.id, p.question, p.answer, p.answer_type) for p in problems]
    study = run_study(model, mine, corruptions=[Zero()], max_new_tokens=4)
    names = [name for name, _ in study.tables()]
    assert "importance" in names
    assert "importance_by_difficulty" not in names
    assert not [table for table in study_tables(study) if "steps" in str(table.title)]


@pytest.mark.slow
def test_saving_and_loading_gives_the_same_study(study: Study, tmp_path: Path) -> None:
    loaded = Study.load(study.save(tmp_path / "new" / "study"))
    xr.testing.assert_identical(loaded.attention, study.attention)
    xr.testing.assert_identical(loaded.effects, study.effects)
    assert loaded.problems == study.problems
    assert loaded.settings == study.settings
    pd.testing.assert_frame_equal(loaded.table(1), study.table(1))


@pytest.mark.slow
def test_answers_are_stored_as_they_stand_however_they_lie_in_memory(
    study: Study, tmp_path: Path
) -> None:
    answer = study.effects["answer"].copy()
    answer[:] = np.array([f"answer {i}" for i in range(answer.size)]).reshape(answer.shape)
    columns = np.ascontiguousarray(answer.values.astype(object).T)
    turned = answer.T.copy(data=columns).transpose(*answer.dims)
    assert turned.values.flags.f_contiguous
    replace(study, effects=study.effects.assign(answer=turned)).save(tmp_path / "s")
    loaded = Study.load(tmp_path / "s").effects["answer"]
    assert loaded.values.tolist() == answer.values.tolist()


@pytest.mark.slow
def test_an_interrupted_save_leaves_the_old_study_whole(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study.save(tmp_path / "study")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_storage, "save_problems", interrupt)
    with pytest.raises(KeyboardInterrupt):
        study.save(folder)
    assert Study.load(folder).settings == study.settings
    assert [path.name for path in tmp_path.iterdir()] == ["study"]
    assert [path.name for path in folder.rglob(".*")] == []


@pytest.mark.slow
def test_a_save_replaces_an_older_study_and_nothing_else(study: Study, tmp_path: Path) -> None:
    folder = study.save(tmp_path / "study")
    study.save(folder)
    assert Study.load(folder).name == "handmade"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("do not lose me")
    with pytest.raises(FileExistsError, match="not a study"):
        study.save(tmp_path / "other")
    assert (tmp_path / "other" / "thesis.tex").exists()


def test_a_folder_that_cannot_be_written_is_refused(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="Nothing can be written"):
        study.save(tmp_path / "file" / "study")


def test_what_is_not_a_study_or_of_another_version_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a study"):
        Study.load(tmp_path)
    folder = study.save(tmp_path / "study")
    settings = folder / "study.json"
    described = json.loads(settings.read_text())
    settings.write_text(json.dumps({**described, "format_version": 99}))
    with pytest.raises(ValueError, match=r"version 99.*Update cot-attn"):
        Study.load(folder)
    settings.write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        Study.load(folder)


@pytest.mark.slow
def test_studies_side_by_side_join_by_problem(
    model: ContinuousThoughtModel, study: Study, problems: list[Problem]
) -> None:
    other = _renamed(
        run_study(model, problems[::-1], corruptions=[Zero(), Resample()], max_new_tokens=4)
    )
    both = compare([study, other])
    assert both.sizes["model"] == 2
    assert both["problem"].values.tolist() == study.effects["problem"].values.tolist()
    here, there = (both.sel(model=name) for name in ("handmade", "other"))
    np.testing.assert_array_equal(here["failed"], there["failed"])
    np.testing.assert_allclose(here["share"], there["share"], atol=1e-5)
    np.testing.assert_array_equal(both["depth"].sel(model="other"), [0, 1])


@pytest.mark.slow
def test_studies_made_differently_are_not_compared(
    model: ContinuousThoughtModel, study: Study, problems: list[Problem]
) -> None:
    with pytest.raises(ValueError, match="at least two"):
        compare([study])
    with pytest.raises(ValueError, match="another model"):
        compare([study, study])
    fewer = run_study(model, problems[:9], corruptions=[Zero(), Resample()], max_new_tokens=4)
    with pytest.raises(ValueError, match="different problems"):
        compare([study, _renamed(fewer)])
    zero = run_study(model, problems, corruptions="zero", max_new_tokens=4)
    with pytest.raises(ValueError, match="treated differently: corruptions"):
        compare([study, _renamed(zero)])
    for name, value in (("downstream", "frozen"), ("query", "bot"), ("site", "kv"), ("seed", 1)):
        changed = {**study.settings, name: value}
        other = Study(study.attention, study.effects, study.problems, changed)
        with pytest.raises(ValueError, match=f"treated differently: {name}"):
            compare([study, _renamed(other)])


def test_bad_studies_are_refused_with_a_sentence(
    model: ContinuousThoughtModel, problems: list[Problem], study: Study
) -> None:
    with pytest.raises(ValueError, match="no gold answer"):
        run_study(model, [Problem("p", "take the digit 3")])
    with pytest.raises(ValueError, match="no problems"):
        run_study(model, [])
    with pytest.raises(ValueError, match="accepted: ccta, zero"):
        run_study(model, problems, corruptions="all")
    with pytest.raises(ValueError, match="query is 'eos'"):
        run_study(model, problems, query="eos")
    with pytest.raises(ValueError, match="layers 0 to 1"):
        run_study(model, problems, layers=[7])
    with pytest.raises(ValueError, match=r"recorded \[0, 1\]"):
        study.table(5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"query": "bot"}, "before every thought"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"outcomes": ["failed", "nonsense"]}, "outcomes is"),
        ({"max_new_tokens": 500}, "context of 128"),
        ({"corruptions": [Zero(), Zero()]}, "Two interventions are called"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_said_before_the_model_runs(
    model: ContinuousThoughtModel,
    problems: list[Problem],
    wrong: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "run", lambda *given, **options: pytest.fail("has run"))
    with pytest.raises(ValueError, match=message):
        run_study(model, problems, **{"corruptions": "zero", **wrong})


@pytest.mark.slow
def test_recording_that_runs_out_of_memory_halves_and_changes_nothing(
    model: ContinuousThoughtModel, problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"corruptions": "zero", "max_new_tokens": 4}
    expected = run_study(model, problems, **how)
    think, n_failed = Rollout.think, 0

    def small_only(self: Rollout, *given: object) -> torch.Tensor:
        nonlocal n_failed
        if len(self.problems) > 6 and model._watchers:  # while it is recorded
            n_failed += 1
            raise torch.OutOfMemoryError("made up")
        return think(self, *given)

    monkeypatch.setattr(Rollout, "think", small_only)
    study = run_study(model, problems, **how)
    assert n_failed == 2
    xr.testing.assert_allclose(study.attention, expected.attention, atol=1e-4)


@pytest.mark.slow
@pytest.mark.reads
def test_a_model_knows_what_loads_it_again(
    model: ContinuousThoughtModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model.source is None
    load = ContinuousThoughtModel.from_pretrained
    assert load("toy-gpt2").source == {"name_or_path": "toy-gpt2"}
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("mine")
    place = {"name_or_path": str(tmp_path / "mine")}
    assert load("mine").source == load(Path("mine")).source == place
    options = {"n_thoughts": 4, "dtype": "float64", "device": "cpu", "validate": False}
    mine = load("mine", **{**options, "dtype": torch.float64})
    assert mine.source == {**place, **options}
    mine.n_thoughts = 3
    again = load(**mine.source)
    assert again.n_thoughts == 3
    assert again.source == mine.source == {**place, **options, "n_thoughts": 3}
    assert again.checkpoint == mine.checkpoint


def test_the_base_of_a_checkpoint_is_known_wherever_one_is(
    model: ContinuousThoughtModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    given = {"base": "base", "weights": "base", "lora_alpha": 16, "device": torch.device("cpu")}
    defaults = dict.fromkeys((*signature(load).parameters,))
    defaults |= {"dtype": torch.float32, "validate": True}
    assert options_of(load, defaults | given) == {
        "base": str(tmp_path / "base"),
        "weights": "base",
        "lora_alpha": 16,
        "device": "cpu",
    }


@pytest.mark.slow
def test_a_folder_holds_arrays_tables_a_summary_and_figures(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_of_scope = {figure.scope: figure for figure in page.figures("files")}
    some = [last_of_scope[scope] for scope in ("model", "models")]
    monkeypatch.setattr(page, "figures", lambda *targets: some)
    folder = study.save(tmp_path / study.name)
    write_summary(study, folder)
    write_report([study, _renamed(study)], tmp_path, formats=["png", "pdf"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["n_correct"] == 20
    importance = pd.read_csv(folder / "tables" / "importance.csv")
    np.testing.assert_allclose(importance["estimate"], study.importance["estimate"])
    figures = {path.suffix for path in (folder / "figures").iterdir()}
    assert figures == {".png", ".pdf"}
    assert Study.load(folder).settings == study.settings
    assert any((tmp_path / "comparison").glob("*.png"))


def test_the_default_folder_is_always_a_new_one(tmp_path: Path) -> None:
    first = new_folder(None, ["toy-gpt2"], tmp_path)
    first.mkdir(parents=True)
    second = new_folder(None, ["toy-gpt2"], tmp_path)
    assert first != second
    assert not second.exists()
    (first / "something").write_text("")
    with pytest.raises(FileExistsError, match="not empty"):
        new_folder(first, ["toy-gpt2"], tmp_path)


def _renamed(study: Study) -> Study:
    return Study(
        study.attention, study.effects, study.problems, {**study.settings, "model": "other"}
    )


def test_attention_is_kept_to_fourteen_bits_however_small_it_is() -> None:
    generator = np.random.default_rng(0)
    rows = generator.dirichlet(np.full(10, 0.2), size=(20, 3, 2, 9)).astype(np.float32)
    rows[0, 0, 0, 0] = np.nan
    dims = ("problem", "layer", "head", "query", "key")
    exact = xr.DataArray(rows, dims=dims, coords={"problem": [f"p{i}" for i in range(20)]})
    kept = rounded(exact)
    assert (np.isnan(kept) == np.isnan(exact)).all()
    assert float(abs(kept - exact).sum("key").max()) < 1e-4
    # Shares among thoughts keep their precision where thoughts get a millionth of the attention.
    error = abs(kept / exact.where(exact > 1e-30) - 1).max()
    assert 2.0**-15 < float(error) <= 2.0**-14
    xr.testing.assert_identical(rounded(kept), kept)


def test_a_stored_record_takes_half_the_space_and_loses_nothing_more(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = generator.gamma(0.5, size=(100, 4, 4, 9, 10))
    later = np.arange(10) > np.arange(9)[:, None] + 1  # keys that a query cannot see
    weights[..., later] = 0
    rows = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    dims = ("problem", "layer", "head", "query", "key")
    exact = xr.DataArray(rows, dims=dims, coords={"problem": [f"p{i}" for i in range(100)]})
    record = rounded(exact).to_dataset(name="attention")
    problems = [Problem("p0", "?", "1")]
    folder = write_folder(tmp_path / "study", {"attention": record}, {}, problems)
    back = read_folder(folder, ["attention"])[0]["attention"]
    xr.testing.assert_identical(back, record)
    files = [file for file in (folder / "attention.zarr").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 0.4 * rows.nbytes
