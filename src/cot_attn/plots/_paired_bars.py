"""Two results for each thought, side by side on one axis and one scale."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

from cot_attn.plots._bars import draw_bars, rotation_that_fits, write_numbers
from cot_attn.plots.canvas import axes_sizes

WIDTH = 0.44


class Side(NamedTuple):
    """One of the two: its fractions over (thought), and how its bars look."""

    result: xr.Dataset
    colour: str
    label: str


Pair = tuple[Side, Side]


def draw_pair(ax: Axes, pair: Pair, y_label: str) -> list[BarContainer]:
    """Draw two bars for each thought, in percent, with their intervals."""
    thoughts = pair[0].result["thought"].values
    centres = np.arange(len(thoughts), dtype=float)
    bars = []
    for side, shift in zip(pair, (-WIDTH / 2, WIDTH / 2), strict=True):
        numbers = [100 * side.result[name].values for name in ("estimate", "low", "high")]
        colours = [side.colour] * len(thoughts)
        positions = centres + shift
        bars.append(
            draw_bars(ax, positions, *numbers, width=WIDTH, colours=colours, label=side.label)
        )
    ax.set_xlim(-0.5, len(thoughts) - 0.5)
    ax.set_xticks(centres, [str(thought) for thought in thoughts])
    ax.set_xlabel("thought")
    ax.set_ylabel(y_label)
    return bars


def write_pairs(panels: Sequence[Axes], pairs: Sequence[Pair]) -> None:
    """Write the numbers on the bars of all panels in the same way, for they are compared."""
    centres = np.arange(pairs[0][0].result.sizes["thought"], dtype=float)
    positions = np.concatenate([centres - WIDTH / 2, centres + WIDTH / 2])
    estimates, highs = (
        [100 * np.concatenate([side.result[name].values for side in pair]) for pair in pairs]
        for name in ("estimate", "high")
    )
    sizes = axes_sizes(panels)
    rotations = [
        rotation_that_fits(ax, size, estimate, WIDTH)
        for ax, size, estimate in zip(panels, sizes, estimates, strict=True)
    ]
    rotation = None if None in rotations else max(filter(None, rotations), default=0)
    for ax, size, estimate, high in zip(panels, sizes, estimates, highs, strict=True):
        write_numbers(ax, size, positions, estimate, high, rotation=rotation)


def same_thoughts(one: xr.Dataset, other: xr.Dataset, names: tuple[str, str]) -> xr.Dataset:
    """Bring the other result into the order of the one, by label; raise where thoughts differ."""
    thoughts, others = one["thought"].values.tolist(), other["thought"].values.tolist()
    if set(thoughts) != set(others):
        raise ValueError(
            f"{names[0]} has thoughts {thoughts} and {names[1]} has {others}; they must be the "
            "same to stand side by side."
        )
    return other.sel(thought=thoughts)
