"""Do probes reject what is not there at the rate they say, and what would others have said?

In made-up worlds without any relation between states and labels this counts how often a probe with
the settings of `readouts.probe` rejects at 5 %. Beside it stands the naive recipe on the same
data: a random split, a logistic regression, and a binomial test against the commonest class.

    python benchmarks/probe_calibration.py --runs 1000 [--only "templates of (1, 2, 6)"]

Twins are problems of one template: nearly one state, and one label. All is seeded.
"""

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from rich.console import Console
from rich.table import Table
from scipy import stats as scipy_stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cot_attn.readouts import probe

LEVEL = 0.05
N_PERMUTATIONS = 99  # exact with any number; more only buys power
RESULTS = Path(__file__).parent / "results" / "probe_calibration.json"


@dataclass(frozen=True)
class World:
    """States and labels that have nothing to do with one another.

    Parameters
    ----------
    n_problems
        How many.
    sizes
        How many problems a template has, in turns.
    n_classes
        How many labels; 0 for values.
    width
        Of a state.
    """

    n_problems: int
    sizes: tuple[int, ...]
    n_classes: int
    width: int

    def __str__(self) -> str:
        twins = "no twins" if self.sizes == (1,) else f"templates of {self.sizes}"
        what = f"{self.n_classes} classes" if self.n_classes else "values"
        return f"n={self.n_problems} {what} width {self.width}, {twins}"

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw states (problem, d_model), labels and templates."""
        templates: list[int] = []
        while len(templates) < self.n_problems:
            number = templates[-1] + 1 if templates else 0
            templates += [number] * self.sizes[number % len(self.sizes)]
        groups = np.array(templates[: self.n_problems])
        n_groups = groups.max() + 1
        states = rng.normal(size=(n_groups, self.width))[groups]
        states += 0.05 * rng.normal(size=states.shape)
        labels = rng.normal(size=n_groups)[groups]
        if self.n_classes:
            labels = rng.permutation(np.arange(n_groups) % self.n_classes)[groups]
        return states, labels, groups


@dataclass(frozen=True)
class Found:
    """How often each test rejects in one world."""

    world: World
    false_positives: dict[str, float]


WORLDS = [
    World(n, sizes, n_classes, width)
    for n in (40, 120)
    for sizes in ((1,), (3,), (1, 2, 6))
    for n_classes in (2, 4, 0)
    for width in (8, 64)
]


def one_run(world: World, run: int) -> dict[str, float]:
    """Test one draw in both ways; NaN, where a test is declined, rejects nothing."""
    rng = np.random.default_rng(run)
    states, labels, groups = world.draw(rng)
    ids = np.array([f"p{i}" for i in range(world.n_problems)], dtype=object)
    recorded = xr.Dataset(
        {
            "state": (("problem", "layer", "place", "d_model"), states[:, None, None]),
            "fed": (("problem", "thought", "d_model"), states[:, None][:, :0]),
        },
        coords={"problem": ids, "layer": [0], "place": ["thought 0"]},
    )
    given = dict(zip(ids, labels.tolist(), strict=True))
    known = dict(zip(ids, groups.tolist(), strict=True))
    found = probe(
        recorded, given, groups=known, n_permutations=N_PERMUTATIONS, n_controls=1, seed=run
    )
    p_values = {"readouts.probe": float(found.p.item())}
    if world.n_classes:
        naive = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
        split = KFold(5, shuffle=True, random_state=run)
        right = int((cross_val_predict(naive, states, labels, cv=split) == labels).sum())
        usual = np.unique(labels, return_counts=True)[1].max() / len(labels)
        test = scipy_stats.binomtest(right, len(labels), usual, alternative="greater")
        p_values["naive: random split, binomial"] = float(test.pvalue)
    return p_values


def one_world(world: World, n_runs: int) -> Found:
    p_values = [one_run(world, run) for run in range(n_runs)]
    rates = {name: float(np.mean([p[name] <= LEVEL for p in p_values])) for name in p_values[0]}
    return Found(world, rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="runs a world")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="worlds whose name has this in it")
    asked = parser.parse_args()
    start = time.perf_counter()
    RESULTS.parent.mkdir(exist_ok=True)
    results: list[Found] = []
    plain = []
    worlds = [world for world in WORLDS if asked.only in str(world)]
    with ProcessPoolExecutor(asked.processes) as pool:
        for result in pool.map(partial(one_world, n_runs=asked.runs), worlds):
            results.append(result)
            plain.append({**asdict(result), **asdict(result.world), "world": str(result.world)})
            RESULTS.write_text(json.dumps({"runs": asked.runs, "worlds": plain}, indent=1))
            print(result.world, flush=True)
    limit = scipy_stats.binom.ppf(0.999, asked.runs, LEVEL) / asked.runs
    table = Table(title=f"False positives at 5 % ({asked.runs} runs; chance alone: {limit:.1%})")
    for column in ("world", "readouts.probe", "naive"):
        table.add_column(column)
    for result in results:
        ours, *naive = result.false_positives.values()
        table.add_row(str(result.world), f"{ours:.1%}", f"{naive[0]:.1%}" if naive else "")
    Console(width=120).print(table)
    print(f"{time.perf_counter() - start:.0f} s; all figures are in {RESULTS}")


if __name__ == "__main__":
    main()
