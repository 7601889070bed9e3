"""The problems that an interrupted run had finished, kept in a folder from which it resumes."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from cot_attn._lock import locked
from cot_attn._writing import saying_what_failed, sweep_inside, taking_the_place_of
from cot_attn.data.problem import Problem
from cot_attn.interventions._engine.contents import digest
from cot_attn.interventions._engine.identity import identity
from cot_attn.interventions.intervention import Intervention
from cot_attn.models.continuous import ContinuousThoughtModel

Arrays = Mapping[str, np.ndarray]
LOCK = ".lock"
P = ParamSpec("P")
R = TypeVar("R")


class Lasting(PathLike[str]):
    """A folder to resume from whose contents outlast their run: who made it clears it.

    What is in any other folder is removed as soon as its run is complete.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.complete: list[FinishedProblems] = []

    def __fspath__(self) -> str:
        return str(self.folder)

    def clear(self) -> None:
        """Remove what the complete runs have kept there."""
        while self.complete:
            self.complete.pop().clear()


def outlasting_its_parts(function: Callable[P, R]) -> Callable[P, R]:
    """Let what runs in several parts keep them all in `resume` until the last one is complete."""

    @wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        folder: Any = options.get("resume")
        if folder is None or isinstance(folder, Lasting):
            return function(*arguments, **options)
        options["resume"] = lasting = Lasting(folder)
        result = function(*arguments, **options)
        lasting.clear()
        return result

    return call


class FinishedProblems:
    """A folder with the results of those problems that are done.

    One run at a time may use it, inside a `with` block.

    Parameters
    ----------
    folder
        Where such folders are; each run has one of its own.
    name
        What the run's own folder is called. Runs with different results need different names.
    """

    def __init__(self, folder: str | PathLike[str], name: str) -> None:
        self.folder = Path(folder) / name
        self._lasting = folder if isinstance(folder, Lasting) else None
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> "FinishedProblems":
        self.folder.mkdir(parents=True, exist_ok=True)
        sentence = (
            f"Another process is at the same run, and keeps what it finished in {self.folder}. "
            "Wait for it, or give another folder as `resume`."
        )
        self._lock.enter_context(locked(self.folder / LOCK, sentence))
        sweep_inside(self.folder)
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def read(self) -> Iterator[Arrays]:
        """Read what was kept, batch by batch, leaving out files that are damaged or unfinished.

        These do not fit to their names.
        """
        for file in sorted(self.folder.glob("*.npz")):
            data = file.read_bytes()
            if file.stem.endswith(_checksum(data)):
                with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                    yield dict(arrays)

    def keep(self, arrays: Arrays) -> None:
        """Write the results of a batch; they are whole or not there."""
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **arrays)
        name = f"{int(arrays['problems'].min()):08d}-{_checksum(data.getvalue())}.npz"
        file, n_bytes = self.folder / name, data.getbuffer().nbytes
        with saying_what_failed(file, n_bytes), taking_the_place_of(file) as new:
            new.write_bytes(data.getvalue())

    def remove(self) -> None:
        """Let go of the run's folder, once it is complete."""
        if self._lasting is None:
            self.clear()
        else:
            self._lasting.complete.append(self)

    def clear(self) -> None:
        """Remove the run's folder and what is empty round it."""
        # Another process may be at the same run by now; then it removes them.
        with contextlib.suppress(BlockingIOError), self:
            shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs are not finished
            self.folder.parent.rmdir()


def finished_problems(
    folder: str | PathLike[str],
    model: ContinuousThoughtModel,
    problems: Sequence[Problem],
    questions: Sequence[Sequence[int]],
    interventions: Sequence[Intervention],
    donors: Sequence[Problem],
    **options: object,
) -> FinishedProblems:
    """Return where a run keeps what is done.

    Parameters
    ----------
    folder
        Where such folders are.
    model, problems, questions, interventions, donors, options
        Everything that the results depend on: runs that differ in any of it share nothing.

    Raises
    ------
    ValueError
        Where something in it cannot be told from others by its contents, such as a function.
    """
    described = identity(model, problems, questions, interventions, donors, **options)
    return FinishedProblems(folder, digest(described)[:32])


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
