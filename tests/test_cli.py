"""The command line answers fast, says what it did, and ends bad input with one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cot_attn.cli import app
from cot_attn.data import save_problems
from cot_attn.study import Study
from cot_attn.toy.handmade import handmade_model, handmade_problems


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model's folder and a file of problems."""
    folder = tmp_path_factory.mktemp("inputs")
    handmade_model().save_pretrained(folder / "handmade")
    save_problems(handmade_problems(12), folder / "problems.jsonl")
    return str(folder / "handmade"), str(folder / "problems.jsonl")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_a_study_is_shown_and_written(inputs: tuple[str, str], tmp_path: Path) -> None:
    model, problems = inputs
    out = tmp_path / "out"
    options = ["--n", "12", "--corruptions", "zero", "--max-new-tokens", "4", "--out", str(out)]
    code, output = run("study", model, "--problems", problems, *options, "--layers", "-1")
    assert code == 0, output
    assert "12 of 12 problems answered right" in " ".join(output.split())
    assert Study.load(out / "handmade").layers == [1]
    assert (out / "handmade" / "tables" / "importance.csv").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nothing-of-that-name"], "no model named"),
        (["MODEL", "--layers", "one"], "numbers with commas"),
        (["MODEL", "--layers", "9"], "layers 0 to 1"),
        (["MODEL", "--n", "13"], "12"),
        (["MODEL", "--problems", "gsm9k"], "gsm8k"),
        (["MODEL", "--query", "eos"], "query is 'eos'"),
        (["MODEL", "--device", "gpu"], "device is 'gpu'"),
    ],
)
def test_bad_input_ends_with_one_sentence(
    inputs: tuple[str, str], tmp_path: Path, options: list[str], message: str
) -> None:
    model, problems = inputs
    given = [model if option == "MODEL" else option for option in options]
    if "--problems" not in given:
        given += ["--problems", problems]
    if "--n" not in given:
        given += ["--n", "12"]
    code, output = run("study", *given, "--out", str(tmp_path / "out"))
    assert code == 2
    assert output.startswith("cot-attn: ")
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "out").exists()


def test_the_models_are_listed() -> None:
    code, output = run("models")
    assert code == 0
    assert "toy-gpt2" in output
    assert "toy-llama" in output


def test_importing_the_package_and_asking_for_help_imports_no_torch() -> None:
    code = (
        "import sys, cot_attn; import cot_attn.cli; dir(cot_attn);"
        "assert not {'torch', 'transformers', 'xarray', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists_and_no_other() -> None:
    import cot_attn

    for name in cot_attn.__all__:
        assert getattr(cot_attn, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        cot_attn.no_such_name  # noqa: B018
