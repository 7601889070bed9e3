"""A study that was stopped at any step, whatever was not cleaned up, ends as if it had not been."""

import errno
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from typer.testing import CliRunner

from conftest import not_laid_out
from cot_attn import _writing, plots
from cot_attn import report as cli_report
from cot_attn._lock import locked
from cot_attn._writing import sweep, taking_the_place_of
from cot_attn.cli import app
from cot_attn.data import save_problems
from cot_attn.models import ContinuousThoughtModel
from cot_attn.report import page
from cot_attn.report._drawing import Topic
from cot_attn.study import Study, _display, _export, _lineup, running
from cot_attn.study._output import UNFINISHED
from cot_attn.sweeps.executors import beginning
from cot_attn.toy.handmade import handmade_model, handmade_problems

pytestmark = pytest.mark.slow
EVERY = 40
"""One step in so many is tried, and one removal of each kind: all of them take minutes."""
STEPS = [  # every way in which the library's own code changes a disk
    (os, "rename"),
    (os, "replace"),
    (os, "mkdir"),
    (shutil, (remove := shutil.rmtree).__name__),
    (Path, "write_bytes"),
    (np, "savez"),
    (xr.Dataset, "to_zarr"),
    (pd.DataFrame, "to_csv"),
    (plots, "save"),
]


class Killed(BaseException):
    """What no code gets to see that is killed; here only so that the test gets to see it."""


class Steps:
    """Counts steps on the disk, and lets none happen any more from a chosen one on."""

    def __init__(self, last: float, before: Callable[[int, str | None], object]) -> None:
        self.last, self.done, self.before, self.aside = last, 0, before, False

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*given: Any, **options: Any) -> Any:
            own = threading.current_thread() is not threading.main_thread()  # zarr's
            if own or self.aside:
                return function(*given, **options)
            if self.done >= self.last:
                raise Killed
            removed = None
            if function is remove:
                written = Path(str(given[0]).partition("-unfinished-")[0])
                removed = written.suffix or written.name
            self.aside = True
            self.before(self.done, removed)
            self.aside = False
            self.done += 1
            return function(*given, **options)

        return stepping


@contextmanager
def killed_after(
    last: float, before: Callable[[int, str | None], object] = lambda *step: None
) -> Iterator[Steps]:
    """Let steps happen until the last; each is told before, with the kind of file it removes."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(last, before)
        for owner, name in STEPS:
            patch.setattr(owner, name, steps.step(getattr(owner, name)))
        yield steps


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Let one figure, table and number stand for all, load a model once, and let clocks stand."""
    monkeypatch, loaded = pytest.MonkeyPatch(), cache(ContinuousThoughtModel.from_pretrained)

    def as_loaded(given: str, *, device: str) -> ContinuousThoughtModel:
        model = loaded(given, device=device)
        model.name = "handmade"
        return model

    class Still(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Still":
            return cls(2026, 1, 1, tzinfo=UTC)

    side_by_side = [figure for figure in page.figures("files") if figure.scope == "models"]
    monkeypatch.setattr(page, "figures", lambda *places: side_by_side[-1:])
    monkeypatch.setattr(page, "topic", lambda drawn: Topic("", ()))
    monkeypatch.setattr(
        page, "_page", lambda studies, *_, **__: f"{[each.tables() for each in studies]}"
    )
    monkeypatch.setattr(_display, "study_tables", lambda study: [])
    monkeypatch.setattr(Study, "tables", lambda study: [("table", study.table(study.layers[-1]))])
    monkeypatch.setattr(_export, "summary", lambda study: {"n_problems": len(study.problems)})
    monkeypatch.setattr(ContinuousThoughtModel, "from_pretrained", as_loaded)
    monkeypatch.setattr(running, "datetime", Still)
    monkeypatch.setattr(running, "perf_counter", lambda: 0.0)
    # That a figure is saved as the same bytes is tested with the figures; fonts take their time.
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: file.write_text("saved"))
    with not_laid_out():
        yield
    monkeypatch.undo()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of one name, and problems."""
    folder = tmp_path_factory.mktemp("inputs")
    models = [folder / run / "checkpoint" for run in ("runA", "runB")]
    for model, weights in zip(models, [(1, 4), (5, 1)], strict=True):
        handmade_model(weights).save_pretrained(model)
    save_problems(handmade_problems(6, (1, 4)), folder / "problems.jsonl")
    options = ["--corruptions", "zero", "--max-new-tokens", "3", "--batch-size", "8"]
    return ["study", *map(str, models), "--problems", str(folder / "problems.jsonl"), *options]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder inside, the hidden ones too."""
    return {
        str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None
        for each in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def written(inputs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was written without an interruption."""
    out = tmp_path_factory.mktemp("written") / "whole"
    code, output = run(*inputs, "--out", str(out))
    assert code == 0, output
    return out


@pytest.fixture
def whole(written: Path) -> dict[str, bytes | None]:
    return everything(written)


def test_a_study_killed_at_any_step_ends_the_same_after_the_same_command(
    inputs: list[str], whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    assert {"runA_checkpoint", "runB_checkpoint", "report.html"} <= whole.keys()
    assert not [name for name in whole if "/." in f"/{name}"]
    parent, removals = tmp_path / "parent", dict[str, int]()
    parent.mkdir()

    def keep(step: int, removed: str | None) -> None:
        """Keep what a process leaves that is killed now; nothing of it runs any more."""
        if step % EVERY == 0 or (removed and removed not in removals):
            shutil.copytree(parent, tmp_path / "killed" / str(step), symlinks=True)
        if removed:
            removals.setdefault(removed, step)

    with killed_after(float("inf"), before=keep) as steps:
        assert run(*inputs, "--out", str(parent / "out"))[0] == 0
    assert steps.done > 50
    assert {".npz", ".json", ".jsonl", ".html"} <= removals.keys()
    killed = sorted((tmp_path / "killed").iterdir())
    assert len(killed) == len({*range(0, steps.done, EVERY), *removals.values()})
    for left in killed:
        code, shown = run(*inputs, "--out", str(left / "out"))
        assert code == 0, shown
        assert everything(left / "out") == whole, left
        assert os.listdir(left) == ["out"]


def test_a_process_that_was_really_killed_leaves_no_lock(
    inputs: list[str], whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = beginning().Process(target=run, args=(*inputs, "--out", str(out)))  # type: ignore[attr-defined]
    process.start()
    parts: list[Path] = []
    while process.is_alive() and not parts:
        time.sleep(0.01)
        with suppress(OSError):  # a folder that goes while it is looked at
            parts = list(out.rglob("*.npz"))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (out / "report.html").exists()
    code, shown = run(*inputs, "--out", str(out))
    assert code == 0, shown
    assert everything(out) == whole


def test_finished_parts_and_studies_are_not_run_again(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(cli_report, "write_report", stopped)
        with pytest.raises(Killed):
            run(*inputs, "--out", str(out))
    assert len(list((out / UNFINISHED).rglob("*.npz"))) >= 2
    monkeypatch.setattr(_lineup, "run_study", stopped)
    code, shown = run(*inputs, "--out", str(out))
    assert code == 0, shown
    assert not (out / UNFINISHED).exists()


def test_a_damaged_study_of_our_own_is_made_again(
    inputs: list[str], written: Path, whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(written, tmp_path / "whole"))
    (out / "runA_checkpoint" / "study.json").write_text("{")
    assert run(*inputs, "--out", str(out))[0] == 0
    assert everything(out) == whole


def test_a_study_is_gone_on_with_in_its_default_folder_and_a_new_one_gets_a_new_one(
    inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for last in (3, 40):
        with killed_after(last), pytest.raises(Killed):
            run(*inputs)
    assert run(*inputs, "--seed", "1")[0] == 0
    assert len(os.listdir("studies")) == 2
    assert run(*inputs)[0] == 0
    finished = sorted(os.listdir("studies"))
    assert len(finished) == 2
    assert run(*inputs)[0] == 0
    assert len(os.listdir("studies")) == 3


def test_two_processes_at_one_study_are_told_of_each_other(
    inputs: list[str], whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / UNFINISHED).mkdir(parents=True)
    with locked(out / UNFINISHED / "lock", ""):
        code, shown = run(*inputs, "--out", str(out))
    assert code == 2
    assert "Another process is writing a study to" in shown
    code, shown = run(*inputs, "--out", str(out))
    assert code == 0, shown
    assert everything(out) == whole


def test_another_request_is_not_mixed_with_what_is_there(
    inputs: list[str], written: Path, whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    out = str(shutil.copytree(written, tmp_path / "whole"))
    for other in (["--seed", "1"], ["--layers", "1"], ["--n", "5"], ["--max-new-tokens", "4"]):
        code, shown = run(*inputs, *other, "--out", out)
        assert code == 2
        assert "holds a study that differs in" in shown
        assert everything(tmp_path / "whole") == whole
    assert run(*inputs, "--batch-size", "3", "--out", out)[0] == 0  # changes no result
    assert everything(tmp_path / "whole") == whole


@pytest.mark.parametrize("owner", [(Path, "write_bytes"), (xr.Dataset, "to_zarr"), (plots, "save")])
def test_a_full_disk_names_path_and_need_and_loses_nothing(
    inputs: list[str],
    whole: dict[str, bytes | None],
    owner: tuple[Any, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, calls = tmp_path / "out", 0
    write = getattr(*owner)

    def full(*given: Any, **options: Any) -> Any:
        nonlocal calls
        if owner[1] == "write_bytes" and ".npz-unfinished-" not in str(given[0]):
            return write(*given, **options)
        calls += 1
        if calls > 1 or owner[1] == "save":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(*owner, full)
        code, shown = run(*inputs, "--out", str(out))
    assert code == 2
    assert f"cot-attn: {out}/" in shown
    assert "could not be written: No space left on device." in shown
    assert "MB are free there. Make room and do the same again." in shown
    assert ("It needs up to" in shown) == (owner[1] != "save")
    assert not [each for each in out.rglob("*") if "-unfinished-" in each.name]
    assert list((out / UNFINISHED).rglob("*.npz"))
    code, shown = run(*inputs, "--out", str(out))
    assert code == 0, shown
    assert everything(out) == whole


def test_a_save_sweeps_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "study"
    with taking_the_place_of(target) as new:
        new.mkdir()
        (new / "first").touch()
    for last in range(1, 8):
        with suppress(Killed), killed_after(last), taking_the_place_of(target) as new:
            os.mkdir(new)
    own = tmp_path / ".study-unfinished-thesis22"
    own.mkdir()
    (own / "chapter").touch()
    with taking_the_place_of(tmp_path / "study-of-two") as new:
        os.mkdir(new)
    with taking_the_place_of(target) as working:
        sweep(target)  # another process, say
        working.mkdir()
        (working / "last").touch()
    assert sorted(os.listdir(tmp_path)) == sorted([own.name, "study", "study-of-two"])
    assert os.listdir(target) == ["last"]
    assert os.listdir(own) == ["chapter"]


def test_what_was_taken_out_of_its_place_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "study"
    target.mkdir()
    (target / "old").touch()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopped)
        patch.setattr(_writing, "_clear", lambda *given: None)
        with pytest.raises(Killed), taking_the_place_of(target) as new:
            new.mkdir()
    assert not target.exists()
    sweep(target)
    assert os.listdir(tmp_path) == ["study"]
    assert os.listdir(target) == ["old"]


def stopped(*given: object, **options: object) -> None:
    raise Killed
