"""A drawn figure as SVG inside a page: ids of its own, a text alternative, nothing from outside."""

import io
import re
from collections.abc import Callable
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Shaped
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cot_attn.plots.canvas import laid_out, style

MOST_POINTS = 1000  # more points than this are an image inside the drawing
DPI = 220  # of such an image
# Verdana is as wide as DejaVu Sans, and others are narrower: what fits in one fits in all.
FONTS = ["DejaVu Sans", "Verdana", "sans-serif"]
REFERENCE = re.compile(r"url\(#([^)]+)\)")
FAMILY = ", ".join(f"'{name}'" for name in FONTS[:-1]) + f", {FONTS[-1]}"
LONG = re.compile(r"-?\d+\.\d{3,}")  # a hundredth of a point cannot be seen
USE = re.compile(r'(?:url\(|href=")#([^)"]+)')


def inline_svg(
    axes: Axes | Shaped[np.ndarray, "..."],
    prefix: str,
    alternative: str,
    over: Callable[[ElementTree.Element], None] | None = None,
) -> Markup:
    """Return the figure that axes belong to as an `<svg>` element.

    Parameters
    ----------
    axes
        What a function of `cot_attn.plots` has returned.
    prefix
        What every id begins with, so that ids of two figures in one page differ.
    alternative
        What a screen reader says in the figure's place.
    over
        Adds to the drawing what is not in the figure.
    """
    fig = figure_of(axes)
    _flatten_many_points(fig)
    drawn = io.StringIO()
    with (
        style(),
        plt.rc_context({"svg.hashsalt": prefix, "font.sans-serif": FONTS}),
        laid_out(fig, DPI),
    ):
        fig.savefig(drawn, format="svg", dpi=DPI, metadata={"Date": None})
    width = fig.get_figwidth()
    root = ElementTree.fromstring(drawn.getvalue())
    _localise(root, prefix)
    _slim(root)
    # On a page, letters are a little larger than on paper.
    root.set("width", f"{width * 1.55:.2f}in")
    root.set("stroke-linejoin", "round")
    root.set("stroke-linecap", "butt")
    root.set("role", "img")
    root.set("aria-label", alternative)
    if over is not None:
        over(root)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def figure_of(axes: Axes | Shaped[np.ndarray, "..."]) -> Figure:
    """Return the figure that axes belong to."""
    figure: Figure = np.asarray(axes).flat[0].get_figure(root=True)
    return figure


def _flatten_many_points(fig: Figure) -> None:
    """Let a cloud of points be an image: as shapes they would weigh more than the whole page."""
    clouds = [line for ax in fig.axes for line in ax.lines if line.get_linestyle() == "None"]
    if sum(np.size(cloud.get_xdata()) for cloud in clouds) > MOST_POINTS:
        for cloud in clouds:
            cloud.set_rasterized(True)


def _localise(root: ElementTree.Element, prefix: str) -> None:
    """Drop what HTML does not need (namespaces, metadata, page-wide styles); rename every id.

    What `style=` says becomes attributes of their own: a page with a strict policy about its
    content refuses styles that it has not named beforehand.
    """
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name, value in list(element.attrib.items()):
            plain = name.rpartition("}")[2]
            del element.attrib[name]
            pairs = _declared(value) if plain == "style" else [(plain, value)]
            for one, means in pairs:
                element.set(one, _renamed(one, means, prefix))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)


def _slim(root: ElementTree.Element) -> None:
    """Drop what makes a drawing larger and nothing else: unused ids, indents, hidden digits."""
    root.set("font-family", FAMILY)
    used = set(USE.findall(ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        if element is not root and element.get("font-family") == FAMILY:
            del element.attrib["font-family"]
        for name in set(element.attrib).intersection(("d", "x", "y")):
            element.set(
                name, LONG.sub(lambda found: f"{float(found[0]):.2f}", element.get(name, ""))
            )
        if not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip() and element.tag != "tspan":
            element.tail = None


def _declared(style: str) -> list[tuple[str, str]]:
    """Return the properties in a `style=`; each that matplotlib writes is an attribute too."""
    halves = (each.partition(":") for each in style.split(";") if each.strip())
    return [(name.strip(), value.strip()) for name, _, value in halves]


def _renamed(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return REFERENCE.sub(rf"url(#{prefix}-\1)", value)
