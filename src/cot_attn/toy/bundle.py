"""Puts a trained toy model into its folder: `python -m cot_attn.toy.bundle toy-gpt2 toy-runs`."""

from pathlib import Path
from typing import Annotated, get_args

import torch
import typer
from rich.console import Console

from cot_attn.data.sets.toy import MAX_STEPS, toy_problems
from cot_attn.interventions.ablator import TokenAblator
from cot_attn.interventions.corruption import Resample, Zero
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.toy.architecture import ToyName
from cot_attn.toy.card import Facts, card, size_of
from cot_attn.toy.measuring import ANSWER_TOKENS, accuracy, thinking
from cot_attn.toy.training import Progress, Recipe

PROBLEMS = 500  # of each number of steps
ABLATED_PROBLEMS = 200


def main(
    name: Annotated[str, typer.Argument(help="toy-gpt2 or toy-llama.")],
    runs: Annotated[Path, typer.Argument(help="Folder of the checkpoints, its control's too.")],
    steps: Annotated[int, typer.Option(help="Training steps of the runs.")] = Recipe.steps,
    seed: Annotated[int, typer.Option(help="Seed of the runs.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the model's folder is made.")] = Path("."),
) -> None:
    """Store a trained model in float16, measure what was stored, and write its card."""
    if name not in get_args(ToyName):
        raise typer.BadParameter(f"{name!r}: there are {' and '.join(get_args(ToyName))}.")
    recipe = Recipe(name, steps=steps, seed=seed)  # type: ignore[arg-type]
    trained = Progress.load(runs / recipe.file_name)
    control = Progress.load(runs / recipe.control.file_name)
    for run, wanted in ((trained, recipe), (control, recipe.control)):
        if run.recipe != wanted or run.step < wanted.steps:
            raise typer.BadParameter(f"{runs} holds {run.recipe} at step {run.step}, not {wanted}.")
    folder = out / name
    thinking(trained.network, name, MAX_STEPS).save_pretrained(folder, dtype=torch.float16)
    text = card(measure(folder, trained, control))
    (folder / "README.md").write_text(text, encoding="utf-8")
    Console().print(text, markup=False)


def measure(folder: Path, trained: Progress, control: Progress) -> Facts:
    """Measure a stored model and its control."""
    assert trained.curriculum.handover is not None
    model = ContinuousThoughtModel.from_pretrained(folder)
    problems = toy_problems(ABLATED_PROBLEMS * MAX_STEPS, seed=1)
    effects = TokenAblator(model, [Resample(), Zero()]).run(
        problems, ["failed"], max_new_tokens=ANSWER_TOKENS, batch_size=512
    )
    without = thinking(control.network, f"{trained.recipe.name}-control", 0)
    return Facts(
        recipe=trained.recipe,
        minutes=trained.seconds / 60,
        control_minutes=control.seconds / 60,
        handover=trained.curriculum.handover,
        n_parameters=sum(weight.numel() for weight in trained.network.parameters()),
        bytes_on_disk=size_of(folder),
        n=PROBLEMS,
        accuracy=accuracy(model, PROBLEMS, range(MAX_STEPS + 1)),
        control=accuracy(without, PROBLEMS, [0]),
        n_ablated=ABLATED_PROBLEMS,
        failure=effects["failed"].groupby("difficulty").mean(),
    )


if __name__ == "__main__":
    typer.run(main)
