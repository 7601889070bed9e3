"""The words nearest to each state, for looking."""

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int

from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.readouts._joining import of_this_model, vectors_of
from cot_attn.readouts._reading import token_scores
from cot_attn.readouts._spaces import Space, reading
from cot_attn.readouts.tuned import TunedLens


def top_tokens(
    states: xr.Dataset,
    model: ContinuousThoughtModel,
    k: int = 5,
    *,
    space: Space = "hidden",
    lens: TunedLens | None = None,
) -> xr.Dataset:
    """Name the tokens that a lens finds nearest to each state, and say how usual each is there.

    Parameters
    ----------
    states
        What `StateRecorder.dataset` returns, or a selection of its layers and places. Give all
        problems, and select one afterwards: the others say what is usual.
    model
        The model that the states were recorded of.
    k
        How many tokens.
    space, lens
        As in `logit_lens`.

    Returns
    -------
    xr.Dataset
        Over (problem, layer, place, rank), or (problem, thought, rank) in the space "fed", where
        `rank` counts from 1: `token` (its text), `token_id`, `probability` (or `cosine`), and
        `elsewhere`, the share of the other problems that have the token among their k at the same
        layer and place. A token with an `elsewhere` near 1 is the lens's habit, not the problem's.
        Without a state the text is empty, the id -1, and the numbers NaN.

    Raises
    ------
    ValueError
        Where states are of another model, or there are no k tokens.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> from cot_attn.readouts import top_tokens
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=20, difficulties=[2])
    >>> with StateRecorder(model, layers=[-1], places=["bot", "thought 0"]) as recorder:
    ...     run = model.run(problems, max_new_tokens=8)
    >>> problems[0].steps
    ('4', '2')
    >>> top_tokens(recorder.dataset(), model, k=1).token[0].squeeze().values
    array(['4', '2'], dtype=object)
    """
    of_this_model(model, states)
    read = reading(model, space)
    if not 1 <= k <= read.n_tokens:
        raise ValueError(
            f"k is {k}; give a number from 1 to {read.n_tokens}, the tokens there are."
        )
    if lens is not None:
        lens.check(model)
    vectors = vectors_of(states, space)
    shape = (*vectors.shape[:3], k)
    ids, scores = np.full(shape, -1), np.full(shape, np.nan)
    for problem in range(vectors.sizes["problem"]):
        for found, rows in token_scores(read, vectors[problem], lens):
            best = torch.topk(found, k, dim=-1)
            ids[problem][rows] = best.indices.cpu().numpy()
            scores[problem][rows] = best.values.cpu().numpy()
    if read.measure == "logprob":
        scores = np.exp(scores)
    text_of = {
        token: str(model.tokenizer.decode([token])) for token in np.unique(ids[ids >= 0]).tolist()
    }
    texts = np.array([text_of.get(token, "") for token in ids.flat], dtype=object).reshape(shape)
    dims = ("problem", "layer", "place", "rank")
    measure = "probability" if read.measure == "logprob" else read.measure
    table = xr.Dataset(
        {
            "token": (dims, texts),
            "token_id": (dims, ids),
            measure: (dims, scores),
            "elsewhere": (dims, _elsewhere(ids)),
        },
        coords={**vectors.coords, "rank": range(1, k + 1)},
        attrs={**states.attrs, "space": space, "lens": "logit" if lens is None else "tuned"},
    )
    if space == "fed":
        return table.isel(layer=0, drop=True).rename(place="thought")
    return table


def _elsewhere(
    ids: Int[np.ndarray, "problem layer place k"],
) -> Float[np.ndarray, "problem layer place k"]:
    """Return the share of other problems that have each token too; NaN where there are none."""
    shares = np.full(ids.shape, np.nan)
    for layer, place in np.ndindex(ids.shape[1:3]):
        here = ids[:, layer, place]
        there = here[:, 0] >= 0
        if there.sum() > 1:
            _, which, counts = np.unique(here[there], return_inverse=True, return_counts=True)
            shares[there, layer, place] = (counts[which.reshape(-1, ids.shape[3])] - 1) / (
                there.sum() - 1
            )
    return shares
