"""Do the intervals of stats.effective_rank cover the truth, and would a bootstrap's?

python benchmarks/effective_rank.py --runs 300
"""

import argparse

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table

from cot_attn import stats
from cot_attn.stats._inference.resampling import bootstrap_weights

EIGENVALUES = {
    "even": np.ones(64),
    "1/k": 1 / np.arange(1, 97),
    "halving": 0.5 ** np.arange(20),
    "one large": np.r_[20, np.full(63, 0.1)],
}
TAILS = {"normal": np.inf, "t5": 5.0}
N_RESAMPLES = 400


def participation_ratio(eigenvalues: np.ndarray) -> float:
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def draw(
    rng: np.random.Generator, n_problems: int, eigenvalues: np.ndarray, freedom: float
) -> np.ndarray:
    drawn: np.ndarray = rng.normal(size=(n_problems, len(eigenvalues))) * np.sqrt(eigenvalues)
    if np.isfinite(freedom):
        drawn /= np.sqrt(rng.chisquare(freedom, size=(n_problems, 1)) / freedom)
    return drawn


def percentiles(states: np.ndarray, seed: int) -> np.ndarray:
    """Bootstrap the participation ratio over problems, from the products of the states."""
    weights = bootstrap_weights(len(states), N_RESAMPLES, seed)
    centred = states - states.mean(axis=0)
    gram = centred @ centred.T
    shift = weights @ gram
    mean_square = (shift * weights).sum(axis=1)
    trace = weights @ np.diag(gram) - mean_square
    squares = ((weights @ gram**2) * weights).sum(axis=1) - 2 * (weights * shift**2).sum(axis=1)
    ratios = trace**2 / (squares + mean_square**2)
    bounds: np.ndarray = np.quantile(ratios, [0.025, 0.975])
    return bounds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    runs = parser.parse_args().runs
    columns = ("problems", "eigenvalues", "tails", "truth", "sample's own", "estimate")
    table = Table(*columns, "covered", "covered by percentiles")
    rng = np.random.default_rng(0)
    for n_problems in (30, 100, 300):
        for shape, eigenvalues in EIGENVALUES.items():
            for tails, freedom in TAILS.items():
                truth = participation_ratio(eigenvalues)
                clouds = [draw(rng, n_problems, eigenvalues, freedom) for _ in range(runs)]
                stacked = xr.DataArray(np.stack(clouds), dims=("run", "problem", "d_model"))
                found = stats.effective_rank(stacked)
                covered = ((found.low <= truth) & (truth <= found.high)).mean()
                bounds = np.array([percentiles(cloud, run) for run, cloud in enumerate(clouds)])
                by_percentiles = ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean()
                figures = (truth, found.uncorrected.median(), found.estimate.median())
                table.add_row(
                    str(n_problems),
                    shape,
                    tails,
                    *(f"{float(figure):.1f}" for figure in figures),
                    f"{float(covered):.1%}",
                    f"{by_percentiles:.1%}",
                )
    Console().print(table)


if __name__ == "__main__":
    main()
