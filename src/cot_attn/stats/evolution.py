"""How attention changes from the first layer to the last."""

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import require_array, require_numeric_labels, require_several
from cot_attn.stats._inference.estimands import NEGLIGIBLE
from cot_attn.stats._inference.paired import compare_pairs
from cot_attn.stats.concentration import concentration_per_problem
from cot_attn.stats.contrasts import contrasts


def evolution(
    shares: xr.DataArray, *, confidence: float = 0.95, n_resamples: int = 2000, seed: int = 0
) -> xr.Dataset:
    """Compare each layer's concentration with the next one's, each problem with itself.

    Parameters
    ----------
    shares
        (problem, layer, thought[, head]), from `share`.

    Returns
    -------
    xr.Dataset
        As `contrasts` gives it, over (pair, measure[, head]): by how much entropy, effective
        number and largest share grow from layer `first` to layer `second`.

    See Also
    --------
    trend : whether there is a direction over all layers.

    Examples
    --------
    >>> even_then_one = [[[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [0.9, 0.1]]] * 4
    >>> shares = xr.DataArray(even_then_one, dims=("problem", "layer", "thought"))
    >>> result = evolution(shares.assign_coords(layer=[0, 1]))
    >>> result.estimate.sel(measure="largest_share").values
    array([0.45])
    """
    require_array(shares, ("problem", "layer", "thought"), "Evolution over layers", name="shares")
    return contrasts(
        concentration_per_problem(shares.sortby("layer")),
        "layer",
        pairs="adjacent",
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )


def trend(
    values: xr.DataArray,
    along: str = "layer",
    *,
    confidence: float = 0.95,
    n_resamples: int = 2000,
    seed: int = 0,
) -> xr.Dataset:
    """Test whether a quantity grows or falls from the first layer to the last.

    Each problem gets its own least-squares slope, and the slopes' mean is tested against 0: layers
    of one problem are no independent samples, problems are.

    Parameters
    ----------
    values
        (problem, layer, ...), for instance `concentration_per_problem(shares)`.
    along
        The dimension with an order.

    Returns
    -------
    xr.Dataset
        `estimate` is the change from the first label to the last along the fitted line; `low`,
        `high`, `p`, `p_holm`, `q`, `n_problems` and `reason` as in `contrasts`.

    Examples
    --------
    >>> rises = [[0.0, 0.5, 1.0], [0.0, 1.0, 2.0]] * 4
    >>> values = xr.DataArray(rises, {"layer": [0, 1, 2]}, ("problem", "layer"))
    >>> float(trend(values).estimate)
    1.5
    """
    require_array(values, ("problem", along), "A trend")
    require_several(values, along, "a trend needs three or more", fewest=3)
    require_numeric_labels(values, along, "A trend")
    ordered = values.sortby(along)
    position = ordered[along].values.astype(np.float64)
    position = (position - position[0]) / (position[-1] - position[0])
    centred = xr.DataArray(position - position.mean(), dims=along, coords={along: ordered[along]})
    slopes = (ordered * centred).sum(along, skipna=False) / float((centred**2).sum())
    rounding = NEGLIGIBLE * abs(ordered).max(["problem", along])
    slopes = slopes.where((abs(slopes) > rounding) | slopes.isnull(), 0.0)
    tested = compare_pairs(
        xr.concat([xr.zeros_like(slopes), slopes], dim="end"),
        "end",
        adjacent=False,
        yes_or_no=False,
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )
    return tested.isel(pair=0, drop=True).drop_vars(["first", "second"], errors="ignore")
