"""The logit lens, with what it finds where it should find nothing beside it."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from cot_attn.data.problem import Problem
from cot_attn.models.continuous import ContinuousThoughtModel
from cot_attn.readouts._asking import Asked
from cot_attn.readouts._chains import Forced, force_chains
from cot_attn.readouts._joining import of_the_same, vectors_of
from cot_attn.readouts._reading import FirstWords, first_words, layer_scores
from cot_attn.readouts._spaces import Reading, Space, reading
from cot_attn.readouts._vocabulary import Spelling, Vocabulary
from cot_attn.readouts.targets import Texts, target_texts
from cot_attn.readouts.tuned import TunedLens


def logit_lens(
    model: ContinuousThoughtModel,
    states: xr.Dataset,
    problems: Sequence[Problem],
    targets: str | Texts = "steps",
    *,
    space: Space = "hidden",
    lens: TunedLens | None = None,
    n_others: int = 8,
) -> xr.Dataset:
    """Say how near states are to texts: the results of the steps, the answer, or any others.

    Each target is also looked for in the states of other problems, where it has no business to be.
    What a lens finds there too, it does not find in the state.

    Parameters
    ----------
    model
        The model that the states were recorded of.
    states
        What `StateRecorder.dataset` returns, or a selection of its layers and places.
    problems
        The problems of these states, in any order.
    targets
        "steps" for the results of the problems' written steps, "answer" for the gold answer, or
        texts by problem id. Space at a text's edges does not matter: "7" and " 7" are one word,
        whose probability is that of both.
    space
        "hidden" reads the residual stream at each layer and place as the model reads its last: the
        final norm, once, then the unembedding. "fed" compares the vectors that were fed as thoughts
        with the input embeddings.
    lens
        A `TunedLens`; by default states are read as they are.
    n_others
        In how many other problems' states each target is looked for. They have a target of as many
        tokens in the same place, and are chosen by hash of the ids.

    Returns
    -------
    xr.Dataset
        Over (problem, layer, place, target), or (problem, thought, target) in the space "fed":

        - `rank`: 1 is the top of all words. A tie does not count in a target's favour.
        - `logprob` (nats), or `cosine` in the space "fed".
        - `corrected`: that, less what it is in other problems' states at the same layer and place:
          the log of their mean probability, over all of them (of a text of several tokens, over
          those it was looked for in), or their mean cosine.
        - `baseline_rank` and `baseline_logprob` (or `baseline_cosine`), with a dimension `other`.

        `text` and `n_tokens` (problem, target) say what was looked for, and `forced` that it has
        several tokens, of which the lens can read the first alone: the others are forced through
        the model from that place, and read from the same layer. The log-probability is that of all,
        the rank that of the worst. In the space "fed" there is nothing to force, and they are NaN.

    Raises
    ------
    ValueError
        Where states are of another model or other problems, the tokenizer cannot write a target, or
        the model has no unembedding.

    Notes
    -----
    Sources: nostalgebraist (2020), "interpreting GPT: the logit lens"; Belrose et al. (2023),
    arXiv:2303.08112.

    Examples
    --------
    >>> from cot_attn import ContinuousThoughtModel, StateRecorder, load_problems
    >>> from cot_attn.readouts import logit_lens
    >>> model = ContinuousThoughtModel.from_pretrained("toy-gpt2")
    >>> problems = load_problems("toy", n=20, difficulties=[2])
    >>> with StateRecorder(model) as recorder:
    ...     run = model.run(problems, max_new_tokens=8)
    >>> found = logit_lens(model, recorder.dataset(), problems, space="fed")
    >>> (found["rank"] == 1).mean("problem").sel(thought=[0, 1]).values
    array([[1., 0.],
           [0., 1.]])
    """
    if n_others < 1:
        raise ValueError(f"n_others is {n_others}; give at least 1: the baseline is the finding.")
    problems = of_the_same(model, states, problems)
    texts = target_texts(problems, targets)
    read = reading(model, space)
    if lens is not None:
        lens.check(model)
    vectors = vectors_of(states, space)
    asked = Asked.of(texts, Vocabulary(model.tokenizer, read.n_tokens), n_others)
    first = first_words(read, vectors, asked, lens)
    forced: Forced = {}
    if space == "hidden" and asked.chains():
        forced = force_chains(
            model,
            problems,
            states.sizes["thought"],
            vectors["layer"].values.tolist(),
            vectors["place"].values.tolist(),
            [None if np.isnan(n) else int(n) for n in states["value_token"].values],
            asked.chains(),
            lambda chain: layer_scores(read, chain, vectors["layer"].values.tolist(), lens),
        )
    return _dataset(read, vectors, texts, asked, first, forced).assign_attrs(
        states.attrs, space=space, lens="logit" if lens is None else "tuned"
    )


def check_lens(
    model: ContinuousThoughtModel, problems: Sequence[Problem], targets: str | Texts = "steps"
) -> None:
    """Raise what `logit_lens` would raise of a model and of what is looked for, without states.

    Raises
    ------
    ValueError
        Where the tokenizer cannot write a target, or the model cannot be read.
    """
    read = reading(model, "hidden")
    texts = target_texts(problems, targets)
    Asked.of(texts, Vocabulary(model.tokenizer, read.n_tokens), n_others=0)


def _dataset(
    read: Reading,
    vectors: xr.DataArray,
    texts: xr.DataArray,
    asked: Asked,
    first: FirstWords,
    forced: Forced,
) -> xr.Dataset:
    """Put together what was read of each target, in its own problem's states and in others'."""
    n_layers, n_places = vectors.shape[1:3]
    shape = (*asked.donors.shape, n_layers, n_places)
    score, rank = np.full(shape, np.nan), np.full(shape, np.nan)
    usual = np.full((*texts.shape, n_layers, n_places), np.nan)
    for problem, target, searched in np.argwhere(asked.donors >= 0):
        donor = int(asked.donors[problem, target, searched])
        spellings = asked.spelled[problem][target]
        found = [_found(donor, spelling, asked, first, forced) for spelling in spellings]
        with np.errstate(invalid="ignore"):  # what is NaN stays so
            score[problem, target, searched] = np.logaddexp.reduce([s for s, _ in found], axis=0)
        rank[problem, target, searched] = np.min([each[1] for each in found], axis=0)
    for problem, target in np.argwhere(asked.n_tokens > 0):
        usual[problem, target] = _usual(
            read, score[problem, target], asked.spelled[problem][target], first
        )
    by_target = ("problem", "target", "layer", "place")
    measure = read.measure
    dataset = xr.Dataset(
        {
            "rank": (by_target, rank[:, :, 0]),
            measure: (by_target, score[:, :, 0]),
            "corrected": (by_target, score[:, :, 0] - usual),
            "baseline_rank": (("problem", "target", "other", *by_target[2:]), rank[:, :, 1:]),
            f"baseline_{measure}": (
                ("problem", "target", "other", *by_target[2:]),
                score[:, :, 1:],
            ),
            "text": (("problem", "target"), texts.values),
            "n_tokens": (("problem", "target"), asked.n_tokens),
            "forced": (("problem", "target"), asked.n_tokens > 1),
        },
        coords={**vectors.coords, "target": texts["target"].values},
    ).transpose("problem", "layer", "place", "target", "other")
    if measure == "cosine":  # what was fed has no layer, and its places are thoughts
        return dataset.isel(layer=0, drop=True).rename(place="thought")
    return dataset


def _found(
    problem: int, spelling: Spelling, asked: Asked, first: FirstWords, forced: Forced
) -> tuple[np.ndarray, np.ndarray]:
    """Return score and rank (layer, place) of one spelling in one problem's states."""
    column = np.searchsorted(asked.words[problem], spelling.word)
    score, rank = first.score[problem][..., column], first.rank[problem][..., column]
    if not spelling.tail:
        return score, rank
    nothing = np.full_like(score, np.nan)
    logprob, worst = forced.get((problem, spelling.tokens), (nothing, nothing))
    return score + logprob, np.maximum(rank, worst)


def _usual(
    read: Reading, scores: np.ndarray, spellings: Sequence[Spelling], first: FirstWords
) -> Float[np.ndarray, "layer place"]:
    """Return what a target scores on average in others' states, on the scale of scores."""
    own_score, others = scores[0], scores[1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        if any(spelling.tail for spelling in spellings):
            there = np.isfinite(others)
            total = np.where(there, read.to_mean(others), 0).sum(axis=0)
            return read.from_mean(total / there.sum(axis=0))
        (spelling,) = spellings
        total = first.total[..., first.column[spelling.word]] - read.to_mean(own_score)
        return read.from_mean(np.maximum(total, 0) / (first.count - 1))
