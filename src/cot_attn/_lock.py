"""One process at a time: a lock that its holder's death opens."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(file: Path, sentence: str) -> Iterator[None]:
    """Hold a file's lock while the context lasts; the system lets go of a killed process's.

    Raises
    ------
    BlockingIOError
        With the sentence, where another process, or another part of this one, holds it.
    """
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BlockingIOError(sentence) from None
    try:
        yield
    finally:
        lock.release()
