"""The command line answers fast, says what it did, and ends bad input with one sentence."""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from rich.table import Table
from typer.testing import CliRunner

from cot_attn._screen import Screen
from cot_attn.checkpoints import bundled_models
from cot_attn.cli import app
from cot_attn.data import save_problems
from cot_attn.report import page
from cot_attn.study import Study, _by_name, _lineup
from cot_attn.study._naming import distinct_names, folder_names
from cot_attn.toy.handmade import handmade_model, handmade_problems


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model's folder and a file of problems."""
    folder = tmp_path_factory.mktemp("inputs")
    handmade_model().save_pretrained(folder / "handmade")
    handmade_model((1, 4, 1, 1)).save_pretrained(folder / "fewer" / "handmade")
    save_problems(handmade_problems(12), folder / "problems.jsonl")
    return str(folder / "handmade"), str(folder / "problems.jsonl")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_study_is_shown_and_written(
    inputs: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = page.figures("files", "page of one")[:1]  # all of them take long
    monkeypatch.setattr(page, "figures", lambda *targets: first)
    model, problems = inputs
    out = tmp_path / "out"
    options = ["--n", "12", "--corruptions", "zero", "--max-new-tokens", "4", "--out", str(out)]
    code, output = run("study", model, "--problems", problems, *options, "--layers", "-1")
    assert code == 0, output
    assert "12 of 12 problems answered right" in " ".join(output.split())
    assert Study.load(out / "handmade").layers == [1]
    assert (out / "handmade" / "tables" / "importance.csv").is_file()


@pytest.mark.slow
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
        (["MODEL", "--device", "meta"], "device is 'meta'"),
        (["MODEL", "--seed", "-1"], "--seed is -1"),
        (["MODEL", "--query", "bot"], "stands before every thought"),
        (["MODEL", "MODEL"], "is the same model as"),
        (["MODEL", "toy-gpt2", "toy-gpt2"], "toy-gpt2 is the same model as toy-gpt2"),
        (["MODEL", "FEWER"], "cannot stand side by side"),
        (["MODEL", "toy-gpt2", "--layers", "1,3"], "layers 0 to 1"),
        (["toy-gpt2", "MODEL", "--layers", "1,3"], "layers 0 to 1"),
    ],
)
def test_bad_input_ends_with_one_sentence(
    inputs: tuple[str, str],
    tmp_path: Path,
    options: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, problems = inputs
    paths = {"MODEL": model, "FEWER": str(Path(model).parent / "fewer" / "handmade")}
    given = [paths.get(option, option) for option in options]
    # Nothing is found out only when a model has run.
    monkeypatch.setattr(_lineup, "run_study", lambda *given, **options: pytest.fail("has run"))
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


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file", "file is a file. Give a folder"),
        ("full", "full is not empty"),
        ("file/inside", "Nothing can be written to"),
        ("x" * 300, "Nothing can be written to"),
        ("sealed", "Nothing can be written to"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_loaded(
    out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "sealed").mkdir()
    make = tempfile.TemporaryFile

    def sealed(dir: Path) -> Any:  # noqa: A002
        if dir.name == "sealed":  # for root, no folder is closed
            raise PermissionError(13, "Permission denied")
        return make(dir=dir)

    monkeypatch.setattr(tempfile, "TemporaryFile", sealed)
    monkeypatch.setattr(_lineup, "line_up", lambda *given: pytest.fail("has been loaded"))
    before = sorted(tmp_path.rglob("*"))
    code, output = run("study", "toy-gpt2", "--out", str(tmp_path / out))
    assert code == 2
    assert message in output
    assert out in output
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_models_of_one_name_are_told_apart(
    tmp_path: Path, inputs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "figures", lambda *places: [])
    problems = inputs[1]
    models = [tmp_path / run / "checkpoint" for run in ("a[bold]", "b[red]")]
    for model in models:
        handmade_model().save_pretrained(model)
    out = tmp_path / "it's [bold]here[/red] \\"
    options = ["--n", "4", "--corruptions", "zero", "--max-new-tokens", "4", "--out", str(out)]
    code, output = run("study", *map(str, models), "--problems", problems, *options)
    assert code == 0, output
    names = ["a[bold]/checkpoint", "b[red]/checkpoint"]
    folders = ["a_bold__checkpoint", "b_red__checkpoint"]
    assert [Study.load(out / folder).name for folder in folders] == names
    for text in (*names, *(str(out / folder) for folder in folders)):
        assert text in output.replace("\n", "")
    line = next(line for line in output.splitlines() if line.startswith("Go on in Python: "))
    made: dict[str, Any] = {}
    exec(line.removeprefix("Go on in Python: "), made)
    assert made["study"].name == names[0]


@pytest.mark.parametrize(
    ("names", "origins", "expected"),
    [
        (["m"], ["x/m"], ["m"]),
        (["toy", "toy"], ["toy", "/my/saved/toy"], ["toy", "saved/toy"]),
        (["m", "M"], ["a/m", "b/M"], ["a/m", "b/M"]),  # one folder where case does not count
        (["c", "c", "c"], ["/x/a/c", "/y/a/c", "/y/b/c"], ["x/a/c", "y/a/c", "b/c"]),
        (["a/b", "a_b"], ["/q/a/b", "/r/a_b"], ["b", "a_b"]),
        (["comparison"], ["runs/comparison"], ["runs/comparison"]),
        (["report.html"], ["report.html"], ["1-report.html"]),
        (["x", "x"], ["a_/b", "a/_b"], ["b", "_b"]),
    ],
)
def test_names_differ_and_so_do_folders(
    names: list[str], origins: list[str], expected: list[str]
) -> None:
    found = distinct_names(names, origins)
    assert len(set(folder_names(found))) == len(names)
    assert found == expected


def test_the_models_are_listed_with_what_they_have(
    inputs: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    four = Path(inputs[0]).parent / "fewer" / "handmade"
    monkeypatch.setattr(_by_name, "bundled_models", lambda: {**bundled_models(), "[red]four": four})
    code, output = run("models")
    assert code == 0
    thoughts = {line.split()[1]: line.split()[-2] for line in output.splitlines() if "│" in line}
    assert {"toy-gpt2", "toy-llama"} <= thoughts.keys()
    assert thoughts["[red]four"] == "4"


class Closed(io.TextIOWrapper):
    """A stream on which nothing can be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.error, self.tried = error, 0

    def write(self, text: str) -> int:
        self.tried += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(32, "closed"), OSError(28, "full")], ids=repr)
def test_what_cannot_be_printed_stops_nothing(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Closed(error)
    monkeypatch.setattr(sys, "stdout", stream)
    screen = Screen()
    screen.say("one")
    tried = stream.tried
    assert tried > 0
    screen.say("two")
    assert stream.tried == tried  # what failed once is not tried again


def test_a_stream_without_a_letter_shows_a_question_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    screen = Screen()
    screen.say("caf\xe9 … \udcff [bold]")
    screen.show(Table("…", title="é"))
    assert written.getvalue().startswith(b"caf? ? ? [bold]\n")
    assert eval(screen.quoted("caf\xe9's")) == "caf\xe9's"
    screen.quoted("caf\xe9's").encode("ascii")
    monkeypatch.setattr(sys, "stdout", None)  # as where it was closed from the start
    Screen().say("nobody reads")


@pytest.mark.parametrize("colour", [True, False])
def test_no_color_holds_for_errors_too(colour: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "" if colour else "1")
    result = CliRunner().invoke(app, ["study", "toy-gpt2", "--seed", "-1"], color=True)
    assert ("\x1b[" in result.output) == colour


@pytest.mark.slow
def test_a_closed_pipe_and_a_plain_locale_end_well() -> None:
    """A child writes to a pipe that nobody reads."""
    code = (
        "import os; from cot_attn.cli import main\n"
        "reader, writer = os.pipe(); os.close(reader)\n"
        "if child := os.fork(): assert os.waitpid(child, 0)[1] == 0\n"
        "else: os.dup2(writer, 1)\n"
        "main()"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "60"}
    command, environment = [sys.executable, "-c", code, "models"], {**os.environ, **plain}
    shown = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"toy-gpt2" in shown.stdout
    shown.stdout.decode("ascii")
    assert shown.stderr == b""


@pytest.mark.slow
def test_importing_the_package_asking_for_help_and_listing_models_imports_no_torch() -> None:
    code = (
        "import sys, cot_attn; from cot_attn.cli import main; dir(cot_attn)\n"
        "for asked in ('--help', 'models'):\n"
        "    sys.argv = ['cot-attn', asked]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'transformer_lens', 'xarray', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert b"study" in shown.stdout
    assert b"toy-llama" in shown.stdout


def test_every_public_name_exists_and_no_other() -> None:
    import cot_attn

    for name in cot_attn.__all__:
        assert getattr(cot_attn, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        cot_attn.no_such_name  # noqa: B018
