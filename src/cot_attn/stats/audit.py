"""Known mistakes looked for in numbers from elsewhere: published tables, and arrays."""

from collections.abc import Mapping, Sequence

import xarray as xr

from cot_attn.stats._arguments import require_array
from cot_attn.stats._audit.arrays import array_checks
from cot_attn.stats._audit.published import read_table
from cot_attn.stats._audit.tables import table_checks
from cot_attn.stats._checks.check import Check

Table = Mapping[str, object]


def audit(tables: Table | Sequence[Table], *, scale: float = 0.01) -> tuple[Check, ...]:
    """Look for known mistakes in published tables of attention and importance by thought.

    Parameters
    ----------
    tables
        One or more, each a mapping with (as far as known) `model`, `layer`, `attention`, `share`,
        `importance` (one number a thought; None where none is printed), `total_thought_attention`,
        and `pooled_r` with `n_problems`.
    scale
        What turns the numbers into fractions: 0.01 for percentages.

    Returns
    -------
    tuple of Check
        In the order of the tables; each message begins with the table's model and layer.

    Examples
    --------
    >>> lengths = [49, 50, 51, 52, 53, 54]
    >>> found = audit({"model": "m", "layer": 8, "attention": [100 / n for n in lengths]})
    >>> [check.status for check in found if check.name == "Attention is not 1/length"]
    ['fail']
    """
    listed = [tables] if isinstance(tables, Mapping) else list(tables)
    if not listed:
        raise ValueError("There is no table to audit. Give one mapping, or several.")
    read = [read_table(table) for table in listed]
    return tuple(
        Check(check.name, check.status, f"{table.label}: {check.message}")
        for table in read
        for check in table_checks(table, read, scale)
    )


def audit_arrays(
    attention: xr.DataArray, failure: xr.DataArray, reference: xr.DataArray | None = None
) -> tuple[Check, ...]:
    """Look for known mistakes in attention and failure by problem and thought.

    Parameters
    ----------
    attention
        (problem, thought[, layer]), fractions of the sequence or of the thoughts. With a coordinate
        `question_length`, attention is compared with 1/length problem by problem.
    failure
        (problem, thought).
    reference
        Attention of the same thoughts recorded in a way that is trusted.

    Raises
    ------
    TypeError, ValueError
        If one of them is no such array.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> labels = {"problem": range(50), "thought": range(6)}
    >>> attention = xr.DataArray(rng.random((50, 6)), labels, ("problem", "thought"))
    >>> failure = (attention > 0.5) * 1.0
    >>> print(audit_arrays(attention, failure[::-1])[0])
    warn: The samples match. the problems are the same, in another order: joined by place in the
    list and not by label, different problems would be compared.
    """
    named = {"attention": attention, "failure": failure}
    if reference is not None:
        named["reference"] = reference
    for name, array in named.items():
        require_array(array, ("problem", "thought"), f"The audit of {name}", name=name)
    return tuple(array_checks(attention, failure, reference))
