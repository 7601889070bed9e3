"""Labels that say nothing: shuffled ones, and those of a control task."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped

from cot_attn.data.problem import text_hash


def shuffled_by_group(
    groups: Int[np.ndarray, " problem"], n_orders: int, rng: np.random.Generator
) -> Int[np.ndarray, "order problem"]:
    """Draw orders that move whole groups, as the labels of a group hang together.

    Groups are laid end to end in a new order, each shuffled within; where all have one size, they
    change places. Groups of one make it a plain shuffle.
    """
    shape = (n_orders, len(groups))
    of_group = rng.random((n_orders, groups.max() + 1))[:, groups]
    orders = np.empty(shape, dtype=np.int64)
    orders[:, np.argsort(groups, kind="stable")] = np.lexsort((rng.random(shape), of_group))
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
