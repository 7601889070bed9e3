"""Made-up problems of ProsQA's form, whose graph is known."""

import random
from collections.abc import Sequence
from itertools import pairwise

from cot_attn.data import Problem

WIDTH = 3
"""How many kinds can be reached at every step."""


def graph_problems(
    n: int, names: Sequence[str], *, n_steps: int = 3, seed: int = 0
) -> list[Problem]:
    """Make problems that ask which of two kinds an individual is, by a chain of "Every ...".

    At every step three kinds can be reached, and each of them leads to two at the next. As many
    others, the wrong answer among them, cannot be reached.

    Parameters
    ----------
    n
        How many.
    names
        The individual's name, then those of kinds: different single words, at least
        1 + 6 * `n_steps`. Each problem draws its own among the kinds.
    n_steps
        How many steps the right answer is away.
    seed
        Another seed gives other problems.

    Raises
    ------
    ValueError
        Where names are too few, repeat, or are no single words.

    Examples
    --------
    >>> problem = graph_problems(1, ["Tom", *"abcdef"], n_steps=1)[0]
    >>> problem.question, problem.answer
    ('Every d is a e. Tom is a c. Every e is a a. Tom is a b. Tom is a f. Is Tom a a or c?',
     'Tom is a c.')
    """
    somebody, *kinds = names
    needed = 2 * WIDTH * n_steps
    if n_steps < 1 or len(kinds) < needed or len(set(names)) < len(names):
        raise ValueError(
            f"There are {len(names)} names for {n_steps} steps; give different ones, at least "
            f"{1 + needed}, and a step at least."
        )
    if wrong := [name for name in names if not name.isalnum()]:
        raise ValueError(f"{wrong[0]!r} is no single word; a sentence could not be read again.")
    problems = []
    for number in range(n):
        rng = random.Random(f"{seed} {number}")
        drawn = rng.sample(kinds, needed)
        near, far = drawn[: needed // 2], drawn[needed // 2 :]
        levels = [near[i : i + WIDTH] for i in range(0, len(near), WIDTH)]
        edges = [(somebody, kind) for kind in levels[0]]
        for level, following in pairwise(levels):
            for place, kind in enumerate(level):
                edges += [(kind, following[place]), (kind, following[(place + 1) % WIDTH])]
        edges += list(pairwise(far))
        rng.shuffle(edges)
        told = [f"{'' if one == somebody else 'Every '}{one} is a {other}." for one, other in edges]
        target, wrong_one = rng.choice(levels[-1]), rng.choice(far)
        asked = rng.sample([target, wrong_one], 2)
        problems.append(
            Problem(
                id=f"graph-{seed}-{number}",
                question=f"{' '.join(told)} Is {somebody} a {asked[0]} or {asked[1]}?",
                answer=f"{somebody} is a {target}.",
                answer_type="text",
                difficulty=n_steps,
                dataset="graph",
            )
        )
    return problems
