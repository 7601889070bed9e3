"""What an object shows of itself in a notebook: a heading, lines, a small table. Text is text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from markupsafe import Markup, escape

LONGEST = 300  # characters of a cell
CELL = "text-align:{align}; vertical-align:top; padding:.15em .8em; white-space:normal"


def summary(heading: object, lines: Iterable[object] = ()) -> Markup:
    """Return a heading in bold with lines below it."""
    below = Markup("").join(Markup("<br>") + str(line) for line in lines)
    return Markup("<div><strong>{}</strong>{}</div>").format(shortened(heading), below)


def table(
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    align: Literal["left", "right"] = "left",
) -> Markup:
    """Return a table under the names of its columns."""
    head = Markup("").join(_cell("th", name, align) for name in columns)
    body = _rows(_row([_cell("td", cell, align) for cell in row]) for row in rows)
    return Markup("<table><thead>{}</thead><tbody>{}</tbody></table>").format(_row([head]), body)


def listing(rows: Mapping[str, object]) -> Markup:
    """Return names beside what they stand for."""
    body = _rows(
        _row([_cell("th", name, "left"), _cell("td", value, "left")])
        for name, value in rows.items()
    )
    return Markup("<table><tbody>{}</tbody></table>").format(body)


def shortened(value: object) -> str:
    """Return a text that fits into a cell.

    Examples
    --------
    >>> shortened("word " * 200)[-6:]
    'word …'
    """
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} …"


def _cell(tag: Literal["th", "td"], content: object, align: str) -> Markup:
    # Isolated: a word from right to left must not turn its neighbours round.
    style = CELL.format(align=align)
    inside = escape(shortened(content))
    return Markup('<{0} style="{1}" dir="auto">{2}</{0}>').format(Markup(tag), style, inside)


def _row(cells: Iterable[Markup]) -> Markup:
    return Markup("<tr>{}</tr>").format(Markup("").join(cells))


def _rows(rows: Iterable[Markup]) -> Markup:
    return Markup("").join(rows)
