"""How a quantity moves with the size of models: models are the unit, and there are few of them."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations, product
from math import factorial, prod

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Int
from scipy.stats import t as student_t

from cot_attn.stats._inference.multiplicity import benjamini_hochberg

LISTED_UP_TO = 20_000
"""So many orders are listed; where there are more, some are drawn."""
MODELS = "model"


def trend_over(
    values: xr.DataArray,
    over: str = "n_parameters",
    *,
    family: str | None = "family",
    covariates: Sequence[str] = (),
    confidence: float = 0.95,
    n_resamples: int = 5000,
    seed: int = 0,
) -> xr.Dataset:
    """Say how a quantity moves with the size of models, and how sure one can be of that.

    Models of one family and size (its seeds) are averaged first: they share an architecture, and
    say how much seeds matter, not how much size does. A line is then fitted through the sizes,
    with a level of its own for each family and the logarithm of the size. What sizes scatter about
    that line gives the interval; with five sizes it is wide. The test puts the sizes' residuals
    under the null model in every other order within their families (Freedman and Lane).

    Parameters
    ----------
    values
        One number a model: the dimension `model`, and any others (thoughts, corruptions), each of
        which gets its own line. Models with NaN are left out.
    over
        A coordinate along `model`, above 0: the size.
    family
        A coordinate along `model`; None where all models are of one family.
    covariates
        Coordinates along `model` that may move the quantity as well, such as the accuracy.
    confidence
        Of the intervals.
    n_resamples
        How many orders are drawn where there are too many to list.
    seed
        For these.

    Returns
    -------
    xr.Dataset
        `estimate` (the change for a size ten times as large), `low`, `high`, `p`, `q` (Benjamini
        and Hochberg's, over all lines), `scatter_of_seeds` (standard deviation within sizes),
        `n_models`, `n_sizes` and `reason` (why a number is missing, or empty).

    Raises
    ------
    ValueError
        Where a coordinate is missing or not finite, or a size is not above 0.

    References
    ----------
    Freedman and Lane (1983), "A nonstochastic interpretation of reported significance levels",
    Journal of Business & Economic Statistics 1.

    Examples
    --------
    >>> sizes = np.repeat([1e4, 1e5, 1e6, 1e7, 1e8], 3)
    >>> seeds = np.tile([-0.01, 0.0, 0.01], 5)
    >>> values = xr.DataArray(
    ...     0.1 * np.log10(sizes) + seeds, dims="model", coords={"n_parameters": ("model", sizes)}
    ... )
    >>> found = trend_over(values, family=None)
    >>> round(float(found["estimate"]), 3), round(float(found["p"]), 3), int(found["n_sizes"])
    (0.1, 0.017, 5)
    """
    models = _models(values, over, family, covariates)
    lines = values.transpose(MODELS, ...)
    flat = lines.values.reshape(len(models), -1).astype(float)
    found = [
        _line(models, column, over, covariates, confidence, n_resamples, seed) for column in flat.T
    ]
    dims = lines.dims[1:]
    coordinates = {n: each for n, each in lines.coords.items() if MODELS not in each.dims}
    columns = pd.DataFrame(found)
    columns["q"] = benjamini_hochberg(columns["p"].to_numpy(dtype=float))
    return xr.Dataset(
        {
            str(name): (dims, column.to_numpy().reshape(lines.shape[1:]))
            for name, column in columns.items()
        },
        coords=coordinates,
        attrs={
            "over": over,
            "unit": "change for a size ten times as large",
            "covariates": list(covariates),
            "confidence": confidence,
            "method": "least squares through the means of sizes, a level for each family; "
            "permutation of residuals within families",
        },
    )


def _models(
    values: xr.DataArray, over: str, family: str | None, covariates: Sequence[str]
) -> pd.DataFrame:
    """Return what is known of each model, checked."""
    if MODELS not in values.dims:
        raise ValueError(
            f"A trend over models needs the dimension 'model'; the array has {values.dims}."
        )
    wanted = [over, *covariates, *([family] if family else [])]
    missing = [name for name in wanted if name not in values.coords]
    if missing:
        along = [str(name) for name, each in values.coords.items() if each.dims == (MODELS,)]
        raise ValueError(
            f"There is no coordinate {missing[0]!r} along 'model'; there are {along}. Add it: "
            f".assign_coords({missing[0]}=('model', [...]))."
        )
    table = pd.DataFrame({name: np.asarray(values[name].values) for name in wanted})
    for name in (over, *covariates):
        table[name] = table[name].astype(float)
        if not np.isfinite(table[name]).all():
            raise ValueError(f"{name} is not known of every model: {table[name].tolist()}.")
    if (table[over] <= 0).any():
        raise ValueError(f"{over} is {table[over].tolist()}; a size is above 0.")
    table["family"] = table[family].astype(str) if family else "all"
    return table


def _line(
    models: pd.DataFrame,
    column: Float[np.ndarray, " model"],
    over: str,
    covariates: Sequence[str],
    confidence: float,
    n_resamples: int,
    seed: int,
) -> dict[str, object]:
    """Fit and test one line."""
    here = models.assign(value=column)[np.isfinite(column)]
    by_size = here.groupby(["family", over])
    sizes = by_size.mean(numeric_only=True).reset_index()
    within = by_size["value"]
    spread = within.var(ddof=1).mul(within.count() - 1).sum()
    free = len(here) - len(sizes)
    result: dict[str, object] = {
        "estimate": np.nan,
        "low": np.nan,
        "high": np.nan,
        "p": np.nan,
        "scatter_of_seeds": float(np.sqrt(spread / free)) if free else np.nan,
        "n_models": len(here),
        "n_sizes": len(sizes),
        "reason": "",
    }
    levels = pd.get_dummies(sizes["family"]).to_numpy(dtype=float)
    null = np.column_stack([levels, *(sizes[name] for name in covariates)])
    size = np.log10(sizes[over].to_numpy())
    design = np.column_stack([null, size])
    freedom = len(sizes) - design.shape[1]
    if len(sizes) == 0 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {**result, "reason": "the sizes do not tell size apart from family and covariates"}
    y = sizes["value"].to_numpy()
    residual = _without(null, size)  # what of the size nothing else says
    slope = float(residual @ y / (residual @ residual))
    result["estimate"] = slope
    if freedom < 1:
        return {**result, "reason": f"{len(sizes)} sizes leave no scatter to judge by"}
    left = _without(design, y)
    error = np.sqrt(left @ left / freedom / (residual @ residual))
    reach = student_t.ppf(0.5 + confidence / 2, freedom) * error
    result |= {"low": slope - reach, "high": slope + reach}
    residuals = _without(null, y)
    orders = _orders(tuple(sizes["family"]), n_resamples, seed)
    shuffled = _without(null, residuals[orders].T)
    result["p"] = _two_sided(residual, shuffled, design)
    return result


def _two_sided(
    residual: Float[np.ndarray, " size"],
    shuffled: Float[np.ndarray, "size order"],
    design: Float[np.ndarray, "size column"],
) -> float:
    """Compare the slope over its scatter with that of every order; the first is the observed."""
    scale = np.abs(shuffled).max(initial=0.0)
    if scale == 0:
        return 1.0
    scatter = np.sqrt(np.square(_without(design, shuffled)).sum(axis=0))
    ratios = np.abs(residual @ shuffled) / np.maximum(scatter, np.finfo(float).eps * scale)
    return float(np.mean(ratios >= ratios[0] * (1 - 1e-9)))


def _without(
    columns: Float[np.ndarray, "size column"], values: Float[np.ndarray, "size *line"]
) -> Float[np.ndarray, "size *line"]:
    """Return what is left of values when the columns' part is taken out."""
    basis, _ = np.linalg.qr(columns)
    left: np.ndarray = values - basis @ (basis.T @ values)
    return left


@lru_cache(maxsize=1)  # many lines are of the same sizes
def _orders(family: tuple[str, ...], n_resamples: int, seed: int) -> Int[np.ndarray, "order size"]:
    """Return orders of sizes within their families, the one they are in first."""
    members = [np.flatnonzero(np.array(family) == name) for name in dict.fromkeys(family)]
    identity = np.arange(len(family))
    if prod(factorial(len(each)) for each in members) <= LISTED_UP_TO:
        listed = []
        for parts in product(*(permutations(each) for each in members)):
            order = identity.copy()
            for places, order_within in zip(members, parts, strict=True):
                order[places] = order_within
            listed.append(order)
        return np.array(listed)
    rng = np.random.default_rng(seed)
    drawn = np.tile(identity, (n_resamples + 1, 1))
    for places in members:
        drawn[1:, places] = rng.permuted(np.tile(places, (n_resamples, 1)), axis=1)
    return drawn
