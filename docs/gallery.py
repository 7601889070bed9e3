"""Draw every figure from the bundled models into docs/gallery/, and write docs/gallery.md."""

import ast
import os
from inspect import getdoc
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from gallery_code import BEFORE, CODE

from cot_attn import plots
from cot_attn.report.catalogue import figures
from cot_attn.report.figure import Figure, Results

DOCS = Path(__file__).parent
DPI = 150  # for the screen
BLOCK = "<!-- not run: make gallery runs it -->\n\n```python\n{}```\n"
INTRODUCTION = """\
# Gallery

Every figure, drawn from the two models that come with the package, and the code that draws it.
Each function takes results and returns Matplotlib axes; `ax=` (or `fig=`, for those of several
panels) says where to draw. `plots.save(axes, "figure", ["pdf", "svg"])` keeps text as text. A
study's own figures are all drawn by `study.figures("folder")`.

The code goes on from these lines, and from the blocks above it; all of it takes a few minutes
(`make gallery`).
"""


def run(code: str, names: dict[str, Any]) -> Any:
    """Run a block, and return what its last line gives."""
    *before, last = ast.parse(code).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(before, []), "gallery", "exec"), names)
    return eval(compile(ast.Expression(last.value), "gallery", "eval"), names)


def words(figure: Figure, names: dict[str, Any]) -> str:
    """Say what was drawn, for those who do not see it."""
    others = {figure.name: names["shown"]} if "shown" in names else {}
    of_one: list[Results] = figure.of([names["study"]], others)
    return figure.alternative((of_one or figure.of(names["studies"], others))[-1])


def thumbnails() -> str:
    """Return small pictures of all figures, each a link to where it stands."""
    links = [
        f"- [![](gallery/{each.plot}.png) {each.title}](#{each.plot})"
        for each in figures("gallery")
    ]
    return "```{container} thumbnails\n" + "\n".join(links) + "\n```\n"


def draw(docs: Path = DOCS) -> None:
    """Write the pictures and the page that shows them."""
    folder = docs / "gallery"
    folder.mkdir(exist_ok=True)
    page = [INTRODUCTION, BLOCK.format(BEFORE), thumbnails()]
    names: dict[str, Any] = {}
    exec(BEFORE, names)
    for figure in figures("gallery"):
        names.pop("shown", None)
        axes = run(CODE[figure.plot], names)
        plots.save(axes, folder / figure.plot, ["png"], dpi=DPI)
        plt.close("all")
        sentence = (getdoc(getattr(plots, figure.plot)) or "").splitlines()[0]
        page += [
            f"## `{figure.plot}`\n\n{sentence}\n",
            f"![{words(figure, names)}](gallery/{figure.plot}.png)\n",
            BLOCK.format(CODE[figure.plot]),
        ]
    (docs / "gallery.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    os.chdir(DOCS.parent)  # where examples/ is
    draw()
