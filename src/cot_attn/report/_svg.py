"""A drawn figure as SVG inside a page: ids of its own, a text alternative, nothing from outside."""

import io
import re
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


def inline_svg(axes: Axes | Shaped[np.ndarray, "..."], prefix: str, alternative: str) -> Markup:
    """Return the figure that axes belong to as an `<svg>` element.

    Parameters
    ----------
    axes
        What a function of `cot_attn.plots` has returned.
    prefix
        What every id begins with, so that ids of two figures in one page differ.
    alternative
        What a screen reader says in the figure's place.
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
    # On a page, letters are a little larger than on paper.
    root.set("style", f"max-width:{width * 1.55:.2f}in;stroke-linejoin:round;stroke-linecap:butt")
    root.set("role", "img")
    root.set("aria-label", alternative)
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
    """Drop what HTML does not need (namespaces, metadata, page-wide styles); rename every id."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name, value in list(element.attrib.items()):
            plain = name.rpartition("}")[2]
            del element.attrib[name]
            element.set(plain, _renamed(plain, value, prefix))
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)


def _renamed(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return REFERENCE.sub(rf"url(#{prefix}-\1)", value)
