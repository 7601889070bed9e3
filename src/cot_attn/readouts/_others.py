"""Other problems, whose states say what a lens finds without the problem's own."""

import numpy as np
from jaxtyping import Int, Shaped

from cot_attn.data.problem import text_hash


def matched_others(
    ids: Shaped[np.ndarray, " problem"], n_tokens: Int[np.ndarray, "problem target"], n_others: int
) -> Int[np.ndarray, "problem target other"]:
    """Choose other problems for each target: those that have one as long in the same place.

    The choice depends on ids alone, neither on order nor on batches.

    Parameters
    ----------
    ids
        Of the problems.
    n_tokens
        How long each problem's targets are, 0 where there is none.
    n_others
        How many to choose.

    Returns
    -------
    Array
        Numbers of problems; -1 where there are not so many.
    """
    chosen = np.full((*n_tokens.shape, n_others), -1)
    for row, own_id in enumerate(ids):
        by_hash = sorted(
            (each for each in range(len(ids)) if each != row),
            key=lambda each: text_hash(f"{own_id} {ids[each]}"),
        )
        order = np.array(by_hash, dtype=int)
        for target, length in enumerate(n_tokens[row]):
            if length:
                alike = order[n_tokens[order, target] == length][:n_others]
                chosen[row, target, : len(alike)] = alike
    return chosen
