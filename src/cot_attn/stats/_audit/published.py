"""A table as it was published: numbers by thought, some of them not printed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

COLUMNS = ("attention", "share", "importance")
FIGURES = ("total_thought_attention", "pooled_r", "n_problems")


@dataclass(frozen=True)
class PublishedTable:
    """What a table says; None where it says nothing.

    Parameters
    ----------
    model, layer
        As printed.
    columns
        Attention, share and importance, one number a thought, as printed.
    figures
        The total attention on thoughts, the pooled correlation, the number of problems.
    """

    model: object
    layer: object
    columns: dict[str, list[float]]
    figures: dict[str, float]

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"{self.model or 'table'}, layer {'?' if self.layer is None else self.layer}"


def read_table(table: object) -> PublishedTable:
    """Take a mapping apart; columns that are not printed in full count as not printed.

    Raises
    ------
    TypeError, ValueError
        If it is no mapping of numbers, holds nothing that could be looked at, or its columns
        differ in length.
    """
    if not isinstance(table, Mapping):
        raise TypeError(
            f"A table must be a mapping such as {{'attention': [2.05, 2.01, ...]}}, got "
            f"{type(table).__name__}."
        )
    columns = {name: _column(name, table[name]) for name in COLUMNS if table.get(name) is not None}
    figures = {name: _number(name, table[name]) for name in FIGURES if table.get(name) is not None}
    if not any(columns.values()):
        raise ValueError(
            f"The table has no numbers in any of the columns {list(COLUMNS)}; it has {list(table)}."
        )
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in columns.items())
        raise ValueError(f"A column has one number a thought, but {lengths}. Leave a column out.")
    return PublishedTable(
        table.get("model"),
        table.get("layer"),
        {name: values for name, values in columns.items() if np.isfinite(values).all()},
        {name: value for name, value in figures.items() if np.isfinite(value)},
    )


def half_unit(values: Iterable[float]) -> float:
    """Say by how much printed numbers may be off: half of their last decimal place.

    Examples
    --------
    >>> half_unit([17.6, 17.2, 16.0])
    0.05
    """
    decimals = [f"{value:.10f}".rstrip("0").partition(".")[2] for value in values]
    return 0.5 * 10.0 ** -max(map(len, decimals))


def _column(name: str, values: object) -> list[float]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of numbers, one a thought; got {values!r}.")
    return [np.nan if value is None else _number(name, value) for value in values]


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must hold numbers (or None where none is printed); got {value!r}.")
    return float(value)
