"""The training loop: same recipe, same weights, interrupted or not."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from cot_attn._writing import taking_the_place_of
from cot_attn.data.sets.toy import MAX_STEPS
from cot_attn.toy.architecture import Shape, ToyName, ToyNetwork
from cot_attn.toy.curriculum import Curriculum
from cot_attn.toy.losses import Batch, direct_losses, draw_batch, explicit_losses, latent_losses
from cot_attn.toy.tokenizer import toy_tokenizer

# At 2e-3 the loss of the Llama model jumps up again and again.
LEARNING_RATES = {"toy-gpt2": 2e-3, "toy-llama": 1e-3}
BRIDGE_WEIGHT = 0.5
CLIP = 1.0


@dataclass(frozen=True)
class Recipe:
    """Everything that the weights depend on.

    Parameters
    ----------
    name
        "toy-gpt2" or "toy-llama".
    thoughts
        Whether the model may think. Without, it is the control: it answers at once.
    steps
        Training steps.
    seed
        Of the initial weights and of the problems.
    batch_size
        Problems in a training step.
    shape
        How large the model is.
    stream
        Decides the problems, where several models are to see the same ones; by default the seed
        does.
    longest
        How many steps the longest problems have; a model has as many thoughts.
    """

    name: ToyName
    thoughts: bool = True
    steps: int = 4000
    seed: int = 0
    batch_size: int = 64
    shape: Shape = Shape()  # noqa: RUF009 - it is frozen
    stream: int | None = None
    longest: int = MAX_STEPS

    @property
    def n_thoughts(self) -> int:
        """How many thoughts the model has."""
        return self.longest if self.thoughts else 0

    @property
    def control(self) -> "Recipe":
        """The same without thoughts."""
        return replace(self, thoughts=False)

    @property
    def file_name(self) -> str:
        """What its checkpoint is called."""
        return f"{self.name}{'' if self.thoughts else '-control'}-seed{self.seed}.pt"


@dataclass
class Progress:
    """Where a training run stands: what a checkpoint holds, and what a report may show."""

    recipe: Recipe
    network: ToyNetwork
    optimiser: torch.optim.Optimizer
    curriculum: Curriculum
    step: int = 0
    seconds: float = 0.0

    @classmethod
    def start(cls, recipe: Recipe) -> "Progress":
        """Begin a run."""
        network = ToyNetwork(recipe.name, toy_tokenizer(), recipe.seed, recipe.shape)
        optimiser = torch.optim.AdamW(
            network.parameters(),
            lr=LEARNING_RATES[recipe.name],
            betas=(0.9, 0.98),
            weight_decay=0.01,
            fused=True,
        )
        return cls(recipe, network, optimiser, Curriculum(recipe.steps, recipe.longest))

    def save(self, path: Path) -> None:
        """Write a checkpoint; an interrupted save leaves the old one whole."""
        state = {
            "recipe": asdict(self.recipe),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "curriculum": asdict(self.curriculum),
            "step": self.step,
            "seconds": self.seconds,
        }
        with taking_the_place_of(path) as new:
            torch.save(state, new)

    @classmethod
    def load(cls, path: Path) -> "Progress":
        """Read a checkpoint."""
        saved: dict[str, Any] = torch.load(path, weights_only=True)
        shape = Shape(**saved["recipe"].pop("shape", {}))
        progress = cls.start(Recipe(**saved["recipe"], shape=shape))
        progress.network.load_state_dict(saved["network"])
        progress.optimiser.load_state_dict(saved["optimiser"])
        progress.curriculum = Curriculum(**saved["curriculum"])
        progress.step, progress.seconds = saved["step"], saved["seconds"]
        return progress


def train(
    recipe: Recipe,
    checkpoint: Path,
    *,
    save_every: int = 100,
    draw: Callable[..., Batch] | None = None,
    on_step: Callable[[Progress, dict[str, float]], None] = lambda progress, losses: None,
) -> Progress:
    """Train a toy model, or go on where an interrupted run stopped.

    Each training step draws its problems from the seed and its own number, so a run that was
    interrupted and resumed ends with the weights of one that was not, bit for bit (on the same
    machine, with as many threads).

    Parameters
    ----------
    recipe
        What to train.
    checkpoint
        The file that the run is saved in, and resumed from where it exists.
    save_every
        Training steps between two saves.
    draw
        What draws a batch; by default `draw_batch`. `DrawnOnce` spares models of one stream the
        work.
    on_step
        Called after every training step with the progress and the step's losses.

    Raises
    ------
    ValueError
        If `checkpoint` holds a run of another recipe.
    """
    progress = Progress.load(checkpoint) if checkpoint.exists() else Progress.start(recipe)
    if progress.recipe != recipe:
        raise ValueError(
            f"{checkpoint} holds a run of {progress.recipe}, but {recipe} was asked for. "
            "Ask for the same, or train in another folder."
        )
    tokenizer = toy_tokenizer()
    while progress.step < recipe.steps:
        begun = time.perf_counter()
        loss, shown = _loss(progress, tokenizer, draw or draw_batch)
        factor = progress.curriculum.learning_rate(progress.step)
        for group in progress.optimiser.param_groups:
            group["lr"] = LEARNING_RATES[recipe.name] * factor
        progress.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(progress.network.parameters(), CLIP)
        progress.optimiser.step()
        progress.step += 1
        progress.seconds += time.perf_counter() - begun
        if progress.step % save_every == 0 or progress.step == recipe.steps:
            progress.save(checkpoint)
        on_step(progress, shown)
    return progress


def _loss(
    progress: Progress, tokenizer: PreTrainedTokenizerFast, draw: Callable[..., Batch]
) -> tuple[Tensor, dict[str, float]]:
    recipe, curriculum, step = progress.recipe, progress.curriculum, progress.step
    rng = random.Random(f"{recipe.seed if recipe.stream is None else recipe.stream} {step}")
    steps = curriculum.draw_steps(rng, step)
    n_thoughts = curriculum.draw_thoughts(rng, steps)
    batch = draw(rng, tokenizer, size=recipe.batch_size, steps=steps, n_thoughts=n_thoughts)
    if not recipe.thoughts:
        answer = direct_losses(progress.network, batch)
        return answer, {"answer": answer.item()}
    latent = curriculum.draw_latent(rng, step)
    losses = (latent_losses if latent else explicit_losses)(progress.network, batch)
    if not latent:
        curriculum.saw(step, losses.result.item())
    total = losses.answer + losses.result + BRIDGE_WEIGHT * losses.bridge
    shown = {
        "answer": losses.answer.item(),
        "result": losses.result.item(),
        "bridge": losses.bridge.item(),
        "latent": float(latent),
    }
    return total, shown
