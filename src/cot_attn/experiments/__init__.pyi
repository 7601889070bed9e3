from .exits import exit_curve as exit_curve
from .interchange import draw_pairs as draw_pairs
from .interchange import interchange as interchange
from .usage import usage as usage

__all__ = [
    "draw_pairs",
    "exit_curve",
    "interchange",
    "usage",
]
