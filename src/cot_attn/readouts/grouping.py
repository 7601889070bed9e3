"""Which problems must not be parted: those of one wording, and those of the same numbers."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def question_groups(questions: Sequence[str]) -> Int[np.ndarray, " problem"]:
    """Put questions that a probe could know from one another into one group.

    Two questions belong together that differ in nothing but their numbers (one template), or in
    everything but their numbers, of which there are two or more (one skeleton in other words), and
    so do those that hang together through others.

    Returns
    -------
    Array
        The group's number for each question, in the order in which groups appear.

    Examples
    --------
    >>> question_groups(["Add 3 and 4.", "Sum 3 and 4.", "Sum 5 and 6.", "Halve 8."]).tolist()
    [0, 0, 0, 1]
    """
    first: dict[object, int] = {}
    pairs = []
    for index, question in enumerate(questions):
        numbers = tuple(NUMBER.findall(question))
        template = " ".join(NUMBER.sub("#", question).casefold().split())
        for key in (template, numbers):
            if key == template or len(numbers) > 1:
                pairs.append((index, first.setdefault(key, index)))
    rows, columns = np.array(pairs).T
    n = len(questions)
    links = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    found = connected_components(links, directed=False)[1]
    return numbered(found)


def numbered(groups: np.ndarray) -> Int[np.ndarray, " problem"]:
    """Return groups as numbers, in the order in which they appear."""
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    place = np.empty(len(first), dtype=np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[which]
