"""The card that lies beside a bundled model: how it was made and what it scores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from cot_attn.toy.training import Recipe

KINDS = {"toy-gpt2": "GPT-2", "toy-llama": "Llama (grouped-query)"}


@dataclass(frozen=True)
class Facts:
    """What a card reports.

    Parameters
    ----------
    recipe
        What was trained.
    minutes, control_minutes
        How long the model and its control trained.
    handover
        The training step at which the model was handed over to thoughts of its own.
    n_parameters
        Of the language model and the projection together.
    bytes_on_disk
        Of the folder, without the card.
    n
        Problems behind each accuracy, for each number of steps.
    accuracy
        Fractions with dims (steps, n_thoughts).
    control
        The control's, with dims (steps, n_thoughts) and no thoughts.
    n_ablated
        Problems behind each failure rate, for each number of steps.
    failure
        Fractions with dims (difficulty, thought, corruption).
    """

    recipe: Recipe
    minutes: float
    control_minutes: float
    handover: int
    n_parameters: int
    bytes_on_disk: int
    n: int
    accuracy: xr.DataArray
    control: xr.DataArray
    n_ablated: int
    failure: xr.DataArray


def card(facts: Facts) -> str:
    """Write the card as Markdown."""
    recipe = facts.recipe
    all_thoughts = facts.accuracy.isel(n_thoughts=-1)
    summary = xr.concat(
        [all_thoughts, facts.accuracy.sel(n_thoughts=0), facts.control.isel(n_thoughts=0)],
        xr.DataArray(["6 thoughts", "0 thoughts", "control"], dims="model"),
        coords="minimal",
        compat="override",
    )
    command = (
        f"python -m cot_attn.toy.train {recipe.name} --steps {recipe.steps} --seed {recipe.seed}"
    )
    return f"""# {recipe.name}

A language model of the {KINDS[recipe.name]} architecture, with {facts.n_parameters:,} parameters,
that answers word problems of 1 to 6 steps modulo 23. It was trained to think in six continuous
thoughts, with a projection as in CODI, and it needs them. It serves to try methods on where the
truth is known: k-step problems need k thoughts. It says nothing about large models.

## How it was made

    {command}
    {command} --no-thoughts

{recipe.steps} training steps of {recipe.batch_size} problems took {facts.minutes:.0f} minutes
on one of 2 CPU cores, which other work used too, in float32; the control took
{facts.control_minutes:.0f}.

At first the embeddings of the true intermediate results stood in for the thoughts; from step
{facts.handover} on they were handed over to the model. Throughout, two auxiliary losses asked the
language-model head to read intermediate result i off the hidden state that becomes thought i, and
the projection to come near that result's embedding. So that results can be read off thoughts is
trained in, and no finding. Half of the batches had six thoughts, the others a random number that
was at least the number of steps.

The control has the same size and the same number of training steps, but answers without thoughts.

The weights are stored in float16; the folder has {facts.bytes_on_disk / 1e6:.2f} MB. All figures
below were measured with the stored weights, run in float32, on problems whose start value and
operations, taken together, occur in no training problem.

## Accuracy

Greedy answers to {facts.n} held-out problems of each number of steps. Chance is {1 / 23:.3f}.

{_table(summary.transpose("model", "steps"), "steps")}

With j thoughts, for problems of k steps (the model was trained with j >= k only):

{_table(facts.accuracy, "steps", "j = ")}

## What breaks when a thought is replaced

The fraction of answers that became wrong, of those that were right, on {facts.n_ablated} held-out
problems of each number of steps. Thoughts that follow are computed anew.

*Resample* feeds the same thought of another problem:

{_table(facts.failure.sel(corruption="resample"), "steps", "thought ")}

*Zero* feeds zeros, which no thought resembles: a thought that is not needed can still break the
answer.

{_table(facts.failure.sel(corruption="zero"), "steps", "thought ")}
"""


def size_of(folder: Path) -> int:
    """Return the bytes that a model's files take, without the card."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.name != "README.md")


def _table(values: xr.DataArray, corner: str, column: str = "") -> str:
    """Write a two-dimensional array as a Markdown table."""
    rows, columns = values.dims
    lines = [
        [corner, *(f"{column}{label}" for label in values[columns].values)],
        ["---", *("---:" for _ in values[columns])],
    ]
    for label in values[rows].values:
        name = f"{label:g}" if isinstance(label, np.number) else str(label)
        lines.append([name, *(f"{value:.3f}" for value in values.sel({rows: label}).values)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
