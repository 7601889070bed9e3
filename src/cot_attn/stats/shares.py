"""Where a query's attention goes: to which thought, and how much of it to thoughts at all."""

import numpy as np
import xarray as xr

from cot_attn.stats._arguments import require_array
from cot_attn.stats._labelled.labels import as_array
from cot_attn.stats._labelled.thoughts import thought_keys


def share(attention: xr.DataArray | xr.Dataset, query: str = "eot") -> xr.DataArray:
    """Give the part of a query's attention on thoughts that each thought gets.

    Parameters
    ----------
    attention
        (problem, layer, head, query, key) as `AttentionRecorder` records it, or the data set that
        holds it.
    query
        The position that attends: "eot", "answer_value", "thought 2", ...

    Returns
    -------
    xr.DataArray
        The same dimensions with `thought` (int) in place of `query` and `key`. Sums to 1 over
        `thought`; NaN where the query's row is NaN or no thought gets any attention, and at
        thoughts that a problem does not have.

    Examples
    --------
    >>> row = xr.DataArray([0.5, 0.3, 0.1, 0.1], dims="key",
    ...                    coords={"key": ["question", "thought 0", "thought 1", "eot"]})
    >>> share(row.expand_dims(query=["eot"])).values
    array([0.75, 0.25])
    """
    on_thoughts = sequence_attention(attention, query)
    total = on_thoughts.sum("thought", min_count=1)  # a thought that is not there gets nothing
    shares = on_thoughts / total.where(total > 0)
    return shares.rename("share").assign_attrs(on_thoughts.attrs, of="attention on thoughts")


def sequence_attention(attention: xr.DataArray | xr.Dataset, query: str = "eot") -> xr.DataArray:
    """Give the part of a query's whole row that each thought gets.

    Its sum over `thought` is the query's total attention on thoughts.

    Parameters
    ----------
    attention
        (problem, layer, head, query, key), or the data set that holds it.
    query
        The position that attends.

    Returns
    -------
    xr.DataArray
        The same dimensions with `thought` (int) in place of `query` and `key`.

    Examples
    --------
    >>> row = xr.DataArray([0.5, 0.3, 0.1, 0.1], dims="key",
    ...                    coords={"key": ["question", "thought 0", "thought 1", "eot"]})
    >>> sequence_attention(row.expand_dims(query=["eot"])).values
    array([0.3, 0.1])
    """
    rows = as_array(attention, "attention")
    require_array(rows, ("query", "key"), "The share of attention", name="attention")
    queries = [str(label) for label in rows["query"].values]
    if query not in queries:
        raise KeyError(f"There is no query {query!r}. Recorded were: {queries}.")
    keys = thought_keys(rows)
    on_thoughts = rows.sel(query=query, key=list(keys)).rename(key="thought")
    on_thoughts = on_thoughts.assign_coords(thought=np.array(list(keys.values()), dtype=np.int64))
    kept = [dim for dim in on_thoughts.dims if dim != "thought"]
    return (
        on_thoughts.drop_vars("query", errors="ignore")
        .transpose(*kept, "thought")
        .rename("sequence_attention")
        .assign_attrs(rows.attrs, query=query, of="attention of the sequence")
    )
