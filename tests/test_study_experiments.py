"""Experiments that a study makes when it is asked for them: kept, told, and refused in time."""

import dataclasses
import re
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from cot_attn import ContinuousThoughtModel, Study, load_problems, run_study
from cot_attn.cli import app
from cot_attn.experiments import usage
from cot_attn.report import write_figures, write_report

OPTIONS = {"corruptions": "zero", "layers": [-1], "max_new_tokens": 8}


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
    assert section.count("<svg") == 3
    assert '<a href="#experiments">' in text
    assert "--experiments usage,exits,interchange" in text
    assert "experiments=[&#39;usage&#39;, &#39;exits&#39;, &#39;interchange&#39;]" in text
    tables = {file.stem for file in page.parent.glob("toy-gpt2/tables/*.csv")}
    assert {"usage", "exit_accuracy", "commitment", "interchange"} <= tables


def test_its_figures_are_files_too(study, tmp_path) -> None:
    names = {file.stem for file in write_figures(study, tmp_path, ["svg"])}
    assert {"accuracy_by_condition", "accuracy_by_exit", "commitment_by_exit"} <= names
    assert "causal_graph" not in names


def test_a_study_without_experiments_has_no_such_section(study, tmp_path) -> None:
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


def test_what_could_not_be_made_is_refused_before_anything_runs(model) -> None:
    problems = load_problems("toy", n=12)
    with pytest.raises(ValueError, match="accepted, each once: usage"):
        run_study(model, problems, **OPTIONS, experiments=["telepathy"])
    with pytest.raises(TypeError, match="give a list"):
        run_study(model, problems, **OPTIONS, experiments="usage")
    with pytest.raises(ValueError, match="at least 3"):
        run_study(model, problems[:2], **OPTIONS, experiments=["usage"])


def test_the_command_line_asks_for_them(tmp_path) -> None:
    words = ["study", "toy-gpt2", "--n", "6", "--corruptions", "zero", "--layers=-1"]
    words += ["--max-new-tokens", "8", "--out", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*words, "--experiments", "telepathy"])
    assert refused.exit_code == 2
    done = CliRunner().invoke(app, [*words, "--experiments", "usage, exits"])
    assert done.exit_code == 0, done.output
    study = Study.load(tmp_path / "out" / "toy-gpt2")
    assert list(study.experiments) == ["exits", "usage"]
    assert "Is the thought used?" in (tmp_path / "out" / "report.html").read_text()
