"""What a direction does at each dose, beside random directions of its norm."""

import numpy as np
import xarray as xr

from cot_attn.stats._inference.multiplicity import holm
from cot_attn.stats.rates import rate_over_problems

GIVEN = "given"
OUTCOMES = ("target", "elsewhere", "stays")


def dose_response(steered: xr.Dataset, *, confidence: float = 0.95) -> xr.Dataset:
    """Count where answers went at each dose, with the direction and with random ones.

    Parameters
    ----------
    steered
        From `experiments.steer`.

    Returns
    -------
    xr.Dataset
        Over (outcome, dose), where `outcome` is "target", "elsewhere" or "stays": `estimate`,
        `low`, `high` (Wilson's interval over problems) and `n_problems` with the given direction;
        `random`, `random_low`, `random_high`: mean, and the quantiles of the random directions'
        rates between which `confidence` of them lie. `p` and, over the doses, `p_holm`: the rank of
        the given direction among all, for as many answers at the target (or elsewhere), or as few
        that stay. With 20 random directions p is 1/21 at least.

        `logprob_target` and its `random_logprob` over (dose), where they were measured: means over
        problems.
    """
    directions = [str(name) for name in steered["direction"].values]
    lacking = [name for name in OUTCOMES if name not in steered]
    if lacking or GIVEN not in directions or len(directions) < 2:
        raise ValueError(
            f"The result lacks {lacking or 'given or random directions'}; give what "
            "experiments.steer returns."
        )
    outcomes = xr.concat([steered[name] for name in OUTCOMES], dim="outcome")
    outcomes = outcomes.assign_coords(outcome=list(OUTCOMES))
    kept = [name for name in outcomes.coords if name not in outcomes.dims]
    outcomes = outcomes.drop_vars(kept)
    random = outcomes.sel(direction=[name for name in directions if name != GIVEN])
    table = rate_over_problems(outcomes.sel(direction=GIVEN, drop=True), confidence=confidence)
    rates = random.mean("problem")
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    observed = rates.dropna("outcome", how="all")  # there may be no target
    band = observed.quantile(tails, dim="direction").reindex(outcome=rates["outcome"])
    table["random"] = rates.mean("direction")
    table["random_low"] = band.isel(quantile=0, drop=True)
    table["random_high"] = band.isel(quantile=1, drop=True)
    more = xr.DataArray(
        [-1.0 if name == "stays" else 1.0 for name in OUTCOMES],
        dims="outcome",
        coords={"outcome": list(OUTCOMES)},
    )
    as_far = more * rates >= more * table["estimate"] - 1e-9
    p = (as_far.sum("direction") + 1) / (rates.sizes["direction"] + 1)
    table["p"] = p.where(table["estimate"].notnull())
    adjusted = np.stack([holm(row) for row in table["p"].transpose("outcome", "dose").values])
    table["p_holm"] = (("outcome", "dose"), adjusted)
    if "logprob_target" in steered:
        means = steered["logprob_target"].mean("problem")
        table["logprob_target"] = means.sel(direction=GIVEN, drop=True)
        table["random_logprob"] = means.sel(direction=random["direction"]).mean("direction")
    kept_attrs = ("model", "checkpoint", "name", "site", "steered")
    return table.transpose("outcome", "dose").assign_attrs(
        {name: steered.attrs[name] for name in kept_attrs if name in steered.attrs},
        n_random=rates.sizes["direction"],
        test="rank among random directions of the same norm",
    )
