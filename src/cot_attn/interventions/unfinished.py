"""What an interrupted run had finished, kept on disk until the run is complete."""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from cot_attn.interventions.corruption import label as label_of

Part = Mapping[str, np.ndarray]


class Unfinished:
    """A folder with the results of those problems that are done.

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
        self.folder.mkdir(parents=True, exist_ok=True)

    def parts(self) -> Iterator[Part]:
        """Read what was kept."""
        for file in sorted(self.folder.glob("*.npz")):
            with np.load(file, allow_pickle=False) as part:
                yield dict(part)

    def keep(self, part: Part) -> None:
        """Write a part under a temporary name, then rename it."""
        handle, unfinished = tempfile.mkstemp(dir=self.folder, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **part)
        Path(unfinished).rename(self.folder / f"{int(part['problems'].min()):08d}.npz")

    def remove(self) -> None:
        """Remove the run's folder, once its results are handed on, and what is empty round it."""
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
