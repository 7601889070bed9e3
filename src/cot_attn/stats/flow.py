"""Attention from thought to thought, against what the causal mask alone would give.

Thought i can attend to thoughts 0..i only. Spread evenly, that is 1/(i+1) each, so that early
thoughts get more attention than late ones without being hubs. All scores are differences from
this even spread, and 0 says that the mask alone explains what is seen.
"""

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import require_array
from cot_attn.stats._labelled.labels import as_array
from cot_attn.stats._labelled.thoughts import THOUGHT_KEY
from cot_attn.stats.averages import mean_over_problems
from cot_attn.stats.shares import share

FROM_FLOW = "It comes from stats.flow(attention)."


def flow(attention: xr.DataArray | xr.Dataset) -> xr.DataArray:
    """Give each thought's attention to itself and the thoughts before it.

    Parameters
    ----------
    attention
        (problem, layer, head, query, key) as recorded, with the queries "thought 0", ...

    Returns
    -------
    xr.DataArray
        (problem, layer, head, from_thought, thought): of the attention that `from_thought` pays to
        thoughts, the share that `thought` gets. Rows sum to 1; what lies ahead is 0.

    Examples
    --------
    >>> thoughts = ["thought 0", "thought 1"]
    >>> rows = xr.DataArray(
    ...     [[0.5, 0.5, 0.0], [0.2, 0.6, 0.2]],
    ...     {"query": thoughts, "key": ["question", *thoughts]},
    ...     ("query", "key"),
    ... )
    >>> flow(rows).values
    array([[1.  , 0.  ],
           [0.75, 0.25]])
    """
    rows = as_array(attention, "attention")
    require_array(rows, ("query", "key"), "Flow", name="attention")
    queries = [str(label) for label in rows["query"].values if THOUGHT_KEY.fullmatch(str(label))]
    if not queries:
        raise ValueError(
            "No query is called 'thought 0', 'thought 1', ...; flow needs the thoughts' own rows. "
            f"Recorded were: {[str(label) for label in rows['query'].values]}."
        )
    numbers = [int(query.split()[1]) for query in queries]
    along = xr.DataArray(numbers, dims="from_thought", name="from_thought")
    matrices: xr.DataArray = xr.concat([share(rows, query) for query in queries], dim=along)
    return matrices.sortby("from_thought").transpose(..., "from_thought", "thought").rename("flow")


def causal_baseline(n_thoughts: int) -> xr.DataArray:
    """Spread every thought's attention evenly over what the mask lets it see.

    Examples
    --------
    >>> causal_baseline(3).values.round(2)
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.33, 0.33, 0.33]])
    """
    seen = np.tril(np.ones((n_thoughts, n_thoughts)))
    labels = np.arange(n_thoughts)
    return xr.DataArray(
        seen / seen.sum(axis=1, keepdims=True),
        dims=("from_thought", "thought"),
        coords={"from_thought": labels, "thought": labels},
        name="causal_baseline",
    )


def hub_scores(matrices: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Say which thoughts later thoughts look at more than the mask explains.

    Parameters
    ----------
    matrices
        From `flow`.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `n_problems` over (layer, head, thought): the mean share that
        the thought gets from the thoughts after it, minus the mean that an even spread gives it.
        NaN for the last thought, which none can look back to.

    Examples
    --------
    >>> labels = {"from_thought": range(3), "thought": range(3)}
    >>> to_first = xr.DataArray([[[1.0, 0, 0]] * 3], labels, ("problem", *labels))
    >>> hub_scores(to_first).estimate.values.round(2)
    array([ 0.58, -0.33,   nan])
    """
    above = _excess(matrices)
    later = above["from_thought"] > above["thought"]
    return mean_over_problems(above.where(later).mean("from_thought"), confidence=confidence)


def path_scores(matrices: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Say whether thoughts look at themselves, at the one before, or further back.

    Parameters
    ----------
    matrices
        From `flow`.

    Returns
    -------
    xr.Dataset
        `estimate`, `low`, `high`, `n_problems` over (path, layer, head), where path is "self",
        "forward" (from thought i to i+1: the row's share on the thought just before) and "skip"
        (on all earlier ones). Each is the mean over the rows that can have it, minus the mean that
        an even spread gives.

    Examples
    --------
    >>> labels = {"from_thought": range(3), "thought": range(3)}
    >>> to_itself = xr.DataArray([np.eye(3)], labels, ("problem", *labels))
    >>> path_scores(to_itself).estimate.values.round(2)
    array([ 0.39, -0.42, -0.33])
    """
    above = _excess(matrices)
    back = above["from_thought"] - above["thought"]
    paths = {"self": (back == 0, 0), "forward": (back == 1, 1), "skip": (back >= 2, 2)}
    scores = []
    for on_path, fewest_before in paths.values():
        able = above["from_thought"] >= fewest_before + int(above["thought"].min())
        # A row of NaN stays NaN; a row that cannot have the path is not counted.
        per_row = above.where(on_path, 0.0).sum("thought", skipna=False)
        scores.append(per_row.where(able, drop=True).mean("from_thought", skipna=False))
    along = xr.DataArray(list(paths), dims="path", name="path")
    stacked: xr.DataArray = xr.concat(scores, dim=along)
    return mean_over_problems(stacked, confidence=confidence)


def _excess(matrices: xr.DataArray) -> xr.DataArray:
    require_array(
        matrices, ("from_thought", "thought"), "A flow", name="matrices", advice=FROM_FLOW
    )
    labels = matrices["thought"].values
    if not np.array_equal(matrices["from_thought"].values, labels):
        raise ValueError(
            "A flow needs the rows of all thoughts; from_thought is "
            f"{matrices['from_thought'].values.tolist()} and thought {labels.tolist()}."
        )
    baseline = causal_baseline(len(labels)).assign_coords(thought=labels, from_thought=labels)
    return matrices - baseline
