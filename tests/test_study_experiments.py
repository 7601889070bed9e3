"""Experiments that a study makes when it is asked for them: kept, told, and refused in time."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
import xarray as xr
from typer.testing import CliRunner

from conftest import not_laid_out
from cot_attn import ContinuousThoughtModel, Study, load_problems, run_study
from cot_attn.cli import app
from cot_attn.data import save_problems
from cot_attn.experiments import usage
from cot_attn.interventions.resume import FinishedProblems
from cot_attn.models import Jacobi
from cot_attn.report import _drawing, write_figures, write_report
from cot_attn.report import page as page_of_report
from cot_attn.report._experiments import EXPERIMENTS
from cot_attn.report._questions import QUESTIONS
from cot_attn.study import _experiments
from cot_attn.toy import graph_problems, handmade_model, handmade_problems

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

OPTIONS = {"corruptions": "zero", "layers": [-1], "max_new_tokens": 8}


@pytest.fixture(scope="module", autouse=True)
def figures_not_laid_out() -> Iterator[None]:
    with not_laid_out():
        yield


@pytest.fixture(scope="module")
def model() -> ContinuousThoughtModel:
    return ContinuousThoughtModel.from_pretrained("toy-gpt2")


@pytest.fixture(scope="module")
def study(model) -> Study:
    asked = ["usage", "exits", "interchange"]
    return run_study(model, load_problems("toy", n=12), **OPTIONS, experiments=asked)


@pytest.fixture(scope="module")
def page(study, tmp_path_factory) -> Path:
    return write_report([study], tmp_path_factory.mktemp("report"))


def test_a_study_holds_what_the_experiment_alone_gives(model, study) -> None:
    assert study.settings["experiments"] == ["usage", "exits", "interchange"]
    alone = usage(model, study.problems, max_new_tokens=8, seed=0)
    xr.testing.assert_allclose(study.experiments["usage"]["correct"], alone["correct"])
    assert study.experiments["usage"].attrs["verdict"] == alone.attrs["verdict"]


def test_what_was_saved_is_what_is_read(study, tmp_path) -> None:
    again = Study.load(study.save(tmp_path / "study"))
    assert again.experiments.keys() == study.experiments.keys()
    for name, found in study.experiments.items():
        numbers = [each for each, values in found.data_vars.items() if values.dtype.kind == "f"]
        xr.testing.assert_equal(found[numbers], again.experiments[name][numbers])
        assert found.attrs.keys() == again.experiments[name].attrs.keys()
    for name, table in study.experiment_tables.items():
        xr.testing.assert_allclose(table, again.experiment_tables[name])


def test_the_page_says_what_was_found_and_shows_it(study, page) -> None:
    text = page.read_text()
    section = text[text.index('id="experiments"') : text.index('id="figures"')]
    assert study.experiments["usage"].attrs["verdict"].split(":")[0] in section
    assert "are right for good after" in section
    assert section.count("<svg") == 4
    assert section.count("Not to conclude") == 3
    for name in ("usage", "exit_accuracy", "interchange"):
        assert f"toy-gpt2/tables/{name}.csv" in section
    assert '<a href="#experiments">' in text
    assert "--experiments usage,exits,interchange" in text
    assert "experiments=[&#39;usage&#39;, &#39;exits&#39;, &#39;interchange&#39;]" in text
    tables = {file.stem for file in page.parent.glob("toy-gpt2/tables/*.csv")}
    assert {"usage", "exit_accuracy", "commitment", "interchange"} <= tables


def test_its_figures_are_files_too(study, tmp_path, monkeypatch) -> None:
    theirs = [figure for figure in page_of_report.figures("files") if figure in EXPERIMENTS]
    monkeypatch.setattr(_drawing, "figures", lambda *places: theirs)  # the others take long
    names = {file.stem for file in write_figures(study, tmp_path, ["svg"])}
    assert {"accuracy_by_condition", "accuracy_by_exit", "commitment_by_exit"} <= names
    assert "causal_graph" not in names


def test_a_study_without_experiments_has_no_such_section(study, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(page_of_report, "figures", lambda *places: [])  # they take long
    settings = {**study.settings, "experiments": []}
    bare = dataclasses.replace(study, experiments={}, settings=settings)
    text = write_report([bare], tmp_path).read_text()
    assert "experiments" not in re.sub(r"<dl class=.settings.*?</dl>", "", text, flags=re.DOTALL)


def test_parts_that_do_not_fit_are_not_saved(study, tmp_path) -> None:
    lost = dataclasses.replace(study, experiments={})
    with pytest.raises(ValueError, match="the settings say"):
        lost.save(tmp_path / "lost")
    other = study.experiments["usage"].assign_coords(problem=[f"x{i}" for i in range(12)])
    strange = dataclasses.replace(study, experiments={**study.experiments, "usage": other})
    with pytest.raises(ValueError, match="not about the study's problems"):
        strange.save(tmp_path / "strange")


@pytest.mark.parametrize("name", ["usage", "exits", "interchange"])
def test_a_damaged_experiment_does_not_load(study, tmp_path, name) -> None:
    folder = study.save(tmp_path / "study")
    store = folder / f"experiment_{name}.zarr"
    for file in sorted(store.rglob("*")):
        if file.is_file():
            whole = file.read_bytes()
            file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
            with pytest.raises(ValueError, match="experiment_"):
                Study.load(folder)
            file.write_bytes(whole)
    Study.load(folder)
    shutil.rmtree(store)
    with pytest.raises(ValueError, match=store.name):
        Study.load(folder)


def test_a_study_killed_in_an_experiment_goes_on_there(tmp_path, monkeypatch) -> None:
    model, problems = handmade_model((1, 4, 1)), handmade_problems(4, (1, 4, 1))
    asked: dict[str, Any] = {**OPTIONS, "experiments": ["usage", "exits"]}
    plain = run_study(model, problems, **asked)

    def killed(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_experiments, "exit_curve", killed)
        with pytest.raises(KeyboardInterrupt):
            run_study(model, problems, **asked, resume=tmp_path / "kept")
    # Effects, thoughts replaced and left out.
    assert len(list((tmp_path / "kept").rglob("*.npz"))) == 2
    kept, keep = [], FinishedProblems.keep
    monkeypatch.setattr(
        FinishedProblems, "keep", lambda run, arrays: (kept.append(run), keep(run, arrays))
    )
    resumed = run_study(model, problems, **asked, resume=tmp_path / "kept")
    assert len(kept) == 1
    for name in asked["experiments"]:
        xr.testing.assert_allclose(resumed.experiments[name], plain.experiments[name])
    xr.testing.assert_allclose(resumed.effects, plain.effects)
    assert not (tmp_path / "kept").exists()


def test_what_could_not_be_made_is_refused_before_anything_runs(model) -> None:
    problems = load_problems("toy", n=12)
    accepted = "Accepted, each once: usage, exits, interchange, steer, graph, heads, frontier"
    for names in (["telepathy"], ["usage", "usage"]):
        with pytest.raises(ValueError, match=accepted):
            run_study(model, problems, **OPTIONS, experiments=names)
    alike = [dataclasses.replace(problem, answer="5") for problem in problems]
    with pytest.raises(ValueError, match="the same answer"):
        run_study(model, alike, **OPTIONS, experiments=["interchange"])
    with pytest.raises(ValueError, match="no two different answers"):
        run_study(model, alike, **OPTIONS, experiments=["steer"])
    with pytest.raises(ValueError, match="tells no graph"):
        run_study(model, problems, **OPTIONS, experiments=["frontier"])
    with pytest.raises(TypeError, match="give a list"):
        run_study(model, problems, **OPTIONS, experiments="usage")
    with pytest.raises(ValueError, match="at least 3"):
        run_study(model, problems[:2], **OPTIONS, experiments=["usage"])
    at_once = ContinuousThoughtModel(
        model.bridge,
        Jacobi(model.feedback, 1, placeholder=1),
        model.template,
        model.n_thoughts,
        tokenizer=model.tokenizer,
    )
    with pytest.raises(ValueError, match="makes all thoughts at once"):
        run_study(at_once, problems, **OPTIONS, experiments=["heads"])


def test_a_study_drives_one_half_of_its_problems_and_looks_at_heads(tmp_path, monkeypatch) -> None:
    """The hand-built model's answer is read off thought 2: the last one is not missed."""
    places = ("page of one", "page of several")
    theirs = [figure for figure in page_of_report.figures(*places) if figure in EXPERIMENTS]
    monkeypatch.setattr(page_of_report, "figures", lambda *places: theirs)  # the others take long
    model, problems = handmade_model(), handmade_problems(12)
    study = run_study(model, problems, **OPTIONS, experiments=["steer", "heads"])
    again = Study.load(study.save(tmp_path / "study"))
    steered = again.experiments["steer"]
    assert steered.sizes["problem"] == 6
    half = {problem.id for problem in problems} - set(steered["problem"].values)
    answers = [problem.answer for problem in problems if problem.id in half]
    goal = steered.attrs["name"].removeprefix("towards ").strip("'")
    assert answers.count(goal) == max(map(answers.count, answers))
    text = write_report([again], tmp_path).read_text()
    section = text[text.index('id="experiments"') : text.index('id="figures"')]
    n_heads = model.n_layers * model.n_heads
    assert f"Hidden from all {n_heads} heads, thought 5 is not missed: 0 % of" in section
    assert f"Steered towards &#39;{goal}&#39;, most answers arrive there at dose" in section
    assert section.count("<svg") == section.count("Not to conclude") == 2
    tables = {file.stem for file in tmp_path.glob("**/tables/*.csv")}
    assert {"steering", "head_sets", "head_agreement"} <= tables


def test_what_a_search_in_parallel_says_is_a_sentence_and_a_table(study, tiny_gpt2_model) -> None:
    graphs = graph_problems(8, [f"w{i}" for i in range(26)], n_steps=2)
    how = {"max_new_tokens": 3, "batch_size": None, "seed": 0, "resume": None}
    found = {"frontier": _experiments.ASKED["frontier"](tiny_gpt2_model, graphs, how)}
    tables = dict(_experiments.experiment_tables(found))
    study, asked = dataclasses.replace(study, experiments=found), QUESTIONS["frontier"]
    n_parts = int(tables["frontier"]["p_holm"].notnull().sum())
    assert asked.answer(study) == (
        "Thoughts are more like nodes than like the same names in another part in 0 of "
        f"{n_parts} pairs of a thought and a part of the search (Holm p < 0.05)."
    )
    assert len(asked.table(study, "folder").rows) == n_parts


def test_the_command_line_asks_for_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(page_of_report, "figures", lambda *places: [])  # they take long
    handmade_model((1, 4, 1)).save_pretrained(tmp_path / "handmade")
    save_problems(handmade_problems(4, (1, 4, 1)), tmp_path / "problems.jsonl")
    words = ["study", str(tmp_path / "handmade"), "--problems", str(tmp_path / "problems.jsonl")]
    words += ["--n", "4", "--corruptions", "zero", "--layers=-1", "--max-new-tokens", "3"]
    words += ["--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*words, "--experiments", "telepathy"])
    assert refused.exit_code == 2
    done = CliRunner().invoke(app, [*words, "--experiments", "usage, exits"])
    assert done.exit_code == 0, done.output
    study = Study.load(tmp_path / "out" / "handmade")
    assert list(study.experiments) == ["exits", "usage"]
    assert "Is the thought used?" in (tmp_path / "out" / "report.html").read_text()
