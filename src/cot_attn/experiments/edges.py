"""Edges between the parts of a run: who looks at whom, and what each thought is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cot_attn.experiments._hiding import node_columns
from cot_attn.models import Layout

Path = Literal["attention", "feedback"]


@dataclass(frozen=True)
class Edge:
    """A view that one part of a run has of another.

    Parameters
    ----------
    source, target
        Out of question, bot, thought 0, thought 1, ..., eot and answer. The target looks at the
        source.
    path
        "attention", or "feedback" from a position to the thought that is made of its hidden state
        (bot to thought 0, thought i to thought i + 1).
    """

    source: str
    target: str
    path: Path = "attention"

    @property
    def label(self) -> str:
        """The name in results."""
        return f"{self.source} {'=>' if self.path == 'feedback' else '->'} {self.target}"


Cut = tuple[Edge, ...]
"""Edges that are taken away together."""


def all_edges(n_thoughts: int) -> list[Edge]:
    """Return every edge of a model with so many thoughts, those of the feedback last.

    Examples
    --------
    >>> [edge.label for edge in all_edges(1)][:4], all_edges(1)[-1].label
    (['question -> bot', 'question -> thought 0', 'bot -> thought 0', 'question -> eot'],
     'bot => thought 0')
    """
    nodes = ["question", "bot", *(f"thought {i}" for i in range(n_thoughts)), "eot", "answer"]
    looks = [Edge(source, target) for index, target in enumerate(nodes) for source in nodes[:index]]
    made = nodes[1 : n_thoughts + 2]
    return looks + [Edge(*pair, "feedback") for pair in pairwise(made)]


def check_cuts(cuts: Sequence[Cut], n_thoughts: int) -> None:
    """Raise where a node does not exist, edges repeat, or the feedback does not lead along one."""
    layout = Layout(question_lengths=(1,), bot_width=1, n_thoughts=n_thoughts, eot_width=1)
    made = {edge for edge in all_edges(n_thoughts) if edge.path == "feedback"}
    for edge in (edge for cut in cuts for edge in cut):
        for node in (edge.source, edge.target):
            node_columns(layout, node)
        if edge.path == "feedback" and edge not in made:
            raise ValueError(
                f"The feedback does not lead from {edge.source!r} to {edge.target!r}: it makes "
                "thought 0 of bot, and thought i + 1 of thought i."
            )
    labels = [cut_label(cut) for cut in cuts]
    if not cuts or not all(cuts) or len(set(labels)) < len(labels):
        raise ValueError(f"edges are {labels}; give at least one, and each once.")


def cut_label(cut: Cut) -> str:
    """Return the name of edges that are taken away together."""
    return " + ".join(edge.label for edge in cut)


def cut_at(cut: Cut, n_thoughts: int) -> int:
    """Return before which thought a run is first changed: -1 for the prompt, n behind all."""
    order = {"bot": -1, "question": -1, "eot": n_thoughts, "answer": n_thoughts}
    return min(order.get(edge.target, thought_of(edge.target)) for edge in cut)


def thought_of(node: str) -> int:
    """Return which thought a node is, or -1 where it is none."""
    return int(node.removeprefix("thought ")) if node.startswith("thought ") else -1
