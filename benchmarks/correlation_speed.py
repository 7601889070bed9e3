"""How long it takes to correlate every head of a large model.

`python benchmarks/correlation_speed.py` prints the seconds as JSON.
"""

import json
import time
from typing import TypedDict

import numpy as np
import xarray as xr

from cot_attn import stats
from cot_attn.stats._inference.estimands import ESTIMANDS, METHODS

N_PROBLEMS, N_THOUGHTS, N_LAYERS, N_HEADS = 1000, 6, 16, 32
N_RESAMPLES = 1000


class Correlated(TypedDict):
    """How long each estimand and method took."""

    shape: dict[str, int]
    resamples: int
    seconds: dict[str, float]


def correlating() -> Correlated:
    """Time every estimand and method once."""
    rng = np.random.default_rng(0)
    coords = {"problem": range(N_PROBLEMS), "thought": range(N_THOUGHTS)}
    shares = rng.dirichlet(np.ones(N_THOUGHTS), size=(N_PROBLEMS, N_LAYERS, N_HEADS))
    attention = xr.DataArray(
        shares, dims=("problem", "layer", "head", "thought"), coords=coords
    ).astype(np.float32)
    failed = (rng.random((N_PROBLEMS, N_THOUGHTS)) < 0.2).astype(float)
    failure = xr.DataArray(failed, dims=("problem", "thought"), coords=coords)
    seconds = {}
    for estimand in ESTIMANDS:
        for method in METHODS:
            start = time.perf_counter()
            stats.correlate(attention, failure, estimand, method, n_resamples=N_RESAMPLES)
            seconds[f"{estimand}, {method}"] = time.perf_counter() - start
    shape = {str(dim): size for dim, size in attention.sizes.items()}
    return {"shape": shape, "resamples": N_RESAMPLES, "seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(correlating(), indent=2))
