"""What a lens reads of states: every token's score, a chunk of states at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from cot_attn.readouts._asking import Asked
from cot_attn.readouts._ranks import ranks
from cot_attn.readouts._spaces import Reading
from cot_attn.readouts.tuned import TunedLens

BYTES_AT_ONCE = 32 * 2**20
"""Of scores."""


@dataclass(frozen=True)
class FirstWords:
    """What the lens reads of first words: (layer, place, word) for each problem, and the mean."""

    score: list[Float[np.ndarray, "layer place _"]]
    rank: list[Float[np.ndarray, "layer place _"]]
    total: Float[np.ndarray, "layer place word"]
    count: Float[np.ndarray, "layer place"]
    column: dict[int, int]


def first_words(
    read: Reading, vectors: xr.DataArray, asked: Asked, lens: TunedLens | None
) -> FirstWords:
    """Look through the unembedding once for each chunk of states."""
    vocabulary = asked.vocabulary
    union = np.unique(np.concatenate([*asked.words, np.zeros(0, dtype=int)]))
    column = {int(word): place for place, word in enumerate(union)}
    spelled = vocabulary.tokens_of(torch.from_numpy(union))
    shape = vectors.shape[1:3]
    total, count = np.zeros((*shape, len(union))), np.zeros(shape)
    scores, found = [], []
    for number in range(vectors.sizes["problem"]):
        own_columns = [column[int(word)] for word in asked.words[number]]
        scores.append(np.full((*shape, len(own_columns)), np.nan))
        found.append(np.full((*shape, len(own_columns)), np.nan))
        for tokens, rows in token_scores(read, vectors[number], lens):
            members = spelled.to(tokens.device)
            several = tokens[:, members.clamp(min=0)].masked_fill(members < 0, -torch.inf)
            of_union = read.of_spellings(several).double().cpu().numpy()
            wanted = torch.from_numpy(asked.words[number]).to(tokens.device)
            by_word = read.by_word(tokens, vocabulary)
            found[-1][rows] = ranks(by_word, wanted.expand(len(tokens), -1)).cpu().numpy()
            scores[-1][rows] = of_union[:, own_columns]
            total[rows] += read.to_mean(of_union)
            count[rows] += 1
    return FirstWords(scores, found, total, count, column)


def token_scores(
    read: Reading, vectors: xr.DataArray, lens: TunedLens | None
) -> Iterator[tuple[Float[Tensor, "n token"], tuple[np.ndarray, np.ndarray]]]:
    """Score all tokens in one problem's vectors (layer, place, d_model), a few at a time.

    Yields
    ------
    The scores, and the numbers of the layers and places they are of; those without a state, as of a
    value that there is not, are left out.
    """
    block = torch.from_numpy(vectors.values.astype(np.float32))
    there = np.argwhere(np.isfinite(vectors.values).all(axis=-1))
    if lens is not None:
        layers = vectors["layer"].values.tolist()
        block = lens.translate(block.transpose(0, 1), layers).transpose(0, 1)
    size = max(1, BYTES_AT_ONCE // (4 * read.n_tokens))
    for start in range(0, len(there), size):
        layer, place = there[start : start + size].T
        yield read(block[torch.from_numpy(layer), torch.from_numpy(place)]), (layer, place)


def layer_scores(
    read: Reading,
    states: Float[Tensor, "n layer d_model"],
    layers: Sequence[int],
    lens: TunedLens | None,
) -> Float[Tensor, "n layer token"]:
    """Score all tokens in states of some layers."""
    if lens is not None:
        states = lens.translate(states, layers)
    return read(states.flatten(0, 1)).view(*states.shape[:2], -1)
