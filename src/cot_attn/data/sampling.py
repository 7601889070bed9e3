"""Samples of problems in which every difficulty has its share."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from numbers import Integral

from cot_attn.data.problem import Problem


def balanced_sample(
    problems: Sequence[Problem],
    n: int,
    seed: int,
    stratum: Callable[[Problem], Hashable] = lambda problem: problem.difficulty,
) -> list[Problem]:
    """Choose problems so that the strata have as many as each other, as far as they can.

    The choice follows from the seed and the problems' ids alone: the order in which they are
    given does not matter, and a smaller sample is the beginning of a larger one.

    Parameters
    ----------
    problems
        What to choose from.
    n
        How many to choose.
    seed
        Another seed chooses others.
    stratum
        What is balanced; by default the difficulty. Where a stratum has too few problems, the
        others share what is missing.

    Returns
    -------
    list[Problem]
        In the order of choice: a problem of each stratum, then a second one of each, and so on.
    """
    for name, number in (("n", n), ("seed", seed)):
        if isinstance(number, bool) or not isinstance(number, Integral):
            raise TypeError(f"{name}={number!r}: a whole number is needed.")
    if not 1 <= n <= len(problems):
        raise ValueError(
            f"n={n}: there are {len(problems)} problems to choose from, so give 1 to "
            f"{len(problems)}, or None for all of them."
        )

    def lot(problem: Problem) -> bytes:
        return hashlib.sha256(f"{seed} {problem.id}".encode()).digest()

    seen: Counter[Hashable] = Counter()
    rounds: list[tuple[int, Problem]] = []
    for problem in sorted(problems, key=lot):
        rounds.append((seen[stratum(problem)], problem))
        seen[stratum(problem)] += 1
    rounds.sort(key=lambda drawn: drawn[0])  # stable: within a round, the order of the lots
    return [problem for _, problem in rounds[:n]]
