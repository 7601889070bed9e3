"""Trains families of toy models, from small to large: `python -m cot_attn.toy.ladder`.

All rungs have one recipe, one stream of problems and as many steps; seeds differ in the initial
weights alone. Each rung leaves two models: `equal-steps`, after all steps, and `equal-accuracy`,
as it was when its held-out accuracy first reached a threshold, so that size and skill can be told
apart.
"""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
import typer
from rich.console import Console

from cot_attn._writing import taking_the_place_of
from cot_attn.data.sets.toy import MAX_STEPS
from cot_attn.toy.architecture import Shape, ToyName
from cot_attn.toy.losses import DrawnOnce
from cot_attn.toy.measuring import accuracy, thinking
from cot_attn.toy.training import Progress, Recipe, train

Row = Literal["equal-steps", "equal-accuracy"]
ROWS: tuple[Row, ...] = get_args(Row)
FAMILIES: tuple[ToyName, ...] = get_args(ToyName)
SHAPES = (Shape(32, 2), Shape(48, 3), Shape(64, 3), Shape(96, 4), Shape(128, 5), Shape(192, 6))
"""From about 0.04 to about 3 million parameters."""
STEPS = 4000
BATCH_SIZE = 64
STREAM = 0
THRESHOLD = 0.9
MEASURE_EVERY = 250
PROBLEMS = 50  # of each number of steps, for the threshold
PROBLEMS_AT_THE_END = 200
FACTS = "facts.json"
_draw = DrawnOnce()  # rungs that a process climbs one after the other see the same batches


@dataclass(frozen=True)
class Rung:
    """One model of a family.

    Parameters
    ----------
    family
        `toy-gpt2` or `toy-llama`.
    shape
        How large it is.
    seed
        Of the initial weights.
    steps
        Training steps.
    longest
        How many steps the longest problems have, and how many thoughts the model.
    batch_size
        Problems in a training step.
    """

    family: ToyName
    shape: Shape
    seed: int
    steps: int = STEPS
    longest: int = MAX_STEPS
    batch_size: int = BATCH_SIZE

    @property
    def name(self) -> str:
        """What it is called, and its folder.

        Examples
        --------
        >>> Rung("toy-llama", Shape(48, 3), seed=2).name
        'toy-llama-48x3-seed2'
        """
        return f"{self.family}-{self.shape.d_model}x{self.shape.n_layers}-seed{self.seed}"

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return Recipe(
            self.family,
            steps=self.steps,
            seed=self.seed,
            batch_size=self.batch_size,
            shape=self.shape,
            stream=STREAM,
            longest=self.longest,
        )

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of it before it is trained."""
        return {
            "family": self.family,
            "d_model": self.shape.d_model,
            "n_layers": self.shape.n_layers,
            "training_seed": self.seed,
            "steps": self.steps,
            "longest": self.longest,
            "batch_size": self.batch_size,
        }


def rungs(
    families: tuple[ToyName, ...] = FAMILIES,
    shapes: tuple[Shape, ...] = SHAPES,
    seeds: tuple[int, ...] = (0, 1, 2),
    steps: int = STEPS,
    longest: int = MAX_STEPS,
    batch_size: int = BATCH_SIZE,
) -> list[Rung]:
    """Return a ladder's rungs, seed by seed: one that is left early has all sizes."""
    return [
        Rung(family, shape, seed, steps, longest, batch_size)
        for seed, family, shape in product(seeds, families, shapes)
    ]


def climb(rung: Rung, folder: Path, threshold: float = THRESHOLD) -> dict[str, Any]:
    """Train a rung, or go on where it was interrupted, and return its facts.

    Parameters
    ----------
    rung
        What is trained.
    folder
        Where its folder is made; inside are a folder for each row, and `facts.json`.
    threshold
        The held-out accuracy, mean over numbers of steps, at which `equal-accuracy` is kept.
    """
    home = folder / rung.name
    if (facts := read_facts(home)) is not None:
        if other := [each for each in rung.facts if facts[each] != rung.facts[each]]:
            raise ValueError(
                f"{home} was trained with {', '.join(f'{each} {facts[each]}' for each in other)}, "
                f"and {', '.join(f'{each} {rung.facts[each]}' for each in other)} is asked for. "
                "Ask for the same, or train in another folder."
            )
        return facts
    checkpoint = home / "training.pt"
    reached = home / "reached.json"

    def look(progress: Progress, losses: dict[str, float]) -> None:
        measured = progress.step % MEASURE_EVERY == 0 or progress.step == rung.steps
        if not measured or reached.exists():
            return
        found = _accuracy(progress, rung, PROBLEMS)
        if found >= threshold:
            _keep(progress, rung, home / "equal-accuracy")
            text = json.dumps({"step": progress.step, "accuracy": found})
            with taking_the_place_of(reached) as new:
                new.write_text(text)

    if checkpoint.exists():  # it may have been interrupted between saving and looking
        look(Progress.load(checkpoint), {})
    done = train(rung.recipe, checkpoint, save_every=50, draw=_draw, on_step=look)
    _keep(done, rung, home / "equal-steps")
    found = _accuracy(done, rung, PROBLEMS_AT_THE_END)
    facts = {
        **rung.facts,
        "accuracy": found,
        "handover": done.curriculum.handover,
        "minutes": round(done.seconds / 60, 1),
        "reached": json.loads(reached.read_text()) if reached.exists() else None,
    }
    with taking_the_place_of(home / FACTS) as new:
        new.write_text(json.dumps(facts, indent=1) + "\n")
    checkpoint.unlink()
    return facts


def read_facts(home: Path) -> dict[str, Any] | None:
    """Return what is known of a rung that is finished, or None."""
    file = home / FACTS
    if not file.is_file():
        return None
    facts: dict[str, Any] = json.loads(file.read_text())
    return facts


def models(folder: Path, row: Row) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Yield the finished models of a row: name, folder and facts."""
    for home in sorted(each.parent for each in folder.glob(f"*/{FACTS}")):
        facts = read_facts(home)
        if facts is not None and (home / row).is_dir():
            reached = facts.pop("reached")
            if row == "equal-accuracy":
                facts["accuracy"], facts["steps"] = reached["accuracy"], reached["step"]
            yield home.name, home / row, facts


def _accuracy(progress: Progress, rung: Rung, n: int) -> float:
    model = thinking(progress.network, rung.name, rung.recipe.n_thoughts)
    return float(accuracy(model, n, [rung.longest], longest=rung.longest).mean())


def _keep(progress: Progress, rung: Rung, folder: Path) -> None:
    with taking_the_place_of(folder) as new:
        thinking(progress.network, rung.name, rung.recipe.n_thoughts).save_pretrained(new)


def _climb_alone(rung: Rung, folder: Path, threshold: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    return climb(rung, folder, threshold)


def _climb_all(
    ladder: list[Rung], folder: Path, threshold: float, workers: int
) -> Iterator[tuple[Rung, dict[str, Any]]]:
    """Yield each rung and its facts, as they are done."""
    if workers == 1:
        for rung in ladder:
            yield rung, _climb_alone(rung, folder, threshold)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn) as pool:
        running = {pool.submit(_climb_alone, rung, folder, threshold): rung for rung in ladder}
        for future in as_completed(running):
            yield running[future], future.result()


def read_shape(text: str) -> Shape:
    """Return the shape that is written as width x layers.

    Examples
    --------
    >>> read_shape("48x3")
    Shape(d_model=48, n_layers=3, n_heads=4)
    """
    width, _, layers = text.partition("x")
    if not width.isdecimal() or not layers.isdecimal():
        raise ValueError(f"A size is {text!r}; write width x layers, as in 48x3.")
    return Shape(int(width), int(layers))


def main(
    folder: Annotated[Path, typer.Argument(help="Where the models are kept.")] = Path("ladder"),
    sizes: Annotated[
        str, typer.Option(help="Widths x layers, with commas between, small ones first.")
    ] = ",".join(f"{shape.d_model}x{shape.n_layers}" for shape in SHAPES),
    seeds: Annotated[int, typer.Option(min=1, help="How many of each size.")] = 3,
    families: Annotated[str, typer.Option(help="With commas between.")] = ",".join(FAMILIES),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = STEPS,
    longest: Annotated[
        int, typer.Option(min=1, max=MAX_STEPS, help="Steps of the longest problems; thoughts.")
    ] = MAX_STEPS,
    batch_size: Annotated[int, typer.Option(min=1, help="Problems in a step.")] = BATCH_SIZE,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="The accuracy of the row equal-accuracy.")
    ] = THRESHOLD,
    workers: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
) -> None:
    """Train the ladder; after an interruption the same command goes on."""
    chosen = tuple(each for each in FAMILIES if each in families.split(","))
    if len(chosen) != len(families.split(",")):
        raise typer.BadParameter(f"families are {families!r}: there are {' and '.join(FAMILIES)}.")
    try:
        shapes = tuple(read_shape(each) for each in sizes.split(","))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    ladder = rungs(chosen, shapes, tuple(range(seeds)), steps, longest, batch_size)
    console = Console()
    done = _climb_all(ladder, folder, threshold, workers)
    for number, (rung, facts) in enumerate(done, start=1):
        reached = facts["reached"]
        console.print(
            f"{number} of {len(ladder)}: {rung.name}, accuracy {facts['accuracy']:.3f}, "
            f"{facts['minutes']} minutes, "
            + (f"{threshold} reached at step {reached['step']}" if reached else "not reached")
        )


if __name__ == "__main__":
    typer.run(main)
