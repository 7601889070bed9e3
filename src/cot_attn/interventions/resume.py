"""What an interrupted run had finished, kept on disk until the run is complete."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from cot_attn.interventions._engine.contents import digest
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

    Raises
    ------
    ValueError
        Where something in the identity cannot be told from others by its contents.
    """

    def __init__(self, folder: str | PathLike[str], *identity: object) -> None:
        self.folder = Path(folder) / digest(identity)[:32]
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
        unfinished = self.folder / f"{name}.part"
        try:
            with saying_what_failed(self.folder / name, data.getbuffer().nbytes):
                unfinished.write_bytes(data.getvalue())
                unfinished.rename(self.folder / name)
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


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]
