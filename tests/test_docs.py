"""The Python blocks of the README and of docs/ run, and print what the pages say.

- A page's blocks run in order and share their names, in an empty folder that has `examples/`.
- A block with `>>>` is a doctest. What another block prints is in the ```text block behind it.
- Printed numbers may differ by two units of their last digit: machines round differently.
- `<!-- not run: needs the hub -->` (any reason) on the line before a block leaves it out.
"""

import ast
import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import typer

from cot_attn.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(
    r"(?P<skip><!-- not run: .+? -->\n+)?^```(?P<language>[^\n]*)\n(?P<body>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.(\d*))?(?:e[+-]?\d+)?(?![\w])")


class NearEnough(doctest.OutputChecker):
    """Compares words exactly and numbers to two units of the last printed digit."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if super().check_output(want, got, optionflags):
            return True
        if NUMBER.sub("0", want).split() != NUMBER.sub("0", got).split():
            return False
        pairs = zip(NUMBER.finditer(want), NUMBER.finditer(got), strict=True)
        return all(abs(float(w.group()) - float(g.group())) <= _slack(w) for w, g in pairs)


def _slack(number: re.Match[str]) -> float:
    if "e" in number.group():
        return 10 * abs(float(number.group()))  # printed so where it is float noise
    decimals = len(number.group(1) or "")
    return 0.0 if "." not in number.group() else 2.01 * 10.0**-decimals


def run_page(page: Path) -> list[str]:
    """Run a page's blocks; return what failed."""
    text = page.read_text(encoding="utf-8")
    blocks = list(FENCE.finditer(text))
    names: dict[str, object] = {"__name__": "__page__"}
    checker, failures = NearEnough(), []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    for index, block in enumerate(blocks):
        line = text[: block.start("body")].count("\n")
        if block["language"] != "python" or block["skip"]:
            continue
        if ">>>" in block["body"]:
            test = doctest.DocTestParser().get_doctest(
                block["body"], {}, page.name, str(page), line
            )
            test.globs = names
            said = io.StringIO()
            runner = doctest.DocTestRunner(checker, verbose=False, optionflags=flags)
            if runner.run(test, out=said.write, clear_globs=False).failed:
                failures.append(said.getvalue())
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * line + block["body"], str(page), "exec"), names)
        follows = blocks[index + 1] if index + 1 < len(blocks) else None
        wanted = follows["body"] if follows and follows["language"] == "text" else None
        if wanted and not checker.check_output(wanted, printed.getvalue(), flags):
            failures.append(f"{page.name}:{line} printed\n{printed.getvalue()}\nnot\n{wanted}")
    return failures


@pytest.mark.slow
@pytest.mark.usefixtures("figures_not_laid_out")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_shows_is_what_happens(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    try:
        assert not run_page(page)
    finally:
        plt.close("all")  # else a later page is warned of too many


def write(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_a_wrong_output_is_found(tmp_path):
    assert run_page(write(tmp_path, "```python\n>>> 0.50 + 0.25\n0.85\n```\n"))
    assert run_page(write(tmp_path, "```python\nprint(0.5)\n```\n\n```text\n0.8\n```\n"))


def test_the_last_digit_may_differ_and_a_count_may_not(tmp_path):
    assert not run_page(write(tmp_path, "```python\n>>> print('r = 0.751')\nr = 0.752\n```\n"))
    assert run_page(write(tmp_path, "```python\n>>> print('12 of 20')\n13 of 20\n```\n"))


def test_a_block_that_needs_a_network_is_left_out(tmp_path):
    text = "<!-- not run: needs the hub -->\n\n```python\nraise OSError\n```\n"
    assert not run_page(write(tmp_path, text))


def test_every_mistake_of_the_page_is_in_its_table_and_counted():
    page = (ROOT / "docs" / "what-goes-wrong.md").read_text()
    told = re.findall(r"^## (\d+)\. (.+)$", page, re.MULTILINE)
    rows = re.findall(r"^\| \[(\d+)\]\(#(.+?)\)", page, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for _, title in told]
    assert rows == [(n, f"{n}-{title}") for (n, _), title in zip(told, anchors, strict=True)]
    assert [int(number) for number, _ in told] == list(range(1, len(told) + 1))
    for name in ("README.md", "docs/index.md"):
        assert re.findall(r"(\w+) mistakes", (ROOT / name).read_text()) == [str(len(told))]


# What the pages name is there -------------------------------------------------------------------


def test_every_make_target_that_a_page_names_is_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for line in page.read_text().splitlines()
        for target in re.findall(r"(?:^ *|`)make ([a-z]+)", line)
    }
    assert named >= {"demo", "test", "quick", "docs", "gallery", "calibrate"}
    assert named <= targets


def test_every_command_that_a_page_shows_is_understood():
    commands = typer.main.get_command(app).commands
    shown = [
        command
        for page in PAGES
        for command in re.findall(r"cot-attn ((?:study|models)[^`\n]*)", page.read_text())
    ]
    assert len(shown) >= 3
    for command in shown:
        name, *words = shlex.split(command)
        commands[name].make_context(name, words)  # raises where an option is not known


def test_every_file_that_a_page_names_is_there():
    named = {
        file
        for page in PAGES
        for file in re.findall(r"\b(?:examples|benchmarks|docs)/[\w/-]+\.\w+", page.read_text())
    }
    assert len(named) >= 5
    assert not [file for file in named if not (ROOT / file).exists()]


def test_every_benchmark_that_a_page_or_the_makefile_starts_does_something():
    started = {
        name or "__main__"
        for page in [*PAGES, ROOT / "Makefile"]
        for name in re.findall(r"python (?:-m )?benchmarks\b[./]?(\w*)", page.read_text())
    }
    assert len(started) >= 12
    for name in started:
        assert '__name__ == "__main__"' in (ROOT / "benchmarks" / f"{name}.py").read_text(), name


NAMESPACES = {
    "checkpoints",
    "readouts",
    "data",
    "experiments",
    "interventions",
    "models",
    "plots",
    "recording",
    "stats",
    "toy",
}
STUBS = {
    ".".join(stub.parent.relative_to(ROOT / "src").parts): stub
    for stub in sorted((ROOT / "src").rglob("__init__.pyi"))
}


@pytest.mark.parametrize("module", STUBS)
def test_the_api_reference_names_everything_public(module):
    reference = (ROOT / "docs" / "api.md").read_text()
    (public,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(STUBS[module].read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    )
    missing = [
        name
        for name in public
        if name not in NAMESPACES
        and not re.search(rf"^   {name}$|`{name}`", reference, re.MULTILINE)
    ]
    assert not missing
