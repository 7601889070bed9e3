"""The geometry of thoughts: how long they are, how they turn, how many directions they use."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from einops import rearrange
from jaxtyping import Float

from cot_attn.stats._arguments import require_array, require_confidence, require_several
from cot_attn.stats._checks.sample_size import with_warnings
from cot_attn.stats._inference.correlation import FEWEST_PROBLEMS, REASON_DTYPE
from cot_attn.stats._inference.estimands import NEGLIGIBLE
from cot_attn.stats._inference.intervals import leave_one_out_interval
from cot_attn.stats._labelled.layout import other_dims, unfold

States = Float[np.ndarray, "problem d_model"]


def norms(states: xr.DataArray, along: str = "d_model") -> xr.DataArray:
    """Give the Euclidean length of each vector.

    Parameters
    ----------
    states
        (..., `along`), for instance the thoughts of a run over (problem, thought, d_model).
    along
        The dimension of the vectors' entries.

    Returns
    -------
    xr.DataArray
        Without `along`, in double precision. `mean_over_problems` gives means with intervals.

    Examples
    --------
    >>> states = xr.DataArray([[3.0, 4.0], [0.0, 2.0]], dims=("thought", "d_model"))
    >>> norms(states).values
    array([5., 2.])
    """
    require_array(states, (along,), "A norm", name="states")
    squares = (states.astype(np.float64) ** 2).sum(along, skipna=False)
    return (squares**0.5).rename("norm")


def successive_cosine(states: xr.DataArray, along: str = "d_model") -> xr.DataArray:
    """Give the cosine similarity of each thought to the thought before it.

    Parameters
    ----------
    states
        (thought, ..., `along`).
    along
        The dimension of the vectors' entries.

    Returns
    -------
    xr.DataArray
        Without `along`, and without the first thought: the label is that of the later one. NaN
        where a vector is 0. `mean_over_problems` gives means with intervals.

    Examples
    --------
    >>> states = xr.DataArray(
    ...     [[1.0, 0.0], [1.0, 1.0], [-1.0, -1.0]], {"thought": [0, 1, 2]}, ("thought", "d_model")
    ... )
    >>> successive_cosine(states).values.round(4)
    array([ 0.7071, -1.    ])
    """
    require_array(states, ("thought", along), "A cosine between thoughts", name="states")
    require_several(states, "thought", "none has one before it")
    lengths = norms(states, along)
    directions = states / lengths.where(lengths > 0)
    products = (directions * directions.shift(thought=1)).sum(along, skipna=False)
    return products.isel(thought=slice(1, None)).clip(-1, 1).rename("cosine")


def effective_rank(
    states: xr.DataArray, along: str = "d_model", *, confidence: float = 0.95
) -> xr.Dataset:
    """Say how many directions the vectors of different problems spread over.

    The participation ratio (Σ λ)² / Σ λ² of the eigenvalues λ of their covariance: 1 if all lie on
    a line, d if they spread evenly over d directions.

    A sample has a lower one than what it was drawn from: of n problems it is never above n - 1.
    Its reciprocal is off by about 1 / n, which leaving out one problem at a time takes away. (A
    bootstrap repeats problems, so that its resamples are lower still; the interval between their
    percentiles misses the truth altogether where the rank is not small beside n.)

    Source: Gao et al. (2017), "A theory of multineuronal dimensionality, dynamics and
    measurement"; Quenouille (1956), "Notes on bias in estimation", Biometrika 43.

    Parameters
    ----------
    states
        (problem, ..., `along`), for instance thoughts over (problem, thought, d_model): the result
        is one figure a thought. Problems with a missing entry are left out of theirs.
    along
        The dimension of the vectors' entries.

    Returns
    -------
    xr.Dataset
        `estimate`, without that bias, with `low` and `high`; `uncorrected`, the sample's own
        participation ratio; `n_problems`; and `reason` where there is none. Between 1 and the
        number of entries.

    Examples
    --------
    >>> points = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]
    >>> states = xr.DataArray(points, dims=("problem", "d_model"))
    >>> float(effective_rank(states).uncorrected)
    2.0
    """
    require_array(states, ("problem", along), "An effective rank", name="states")
    require_confidence(confidence)
    values = states.transpose("problem", along, ...).values.astype(np.float64)
    series = rearrange(values, "problem d_model ... -> (...) problem d_model")
    ranks = [_rank_of(each[np.isfinite(each).all(axis=1)], confidence) for each in series]
    figures = {
        name: np.array([getattr(rank, name) for rank in ranks])
        for name in ("estimate", "low", "high", "uncorrected", "n_problems")
    }
    figures["reason"] = np.array([rank.reason for rank in ranks], dtype=REASON_DTYPE)
    result = unfold(figures, [], other_dims(states, "problem", along), states)
    return with_warnings(
        result.assign_attrs(
            method="participation ratio, leave one problem out on its reciprocal",
            confidence=confidence,
        )
    )


class _Rank(NamedTuple):
    """A participation ratio; NaN where `reason` says why."""

    n_problems: int
    estimate: float = np.nan
    low: float = np.nan
    high: float = np.nan
    uncorrected: float = np.nan
    reason: str = ""


def _rank_of(states: States, confidence: float) -> _Rank:
    n, d_model = states.shape
    if n < FEWEST_PROBLEMS:
        why = f"only {n} complete problems; at least {FEWEST_PROBLEMS} are needed"
        return _Rank(n, reason=why)
    centred = states - states.mean(axis=0)
    if np.abs(centred).max() <= NEGLIGIBLE * np.abs(states).max():
        return _Rank(n, reason="the states do not vary between problems")
    gram = centred @ centred.T
    reciprocal = float((gram**2).sum() / np.trace(gram) ** 2)
    left_out = _reciprocals_without_each(gram)
    if not np.isfinite(left_out).all():
        why = "no interval: without one of the problems nothing varies"
        return _Rank(n, uncorrected=1 / reciprocal, reason=why)
    corrected = n * reciprocal - (n - 1) * left_out.mean()
    least, most = leave_one_out_interval(np.array([corrected]), left_out[:, None], confidence)
    # The reciprocal's largest value is the rank's smallest.
    bounds = np.clip([corrected, most[0], least[0]], 1 / d_model, 1)
    estimate, low, high = (1 / bounds).tolist()
    return _Rank(n, estimate, low, high, 1 / reciprocal)


def _reciprocals_without_each(
    gram: Float[np.ndarray, "problem problem"],
) -> Float[np.ndarray, " problem"]:
    """Give Σ λ² / (Σ λ)² without problem 0, without problem 1, ...; NaN where nothing varies.

    From the products of centred states: leaving out problem i moves the mean by its state
    / (n - 1), which changes the sums by what is in row i.
    """
    n = len(gram)
    squared_lengths = np.diag(gram)
    row = (gram**2).sum(axis=1)
    trace = squared_lengths.sum() - squared_lengths - squared_lengths / (n - 1)
    squares = (
        (gram**2).sum() - 2 * row + squared_lengths**2 - 2 * (row - squared_lengths**2) / (n - 1)
    )
    squares += (squared_lengths / (n - 1)) ** 2
    varies = trace > NEGLIGIBLE**2 * squared_lengths.sum()
    nothing = np.full(n, np.nan)
    reciprocals: np.ndarray = np.divide(squares, trace**2, out=nothing, where=varies)
    return reciprocals
