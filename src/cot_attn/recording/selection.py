"""Which layers and heads are looked at."""

from collections.abc import Iterable


def selected(kind: str, chosen: Iterable[int] | None, count: int) -> list[int]:
    """Return chosen indices in order, or all of them; raise where one does not exist.

    Examples
    --------
    >>> selected("layer", None, 3)
    [0, 1, 2]
    >>> selected("layer", [-1, 0], 3)
    [0, 2]
    """
    if chosen is None:
        return list(range(count))
    indices = [index + count if index < 0 else index for index in chosen]
    outside = [index for index in indices if not 0 <= index < count]
    if outside or not indices:
        raise ValueError(
            f"{kind}s are {list(chosen)}; this model has {kind}s 0 to {count - 1} (negative "
            "numbers count from the end). Give at least one of them, or None for all."
        )
    if len(set(indices)) < len(indices):
        raise ValueError(f"{kind}s are {list(chosen)}; give each {kind} once.")
    return sorted(indices)
