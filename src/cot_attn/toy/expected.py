"""What the answer of a toy problem becomes when a thought carries what it should."""

import re

from cot_attn.data import Problem
from cot_attn.data.sets.toy import ADDING, MULTIPLYING, SUBTRACTING, Operation

_VERBS = "|".join([*ADDING, *SUBTRACTING])
_FACTORS = {verb: factor for factor, verb in MULTIPLYING.items()}
_CHANGE = re.compile(rf"\b(?:({_VERBS}) (\d+)|({'|'.join(_FACTORS)}) it) on\b")


def operations(problem: Problem) -> tuple[Operation, ...]:
    """Read the changes of the clock from the question of a toy problem.

    Raises
    ------
    ValueError
        Where the problem is none of `toy_problems`.

    Examples
    --------
    >>> from cot_attn.toy import toy_problems
    >>> problem = toy_problems(1, steps=[2])[0]
    >>> [f"{change.sign} {change.amount}" for change in operations(problem)]
    ['+ 4', '- 2']
    """
    found = tuple(
        Operation("x", _FACTORS[factor])
        if factor
        else Operation("+" if verb in ADDING else "-", int(amount))
        for verb, amount, factor in _CHANGE.findall(problem.question)
    )
    if not found or len(found) != len(problem.steps):
        raise ValueError(
            f"Problem {problem.id!r} is no toy problem: {len(found)} changes of a clock were read "
            f"in its question, and it has {len(problem.steps)} steps. Give problems of "
            "toy_problems, or write an `expected` of your own."
        )
    return found


def expected_answer(base: Problem, source: Problem, thought: int) -> str:
    """Return what the base's answer becomes if a thought of the source carries its result.

    Thought i should hold what the clock shows after step i + 1, and a thought behind the last step
    the answer. From there on the base's own steps are done. For `experiments.interchange`.

    Parameters
    ----------
    base
        The problem that is answered.
    source
        The problem that the thought comes from.
    thought
        Which thought, counted from 0.

    Examples
    --------
    >>> from cot_attn.toy import toy_problems
    >>> base, source = toy_problems(2, steps=[2])
    >>> base.steps, source.steps, base.question.split(", ")[1]
    (('4', '2'), ('14', '19'), 'removes 2 on Tuesday. What does it show now?')
    >>> expected_answer(base, source, 0), expected_answer(base, source, 1)
    ('12', '19')
    """
    operations(source)
    value = int(source.steps[min(thought, len(source.steps) - 1)])
    for operation in operations(base)[thought + 1 :]:
        value = operation.apply(value)
    return str(value)
