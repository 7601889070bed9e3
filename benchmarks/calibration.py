"""Are the p values and intervals of cot_attn.stats what they say? (make calibrate)

In 36 made-up worlds (worlds.py) this counts

- false positives: with attention and failure unrelated, how often does a test at 5 % reject? The
  published recipe (pooled r, textbook p) is tried on the same data, and so is demeaning alone;
- coverage: with a planted effect, how often does a 95 % interval hold the truth, which a sample of
  200 000 problems gives? The percentile bootstrap is tried beside it;
- power: how often is the planted effect found, and how often by the best simple alternative (a t
  test of the problems' own correlations)?

It prints a table and writes benchmarks/results/calibration.json. All is seeded.
"""

import argparse
import json
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from scipy import stats as scipy_stats
from scipy.stats import entropy

from benchmarks.calibrated import LEVEL, STRENGTH, Found, Rates, show
from benchmarks.worlds import World, grid
from cot_attn import stats
from cot_attn.stats._inference.correlation import (
    CorrelationResult,
    CorrelationSpec,
    correlate_complete,
)
from cot_attn.stats._inference.estimands import (
    Estimand,
    Method,
    correlations,
    observed_moments,
    prepare,
)
from cot_attn.stats._inference.resampling import bootstrap_weights

ENOUGH_FAILURES = 20
N_RESAMPLES = 199  # a permutation test is exact with any number; more only buys power
RESULTS = Path(__file__).parent / "results" / "calibration.json"
ASKED: tuple[tuple[Estimand, Method], ...] = (
    ("within_problem", "pearson"),
    ("within_problem", "spearman"),
    ("within_thought", "pearson"),
    ("between_thoughts", "pearson"),
    ("pooled", "pearson"),
)
SPECS = {
    f"{estimand}, {method}": CorrelationSpec(estimand, method, 1 - LEVEL, N_RESAMPLES, 0)
    for estimand, method in ASKED
}
Counts = dict[str, list[float]]


def false_positives(world: World, n_runs: int, seed: int) -> Rates:
    """Count rejections where nothing is related; a declined test (NaN) rejects nothing."""
    rng = np.random.default_rng(seed)
    p_values: Counts = defaultdict(list)
    draws = [world.draw(rng, world.profiles(rng)) for _ in range(n_runs)]
    for run, (attention, failure) in enumerate(draws):
        for name, spec in SPECS.items():
            found = ask(spec, attention, failure, run)
            p_values[name].append(found.p[0, 0])
        p_values["published: pooled r, textbook p"].append(textbook_p(attention, failure))
        own = (x - x.mean(axis=1, keepdims=True) for x in (attention, failure))
        p_values["demeaned within problems, textbook p"].append(textbook_p(*own))
    for part in in_parts(n_runs):
        if not world.positions:
            failed = labelled([draws[run][1][:, :2] for run in part], "thought")
            contrast = stats.contrasts(failed, n_resamples=N_RESAMPLES, seed=part[0])
            name = "McNemar" if "McNemar" in contrast.attrs["test"] else "signs"
            p_values[f"contrast of thoughts, {name}"].extend(contrast.p.values[0])
        # Three draws with one profile stand for three layers between which nothing changes.
        layers = [
            np.stack([world.draw(rng, profiles)[0] for _ in range(3)], axis=1)
            for profiles in (world.profiles(rng) for _ in part)
        ]
        numbers = effective_numbers(layers)
        step = stats.contrasts(
            numbers, "layer", pairs="adjacent", n_resamples=N_RESAMPLES, seed=part[0]
        )
        p_values["contrast of layers"].extend(step.p.values[0])
        trend = stats.trend(numbers, n_resamples=N_RESAMPLES, seed=part[0])
        p_values["trend over layers"].extend(trend.p.values)
    return {name: float(np.mean(np.array(p) <= LEVEL)) for name, p in p_values.items()}


def coverage_and_power(world: World, n_runs: int, seed: int) -> tuple[Rates, Rates]:
    """Count how often intervals hold the truth, and how often the planted effect is found."""
    planted = replace(world, strength=STRENGTH)
    rng = np.random.default_rng(seed)
    profiles = planted.profiles(rng)
    large = planted.draw(rng, profiles, 200_000)
    rates = large[1].mean(axis=0)
    truth = {name: point_estimate(*large, spec) for name, spec in SPECS.items()}
    draws = [planted.draw(rng, profiles) for _ in range(n_runs)]
    covered: Counts = defaultdict(list)
    found: Counts = defaultdict(list)

    def note(
        name: str, low: np.ndarray, high: np.ndarray, true: float, failures: np.ndarray | int
    ) -> None:
        counts = np.isfinite(low) & np.isfinite(high) & (np.asarray(failures) >= ENOUGH_FAILURES)
        covered[name].extend(((low <= true) & (true <= high))[counts])

    for run, (attention, failure) in enumerate(draws):
        n_failures = (failure > 0).sum(axis=0)
        for name, spec in SPECS.items():
            got = ask(spec, attention, failure, run)
            per_thought = spec.estimand == "within_thought"
            failures = n_failures[:1] if per_thought else n_failures.sum(keepdims=True)
            note(name, got.low[0], got.high[0], truth[name], failures)
            found[name].append(got.p[0, 0] <= LEVEL)
        found["t test of problems' own r"].append(own_correlations_p(attention, failure) <= LEVEL)
        low, high = percentile_bootstrap(attention, failure, run)[:, None]
        name = "within_problem, pearson"
        note(f"{name}: percentile bootstrap", low, high, truth[name], n_failures.sum(keepdims=True))

    for part in in_parts(n_runs):
        failed = labelled([draws[run][1] for run in part], "thought")
        n_failures = (failed > 0).sum("problem")
        rate = stats.importance(xr.Dataset({"failed": failed}), by="run").isel(thought=0)
        note("importance", rate.low.values, rate.high.values, rates[0], n_failures[:, 0].values)
        spread = stats.importance_concentration(failed)
        for measure, true in (
            ("entropy", entropy(rates)),
            ("largest_share", max(rates / sum(rates))),
        ):
            name, one = f"importance: {measure}", spread.sel(measure=measure)
            note(name, one.low.values, one.high.values, true, n_failures.sum("thought").values)
        pair = stats.contrasts(failed.isel(thought=[0, 1]), n_resamples=19).isel(pair=0)
        both = n_failures[:, :2].sum("thought").values
        note("contrast of thoughts", pair.low.values, pair.high.values, rates[1] - rates[0], both)
        drawn = [draws[run][0] for run in part]
        shares = labelled([a[:, :1] / a.sum(axis=1, keepdims=True) for a in drawn], "thought")
        true_share = (large[0][:, 0] / large[0].sum(axis=1)).mean()
        numbers = effective_numbers([a[:, None] for a in drawn])
        true_number = float(effective_numbers([large[0][:, None]]).mean())
        for name, values, true in (
            ("attention share", shares, true_share),
            ("effective number", numbers, true_number),
        ):
            mean = stats.mean_over_problems(values.isel({values.dims[-1]: 0}))
            note(name, mean.low.values, mean.high.values, true, ENOUGH_FAILURES)
    coverage = {name: float(np.mean(hits)) for name, hits in covered.items() if len(hits) > 99}
    return coverage, {name: float(np.mean(hits)) for name, hits in found.items()}


def one_world(numbered: tuple[int, World], n_runs: int) -> Found:
    """Do everything for one world; its seed is its number in the grid."""
    index, world = numbered
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = false_positives(world, n_runs, 2 * index)
        return Found(world, wrong, *coverage_and_power(world, n_runs, 2 * index + 1))


def ask(
    spec: CorrelationSpec, attention: np.ndarray, failure: np.ndarray, seed: int
) -> CorrelationResult:
    if spec.estimand == "within_thought":  # the first thought stands for all
        attention, failure = attention[:, :1], failure[:, :1]
    return correlate_complete(attention[:, :, None], failure[:, :, None], replace(spec, seed=seed))


def point_estimate(attention: np.ndarray, failure: np.ndarray, spec: CorrelationSpec) -> float:
    prepared = (prepare(x[:, :, None], spec.estimand, spec.method) for x in (attention, failure))
    found = correlations(observed_moments(*prepared), spec.estimand, spec.method)
    return float(found[0, 0, 0])


def textbook_p(attention: np.ndarray, failure: np.ndarray) -> float:
    if np.ptp(failure) == 0:
        return float("nan")
    return float(scipy_stats.pearsonr(attention.ravel(), failure.ravel()).pvalue)


def own_correlations_p(attention: np.ndarray, failure: np.ndarray) -> float:
    a, f = (x - x.mean(axis=1, keepdims=True) for x in (attention, failure))
    a, f = (x - x.mean(axis=0) for x in (a, f))
    scale = np.sqrt((a**2).sum(axis=1) * (f**2).sum(axis=1))
    own = (a * f).sum(axis=1)[scale > 0] / scale[scale > 0]
    return float(scipy_stats.ttest_1samp(own, 0.0).pvalue)


def percentile_bootstrap(attention: np.ndarray, failure: np.ndarray, seed: int) -> np.ndarray:
    a, f = (
        prepare(x[:, :, None], "within_problem", "pearson")[:, :, 0] for x in (attention, failure)
    )
    weights = bootstrap_weights(len(a), N_RESAMPLES, seed)

    def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        of_means = ((weights @ x) * (weights @ y)).sum(axis=1)
        found: np.ndarray = weights @ (x * y).sum(axis=1) - of_means
        return found

    r = covariance(a, f) / np.sqrt(covariance(a, a) * covariance(f, f))
    bounds: np.ndarray = np.nanquantile(r, [LEVEL / 2, 1 - LEVEL / 2])
    return bounds


def labelled(runs: list[np.ndarray], last: str) -> xr.DataArray:
    """Lay runs of (problem, something) side by side."""
    stacked = np.stack(runs)
    coords = {"run": range(len(runs)), "problem": range(stacked.shape[1])}
    dims = ("run", "problem", last)
    return xr.DataArray(stacked, dims=dims, coords={**coords, last: range(stacked.shape[2])})


def effective_numbers(runs: list[np.ndarray]) -> xr.DataArray:
    """Take runs of attention (problem, layer, thought) to effective numbers of thoughts."""
    stacked = np.stack(runs)
    shares = stacked / stacked.sum(axis=-1, keepdims=True)
    layers = {"layer": range(stacked.shape[2])}
    array = xr.DataArray(shares, dims=("run", "problem", "layer", "thought"), coords=layers)
    return stats.concentration_per_problem(array).sel(measure="effective_number")


def in_parts(n_runs: int, size: int = 250) -> list[range]:
    """Split the runs, so that those looked at together fit into memory."""
    return [range(start, min(start + size, n_runs)) for start in range(0, n_runs, size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="runs a world, for each question")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    start = time.perf_counter()
    RESULTS.parent.mkdir(exist_ok=True)
    results: list[Found] = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for result in pool.map(partial(one_world, n_runs=arguments.runs), enumerate(grid())):
            results.append(result)
            worlds = [each.plain() for each in results]
            RESULTS.write_text(json.dumps({"runs": arguments.runs, "worlds": worlds}, indent=1))
            print(f"{len(results)}. {result.world}", flush=True)
    show(results, arguments.runs)
    print(f"{time.perf_counter() - start:.0f} s; all figures are in {RESULTS}")


if __name__ == "__main__":
    main()
