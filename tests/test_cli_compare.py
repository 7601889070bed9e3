"""`cot-attn compare`: studies that exist already, on one page."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cot_attn import run_study
from cot_attn.cli import app
from cot_attn.report import page
from cot_attn.study import Study, _output
from cot_attn.sweeps import ModelSource, Plan, plan_sweep, run_sweep
from cot_attn.toy import handmade_model, handmade_problems

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

PROBLEMS = handmade_problems(6, (1, 4, 1))
WEIGHTS = {"one": (1, 4, 1), "two": (1, 6, 1), "three": (4, 1, 1)}
HOW: dict[str, Any] = {"corruptions": "zero", "max_new_tokens": 3}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    return result.exit_code, " ".join(result.output.split())


def study_of(name: str, n: int = 6, **how: Any) -> Study:
    model = handmade_model(WEIGHTS[name])
    model.name = name
    return run_study(model, PROBLEMS[:n], **{**HOW, **how})


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three studies, as a study of three models leaves it."""
    folder = tmp_path_factory.mktemp("studies")
    for name in WEIGHTS:
        study_of(name).save(folder / name)
    return folder


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take long, and have tests of their own."""
    monkeypatch.setattr(page, "figures", lambda *targets: [])


@pytest.mark.parametrize("given", [["one", "two", "three"], ["."]])
def test_any_number_of_studies_come_on_one_page(
    given: list[str], studies: Path, tmp_path: Path
) -> None:
    code, shown = run(*(studies / each for each in given), "--out", tmp_path / "out")
    assert code == 0, shown
    text = (tmp_path / "out" / "report.html").read_text()
    assert all(name in shown and name in text for name in WEIGHTS)
    assert (tmp_path / "out" / "two" / "tables" / "importance.csv").is_file()


def test_a_sweep_is_compared_with_a_study(studies: Path, tmp_path: Path) -> None:
    handmade_model(WEIGHTS["two"]).save_pretrained(tmp_path / "model")
    source = ModelSource(str(tmp_path / "model"), "swept")
    plan_sweep(Plan([source], PROBLEMS, **HOW, batch_size=64), tmp_path / "sweep")
    run_sweep(tmp_path / "sweep")
    code, shown = run(studies / "one", tmp_path / "sweep", "--out", tmp_path / "out")
    assert code == 0, shown
    assert "swept" in (tmp_path / "out" / "report.html").read_text()


def test_the_default_folder_is_new_each_time(
    studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        assert run(studies / "one", studies / "two")[0] == 0
        assert len(list((tmp_path / _output.STUDIES).iterdir())) == n


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"n": 5}, "problems"),
        ({"corruptions": "ccta"}, "corruptions"),
        ({"downstream": "frozen"}, "downstream"),
    ],
)
def test_studies_that_were_not_made_alike_are_refused_and_nothing_is_written(
    other: dict[str, Any], sentence: str, studies: Path, tmp_path: Path
) -> None:
    study_of("two", **other).save(tmp_path / "other")
    code, shown = run(studies / "one", tmp_path / "other", "--out", tmp_path / "out")
    assert code == 2
    assert sentence in shown
    assert not (tmp_path / "out").exists()


def test_what_is_no_study_and_a_folder_that_is_not_empty_are_refused(
    studies: Path, tmp_path: Path
) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "thesis.tex").touch()
    for given, sentence in (
        ([studies / "one"], "give at least two"),
        ([studies / "one", studies / "one"], "Give every study another model"),
        ([studies / "one", tmp_path / "none"], "none"),
        ([studies / "one", studies / "two", "--out", out], "is not empty"),
    ):
        code, shown = run(*given)
        assert code == 2, shown
        assert sentence in shown
    assert [each.name for each in out.iterdir()] == ["thesis.tex"]
