"""What the calibration counted in each world, and tables of it."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from benchmarks.worlds import World

LEVEL = 0.05
STRENGTH = 0.5
ENOUGH_PROBLEMS = 100
Rates = dict[str, float]


@dataclass(frozen=True)
class Found:
    """What was counted in one world, as rates by the name of a test or an interval."""

    world: World
    false_positives: Rates
    coverage: Rates
    power: Rates

    def plain(self) -> dict[str, Any]:
        """Return it for a JSON file."""
        return {**asdict(self), **asdict(self.world), "world": str(self.world)}


def show(results: list[Found], n_runs: int) -> None:
    """Print, for each test and interval, its worst worlds."""
    console = Console(width=150)
    limit = binom.ppf(0.999, n_runs, LEVEL) / n_runs
    table = Table(
        title=f"False positives at 5 % ({n_runs} runs a world; chance alone: {limit:.1%})"
    )
    for column in ("test", "mean", "worst", "in world", "worlds above chance"):
        table.add_column(column)
    for name, rates in by_name({str(r.world): r.false_positives for r in results}).items():
        worst = max(rates, key=rates.__getitem__)
        above = sum(rate > limit for rate in rates.values())
        mean = float(np.mean(list(rates.values())))
        table.add_row(name, f"{mean:.1%}", f"{rates[worst]:.1%}", worst, f"{above} of {len(rates)}")
    console.print(table)
    large = [r for r in results if r.world.n_problems >= ENOUGH_PROBLEMS]
    small = [r for r in results if r.world.n_problems < ENOUGH_PROBLEMS]
    of_few = by_name({str(r.world): r.coverage for r in small})
    table = Table(title="Coverage of 95 % intervals, runs with 20 failures and more")
    for column in ("interval", "mean", "lowest, 100 problems and more", "in world", "30 problems"):
        table.add_column(column)
    for name, rates in by_name({str(r.world): r.coverage for r in large}).items():
        worst = min(rates, key=rates.__getitem__)
        few = of_few.get(name, {}).values()
        mean = float(np.mean(list(rates.values())))
        lowest_few = f"{min(few):.1%}" if few else ""
        table.add_row(name, f"{mean:.1%}", f"{rates[worst]:.1%}", worst, lowest_few)
    console.print(table)
    table = Table(
        title=f"Power against a planted effect of {STRENGTH} on the log odds, mean of worlds"
    )
    table.add_column("test")
    for n in (30, 100, 300):
        table.add_column(f"{n} problems")
    for name in results[0].power:
        row = [
            np.mean([r.power[name] for r in results if r.world.n_problems == n])
            for n in (30, 100, 300)
        ]
        table.add_row(name, *(f"{value:.0%}" for value in row))
    console.print(table)


def by_name(worlds: Mapping[str, Rates]) -> dict[str, Rates]:
    """Turn rates of tests by world into rates of worlds by test."""
    table: dict[str, Rates] = defaultdict(dict)
    for world, rates in worlds.items():
        for name, rate in rates.items():
            table[name][world] = rate
    return table
