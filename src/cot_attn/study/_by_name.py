"""What can be loaded by name, as a table for the terminal."""

import json

from rich.markup import escape
from rich.table import Table

from cot_attn.checkpoints.bundled import SETTINGS, bundled_models
from cot_attn.checkpoints.registry import known_checkpoints


def models_table() -> Table:
    """List what can be loaded by name."""
    table = Table(title="Models by name", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("family")
    table.add_column("base")
    table.add_column("thoughts", justify="right")
    for name, folder in bundled_models().items():
        described = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        table.add_row(escape(name), "bundled", "", str(described["n_thoughts"]))
    for name, info in known_checkpoints().items():
        table.add_row(escape(name), info.family, escape(info.base), str(info.n_thoughts))
    return table
