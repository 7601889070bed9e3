from .directions import Direction as Direction
from .directions import TowardsProblem as TowardsProblem
from .directions import difference_of_means as difference_of_means
from .edges import Edge as Edge
from .edges import all_edges as all_edges
from .exits import exit_curve as exit_curve
from .frontier import frontier as frontier
from .graph import causal_graph as causal_graph
from .heads import rank_heads as rank_heads
from .interchange import draw_pairs as draw_pairs
from .interchange import interchange as interchange
from .replacements import ByThought as ByThought
from .replacements import FirstRepeated as FirstRepeated
from .replacements import MatchedNoise as MatchedNoise
from .replacements import Transplant as Transplant
from .steering import steer as steer
from .usage import usage as usage

__all__ = [
    "ByThought",
    "Direction",
    "Edge",
    "FirstRepeated",
    "MatchedNoise",
    "TowardsProblem",
    "Transplant",
    "all_edges",
    "causal_graph",
    "difference_of_means",
    "draw_pairs",
    "exit_curve",
    "frontier",
    "interchange",
    "rank_heads",
    "steer",
    "usage",
]
