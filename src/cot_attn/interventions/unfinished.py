"""What an interrupted run had finished, kept on disk until the run is complete."""

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from cot_attn.interventions.contents import digest

Part = Mapping[str, np.ndarray]


class Unfinished:
    """A folder with the results of those problems that are done.

    Parameters
    ----------
    folder
        Where such folders are; each run has one of its own, called as its identity.
    identity
        Everything that the results depend on. Another identity finds nothing of this one's.

    Raises
    ------
    ValueError
        Where something in the identity cannot be told from others by its contents.
    """

    def __init__(self, folder: str | PathLike[str], *identity: object) -> None:
        self.folder = Path(folder) / digest(identity)[:32]
        self.folder.mkdir(parents=True, exist_ok=True)

    def parts(self) -> Iterator[Part]:
        """Read what was kept; what does not fit to its name was not finished, or is damaged."""
        for file in sorted(self.folder.glob("*.npz")):
            data = file.read_bytes()
            if file.stem.endswith(_checksum(data)):
                with np.load(io.BytesIO(data), allow_pickle=False) as part:
                    yield dict(part)

    def keep(self, part: Part) -> None:
        """Write a part under a temporary name, then rename it."""
        data = io.BytesIO()
        np.savez(data, allow_pickle=False, **part)
        name = f"{int(part['problems'].min()):08d}-{_checksum(data.getvalue())}.npz"
        handle, unfinished = tempfile.mkstemp(dir=self.folder, suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data.getvalue())
        Path(unfinished).rename(self.folder / name)

    def remove(self) -> None:
        """Remove the run's folder, once its results are handed on, and what is empty round it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs are not finished
            self.folder.parent.rmdir()


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
