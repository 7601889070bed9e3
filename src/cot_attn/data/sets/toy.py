"""Word problems whose every intermediate result is known.

Somebody sets a clock of 23 hours (or a dial, a knob, ...) and another changes it day by day:

    Ada sets a 23 hour clock to 7. Ben adds 8 on Monday, doubles it on Tuesday, then removes 9 on
    Wednesday. What does it show now?

The clock counts from 0 to 22 and round again, so every result is taken modulo 23. That, together
with doubling and tripling, is what makes the steps necessary. Sums alone commute: a model can add
all the changes up in one pass, without a single thought.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, get_args

from cot_attn.data.problem import Problem

Split = Literal["test", "train"]

HOURS = 23
MAX_PER_STEPS = 10_000  # problems of one number of steps in one call
HELD_OUT_ONE_IN = 5

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gita", "Hugo", "Iris", "Jon", "Kim", "Lea")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
MAX_STEPS = len(DAYS)
THINGS = ("hour clock", "mark dial", "click knob", "step counter", "tooth wheel", "notch ring")
ADDING = ("adds", "contributes", "gives")
SUBTRACTING = ("subtracts", "removes", "takes")
MULTIPLYING = {2: "doubles", 3: "triples"}


@dataclass(frozen=True)
class Operation:
    """One change of the clock: `+ amount`, `- amount` or `x amount`."""

    sign: Literal["+", "-", "x"]
    amount: int

    def apply(self, value: int) -> int:
        """Return what the clock shows afterwards."""
        if self.sign == "x":
            return value * self.amount % HOURS
        return (value + self.amount if self.sign == "+" else value - self.amount) % HOURS

    def words(self, rng: random.Random) -> str:
        """Say it, always in two words."""
        if self.sign == "x":
            return f"{MULTIPLYING[self.amount]} it"
        return f"{rng.choice(ADDING if self.sign == '+' else SUBTRACTING)} {self.amount}"


# Half of all steps multiply: the rarer that is, the further a model gets by summing alone.
OPERATIONS = (
    [Operation("+", amount) for amount in range(1, 10)],
    [Operation("-", amount) for amount in range(1, 10)],
    [Operation("x", 2)],
    [Operation("x", 3)],
)


@dataclass(frozen=True)
class Skeleton:
    """What a problem computes, without its wording."""

    start: int
    operations: tuple[Operation, ...]

    @classmethod
    def draw(cls, rng: random.Random, steps: int, split: str) -> "Skeleton":
        """Draw one of this split with this many steps."""
        while True:
            operations = tuple(rng.choice(rng.choice(OPERATIONS)) for _ in range(steps))
            skeleton = cls(rng.randrange(HOURS), operations)
            if skeleton.split == split:
                return skeleton

    @property
    def split(self) -> Split:
        """The split that it belongs to, whoever asks: one in five is held out, by its hash."""
        text = " ".join([str(self.start), *(f"{o.sign}{o.amount}" for o in self.operations)])
        digest = hashlib.sha256(text.encode()).digest()
        return "test" if int.from_bytes(digest[:8]) % HELD_OUT_ONE_IN == 0 else "train"

    @property
    def results(self) -> tuple[int, ...]:
        """What the clock shows after each step."""
        results: list[int] = []
        for operation in self.operations:
            results.append(operation.apply(results[-1] if results else self.start))
        return tuple(results)

    def words(self, rng: random.Random, *, then: bool, now: bool) -> str:
        """Tell it as a story.

        Parameters
        ----------
        rng
            Chooses names, things and verbs, which are of the same length.
        then
            Whether the last step begins with "then".
        now
            Whether the question ends with "now".
        """
        changes = [
            f"{operation.words(rng)} on {day}"
            for operation, day in zip(self.operations, DAYS, strict=False)
        ]
        if then:
            changes[-1] = f"then {changes[-1]}"
        one, other = rng.sample(NAMES, 2)
        return (
            f"{one} sets a {HOURS} {rng.choice(THINGS)} to {self.start}. "
            f"{other} {', '.join(changes)}. What does it show{' now' if now else ''}?"
        )


def draw_problem(rng: random.Random, steps: int, split: str, *, then: bool, now: bool) -> Problem:
    """Draw one problem; those of the same steps, `then` and `now` have as many words."""
    skeleton = Skeleton.draw(rng, steps, split)
    question = skeleton.words(rng, then=then, now=now)
    results = tuple(str(result) for result in skeleton.results)
    return Problem(
        id=f"toy-{hashlib.sha256(question.encode()).hexdigest()[:12]}",
        question=question,
        answer=results[-1],
        steps=results,
        difficulty=steps,
        dataset="toy",
    )


def toy_problems(
    n: int, seed: int = 0, split: str = "test", steps: Sequence[int] | None = None
) -> list[Problem]:
    """Make word problems for the bundled models.

    The numbers of steps take turns, so that each has as many problems as the others (or one fewer).
    No question occurs twice. The first problems of a longer list are those of a shorter one.

    Parameters
    ----------
    n
        How many.
    seed
        Another seed gives other problems.
    split
        "test" for problems that the bundled models were never trained on, whatever the wording:
        the start value and the operations, taken together, are held out. "train" for the others.
    steps
        The numbers of steps, 1 to 6 by default.

    Returns
    -------
    list[Problem]
        `steps` holds what the clock shows after each step and `difficulty` how many there are.

    Raises
    ------
    ValueError
        If `n`, `split` or `steps` cannot be had.

    Examples
    --------
    >>> problem = toy_problems(1, steps=[2])[0]
    >>> problem.question
    'Lea sets a 23 hour clock to 0. Ada contributes 4 on Monday, removes 2 on Tuesday. What does it
    show now?'
    >>> problem.steps, problem.answer
    (('4', '2'), '2')
    """
    steps = tuple(steps) if steps is not None else tuple(range(1, MAX_STEPS + 1))
    if not steps or not set(steps) <= set(range(1, MAX_STEPS + 1)) or len(set(steps)) < len(steps):
        raise ValueError(f"steps={steps}: give different whole numbers from 1 to {MAX_STEPS}.")
    if split not in get_args(Split):
        raise ValueError(f"split={split!r}: the toy problems have 'test' and 'train'.")
    if not 0 <= n <= MAX_PER_STEPS * len(steps):
        raise ValueError(
            f"n={n}: at most {MAX_PER_STEPS} problems can be had for a number of steps, so from 0 "
            f"to {MAX_PER_STEPS * len(steps)} here."
        )
    rng = random.Random(f"{seed} {split}")
    problems: dict[str, Problem] = {}
    for difficulty in islice(cycle(steps), n):
        count = len(problems)
        while len(problems) == count:
            then, now = rng.random() < 0.5, rng.random() < 0.5
            problem = draw_problem(rng, difficulty, split, then=then, now=now)
            problems.setdefault(problem.id, problem)
    return list(problems.values())
