"""What was measured so far: each part is saved, and said, before the next begins."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.measuring import timed

Result = TypeVar("Result")


class Row(NamedTuple):
    """One figure of the table."""

    figure: str
    wall: str = ""
    cpu: str = ""
    wanted: str = ""


class Results:
    """Figures in a file, and the table of those that are wanted.

    Parameters
    ----------
    file
        Where the figures are kept, as JSON.
    title
        Of the table.
    conditions
        What they were measured on.
    """

    def __init__(self, file: Path, title: str, conditions: dict[str, Any]) -> None:
        self.file, self.found = file, dict(conditions)
        self.table = Table("figure", "wall clock", "processor time", "wanted", title=title)
        self.console = Console()

    def add(
        self, name: str, work: Callable[[], Result], rows: Callable[[Result], Iterable[Row]]
    ) -> None:
        """Do a part of the work, keep what it found, and say how long it took."""
        with self.console.status(escape(name)):
            seconds, result = timed(work)
        self.found[name] = result
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.found, indent=2, default=vars)
        self.file.write_text(text + "\n", encoding="utf-8")
        self.console.print(f"{escape(name)}: measured in {seconds.wall:.0f} s", highlight=False)
        for row in rows(result):
            self.table.add_row(*row)

    def show(self) -> None:
        """Print the table."""
        self.console.print(self.table)
        self.console.print(f"Everything that was measured is in {self.file}.")
