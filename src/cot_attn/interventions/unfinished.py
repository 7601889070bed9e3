"""What an interrupted run had finished, kept on disk until the run is complete."""

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from cot_attn.interventions.corruption import label as label_of
from cot_attn.lock import locked
from cot_attn.writing import saying_what_failed

Part = Mapping[str, np.ndarray]
LOCK = ".lock"


class Lasting(PathLike[str]):
    """A folder of finished parts that outlast their run: who made it removes it.

    Parts in any other folder are removed as soon as their run is complete.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)

    def __fspath__(self) -> str:
        return str(self.folder)


class Unfinished:
    """A folder with the results of those problems that are done.

    One run at a time may use it, inside a `with` block.

    Parameters
    ----------
    folder
        Where such folders are; each run has one of its own, called as its identity.
    identity
        Everything that the results depend on. Another identity finds nothing of this one's.
    """

    def __init__(self, folder: str | PathLike[str], *identity: object) -> None:
        digest = hashlib.sha256(repr(identity).encode()).hexdigest()
        self.folder = Path(folder) / digest[:16]
        self._lasting = isinstance(folder, Lasting)
        self._lock = contextlib.ExitStack()

    def __enter__(self) -> "Unfinished":
        self.folder.mkdir(parents=True, exist_ok=True)
        sentence = (
            f"Another process is at the same run, and keeps its finished parts in {self.folder}. "
            "Wait for it, or give another folder as `unfinished`."
        )
        self._lock.enter_context(locked(self.folder / LOCK, sentence))
        for left in self.folder.glob("*.part"):  # of a process that was killed
            left.unlink()
        return self

    def __exit__(self, *error: object) -> None:
        self._lock.close()

    def parts(self) -> Iterator[Part]:
        """Read what was kept."""
        for file in sorted(self.folder.glob("*.npz")):
            with np.load(file, allow_pickle=False) as part:
                yield dict(part)

    def keep(self, part: Part) -> None:
        """Write a part under a temporary name, then rename it."""
        target = self.folder / f"{int(part['problems'].min()):08d}.npz"
        unfinished = target.with_suffix(".part")
        n_bytes = sum(array.nbytes for array in part.values())
        try:
            with saying_what_failed(target, n_bytes):
                with unfinished.open("wb") as file:
                    np.savez(file, allow_pickle=False, **part)
                unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the run's folder, once its results are handed on, and what is empty round it."""
        if self._lasting:
            return
        # Another process may be at the same run by now; then it removes them.
        with contextlib.suppress(BlockingIOError), self:
            shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs are not finished
            self.folder.parent.rmdir()


def fields_of(corruption: Callable[..., Tensor]) -> tuple[object, ...]:
    """Return what tells a corruption from others: its type, and each field's value.

    Raises
    ------
    ValueError
        Where it is no dataclass: a function's name does not say what it does.
    """
    if not dataclasses.is_dataclass(corruption):
        raise ValueError(
            f"The corruption {label_of(corruption)} is no dataclass, so that a run with it could "
            "be taken for another one's. Make it a dataclass, or leave `unfinished` away."
        )
    values = [getattr(corruption, field.name) for field in dataclasses.fields(corruption)]
    kind = type(corruption)
    return (kind.__module__, kind.__qualname__, *map(_identity, values))


def _identity(value: object) -> object:
    if not isinstance(value, Tensor):
        return value
    numbers = value.detach().cpu().double().numpy()
    return numbers.shape, hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
