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
from cot_attn.toy.architecture import Shape, ToyName
from cot_attn.toy.measuring import accuracy, thinking
from cot_attn.toy.training import Progress, Recipe, train

Row = Literal["equal-steps", "equal-accuracy"]
ROWS: tuple[Row, ...] = get_args(Row)
FAMILIES: tuple[ToyName, ...] = get_args(ToyName)
SHAPES = (Shape(32, 2), Shape(48, 3), Shape(64, 3), Shape(96, 4), Shape(128, 5), Shape(192, 6))
"""From about 0.04 to about 3 million parameters."""
STEPS = 4000
STREAM = 0
THRESHOLD = 0.9
MEASURE_EVERY = 250
PROBLEMS = 50  # of each number of steps, for the threshold
PROBLEMS_AT_THE_END = 200
FACTS = "facts.json"


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
    """

    family: ToyName
    shape: Shape
    seed: int
    steps: int = STEPS

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
            self.family, steps=self.steps, seed=self.seed, shape=self.shape, stream=STREAM
        )


def rungs(
    families: tuple[ToyName, ...] = FAMILIES,
    shapes: tuple[Shape, ...] = SHAPES,
    seeds: tuple[int, ...] = (0, 1, 2),
    steps: int = STEPS,
) -> list[Rung]:
    """Return a ladder's rungs, small ones first."""
    return [
        Rung(family, shape, seed, steps) for shape, seed, family in product(shapes, seeds, families)
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
        if facts["steps"] != rung.steps:
            raise ValueError(
                f"{home} was trained for {facts['steps']} steps, and {rung.steps} are asked for. "
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
    done = train(rung.recipe, checkpoint, save_every=50, on_step=look)
    _keep(done, rung, home / "equal-steps")
    found = _accuracy(done, rung, PROBLEMS_AT_THE_END)
    facts = {
        "family": rung.family,
        "d_model": rung.shape.d_model,
        "n_layers": rung.shape.n_layers,
        "training_seed": rung.seed,
        "steps": rung.steps,
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
    return float(accuracy(model, n, [rung.recipe.n_thoughts]).mean())


def _keep(progress: Progress, rung: Rung, folder: Path) -> None:
    with taking_the_place_of(folder) as new:
        thinking(progress.network, rung.name, rung.recipe.n_thoughts).save_pretrained(new)


def _climb_alone(rung: Rung, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    return climb(rung, folder)


def main(
    folder: Annotated[Path, typer.Argument(help="Where the models are kept.")] = Path("ladder"),
    sizes: Annotated[int, typer.Option(min=1, max=len(SHAPES), help="How many.")] = len(SHAPES),
    seeds: Annotated[int, typer.Option(min=1, help="How many of each size.")] = 3,
    families: Annotated[str, typer.Option(help="With commas between.")] = ",".join(FAMILIES),
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = STEPS,
    workers: Annotated[int, typer.Option(min=1, help="Processes at once.")] = 2,
) -> None:
    """Train the ladder; after an interruption the same command goes on."""
    chosen = tuple(each for each in FAMILIES if each in families.split(","))
    if len(chosen) != len(families.split(",")):
        raise typer.BadParameter(f"families are {families!r}: there are {' and '.join(FAMILIES)}.")
    ladder = rungs(chosen, SHAPES[:sizes], tuple(range(seeds)), steps)
    console = Console()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn) as pool:
        running = {pool.submit(_climb_alone, rung, folder): rung for rung in ladder}
        for number, future in enumerate(as_completed(running), start=1):
            facts = future.result()
            reached = facts["reached"]
            console.print(
                f"{number} of {len(ladder)}: {running[future].name}, accuracy "
                f"{facts['accuracy']:.3f}, {facts['minutes']} minutes, "
                + (f"{THRESHOLD} reached at step {reached['step']}" if reached else "not reached")
            )


if __name__ == "__main__":
    typer.run(main)
