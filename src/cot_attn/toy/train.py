"""Trains the toy models: `python -m cot_attn.toy.train toy-gpt2`."""

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from cot_attn.toy.architecture import ToyName
from cot_attn.toy.measuring import accuracy, thinking
from cot_attn.toy.training import Progress, Recipe, train

MEASURE_EVERY = 500
PROBLEMS = 100  # of each number of steps


def main(
    name: Annotated[str, typer.Argument(help="toy-gpt2 or toy-llama.")],
    thoughts: Annotated[bool, typer.Option(help="Whether it thinks; the control does not.")] = True,
    steps: Annotated[int, typer.Option(help="Training steps.")] = 4000,
    seed: Annotated[int, typer.Option(help="Of the initial weights and the problems.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")] = Path("toy-runs"),
) -> None:
    """Train a toy model. An interrupted run goes on where its last checkpoint was saved."""
    if name not in get_args(ToyName):
        raise typer.BadParameter(f"{name!r}: there are {' and '.join(get_args(ToyName))}.")
    recipe = Recipe(name, thoughts, steps, seed)  # type: ignore[arg-type]
    checkpoint = out / recipe.file_name
    console = Console()
    bar = ProgressBar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(name, total=steps)

    def show(progress: Progress, losses: dict[str, float]) -> None:
        terms = "  ".join(f"{term} {value:.3f}" for term, value in losses.items())
        bar.update(task, completed=progress.step, description=f"{name}  {terms}")
        if progress.step % MEASURE_EVERY == 0 or progress.step == steps:
            model = thinking(progress.network, name, recipe.n_thoughts)
            rates = accuracy(model, PROBLEMS, [recipe.n_thoughts])[:, 0].values
            listed = " ".join(f"{rate:.2f}" for rate in rates)
            console.print(f"step {progress.step}, {progress.seconds / 60:.1f} minutes:  {terms}")
            console.print(f"    held-out accuracy for 1 to {len(rates)} steps: {listed}")

    with bar:
        train(recipe, checkpoint, on_step=show)
    console.print(f"Saved in {checkpoint}")


if __name__ == "__main__":
    typer.run(main)
