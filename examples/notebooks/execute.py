"""Run notebooks and keep what they show: python examples/notebooks/execute.py

A notebook is JSON and its cells are Python, so that no Jupyter is needed: what a cell prints, what
its last line gives and the figures that it leaves open become its outputs, as in Jupyter.
"""

import ast
import base64
import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DPI = 60  # small, so that a notebook stays so


def execute(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return a notebook with the outputs of its cells, which share their names."""
    names: dict[str, Any] = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            outputs = list(_outputs("".join(cell["source"]), names, count))
            cell = {**cell, "execution_count": count, "outputs": outputs}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(code: str, names: dict[str, Any], count: int) -> Iterator[dict[str, Any]]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        shown = _run(code, names)
    if printed.getvalue():
        yield {"output_type": "stream", "name": "stdout", "text": _lines(printed.getvalue())}
    if shown is not None:
        # A plain text beside HTML may name folders of the machine that ran it.
        html = getattr(shown, "_repr_html_", lambda: None)()
        kind, text = ("text/plain", repr(shown)) if html is None else ("text/html", html)
        yield {
            "output_type": "execute_result",
            "execution_count": count,
            "metadata": {},
            "data": {kind: _lines(text)},
        }
    for number in plt.get_fignums():
        drawn = io.BytesIO()
        plt.figure(number).savefig(drawn, dpi=DPI, metadata={"Software": None})
        picture = base64.b64encode(drawn.getvalue()).decode()
        data = {"image/png": picture, "text/plain": ["<Figure>"]}
        yield {"output_type": "display_data", "metadata": {}, "data": data}
    plt.close("all")


def _run(code: str, names: dict[str, Any]) -> Any:
    """Run a cell; return what its last line gives, unless a semicolon follows it."""
    *before, last = ast.parse(code).body
    if code.rstrip().endswith(";") or not isinstance(last, ast.Expr):
        exec(compile(ast.Module([*before, last], []), "cell", "exec"), names)
        return None
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


if __name__ == "__main__":
    for file in sorted(HERE.glob("*.ipynb")):
        done = execute(json.loads(file.read_text(encoding="utf-8")))
        text = json.dumps(done, indent=1, ensure_ascii=False)
        file.write_text(f"{text}\n", encoding="utf-8")
        print(file.name, f"{len(text) / 1e3:.0f} kB")
