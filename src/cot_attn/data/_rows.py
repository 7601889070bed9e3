"""Rows of a data file: reading their fields, whatever the file could express."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from cot_attn.data.problem import text_hash

Row = Mapping[str, Any]
"""One row by field. A CSV file gives texts only; an empty cell counts as no value."""


def absent(row: Row, name: str) -> bool:
    """Whether the row has no value under this name."""
    return row.get(name) is None or row[name] == ""


def text(row: Row, name: str) -> str:
    """Return a text that must be there.

    Whole numbers are taken as well, since ids and answers are often written as such.
    """
    if absent(row, name):
        raise ValueError(f"the field {name!r} is {'empty' if name in row else 'missing'}")
    value = row[name]
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"the field {name!r} is {value!r}; a text is needed")


def answer(row: Row, name: str) -> str:
    """Return an answer as text: 18 as "18", 1e3 as "1000", true as "True"."""
    value = row.get(name)
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{Decimal(str(value)):f}"
    return text(row, name)


def whole_number(row: Row, name: str) -> int | None:
    """Return a whole number, or None where there is no value."""
    if absent(row, name):
        return None
    value = row[name]
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number != number.to_integral_value():
        raise ValueError(f"the field {name!r} is {value!r}; a whole number is needed")
    return int(number)


def lines(row: Row, name: str) -> tuple[str, ...]:
    """Return a list of texts; in CSV, a JSON list or one item a line."""
    if absent(row, name):
        return ()
    value = row[name]
    if isinstance(value, str) and value.startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(
                f"the field {name!r} starts like a list, but is not JSON: {value[:60]!r}"
            ) from None
    elif isinstance(value, str):
        value = [line for line in value.split("\n") if line.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"the field {name!r} is {value!r}; a list of texts is needed")
    return tuple(value)


def question_id(dataset: str, question: str) -> str:
    """Return an id for data that have none: it follows the question, not its place in a file."""
    return f"{dataset}-{text_hash(question)}"
