"""How far rankings of heads agree, and how few heads break the answers."""

from itertools import combinations

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import norm, rankdata, spearmanr

from cot_attn.stats._inference.multiplicity import holm
from cot_attn.stats.rates import rate_over_problems

MEASURES = ("attention", "attribution", "kl_value")
TOP = "top"
FEWEST_HEADS = 4
ENOUGH = 0.5  # of what all heads together break
MOST_NOISE = 4.0  # how many times larger than resampled a correlation is ever taken to be


def rank_agreement(
    ranked: xr.Dataset,
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Correlate the rankings of heads by attention, by attribution, and by knock-out.

    Parameters
    ----------
    ranked
        From `experiments.rank_heads`.
    confidence, n_resamples, seed
        Of the interval: problems are resampled, the heads are what they are.

    Returns
    -------
    xr.Dataset
        Over `pair`, with coordinates `first` and `second`: `measured`, Spearman's correlation over
        heads of the means over problems; `estimate`, `low`, `high` (bootstrap over problems), what
        it would be of means without noise; `n_heads`, `n_problems`, and `p` and `p_holm` of no
        relation between heads. The attribution counts by its size. Heads that were not knocked out
        are left out of pairs with the knock-out.

    Notes
    -----
    Means over few problems are noisy, and noise brings a correlation towards 0: once in what is
    measured, and once more in what is resampled. From the two it is drawn back to none (simulation
    extrapolation: Cook and Stefanski 1994, "Simulation-extrapolation estimation in parametric
    measurement error models", Journal of the American Statistical Association 89), by a factor of
    at most four. Without that, intervals of 20 problems held the truth in 35 % of made-up worlds
    (benchmarks/experiments_calibration.py).

    What is extrapolated is less certain than what was measured, by the same factor, and again by as
    much as resampling forgets of it: problems are resampled twice, and the slope of the second
    correlation on the first says how much that is.
    """
    lacking = [name for name in MEASURES if name not in ranked]
    if lacking:
        raise ValueError(f"The result lacks {lacking}; give what experiments.rank_heads returns.")
    flat = {
        name: ranked[name]
        .transpose("problem", "layer", "head")
        .values.reshape(ranked.sizes["problem"], -1)
        for name in MEASURES
    }
    rng = np.random.default_rng(seed)
    pairs = list(combinations(MEASURES, 2))
    rows = []
    for first, second in pairs:
        one, other = flat[first], flat[second]
        there = np.isfinite(one).any(axis=0) & np.isfinite(other).any(axis=0)
        whole = (np.isfinite(one) & np.isfinite(other))[:, there].all(axis=1)
        a, b = one[whole][:, there], other[whole][:, there]
        rows.append(_agreement(a, b, confidence, n_resamples, rng))
    names = ("measured", "estimate", "low", "high", "p", "n_heads", "n_problems")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    result = xr.Dataset(
        {name: ("pair", values) for name, values in columns.items()},
        coords={
            "first": ("pair", [first for first, _ in pairs]),
            "second": ("pair", [second for _, second in pairs]),
        },
        attrs={
            **{name: ranked.attrs[name] for name in ("model", "thought") if name in ranked.attrs},
            "method": "Spearman over heads, bootstrap over problems, noise extrapolated",
            "confidence": confidence,
            "n_resamples": n_resamples,
            "seed": seed,
        },
    )
    result["p_holm"] = ("pair", holm(result["p"].values))
    return result


def head_sets(ranked: xr.Dataset, *, confidence: float = 0.95) -> xr.Dataset:
    """Say how many answers break as the thought is hidden from more heads, beside random sets.

    Parameters
    ----------
    ranked
        From `experiments.rank_heads`.

    Returns
    -------
    xr.Dataset
        Over size: `estimate`, `low`, `high` (Wilson's interval) and `n_problems` for the heads that
        rank highest; `random`, `random_low`, `random_high`: mean and quantiles of the random sets'
        rates; `p`, the rank of the highest heads among the random sets, and `p_holm` over sizes.
        The attributes `smallest_top` and `smallest_random` are the least sizes (of the mean random
        set) at which half as many answers break as when no head sees the thought; NaN where that is
        not reached, or nothing breaks at all.
    """
    if "set_failed" not in ranked:
        raise ValueError("The result lacks set_failed; give what experiments.rank_heads returns.")
    failed = ranked["set_failed"].sel(problem=ranked["half"] == "test")
    failed = failed.drop_vars([name for name in failed.coords if name not in failed.dims])
    names = [str(name) for name in failed["set"].values if name != TOP]
    table = rate_over_problems(failed.sel(set=TOP, drop=True), confidence=confidence)
    rates = failed.sel(set=names).mean("problem")
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    band = rates.quantile(tails, dim="set")
    table["random"] = rates.mean("set")
    table["random_low"] = band.isel(quantile=0, drop=True)
    table["random_high"] = band.isel(quantile=1, drop=True)
    p = ((rates >= table["estimate"] - 1e-9).sum("set") + 1) / (len(names) + 1)
    table["p"] = p.where(table["estimate"].notnull())
    table["p_holm"] = ("size", holm(table["p"].values))
    needed = ENOUGH * float(table["estimate"].max())
    smallest = {
        f"smallest_{which}": _smallest(table[name], needed)
        for which, name in (("top", "estimate"), ("random", "random"))
    }
    kept = ("model", "checkpoint", "thought")
    attrs = {name: ranked.attrs[name] for name in kept if name in ranked.attrs}
    return table.assign_attrs(**attrs, **smallest, n_random=len(names))


def _agreement(
    a: Float[np.ndarray, "problem head"],
    b: Float[np.ndarray, "problem head"],
    confidence: float,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[float, ...]:
    n_problems, n_heads = a.shape
    nothing = (*[np.nan] * 5, float(n_heads), float(n_problems))
    if n_problems < 2 or n_heads < FEWEST_HEADS:
        return nothing
    means = np.abs(a.mean(axis=0)), np.abs(b.mean(axis=0))
    if np.ptp(means[0]) == 0 or np.ptp(means[1]) == 0:
        return nothing
    found = spearmanr(*means)
    once = rng.multinomial(n_problems, np.full(n_problems, 1 / n_problems), size=n_resamples)
    twice = rng.multinomial(n_problems, once / n_problems)
    resampled, again = (_spearman(weights @ a, weights @ b) for weights in (once, twice))
    measured, mean, spread = float(found.statistic), np.nanmean(resampled), np.nanstd(resampled)
    factor = _without_noise(measured, float(mean))
    reach = norm.ppf(0.5 + confidence / 2) * factor * spread * (2 - _slope(resampled, again))
    estimate = factor * mean
    bounds = np.clip([estimate, estimate - reach, estimate + reach], -1, 1)
    return (measured, *map(float, bounds), float(found.pvalue), float(n_heads), float(n_problems))


def _spearman(
    a: Float[np.ndarray, "resample head"], b: Float[np.ndarray, "resample head"]
) -> Float[np.ndarray, " resample"]:
    """Correlate the ranks of sizes, row by row; NaN where all of a row are the same."""
    ranks = [rankdata(np.abs(values), axis=1) for values in (a, b)]
    one, other = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    norms = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    correlations: np.ndarray = (one * other).sum(axis=1) / np.where(norms > 0, norms, np.nan)
    return correlations


def _slope(x: Float[np.ndarray, " resample"], y: Float[np.ndarray, " resample"]) -> float:
    """Return the slope of the line through y over x, from 0 to 1; 1 where x does not vary."""
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite] - x[finite].mean(), y[finite] - y[finite].mean()
    return float(np.clip((x * y).sum() / (x**2).sum(), 0, 1)) if np.ptp(x) > 0 else 1.0


def _without_noise(once: float, twice: float) -> float:
    """Return how much larger a correlation is than with twice the noise, given that with once.

    If noise divides it by 1 + s, and twice as much by 1 + 2 s, the first is 2 / once - 1 / twice
    turned upside down.
    """
    shrunk = once / twice if twice else 1.0
    if shrunk < 1:  # resampling did not bring it nearer to 0
        return 1.0
    return min(shrunk / (2 - shrunk), MOST_NOISE) if shrunk < 2 else MOST_NOISE


def _smallest(rates: xr.DataArray, needed: float) -> float:
    enough = rates["size"].values[rates.values >= needed - 1e-9]
    return float(enough.min()) if needed > 0 and len(enough) else float("nan")
