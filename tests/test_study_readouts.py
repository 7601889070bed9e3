"""A study reads its states as words when it is asked to, and keeps what was read."""

import json
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from conftest import not_laid_out
from cot_attn import load_problems, stats
from cot_attn.cli import app
from cot_attn.data import Problem, save_problems
from cot_attn.models import ContinuousThoughtModel
from cot_attn.readouts import logit_lens, probe
from cot_attn.recording import StateRecorder
from cot_attn.report import page as report_page
from cot_attn.report import render, write_report
from cot_attn.study import Study, run_study
from cot_attn.study._lens import PROBE, with_part
from cot_attn.study._readouts import probed
from cot_attn.toy import handmade_model, handmade_problems

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

TITLES = (
    "What a lens reads in which thought",
    "What a lens reads at which layer",
    "What a lens reads of one problem",
    "What a probe reads",
)
READ = ("lens_by_step", "lens_by_layer", "top_words", "probe_accuracy")


@pytest.fixture(autouse=True, scope="module")
def only_readouts() -> Iterator[None]:
    """Draw no figure that is none of a lens or a probe; the others take long."""
    of_all = report_page.figures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            report_page,
            "figures",
            lambda *places: [each for each in of_all(*places) if each.name in READ],
        )
        with not_laid_out():
            yield


@pytest.fixture(scope="module")
def study() -> Study:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    problems = load_problems("toy", n=24)
    return run_study(model, problems, corruptions="zero", max_new_tokens=8, readouts=True)


@pytest.fixture(scope="module")
def plain() -> Study:
    return run_study(handmade_model(), handmade_problems(12), corruptions="zero")


def test_what_is_kept_is_what_the_lens_reads(study: Study) -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2", validate=False)
    with StateRecorder(model) as recorder:
        model.run(study.problems, max_new_tokens=8)
    for space, ours in (("hidden", study.lens), ("fed", study.lens_of_fed)):
        lens = logit_lens(model, recorder.dataset(), study.problems, space=space)
        theirs = stats.lens_agreement(lens)
        for name in ("rate", "baseline", "estimate", "low", "high", "n_problems"):
            np.testing.assert_allclose(ours[name], theirs[name].transpose(*ours[name].dims))
        assert ours.attrs["space"] == space


def test_a_probe_is_asked_whether_step_2_is_above_the_median(study: Study) -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2", validate=False)
    with StateRecorder(model, layers=[-1]) as recorder:
        model.run(study.problems, max_new_tokens=8)
    step_2 = {p.id: int(p.steps[1]) if len(p.steps) > 1 else None for p in study.problems}
    median = statistics.median(value for value in step_2.values() if value is not None)
    labels = {id_: None if value is None else value > median for id_, value in step_2.items()}
    expected = probe(recorder.dataset(), labels, n_permutations=199)
    ours = study.probe.sel(layer=[3])
    for name in ("accuracy", "low", "high", "chance", "p", "control", "n_problems"):
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-6)
    assert ours.attrs["label"] == f"step 2 above {median:g}, the median"
    assert int(ours.n_problems.max()) == 20  # 4 of 24 have one step


def test_results_that_are_no_numbers_are_classes() -> None:
    model = handmade_model()
    problems = [
        Problem(each.id, each.question, "no", answer_type="boolean", steps=("?", "yes no"[i % 2 :]))
        for i, each in enumerate(handmade_problems(4))
    ]
    texts = xr.DataArray(
        np.array(["yes", "no", "yes", ""], object),
        {"problem": [each.id for each in problems], "target": "step 2"},
        ("problem",),
    )
    with StateRecorder(model) as recorder:
        model.run(problems, max_new_tokens=2)
    found = probed(recorder.dataset(), texts, seed=0)
    assert found.attrs["classes"] == ["no", "yes"]
    assert found.attrs["label"] == "step 2"
    assert found.reason.sel(layer=0, place="bot") == "class 'no' has 1 examples, fewer than 5"


def test_the_words_are_those_of_a_problem_with_the_most_steps(study: Study) -> None:
    shown = study.top_words
    (problem,) = [each for each in study.problems if each.id == shown["problem"].item()]
    assert len(problem.steps) == 6
    assert shown.attrs["wanted"] == list(problem.steps)
    # Thought i is fed where it is made a step before: what is read at bot is the first result.
    made = shown.token.sel(layer=3, rank=1).values[:6]
    assert [str(token).strip() for token in made] == list(problem.steps)


def test_it_comes_back_from_a_folder_as_it_was(study: Study, tmp_path: Path) -> None:
    again = Study.load(study.save(tmp_path / "study"))
    xr.testing.assert_identical(again.lens, study.lens)
    xr.testing.assert_identical(again.lens_of_fed, study.lens_of_fed)
    xr.testing.assert_identical(again.probe, study.probe)
    xr.testing.assert_identical(again.top_words, study.top_words)
    tables = dict(again.tables())
    assert {"lens_by_layer", "lens_by_thought", "probe", "top_words"} <= set(tables)
    before = dict(study.tables())["probe"]
    pd.testing.assert_frame_equal(tables["probe"], before, check_dtype=False)
    assert len(tables["lens_by_thought"]) == 3 * 6 * 6


def test_the_report_shows_it_where_it_was_asked_for(study: Study, plain: Study) -> None:
    page = render([study])
    assert all(title in page for title in TITLES)
    assert "--readouts" in page
    assert "readouts=True" in page
    assert "for step 2 above" in page
    assert f"looked for: {', '.join(study.top_words.attrs['wanted'])}" in page
    assert f"{study.probe.attrs['label']} · layer 3" in page
    assert "the final norm and unembedding" in page.replace("&#39;s", "'s").replace(
        "model's", "the"
    )
    without = render([plain])
    assert not any(title in without for title in TITLES)
    assert "--readouts" not in without


def test_models_stand_side_by_side(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lens = [figure for figure in report_page.figures("page of one") if figure.title == TITLES[0]]
    monkeypatch.setattr(report_page, "figures", lambda *places: lens)
    other = Study(
        study.attention,
        study.effects,
        study.problems,
        {**study.settings, "model": "other"},
        study.readouts,
    )
    page = write_report([study, other], tmp_path).read_text()
    assert page.count(f"<h3>{TITLES[0]}</h3>") == 1
    mixed = Study(
        study.attention,
        study.effects,
        study.problems,
        {**study.settings, "model": "other", "readouts": False},
    )
    assert render([study, mixed]).count(f"<h3>{TITLES[0]}</h3>") == 1


def test_readouts_of_an_earlier_version_have_a_lens_alone(study: Study, tmp_path: Path) -> None:
    earlier = study.readouts.drop_vars(
        [name for name in study.readouts if str(name).startswith(("probe_", "words_"))]
    )
    parts = study.attention, study.effects, study.problems, study.settings
    again = Study.load(Study(*parts, earlier).save(tmp_path / "study"))
    xr.testing.assert_identical(again.lens, study.lens)
    assert not {"probe", "top_words"} & set(dict(again.tables()))
    shown = [figure.name for figure in report_page.figures("page of one") if figure.of([again])]
    assert shown == ["lens_by_step", "lens_by_layer"]
    with pytest.raises(ValueError, match="Run the study again"):
        again.probe  # noqa: B018


def test_a_study_without_readouts_says_how_to_get_them(plain: Study) -> None:
    assert plain.readouts is None
    with pytest.raises(ValueError, match="readouts=True"):
        plain.lens  # noqa: B018


def test_problems_without_steps_are_read_for_their_answers() -> None:
    model, problems = handmade_model(), handmade_problems(20)
    study = run_study(model, problems, corruptions="zero", max_new_tokens=3, readouts=True)
    found = study.lens.sel(answered="all", target="answer", layer=1)
    assert found.rate.sel(place="eot") == 1.0  # it is the model's prediction there
    assert study.lens_of_fed["target"].values.tolist() == ["answer"]


def test_what_cannot_be_read_is_refused_before_anything_runs() -> None:
    model = handmade_model()
    problems = [
        Problem(problem.id, problem.question, "12345", steps=("12345",))
        for problem in handmade_problems(6)
    ]
    with pytest.raises(ValueError, match="cannot write '12345'"):
        run_study(model, problems, readouts=True)


@pytest.mark.parametrize("harm", ["gone", "unasked", "other problems", "no baseline"])
def test_readouts_that_do_not_fit_are_refused(study: Study, harm: str, tmp_path: Path) -> None:
    readouts, settings = study.readouts, dict(study.settings)
    match harm:
        case "gone":
            readouts = None
        case "unasked":
            settings["readouts"] = False
        case "other problems":
            readouts = readouts.isel(problem=slice(20))
        case "no baseline":
            readouts = readouts.drop_vars("baseline_rank")
    wrong = Study(study.attention, study.effects, study.problems, settings, readouts)
    with pytest.raises(ValueError, match="do not fit together"):
        wrong.save(tmp_path / "study")


def test_readouts_that_were_taken_away_are_missed(study: Study, tmp_path: Path) -> None:
    folder = study.save(tmp_path / "study")
    shutil.rmtree(folder / "readouts.zarr")
    with pytest.raises(ValueError, match=r"readouts\.zarr"):
        Study.load(folder)


def test_the_command_line_asks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lens = [figure for figure in report_page.figures("page of one") if figure.title == TITLES[0]]
    monkeypatch.setattr(report_page, "figures", lambda *places: lens)  # all of them take long
    handmade_model((1, 4, 1)).save_pretrained(tmp_path / "handmade")
    save_problems(handmade_problems(12, (1, 4, 1)), tmp_path / "problems.jsonl")
    words = ["study", str(tmp_path / "handmade"), "--problems", str(tmp_path / "problems.jsonl")]
    words += ["--corruptions", "zero", "--max-new-tokens", "4", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*words, "--readouts"])
    assert result.exit_code == 0, result.output
    written = tmp_path / "out" / "handmade"
    assert Study.load(written).readouts is not None
    assert json.loads((written / "study.json").read_text())["settings"]["readouts"] is True
    assert TITLES[0] in (tmp_path / "out" / "report.html").read_text()
    assert (written / "tables" / "lens_by_thought.csv").is_file()


def test_a_part_with_other_labels_than_the_rest_is_refused() -> None:
    """Joined all the same, what has no partner would be NaN."""
    ranks = xr.Dataset({"rank": ("layer", [1.0, 2.0])}, {"layer": [0, 1]})
    probe_found = xr.Dataset({"accuracy": ("layer", [0.5, 0.9])}, {"layer": [0, 2]})
    with pytest.raises(ValueError, match="layer"):
        with_part(ranks, PROBE, probe_found)
    joined = with_part(ranks, PROBE, probe_found.assign_coords(layer=[0, 1]))
    assert joined["probe_accuracy"].values.tolist() == [0.5, 0.9]
