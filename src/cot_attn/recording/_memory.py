"""How much memory there is, asked before it is taken."""

import os
from pathlib import Path


def require_memory(n_bytes: int, what: str, advice: str) -> None:
    """Raise where more memory would be taken than there is.

    Parameters
    ----------
    n_bytes
        What would be taken.
    what
        What takes it, such as `"A record of 200 problems"`.
    advice
        What to do instead.

    Raises
    ------
    MemoryError
        With the figures.
    """
    free = free_bytes()
    if n_bytes > free:
        raise MemoryError(
            f"{what} takes {in_words(n_bytes)}, and {in_words(int(free))} are free. {advice}"
        )


def free_bytes() -> float:
    """Return how much main memory can be had, or infinity where the system does not tell."""
    table = Path("/proc/meminfo")
    if table.exists():
        for line in table.read_text().splitlines():
            name, _, size = line.partition(":")
            if name == "MemAvailable":
                return 1024.0 * int(size.split()[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return float("inf")


def in_words(n_bytes: int) -> str:
    """Write a size.

    Examples
    --------
    >>> in_words(1_234_567)
    '1.2 MB'
    """
    size, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.1f} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
