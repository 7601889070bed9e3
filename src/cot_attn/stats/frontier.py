"""What thoughts have for nodes because of their part in a graph, beyond their names."""

import xarray as xr

from cot_attn.stats.averages import mean_over_problems
from cot_attn.stats.contrasts import contrasts

MEASURES = ("similarity", "mass")


def frontier_excess(
    found: xr.Dataset, measure: str = "similarity", *, confidence: float = 0.95
) -> xr.Dataset:
    """Average how much more a thought is like nodes than like the same names in another part.

    Parameters
    ----------
    found
        From `experiments.frontier`.
    measure
        "similarity" or "mass".

    Returns
    -------
    xr.Dataset
        Over (thought, part): `estimate` (mean over problems of the measure less that under names
        exchanged), `low`, `high`, `n_problems`; `own` and `exchanged`, the two means; `p` (random
        signs of the problems' differences) and `p_holm` over all.
    """
    if measure not in MEASURES or f"{measure}_exchanged" not in found:
        raise ValueError(
            f"measure={measure!r} is not in the result. Use 'similarity' or 'mass', of what "
            "experiments.frontier returns."
        )
    as_trained, other = found[measure], found[f"{measure}_exchanged"]
    kept = [name for name in as_trained.coords if name not in as_trained.dims]
    as_trained, other = as_trained.drop_vars(kept), other.drop_vars(kept)
    table = mean_over_problems(as_trained - other, confidence=confidence)
    table["own"], table["exchanged"] = as_trained.mean("problem"), other.mean("problem")
    both = xr.concat([other, as_trained], dim="names").assign_coords(names=["exchanged", "own"])
    tests = contrasts(both, between="names").isel(pair=0, drop=True)
    table["p"], table["p_holm"] = tests["p"], tests["p_holm"]
    attrs = {name: found.attrs[name] for name in ("model", "checkpoint") if name in found.attrs}
    return table.transpose("thought", "part").assign_attrs(
        **attrs, measure=measure, test=tests.attrs["test"]
    )
