"""Writing beside a place first and then taking it, so that nobody ever sees a half.

What a killed process left beside a place is removed by the next one that writes there, and what it
had taken out of its place is put back.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from cot_attn._lock import locked

LOCK = ".writing"
MARK = "-unfinished-"
LONGEST = 100
OLD, NEW = "old", "new"
RANDOM = "?" * 8
"""What `tempfile` puts behind a prefix."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def taking_the_place_of(target: Path) -> Iterator[Path]:
    """Give a path to write a file or folder to, which takes the target's place at the end.

    Where the context ends with an error, what was there before stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    staged = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        with locked(staged / LOCK, f"{staged} is in use."):
            new = staged / NEW
            yield new
            if target.is_dir():
                target.rename(staged / OLD)
            new.replace(target)
    finally:
        _clear(staged, target)


def sweep(target: Path) -> None:
    """Remove what killed processes left beside a place, and put back what they took out of it."""
    for left in target.parent.glob(escape(_prefix(target)) + RANDOM):
        with suppress(OSError):  # of another process that is at work, or gone by now
            if not (left / LOCK).exists():
                left.rmdir()
                continue
            with locked(left / LOCK, f"{left} is in use."):
                _clear(left, target)


def sweep_inside(folder: Path) -> None:
    """Remove what killed processes were writing into a folder of files, whatever its name."""
    for left in folder.glob(f".*{MARK}{RANDOM}"):
        sweep(folder / left.name[1 : -len(MARK + RANDOM)])


def _clear(staged: Path, target: Path) -> None:
    if (staged / OLD).exists() and not target.exists():
        (staged / OLD).rename(target)
    shutil.rmtree(staged, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name[:LONGEST]}{MARK}"


def probe(folder: Path) -> None:
    """Write into a folder, made for that if need be, and leave nothing behind.

    Raises
    ------
    PermissionError
        Where that fails; the message has the folder and the reason.
    """
    made = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:  # gone even where we are killed
            file.write(b"written")
            file.flush()
    except (OSError, ValueError) as error:  # a null character in a path is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise PermissionError(
            f"Nothing can be written to {folder} ({reason}). Give another folder."
        ) from error
    finally:
        for each in made:
            with suppress(OSError, ValueError):
                each.rmdir()


@contextmanager
def saying_what_failed(target: Path, n_bytes: int = 0) -> Iterator[None]:
    """Let an error of the system say what could not be written, and what room there is and need.

    Parameters
    ----------
    target
        What is written.
    n_bytes
        The room that it may need, where that is known.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # has been said
            raise
        need = f" It needs up to {_megabytes(n_bytes)}." if n_bytes else ""
        room = ""
        with suppress(OSError):
            room = f" {_megabytes(shutil.disk_usage(target.parent).free)} are free there."
        advice = " Make room and do the same again." if error.errno in NO_ROOM else ""
        cause = error.strerror or error
        raise OSError(f"{target} could not be written: {cause}.{need}{room}{advice}") from error


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"
