"""What can be chosen in a figure, and where its numbers are.

A figure of the page says along which axis its thoughts, layers or problems lie. That is all that
the page's script needs to show there what is chosen elsewhere, and to choose by a click.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Transform

from cot_attn.plots.importance_matrix import in_drawn_order
from cot_attn.report.figure import Results

Chosen = Literal["thought", "layer", "problem"]
POINTS = 72.0  # an inch, in the units of matplotlib's SVG


@dataclass(frozen=True)
class Linked:
    """What lies along a figure's axes.

    Attributes
    ----------
    x, y
        What the axis counts, if it is one of what can be chosen.
    panels
        What there is a panel of: nothing that can be chosen, each layer, or each layer and thought.
    first
        Where the first thought or problem is along the x axis.
    by_value
        Whether layers lie at their numbers, and not one after the other.
    tables
        The tables of a study that have the figure's numbers.
    """

    x: Chosen | None = None
    y: Chosen | None = None
    panels: tuple[Chosen, ...] = ()
    first: float = 0.0
    by_value: bool = False
    tables: tuple[str, ...] = ()


LINKED: Mapping[str, Linked] = {
    "importance_beside_attention": Linked(x="thought", tables=("importance", "share_by_layer")),
    "importance_beside_attention_by_layer": Linked(
        x="thought", panels=("layer",), tables=("importance", "share_by_layer")
    ),
    "concentration_by_depth": Linked(tables=("concentration",)),
    "concentration_by_layer": Linked(x="layer", by_value=True, tables=("concentration",)),
    "attention_against_importance_within_problems": Linked(
        panels=("layer", "thought"), tables=("correlations",)
    ),
    "importance_by_thought": Linked(x="thought", tables=("importance",)),
    "importance_by_corruption": Linked(tables=("importance_by_corruption",)),
    "importance_by_problem": Linked(
        x="problem", y="thought", first=0.5, tables=("importance_by_problem",)
    ),
    "attention_by_layer": Linked(x="thought", y="layer", tables=("share_by_layer",)),
    "correlation_by_layer": Linked(x="layer", by_value=True, tables=("correlations",)),
    "correlation_by_layer_and_thought": Linked(
        x="thought", y="layer", tables=("correlations_by_thought",)
    ),
    "accuracy_by_condition": Linked(tables=("usage",)),
    "accuracy_by_exit": Linked(x="thought", first=1.0, tables=("exit_accuracy",)),
    "commitment_by_exit": Linked(x="thought", first=1.0, tables=("commitment",)),
    "interchange_by_thought": Linked(x="thought", tables=("interchange",)),
    "steering_by_dose": Linked(tables=("steering",)),
    "failure_by_heads": Linked(tables=("head_sets",)),
    "frontier_by_thought": Linked(x="thought", tables=("frontier",)),
    "causal_graph": Linked(x="thought", first=2.0, tables=("causal_graph",)),
    "lens_by_step": Linked(x="thought", tables=("lens_by_thought",)),
    "lens_by_layer": Linked(x="thought", y="layer", first=1.0, tables=("lens_by_layer",)),
    "top_words": Linked(x="thought", y="layer", first=1.0, tables=("top_words",)),
    "probe_accuracy": Linked(x="thought", first=1.0, tables=("probe",)),
}
"""By the names of the catalogue. A thought's exit comes after it, so it is the next number."""


def link(
    root: ElementTree.Element, axes: Axes | Shaped[np.ndarray, "..."], linked: Linked, of: Results
) -> None:
    """Lay over each panel of a drawing an unseen rectangle that says what lies where.

    Its `data-linked` is JSON: for `x` and `y` what is counted, the labels, where the first one's
    middle is and how far it is to the next, in units of the drawing; for `panel` what all of it is
    of.
    """
    grid = np.asarray(axes)
    panels = list(grid.flat)
    figure: Figure = panels[0].get_figure(root=True)
    height = figure.get_figheight() * POINTS
    for ax, panel in zip(panels, _panels(linked, grid, of), strict=True):
        told: dict[str, object] = {"panel": panel} if panel else {}
        for along, what in (("x", linked.x), ("y", linked.y)):
            labels = [] if what is None else _labels(what, of)
            if len(set(np.diff(labels) if linked.by_value else ())) > 1:
                continue  # not every place between two layers is one of them
            if what is not None:
                first, step = linked.first if along == "x" else 0.0, 1.0
                if linked.by_value:
                    first, step = float(labels[0]), float(np.diff(labels)[0]) if labels[1:] else 1.0
                told[along] = [what, labels, *_places(ax, along, first, step, height)]
        if told:
            left, top = _point(ax, (0.0, 1.0), height, ax.transAxes)
            right, bottom = _point(ax, (1.0, 0.0), height, ax.transAxes)
            sizes = {"x": left, "y": top, "width": right - left, "height": bottom - top}
            box = {name: f"{size:.1f}" for name, size in sizes.items()}
            said = json.dumps(told, separators=(",", ":"))
            ElementTree.SubElement(
                root, "rect", {"class": "linked", "fill": "none", **box, "data-linked": said}
            )


def _panels(
    linked: Linked, grid: Shaped[np.ndarray, "..."], of: Results
) -> Sequence[Mapping[Chosen, int]]:
    """Say what each panel is of, in the order of the panels."""
    layers = of.study.shown_layers
    match linked.panels:
        case ("layer",):
            return [{"layer": layer} for layer in layers]
        case ("layer", "thought"):
            thoughts = of.study.failure["thought"].values.tolist()
            return [{"layer": layer, "thought": i} for layer in layers for i in thoughts]
    return [{}] * grid.size


def _labels(what: Chosen, of: Results) -> list[int] | list[str]:
    study = of.study
    match what:
        case "thought":
            return [int(thought) for thought in study.failure["thought"].values]
        case "layer":
            return study.layers
    return [str(problem) for problem in in_drawn_order(study.failure)["problem"].values]


def _places(ax: Axes, along: str, first: float, step: float, height: float) -> tuple[float, float]:
    """Return where the first label's middle is along an axis, and how far it is to the next."""
    axis = 0 if along == "x" else 1
    ends = [(place, place) for place in (first, first + step)]
    here, there = (_point(ax, end, height, ax.transData)[axis] for end in ends)
    return round(here, 2), round(there - here, 4)


def _point(
    ax: Axes, place: tuple[float, float], height: float, transform: Transform
) -> tuple[float, float]:
    """Return a place in units of the drawing, whose y runs downwards."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    across, up = np.asarray(transform.transform(place)) * (POINTS / figure.dpi)
    return float(across), float(height - up)
