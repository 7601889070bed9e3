"""From one step to the longest, and from given thoughts to the model's own."""

import math
import random
from dataclasses import dataclass

from cot_attn.data.sets.toy import MAX_STEPS

WARM_UP = 100  # training steps
GROWTH = 0.05  # the part of the run in which the problems grow from one step to the longest
DECAY_FROM = 0.5  # the part of the run after which the learning rate falls
FINAL_RATE = 0.02
HANDOVER = 0.15  # how long the hand-over to the model's own thoughts takes
HANDOVER_BELOW = 0.1  # it starts when the running mean of the result loss is below this
HANDOVER_AT_LATEST = 0.6
MEMORY = 0.98  # of the running mean, a step


@dataclass
class Curriculum:
    """What to train on at each step of a run.

    In the *explicit* stage the thoughts' inputs are given: the embeddings of the true intermediate
    results. When the model can say the next result from them, it is handed over, a growing part of
    the batches at a time, to thoughts of its own. Handed over earlier, it never learns the long
    chains; never given any, it learns short cuts that need no thoughts.

    Parameters
    ----------
    total
        The number of training steps.
    longest
        How many steps the longest problems have.
    mean_result_loss
        Running mean of the loss of the intermediate results in the explicit stage.
    handover
        The training step at which the hand-over began, or None.
    """

    total: int
    longest: int = MAX_STEPS
    mean_result_loss: float = math.inf
    handover: int | None = None

    def learning_rate(self, step: int) -> float:
        """Return the factor on the learning rate: warm-up, plateau, cosine."""
        warm = min(1.0, (step + 1) / WARM_UP)
        fallen = max(0.0, (step / self.total - DECAY_FROM) / (1 - DECAY_FROM))
        return warm * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * fallen)) / 2)

    def draw_steps(self, rng: random.Random, step: int) -> int:
        """Draw the number of steps of a batch's problems; long ones come more often."""
        grown = min(1.0, step / (GROWTH * self.total))
        longest = 1 + int(grown * (self.longest - 1))
        return rng.choices(range(1, longest + 1), weights=range(2, longest + 2))[0]

    def draw_thoughts(self, rng: random.Random, steps: int) -> int:
        """Draw how many thoughts a batch gets: all in half of the batches, at least one a step."""
        return self.longest if rng.random() < 0.5 else rng.randint(steps, self.longest)

    def draw_latent(self, rng: random.Random, step: int) -> bool:
        """Draw whether a batch's thoughts are the model's own."""
        latent = 0.0 if self.handover is None else (step - self.handover) / (HANDOVER * self.total)
        return rng.random() < latent

    def saw(self, step: int, result_loss: float) -> None:
        """Take note of an explicit batch, and begin the hand-over when it is time."""
        if math.isinf(self.mean_result_loss):
            self.mean_result_loss = result_loss
        self.mean_result_loss = MEMORY * self.mean_result_loss + (1 - MEMORY) * result_loss
        converged = step > GROWTH * self.total and self.mean_result_loss < HANDOVER_BELOW
        if self.handover is None and (converged or step >= HANDOVER_AT_LATEST * self.total):
            self.handover = step
