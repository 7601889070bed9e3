"""How far apart two distributions, or two vectors, are.

Each takes two arrays, joins them by label along what they share, and gives one number for each
label of what is left: `along` is the dimension over which the distribution or the vector goes. If
neither array has labels along it (entries of a vector as a rule have none), its order is taken to
be the same in both. NaN in an entry is NaN in the result. Numbers are in double precision; where a
logarithm is taken, in nats.
"""

import numpy as np
import xarray as xr
from scipy.special import rel_entr

from cot_attn.stats._arguments import require_array, require_not_negative
from cot_attn.stats._labelled.labels import join_by_label

SUM_TOLERANCE = 1e-2  # a row of bfloat16 attention misses 1 by less


def kl_divergence(p: xr.DataArray, q: xr.DataArray, along: str) -> xr.DataArray:
    """Give the Kullback-Leibler divergence KL(p ‖ q) = Σ p log(p / q), in nats.

    Infinite where q is 0 and p is not; not symmetric.

    Source: Kullback and Leibler (1951), "On information and sufficiency", Annals of Mathematical
    Statistics 22.

    Raises
    ------
    TypeError, ValueError
        If one is no distribution along `along`, or labels differ.

    Examples
    --------
    >>> p = xr.DataArray([0.5, 0.5], dims="token")
    >>> q = xr.DataArray([0.25, 0.75], dims="token")
    >>> float(kl_divergence(p, q, "token").round(4))
    0.1438
    """
    p, q = _distributions(p, q, along)
    return _kl(p, q, along).rename("kl_divergence")


def js_divergence(p: xr.DataArray, q: xr.DataArray, along: str) -> xr.DataArray:
    """Give the Jensen-Shannon divergence ½ KL(p ‖ m) + ½ KL(q ‖ m), m = (p + q) / 2, in nats.

    Symmetric; between 0 and log 2, which is reached where p and q share nothing. Its square root
    is a distance.

    Source: Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Transactions on
    Information Theory 37.

    Raises
    ------
    TypeError, ValueError
        If one is no distribution along `along`, or labels differ.

    Examples
    --------
    >>> p = xr.DataArray([1.0, 0.0], dims="token")
    >>> float(js_divergence(p, p[::-1], "token").round(4))
    0.6931
    """
    p, q = _distributions(p, q, along)
    mixture = (p + q) / 2
    return ((_kl(p, mixture, along) + _kl(q, mixture, along)) / 2).rename("js_divergence")


def total_variation(p: xr.DataArray, q: xr.DataArray, along: str) -> xr.DataArray:
    """Give the total variation distance `½ Σ |p - q|`: what must move from one to the other.

    Between 0 and 1. The outcome `disruption_tv` is this distance of attention rows.

    Raises
    ------
    TypeError, ValueError
        If one is no distribution along `along`, or labels differ.

    Examples
    --------
    >>> p = xr.DataArray([0.5, 0.5, 0.0], dims="key")
    >>> q = xr.DataArray([0.25, 0.25, 0.5], dims="key")
    >>> float(total_variation(p, q, "key"))
    0.5
    """
    p, q = _distributions(p, q, along)
    return (abs(p - q).sum(along, skipna=False) / 2).rename("total_variation")


def l2_distance(x: xr.DataArray, y: xr.DataArray, along: str) -> xr.DataArray:
    """Give the Euclidean distance √Σ (x - y)².

    The outcome `disruption_l2` is this distance of attention rows.

    Raises
    ------
    TypeError, ValueError
        If one has no dimension `along`, or labels differ.

    Examples
    --------
    >>> x = xr.DataArray([0.0, 3.0], dims="d_model")
    >>> y = xr.DataArray([4.0, 0.0], dims="d_model")
    >>> float(l2_distance(x, y, "d_model"))
    5.0
    """
    x, y = _joined(x, y, along, ("x", "y"))
    squares = ((x - y) ** 2).sum(along, skipna=False)
    return (squares**0.5).rename("l2_distance")


def cosine_similarity(x: xr.DataArray, y: xr.DataArray, along: str) -> xr.DataArray:
    """Give the cosine of the angle between two vectors, `x · y / (|x| |y|)`.

    Between -1 and 1; NaN where a vector is 0. The outcome `thought_change` is 1 minus it.

    Raises
    ------
    TypeError, ValueError
        If one has no dimension `along`, or labels differ.

    Examples
    --------
    >>> x = xr.DataArray([1.0, 0.0], dims="d_model")
    >>> y = xr.DataArray([3.0, 3.0], dims="d_model")
    >>> float(cosine_similarity(x, y, "d_model").round(4))
    0.7071
    """
    x, y = _joined(x, y, along, ("x", "y"))
    lengths = ((x**2).sum(along, skipna=False) * (y**2).sum(along, skipna=False)) ** 0.5
    cosine = (x * y).sum(along, skipna=False) / lengths.where(lengths > 0)
    return cosine.clip(-1, 1).rename("cosine_similarity")


def _kl(p: xr.DataArray, q: xr.DataArray, along: str) -> xr.DataArray:
    # Where rounding leaves sums a little off 1, the divergence of nothing may fall below 0.
    terms: xr.DataArray = xr.apply_ufunc(rel_entr, p, q)
    return terms.sum(along, skipna=False).clip(min=0)


def _distributions(
    p: xr.DataArray, q: xr.DataArray, along: str
) -> tuple[xr.DataArray, xr.DataArray]:
    p, q = _joined(p, q, along, ("p", "q"))
    for name, array in (("p", p), ("q", q)):
        require_not_negative(array, f"{name} must be a distribution along {along!r}.")
        sums = array.sum(along, skipna=False)
        off = abs(sums - 1).where(sums.notnull())
        if bool((off > SUM_TOLERANCE).any()):
            raise ValueError(
                f"{name} is no distribution along {along!r}: its sums lie between "
                f"{float(sums.min()):.3g} and {float(sums.max()):.3g}, not at 1. Give "
                f"probabilities (of logits, their softmax), or divide: {name} / "
                f"{name}.sum({along!r})."
            )
    return p, q


def _joined(
    x: xr.DataArray, y: xr.DataArray, along: str, names: tuple[str, str]
) -> tuple[xr.DataArray, xr.DataArray]:
    for name, array in zip(names, (x, y), strict=True):
        require_array(array, (along,), f"A distance along {along!r}", name=name)
    if along not in x.indexes and along not in y.indexes:
        x, y = (array.assign_coords({along: range(array.sizes[along])}) for array in (x, y))
    x, y = join_by_label(x, y, names=names)
    return x.astype(np.float64), y.astype(np.float64)
