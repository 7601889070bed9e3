"""How long does it take to correlate every head of a large model? (part of make bench)"""

import time

import numpy as np
import xarray as xr

from cot_attn import stats

N_PROBLEMS, N_THOUGHTS, N_LAYERS, N_HEADS = 1000, 6, 16, 32
N_RESAMPLES = 1000


def main() -> None:
    rng = np.random.default_rng(0)
    coords = {"problem": range(N_PROBLEMS), "thought": range(N_THOUGHTS)}
    shares = rng.dirichlet(np.ones(N_THOUGHTS), size=(N_PROBLEMS, N_LAYERS, N_HEADS))
    attention = xr.DataArray(
        shares, dims=("problem", "layer", "head", "thought"), coords=coords
    ).astype(np.float32)
    failed = (rng.random((N_PROBLEMS, N_THOUGHTS)) < 0.2).astype(float)
    failure = xr.DataArray(failed, dims=("problem", "thought"), coords=coords)
    print(f"{dict(attention.sizes)}, {N_RESAMPLES} resamples")
    for estimand in ("within_problem", "within_thought", "between_thoughts", "pooled"):
        for method in ("pearson", "spearman"):
            start = time.perf_counter()
            stats.correlate(attention, failure, estimand, method, n_resamples=N_RESAMPLES)
            print(f"{estimand:17} {method:9} {time.perf_counter() - start:5.1f} s")


if __name__ == "__main__":
    main()
