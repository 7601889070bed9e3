"""Made-up worlds in which it is known what a test should find."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import numpy as np

Outcome = Literal["binary", "graded"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
N_THOUGHTS = 6
N_CORRUPTIONS = 7
PROBLEM_SPREAD = 1.5  # of the log odds of failure, where problem effects are strong
POSITION_SPREAD = 1.0


@dataclass(frozen=True)
class World:
    """How attention and failure come about.

    Parameters
    ----------
    n_problems
        How many problems were answered right before a thought was corrupted.
    problems, positions
        Whether some problems fail more than others, and some thoughts more than others. Attention
        has effects of the same kind, drawn independently.
    outcome
        "binary": one corruption. "graded": the mean over seven.
    rate
        How many answers fail, where there are no effects.
    strength
        The effect of a thought's attention, in this problem, on the log odds of its failure.
    shared
        Whether problems that fail more also have more uneven attention (then in shares, so that its
        level does not follow). That is no relation within problems, but a test that takes problems
        for interchangeable may find one.
    """

    n_problems: int
    problems: bool
    positions: bool
    outcome: Outcome
    rate: float
    strength: float = 0.0
    shared: bool = False

    def __str__(self) -> str:
        effects = "+".join(
            name
            for name, there in (
                ("problems", self.problems),
                ("positions", self.positions),
                ("shared spread", self.shared),
            )
            if there
        )
        return f"n={self.n_problems} {self.outcome} {self.rate:.0%} {effects or 'no effects'}"

    def profiles(self, rng: np.random.Generator) -> np.ndarray:
        """Draw what attention and failure have in common over problems: (2, thought)."""
        return rng.normal(size=(2, N_THOUGHTS)) * (POSITION_SPREAD if self.positions else 0.0)

    def draw(
        self, rng: np.random.Generator, profiles: np.ndarray, n_problems: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw attention and failure, both (problem, thought)."""
        n = n_problems or self.n_problems
        spread = PROBLEM_SPREAD if self.problems else 0.0
        own = rng.normal(size=(n, N_THOUGHTS))
        hardness = rng.normal(size=(n, 1))
        if self.shared:
            own = own * np.exp(0.5 * hardness)
        attention = np.exp(0.5 * (own + spread * rng.normal(size=(n, 1)) + profiles[0]))
        if self.shared:
            attention /= attention.sum(axis=1, keepdims=True)
        log_odds = (
            np.log(self.rate / (1 - self.rate))
            + spread * hardness
            + profiles[1]
            + self.strength * own
        )
        if self.outcome == "binary":
            failure = rng.random(log_odds.shape) < _probability(log_odds)
            return attention, failure.astype(float)
        # Corruptions of one thought break the same problems more often than chance has it.
        log_odds = log_odds + rng.normal(size=log_odds.shape)
        failures = rng.random((*log_odds.shape, N_CORRUPTIONS)) < _probability(log_odds)[..., None]
        return attention, failures.mean(axis=-1)


def grid() -> Iterator[World]:
    """List the worlds: 24 at a failure rate of 20 %, 8 at 2 %, and 4 with a shared spread."""
    yesno = (False, True)
    for n, problems, positions, outcome in product((30, 100, 300), yesno, yesno, OUTCOMES):
        yield World(n, problems, positions, outcome, 0.2)
    for n, effects, outcome in product((100, 300), yesno, OUTCOMES):
        yield World(n, effects, effects, outcome, 0.02)
    for n, outcome in product((100, 300), OUTCOMES):
        yield World(n, True, False, outcome, 0.2, shared=True)


def _probability(log_odds: np.ndarray) -> np.ndarray:
    probability: np.ndarray = 1 / (1 + np.exp(-log_odds))
    return probability
