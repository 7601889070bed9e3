"""The notebooks run, and show what is kept in them; a notebook is JSON and needs no Jupyter."""

import json
import re
import runpy
from html import unescape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from test_docs import NearEnough

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 60_000


def texts(notebook: dict[str, Any]) -> list[str]:
    """What the outputs say, cell by cell, without pictures and markup."""
    said = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            lines = output.get("text", data.get("text/html", data.get("text/plain", [])))
            said.append(unescape(re.sub(r"<style.*?</style>|<[^>]*>", " ", "".join(lines))))
    return said


def test_there_are_notebooks() -> None:
    names = [file.stem for file in NOTEBOOKS]
    assert names == ["is-the-thought-used", "quickstart", "your-checkpoint"]


@pytest.mark.slow
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_shows_what_happens(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plt.close("all")  # else a cell shows what an earlier test has left open
    kept = json.loads(file.read_text(encoding="utf-8"))
    execute = runpy.run_path(str(FOLDER / "execute.py"))["execute"]
    done = execute(kept)
    checker, advice = NearEnough(), "python examples/notebooks/execute.py"
    for there, now in zip(texts(kept), texts(done), strict=True):
        assert checker.check_output(there, now, 0), f"{advice}\n{there}\n{now}"
    pictures = [
        sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))
        for notebook in (kept, done)
        for cell in notebook["cells"]
    ]
    half = len(pictures) // 2
    assert pictures[:half] == pictures[half:]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_small_and_names_no_machine(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    notebook = json.loads(text)
    assert notebook["nbformat"] == 4
    assert not re.search(r"/(home|root|tmp|work|Users)/", " ".join(texts(notebook)))
    for cell in notebook["cells"]:
        assert all(output["output_type"] != "error" for output in cell.get("outputs", []))
