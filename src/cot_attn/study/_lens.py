"""Where a study's readouts keep what a lens found; no model is needed to look it up."""

import xarray as xr

RANKS = ("rank", "baseline_rank")
FED = "fed_"


def in_space(readouts: xr.Dataset, space: str) -> xr.Dataset:
    """Return the ranks of one space, as `logit_lens` gives them."""
    if space == "hidden":
        return readouts[list(RANKS)].assign_attrs(space="hidden")
    fed = readouts[[FED + name for name in RANKS]]
    return fed.rename({FED + name: name for name in RANKS}).assign_attrs(space="fed")
