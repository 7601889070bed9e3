"""Labels that say nothing: shuffled ones, and those of a control task."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from cot_attn.data.problem import text_hash


def shuffled_by_group(
    groups: Int[np.ndarray, " problem"], n_orders: int, rng: np.random.Generator
) -> Int[np.ndarray, "order problem"]:
    """Draw orders in which whole groups change places, as the labels of a group hang together.

    Groups of one size change places with one another, and each is shuffled within; groups of one
    make it a plain shuffle. A group whose labels were cut and laid over others' would hang together
    less than a true one, and what is true would look rare: with templates of one, two and six
    problems up to 9 % of tests rejected where there was nothing, at a level of 5 %.
    """
    orders = np.empty((n_orders, len(groups)), dtype=np.int64)
    by_group = np.argsort(groups, kind="stable")
    _, first, sizes = np.unique(groups[by_group], return_index=True, return_counts=True)
    for size in np.unique(sizes):
        members = by_group[first[sizes == size][:, None] + np.arange(size)]
        places = np.broadcast_to(np.arange(len(members)), (n_orders, len(members)))
        moved = rng.permuted(members[rng.permuted(places, axis=1)], axis=2)
        orders[:, members] = moved
    return orders


def control_labels(
    labels: Shaped[np.ndarray, " problem"], questions: Sequence[str], number: int
) -> Shaped[np.ndarray, " problem"]:
    """Label each question by a hash of its text, as often as the true labels come.

    A probe can fit such labels only by knowing questions by heart.

    Source: Hewitt and Liang (2019), "Designing and interpreting probes with control tasks",
    arXiv:1909.03368.
    """
    ordered = np.sort(labels)
    hashes = [int(text_hash(f"control {number} {question}"), 16) for question in questions]
    drawn = (np.array(hashes) / 16**12 * len(ordered)).astype(int)
    control: np.ndarray = ordered[drawn]
    return control
