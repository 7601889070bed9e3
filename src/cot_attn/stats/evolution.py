"""How attention changes from the first layer to the last."""

import numpy as np
import xarray as xr

from cot_attn.stats.concentration import concentration_of
from cot_attn.stats.contrasts import contrasts, paired
from cot_attn.stats.estimands import NEGLIGIBLE
from cot_attn.stats.labels import require_dims


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
    """
    require_dims(shares, ("problem", "layer", "thought"), "Evolution over layers")
    return contrasts(
        concentration_of(shares.sortby("layer")),
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
        (problem, layer, ...), for instance `concentration_of(shares)`.
    along
        The dimension with an order.

    Returns
    -------
    xr.Dataset
        `estimate` is the change from the first label to the last along the fitted line; `low`,
        `high`, `p`, `p_holm`, `q`, `n_problems` and `reason` as in `contrasts`.
    """
    require_dims(values, ("problem", along), "A trend")
    if values.sizes[along] < 3:
        raise ValueError(f"A trend needs three labels along {along!r}; got {values.sizes[along]}.")
    if values[along].dtype.kind not in "iuf":
        raise ValueError(
            f"A trend needs numbers along {along!r}, which give the order; the labels are "
            f"{values[along].values.tolist()}. Number them: .assign_coords({along}=...)."
        )
    ordered = values.sortby(along)
    position = ordered[along].values.astype(np.float64)
    position = (position - position[0]) / (position[-1] - position[0])
    centred = xr.DataArray(position - position.mean(), dims=along, coords={along: ordered[along]})
    slopes = (ordered * centred).sum(along, skipna=False) / float((centred**2).sum())
    rounding = NEGLIGIBLE * abs(ordered).max(["problem", along])
    slopes = slopes.where((abs(slopes) > rounding) | slopes.isnull(), 0.0)
    tested = paired(
        xr.concat([xr.zeros_like(slopes), slopes], dim="end"),
        "end",
        pairs="all",
        yes_or_no=False,
        confidence=confidence,
        n_resamples=n_resamples,
        seed=seed,
    )
    return tested.isel(pair=0, drop=True).drop_vars(["first", "second"], errors="ignore")
