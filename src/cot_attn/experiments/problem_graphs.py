"""The graph that a ProsQA problem tells, and what part each node plays at each step."""

import random
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from cot_attn.data import Problem

PARTS = ("optimal", "frontier", "reached", "later", "unreachable")
_EVERY = re.compile(r"\bEvery (\w+) is an? (\w+)\b")
_SOMEBODY = re.compile(r"(?:^|[.?!]\s+)(?!Every\b)(\w+) is an? (\w+)\b")
_ASKED = re.compile(r"\bIs (\w+) an? (\w+) or an? (\w+)\s*\?|\bIs (\w+) an? (\w+) or (\w+)\s*\?")
_ANSWER = re.compile(r"\bis an? (\w+)\b")


@dataclass(frozen=True)
class Graph:
    """Who is what: edges from a node to those that it is one of.

    Attributes
    ----------
    edges
        For each node the nodes one step on.
    start
        Where the search begins: who is asked about.
    target
        Where it should end.
    """

    edges: Mapping[str, frozenset[str]]
    start: str
    target: str

    @property
    def nodes(self) -> list[str]:
        """All nodes but the start, sorted."""
        found = set(self.edges) | {node for to in self.edges.values() for node in to}
        return sorted(found - {self.start})

    def distances(self, start: str) -> dict[str, int]:
        """Return how many steps each node that can be reached lies away."""
        found, waiting = {start: 0}, deque([start])
        while waiting:
            node = waiting.popleft()
            for other in sorted(self.edges.get(node, frozenset())):
                if other not in found:
                    found[other] = found[node] + 1
                    waiting.append(other)
        return found

    def part(self, node: str, step: int) -> str:
        """Say what a node is when a breadth-first search has taken so many steps.

        "optimal": reached at this very step, and on a shortest way to the target; "frontier": the
        others that are reached at this step; "reached": those before; "later": those after; or
        "unreachable".

        Examples
        --------
        >>> edges = {"Tom": frozenset({"b", "c"}), "b": frozenset({"d"})}
        >>> graph = Graph(edges, "Tom", "d")
        >>> [graph.part(node, 1) for node in "bcd"]
        ['optimal', 'frontier', 'later']
        """
        away = self.distances(self.start)
        if node not in away:
            return "unreachable"
        if away[node] != step:
            return "reached" if away[node] < step else "later"
        rest = self.distances(node).get(self.target)
        whole = away.get(self.target)
        on_the_way = rest is not None and whole is not None and away[node] + rest == whole
        return "optimal" if on_the_way else "frontier"


def graph_of(problem: Problem) -> Graph:
    """Read the graph in a problem's sentences.

    Raises
    ------
    ValueError
        Where there are no edges, no question of the form "Is Tom a b or c?", or no answer.

    Examples
    --------
    >>> question = "Every b is a d. Tom is a b. Tom is a c. Is Tom a d or e?"
    >>> graph = graph_of(Problem("1", question, "Tom is a d.", answer_type="text"))
    >>> graph.start, graph.target, graph.nodes
    ('Tom', 'd', ['b', 'c', 'd'])
    """
    text = problem.question
    asked = _ASKED.search(text)
    told = text[: asked.start()] if asked else text
    pairs = [*_EVERY.findall(told), *_SOMEBODY.findall(told)]
    answer = _ANSWER.search(problem.answer or "")
    if not asked or not pairs or not answer:
        raise ValueError(
            f"Problem {problem.id!r} tells no graph: it has {len(pairs)} sentences such as 'Every "
            "b is a c.' and needs one at least, a question such as 'Is Tom a c or d?', and an "
            "answer such as 'Tom is a c.'."
        )
    edges: dict[str, set[str]] = {}
    for one, other in pairs:
        edges.setdefault(one, set()).add(other)
    start = asked.group(1) or asked.group(4)
    ends = {node: frozenset(others) for node, others in edges.items()}
    return Graph(ends, start, answer.group(1))


def names_exchanged(problem: Problem, seed: int) -> tuple[Problem, dict[str, str]]:
    """Return a problem with the same graph in which the kinds' names have changed places.

    Returns
    -------
    tuple
        The problem, and for each name the one that stands where it stood.
    """
    graph = graph_of(problem)
    names = graph.nodes
    order = names.copy()
    random.Random(f"{seed} {problem.id}").shuffle(order)
    # A cycle: no name stays where it was, if there is more than one.
    instead = dict(zip(order, [*order[1:], *order[:1]], strict=True))

    def exchanged(text: str) -> str:
        return re.sub(r"\w+", lambda word: instead.get(word.group(), word.group()), text)

    answer = None if problem.answer is None else exchanged(problem.answer)
    other = replace(
        problem,
        id=f"{problem.id}, names exchanged",
        question=exchanged(problem.question),
        answer=answer,
        steps=tuple(map(exchanged, problem.steps)),
    )
    return other, instead
