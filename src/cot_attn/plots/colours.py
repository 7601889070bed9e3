"""Which colour means what, the same in every figure.

All can be told apart with any common colour blindness, and in grey: thoughts differ by equal steps
of lightness, importance is darker than attention, models also differ in line and marker.
"""

from typing import Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import FuncNorm, to_hex

IMPORTANCE = "#a63603"
DIRECT = "#fdb97d"  # importance that does not travel through later thoughts
ATTENTION = "#7db8dd"
IMPORTANCE_MAP = "Oranges"

N_THOUGHT_COLOURS = 6
LIGHTEST = 0.8  # of viridis: what is lighter vanishes on white
MARKERS = ("o", "s", "^", "D", "v", "P")


class Scale(NamedTuple):
    """How percentages are coloured: the same colour for the same number in every figure.

    Colours go by the square root, since most shares are small: 20 % lies near the middle.
    """

    colours: str
    least: float
    ticks: tuple[int, ...]

    def norm(self) -> FuncNorm:
        """Make what maps a percentage to a place among the colours."""
        return FuncNorm((_signed_root, _signed_square), self.least, 100.0)


SHARES = Scale("Blues", 0.0, (0, 5, 20, 50, 100))
DIFFERENCES = Scale("PuOr_r", -100.0, (-100, -50, -20, -5, 0, 5, 20, 50, 100))


class Series(NamedTuple):
    """How one of several lines looks."""

    color: str
    linestyle: Literal["-", "--", ":", "-."]
    marker: str


SERIES = (
    Series("#111111", "-", "o"),
    Series("#c2549d", "--", "s"),
    Series("#007a5e", ":", "^"),
    Series("#b07d2b", "-.", "D"),
)


def thought_colour(thought: int) -> str:
    """Give the colour of a thought, which is its own in every figure.

    The first six run from dark to light; thought 6 has the colour of thought 0 again.

    Examples
    --------
    >>> thought_colour(0), thought_colour(5), thought_colour(6)
    ('#440154', '#7ad151', '#440154')
    """
    place = thought % N_THOUGHT_COLOURS / (N_THOUGHT_COLOURS - 1)
    return to_hex(mpl.colormaps["viridis"](LIGHTEST * place))


def thought_marker(thought: int) -> str:
    """Give the marker of a thought; it tells thoughts apart where colours cannot."""
    return MARKERS[thought % len(MARKERS)]


def _signed_root(percent: float | np.ndarray) -> np.ndarray:
    return np.sign(percent) * np.sqrt(np.abs(percent))


def _signed_square(root: float | np.ndarray) -> np.ndarray:
    return np.sign(root) * np.square(root)


def series(index: int) -> Series:
    """Give the look of the index-th of several lines; after four they repeat."""
    return SERIES[index % len(SERIES)]
