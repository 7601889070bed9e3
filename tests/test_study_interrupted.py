"""A study that was stopped at any step, whatever was not cleaned up, ends as if it had not been."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from cot_attn import plots
from cot_attn.cli import app
from cot_attn.data import save_problems
from cot_attn.lock import locked
from cot_attn.report import page
from cot_attn.study import Study, export, output, running
from cot_attn.study.output import UNFINISHED
from cot_attn.toy.handmade import handmade_model, handmade_problems

STEPS = [  # every way in which the library's own code changes a disk
    (os, "rename"),
    (os, "replace"),
    (os, "mkdir"),
    (shutil, "rmtree"),
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

    def __init__(self, last: float) -> None:
        self.last, self.done = last, 0

    def step(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*given: Any, **options: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():  # zarr's own
                return function(*given, **options)
            if self.done >= self.last:
                raise Killed
            self.done += 1
            return function(*given, **options)

        return stepping


@contextmanager
def killed_after(last: float) -> Iterator[Steps]:
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(last)
        for owner, name in STEPS:
            patch.setattr(owner, name, steps.step(getattr(owner, name)))
        yield steps


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let one small picture stand for all, and every clock stand still."""
    importance = "importance_by_thought"
    of_study = export.study_figures
    monkeypatch.setattr(
        export, "study_figures", lambda study: {importance: of_study(study)[importance]}
    )
    of_both = export.comparison_figures
    monkeypatch.setattr(
        export, "comparison_figures", lambda both: dict(list(of_both(both).items())[-1:])
    )
    monkeypatch.setattr(page, "topics", lambda *given: [])

    class Still(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Still":
            return cls(2026, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(running, "datetime", Still)
    monkeypatch.setattr(running, "perf_counter", lambda: 0.0)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two models of one name, and problems."""
    folder = tmp_path_factory.mktemp("inputs")
    models = [folder / run / "checkpoint" for run in ("runA", "runB")]
    for model, weights in zip(models, [(1, 4, 1), (5, 1, 1)], strict=True):
        handmade_model(weights).save_pretrained(model)
    save_problems(handmade_problems(6, (1, 4, 1)), folder / "problems.jsonl")
    options = "--corruptions zero --max-new-tokens 3 --batch-size 8".split()
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


@pytest.fixture
def whole(inputs: list[str], tmp_path: Path) -> dict[str, bytes | None]:
    code, output = run(*inputs, "--out", str(tmp_path / "whole"))
    assert code == 0, output
    return everything(tmp_path / "whole")


def test_a_study_killed_at_any_step_ends_the_same_after_the_same_command(
    inputs: list[str], whole: dict[str, bytes | None], tmp_path: Path
) -> None:
    assert {"runA_checkpoint", "runB_checkpoint", "report.html"} <= whole.keys()
    assert not [name for name in whole if "/." in f"/{name}"]
    with killed_after(float("inf")) as steps:
        assert run(*inputs, "--out", str(tmp_path / "counted"))[0] == 0
    t=time.time()
    print("steps", steps.done)
    for last in range(0, steps.done, STRIDE):
        out = tmp_path / "parent" / str(last)
        with killed_after(last), pytest.raises(Killed):
            run(*inputs, "--out", str(out))
        code, shown = run(*inputs, "--out", str(out))
        assert code == 0, shown
        assert everything(out) == whole, last
    print(time.time()-t)
STRIDE=20
