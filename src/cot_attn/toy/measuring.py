"""What a toy model scores, by the number of steps that a problem needs."""

import copy
from collections.abc import Sequence

import numpy as np
import xarray as xr
from einops import rearrange
from transformer_lens.model_bridge import TransformerBridge

from cot_attn.data.sets.toy import MAX_STEPS, toy_problems
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.toy.architecture import ToyNetwork
from cot_attn.toy.tokenizer import ANSWER, toy_template, toy_tokenizer

ANSWER_TOKENS = 8


def thinking(network: ToyNetwork, name: str, n_thoughts: int) -> ContinuousThoughtModel:
    """Return a copy of a network as a model that can be run and studied."""
    network = copy.deepcopy(network)
    network.language_model.set_attn_implementation("eager")
    tokenizer = toy_tokenizer()
    bridge = TransformerBridge.boot_transformers(
        name, hf_model=network.language_model, tokenizer=tokenizer
    )
    return ContinuousThoughtModel(
        bridge,
        network.feedback,
        toy_template(tokenizer),
        n_thoughts,
        tokenizer=tokenizer,
        name=name,
    )


def accuracy(
    model: ContinuousThoughtModel,
    n: int,
    n_thoughts: Sequence[int],
    seed: int = 1,
    longest: int = MAX_STEPS,
) -> xr.DataArray:
    """Measure how often a model writes exactly the right answer to held-out problems.

    Parameters
    ----------
    model
        A toy model.
    n
        Problems for each number of steps.
    n_thoughts
        How many thoughts the model may have, one number after the other.
    seed
        Of the problems.
    longest
        How many steps the longest problems have.

    Returns
    -------
    xr.DataArray
        Fractions with dims (steps, n_thoughts).
    """
    difficulties = range(1, longest + 1)
    problems = [
        problem for steps in difficulties for problem in toy_problems(n, seed, steps=[steps])
    ]
    wanted = np.array([ANSWER.format(problem.answer) for problem in problems])
    solved = np.empty((longest, len(n_thoughts)))
    for column, allowed in enumerate(n_thoughts):
        answers = model.generate(
            problems, n_thoughts=allowed, max_new_tokens=ANSWER_TOKENS, batch_size=256
        )
        right = np.array(answers) == wanted
        solved[:, column] = rearrange(right, "(steps n) -> steps n", n=n).mean(axis=1)
    coordinates = {"steps": list(difficulties), "n_thoughts": list(n_thoughts)}
    return xr.DataArray(solved, coordinates, ("steps", "n_thoughts"), name="accuracy")
