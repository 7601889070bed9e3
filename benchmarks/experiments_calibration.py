"""Do the experiments' tests reject what is not there, and do their intervals hold the truth?

In made-up results of each experiment, in which nothing was done to anything, this counts how often
its test rejects at 5 %, and how often a 95 % interval holds what was put in. No model is run.

    python benchmarks/experiments_calibration.py --runs 1000 [--only steer graph]

Problems differ in how easy they are, and in all that is measured of them. All is seeded.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table
from scipy.special import expit
from scipy.stats import binom, spearmanr

from cot_attn import stats

LEVEL = 0.05
SIZES = (20, 60, 200)
SPREAD = 1.5  # of the problems' log odds
EASY = 0.7  # the log odds of a problem of middling ease
N_RANDOM = 20
RESULTS = Path(__file__).parent / "results" / "experiments_calibration.json"
Counts = dict[str, np.ndarray]
Generator = np.random.Generator
TRUE_RATE = float(expit(EASY + SPREAD * np.random.default_rng(0).normal(size=10**6)).mean())


def chances(rng: Generator, *shape: int) -> np.ndarray:
    """Draw how likely each problem is to be answered right."""
    return expit(EASY + SPREAD * rng.normal(size=shape))


def happens(rng: Generator, chance: np.ndarray) -> np.ndarray:
    return (rng.random(chance.shape) < chance).astype(float)


def covers(table: xr.Dataset, truth: float, ends: tuple[str, str] = ("low", "high")) -> np.ndarray:
    low, high = (table[end].values.ravel() for end in ends)
    return (low <= truth) & (truth <= high)


def usage(rng: Generator, n: int, n_runs: int) -> Counts:
    """Every condition is answered right as often as the model as trained."""
    names = ["as trained", "no thoughts", "mean thought", "pause", "another problem's", "noise"]
    found: dict[str, list[bool]] = {name: [] for name in ("any", "verdict", "rate", "difference")}
    for _ in range(n_runs):
        chance = np.repeat(chances(rng, n, 1), len(names), axis=1)
        correct = (("problem", "condition"), happens(rng, chance))
        given = xr.Dataset(
            dict.fromkeys(("correct", "changed", "kl_value"), correct),
            coords={"problem": range(n), "condition": names},
            attrs={"margin": 0.05, "most_common": 0.1},
        )
        table = stats.usage_summary(given)
        others = table.sel(condition="another problem's")
        found["any"].append(bool((table["p_holm"] <= LEVEL).any()))
        found["verdict"].append(table.attrs["verdict"].startswith("Content used"))
        found["rate"] += covers(others, TRUE_RATE).tolist()
        ends = ("difference_low", "difference_high")
        found["difference"] += covers(others, 0.0, ends).tolist()
    named = {
        "any": "usage: some condition differs (Holm), rejects",
        "verdict": "usage: the verdict is content used, rejects",
        "rate": "usage: accuracy, covers",
        "difference": "usage: difference from as trained, covers",
    }
    return {named[name]: np.array(values) for name, values in found.items()}


def exits(rng: Generator, n: int, n_runs: int) -> Counts:
    """Of the problems a part is right; half of those commit by thought 2, and a third never."""
    right = xr.DataArray(
        happens(rng, chances(rng, n, n_runs)),
        dims=("problem", "n_thoughts"),
        coords={"problem": range(n), "n_thoughts": range(n_runs)},
    )
    accuracy = stats.exit_accuracy(xr.Dataset({"correct": right}))
    when = rng.choice([1.0, 2.0, 4.0, np.nan], p=[0.2, 0.3, 0.2, 0.3], size=(n, n_runs))
    dims, coords = ("problem", "target"), {"problem": range(n), "target": range(n_runs)}
    given = xr.Dataset(
        {"first": (dims, when), "stable": (dims, when)},
        coords=coords,
        attrs={"exits": [0.0, 1.0, 2.0, 3.0, 4.0], "censored_at": 4.0},
    )
    there = stats.committed(given).sel(kind="stable", n_thoughts=2)
    return {
        "exits: accuracy at an exit, covers": covers(accuracy, TRUE_RATE),
        "exits: committed (Kaplan-Meier), covers": covers(there, 0.5),
    }


def rates(rng: Generator, n: int, n_runs: int) -> Counts:
    """A count of problems is binomial, so that what its interval covers is known without luck."""
    counts = np.arange(n + 1)
    right = xr.DataArray(
        (np.arange(n)[:, None] < counts).astype(float),
        dims=("problem", "n_thoughts"),
        coords={"problem": range(n), "n_thoughts": counts},
    )
    there = covers(stats.exit_accuracy(xr.Dataset({"correct": right})), TRUE_RATE)
    return {"any rate, exactly, covers": np.array([binom.pmf(counts, n, TRUE_RATE) @ there])}


def interchange(rng: Generator, n: int, n_runs: int) -> Counts:
    """A source's vector does what a random one does; bases and sources differ in ease."""
    n_sources = 3
    first = np.repeat(np.arange(n), n_sources)
    steps = np.concatenate([rng.permutation(n - 1)[:n_sources] + 1 for _ in range(n)])
    second = (first + steps) % n
    # Half of the spread is the base's and half the source's, so that the mean is that of the rest.
    own, theirs = SPREAD / np.sqrt(2) * rng.normal(size=(2, n, n_runs))
    chance = expit(EASY + own[first] + theirs[second])[..., None]
    hit = happens(rng, np.repeat(chance, 2, axis=2))[:, None]
    dims = ("pair", "site", "thought", "vector")
    given = xr.Dataset(
        {
            **dict.fromkeys(("hit", "source_hit", "base_hit"), (dims, hit)),
            "stays": (("pair", "thought"), np.zeros((len(first), n_runs))),
        },
        coords={
            "base": ("pair", first.astype(str)),
            "source": ("pair", second.astype(str)),
            "site": ["input"],
            "thought": range(n_runs),
            "vector": ["source", "random"],
        },
    )
    table = stats.interchange_accuracy(given).sel(prediction="changes", site="input")
    predicted = table.sel(outcome="predicted", vector="source")
    rate = predicted["estimate"].values
    pairs_apart = np.abs(rate - TRUE_RATE) <= 1.96 * np.sqrt(rate * (1 - rate) / len(first))
    return {
        "interchange: source's against random, rejects": table["p"].values.ravel() <= LEVEL,
        "interchange: rate, covers": covers(predicted, TRUE_RATE),
        "(interchange: rate, pairs taken as independent, covers)": pairs_apart,
    }


def steer(rng: Generator, n: int, n_runs: int) -> Counts:
    """The given direction is one more random one: each leads elsewhere by its own strength."""
    strength = 0.5 * rng.normal(size=(N_RANDOM + 1, n_runs))
    ease = SPREAD * rng.normal(size=(n, 1, n_runs))
    moved = happens(rng, expit(EASY + ease + strength))
    dims = ("problem", "direction", "dose")
    given = xr.Dataset(
        {"target": (dims, moved), "elsewhere": (dims, 1 - moved), "stays": (dims, 1 - moved)},
        coords={
            "problem": range(n),
            "direction": ["given", *(f"random {i}" for i in range(N_RANDOM))],
            "dose": range(n_runs),
        },
    )
    response = stats.dose_response(given)
    target, stays = (response.sel(outcome=name) for name in ("target", "stays"))
    beyond = target["estimate"].values > target["random_high"].values
    return {
        "steer: more at the target than random ones, rejects": target["p"].values <= LEVEL,
        "steer: fewer stay than with random ones, rejects": stays["p"].values <= LEVEL,
        "(steer: above the random band, rejects)": beyond,
    }


def graph(rng: Generator, n: int, n_runs: int) -> Counts:
    """An edge breaks as many answers, and diverges as much, as others hidden in its place."""
    chance = chances(rng, n, n_runs, 1, 1)
    failed = happens(rng, np.repeat(chance, 2, axis=3))
    divergence = np.exp(rng.normal(size=(n, n_runs, 1, 1)) + rng.normal(size=(n, n_runs, 1, 2)))
    dims = ("problem", "edge", "downstream", "hidden")
    ends = {name: ("edge", ["x"] * n_runs) for name in ("source", "target", "path")}
    given = xr.Dataset(
        {"failed": (dims, failed), "kl_value": (dims, divergence)},
        coords={
            "problem": range(n),
            "edge": range(n_runs),
            "downstream": ["recompute"],
            "hidden": ["source", "others"],
            **ends,
        },
    )
    broken, diverged = (stats.edge_effects(given, name) for name in ("failed", "kl_value"))
    return {
        "graph: failures against others hidden, rejects": broken["p"].values.ravel() <= LEVEL,
        "graph: divergence against others hidden, rejects": diverged["p"].values.ravel() <= LEVEL,
        "graph: failures, covers": covers(broken, TRUE_RATE),
        "graph: divergence (log-normal), covers": covers(diverged, float(np.exp(1.0))),
    }


def heads(rng: Generator, n: int, n_runs: int) -> Counts:
    """Attention says nothing of a knock-out; attribution says half. And no head matters at all."""
    found: dict[str, list[bool]] = {name: [] for name in ("unrelated", "unrelated covers", "half")}
    shape = (4, 8)  # layers, heads
    for _ in range(n_runs):
        attention, knock_out, other = rng.normal(size=(3, *shape)) + 6
        true = {"attention": attention, "attribution": knock_out + other, "kl_value": knock_out}
        dims = ("problem", "layer", "head")
        given = xr.Dataset(
            {name: (dims, each + 2 * rng.normal(size=(n, *shape))) for name, each in true.items()}
        )
        table = stats.rank_agreement(given, n_resamples=299)
        unrelated, half = table.isel(pair=1), table.isel(pair=2)
        found["unrelated"].append(bool(unrelated["p"] <= LEVEL))
        truth = spearmanr(attention.ravel(), knock_out.ravel()).statistic
        found["unrelated covers"] += covers(unrelated, truth).tolist()
        truth = spearmanr(true["attribution"].ravel(), knock_out.ravel()).statistic
        found["half"] += covers(half, truth).tolist()
    ease, strength = SPREAD * rng.normal(size=(n, 1, n_runs)), 0.5 * rng.normal(size=(21, n_runs))
    sets = xr.Dataset(
        {"set_failed": (("problem", "set", "size"), happens(rng, expit(EASY + ease + strength)))},
        coords={
            "half": ("problem", ["test"] * n),
            "set": ["top", *(f"random {i}" for i in range(N_RANDOM))],
            "size": range(n_runs),
        },
    )
    return {
        "heads: two rankings agree, rejects": np.array(found["unrelated"]),
        "heads: Spearman of unrelated rankings, covers": np.array(found["unrelated covers"]),
        "heads: Spearman of related rankings, covers": np.array(found["half"]),
        "heads: highest against random sets, rejects": stats.head_sets(sets)["p"].values <= LEVEL,
    }


def frontier(rng: Generator, n: int, n_runs: int) -> Counts:
    """A name is as likely whatever its part: skewed values, some problems and names more so."""
    problem, own, other = rng.exponential(size=(3, n, 1, n_runs))
    dims = ("problem", "thought", "part")
    given = xr.Dataset(
        {
            "similarity": (dims, problem + own),
            "similarity_exchanged": (dims, problem + other),
        },
        coords={"problem": range(n), "thought": [0], "part": range(n_runs)},
    )
    table = stats.frontier_excess(given)
    return {
        "frontier: excess over names exchanged, rejects": table["p"].values.ravel() <= LEVEL,
        "frontier: excess, covers": covers(table, 0.0),
    }


WORLDS: dict[str, Callable[[Generator, int, int], Counts]] = {
    "exits": exits,
    "interchange": interchange,
    "steer": steer,
    "graph": graph,
    "frontier": frontier,
    "usage": usage,  # this and the next go run by run, and take minutes
    "heads": heads,
    "rates": rates,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="runs a world and size")
    parser.add_argument("--only", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    asked = parser.parse_args()
    start = time.perf_counter()
    RESULTS.parent.mkdir(exist_ok=True)
    rates: dict[str, dict[int, float]] = {}
    for name in asked.only:
        for n in SIZES:
            rng = np.random.default_rng([list(WORLDS).index(name), n])
            counts = WORLDS[name](rng, n, asked.runs)
            for what, hits in counts.items():
                rates.setdefault(what, {})[n] = float(np.mean(hits))
            RESULTS.write_text(json.dumps({"runs": asked.runs, "rates": rates}, indent=1))
    most = binom.ppf(0.999, asked.runs, LEVEL) / asked.runs
    least = binom.ppf(0.001, asked.runs, 1 - LEVEL) / asked.runs
    table = Table(
        title=f"{asked.runs} runs; by chance alone tests at 5 % reject in up to {most:.1%}, "
        f"and 95 % intervals cover in {least:.1%} and more"
    )
    table.add_column("what")
    for n in SIZES:
        table.add_column(f"{n} problems")
    for what, row in rates.items():
        table.add_row(what, *(f"{rate:.1%}" for rate in row.values()))
    Console(width=120).print(table)
    print(f"{time.perf_counter() - start:.0f} s; all figures are in {RESULTS}")


if __name__ == "__main__":
    main()
