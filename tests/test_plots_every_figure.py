"""What holds for every figure, whatever it shows."""

import ast
import inspect
import re
import runpy
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Text

import every_figure
from cot_attn import plots
from cot_attn.report.catalogue import figures
from every_figure import FIGURES, SEVERAL, SINGLE, drawn, figure_of, place_for, results

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"
WIDTHS = [plots.COLUMN, plots.PAGE]


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")  # those that a test has cached stay as they are


def takes_a_place(function: object) -> bool:
    return (
        inspect.isfunction(function)
        and bool({"ax", "fig"} & set(inspect.signature(function).parameters))
        and function is not plots.save
    )


def second_axes(fig: Figure) -> list[Axes]:
    """Find axes that lie over other ones, and those hidden inside other axes."""
    found = [child for ax in fig.axes for child in ax.child_axes]
    for one, other in combinations(fig.axes, 2):
        here, there = (ax.get_window_extent().padded(-1) for ax in (one, other))
        if here.overlaps(there):
            found.append(other)
    return found


def texts(fig: Figure) -> list[Text]:
    """List the texts that a reader sees."""
    hidden: set[Text] = set()
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            labels = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            outside = [t for t in labels if not low - 1e-9 <= t.get_loc() <= high + 1e-9]
            hidden |= {label for tick in outside for label in (tick.label1, tick.label2)}
            if not ax.axison:
                hidden |= set(axis.findobj(Text))
    return [
        text
        for text in fig.findobj(Text)
        if text not in hidden and text.get_visible() and text.get_text().strip()
    ]


def misplaced(fig: Figure) -> tuple[list[tuple[str, str]], list[str]]:
    """Find pairs of texts that cover one another, and texts that leave the figure."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(fig)]
    inner = [(text, box.padded(-0.5)) for text, box in boxes]
    page = fig.bbox.padded(1)
    collisions = [
        (one, other)
        for (one, here), (other, there) in combinations(inner, 2)
        if here.overlaps(there)
    ]
    cut_off = [
        text
        for text, box in boxes
        if not (page.contains(box.x0, box.y0) and page.contains(box.x1, box.y1))
    ]
    return collisions, cut_off


class Seen(NamedTuple):
    """What is found on a figure when it is drawn."""

    second_axes: list[Axes]
    misplaced: tuple[list[tuple[str, str]], list[str]]
    sizes: set[float]


def seen(fig: Figure) -> Seen:
    fig.draw_without_rendering()  # `plt.close` takes the canvas away
    return Seen(second_axes(fig), misplaced(fig), {text.get_fontsize() for text in texts(fig)})


@cache
def seen_at(name: str, width: float) -> Seen:
    return seen(figure_of(drawn(name, width)))


SIZED_OTHERWISE = {"one_problem", "flow_between_thoughts", "causal_graph", "top_words"}


def test_every_public_figure_is_among_those_tested_here():
    public = {name for name in plots.__all__ if takes_a_place(getattr(plots, name))}
    assert public == set(FIGURES)
    assert len(public) >= 14


def test_the_gallery_shows_every_figure_once():
    assert sorted(figure.plot for figure in figures("gallery")) == sorted(FIGURES)


def test_the_gallery_shows_the_code_that_draws_each_figure():
    code = runpy.run_path(str(DOCS / "gallery_code.py"))
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    order = [figure.plot for figure in figures("gallery")]
    assert shown == [code["BEFORE"], *(code["CODE"][plot] for plot in order)]
    assert set(code["CODE"]) == set(order)
    for plot, block in code["CODE"].items():
        last = ast.parse(block).body[-1]
        assert ast.unparse(last).startswith(f"plots.{plot}(")
    thumbnails = re.findall(r"- \[!\[\]\(gallery/(\w+)\.png\) .+\]\(#(\w+)\)", page)
    assert thumbnails == [(plot, plot) for plot in order]
    pictures = {file.stem for file in (DOCS / "gallery").glob("*.png")}
    assert pictures == set(order)


@cache
def halved() -> dict[str, xr.Dataset | xr.DataArray]:
    """All results, half as large; how sure they are and of how many problems stays."""
    sizes = {"estimate", "low", "high", "attention", "accuracy", "control", "question_only"}

    def half(result):
        if isinstance(result, xr.DataArray):
            return (result / 2).assign_attrs(result.attrs)
        return result.assign({name: result[name] / 2 for name in sizes & set(result.data_vars)})

    return {name: half(result) for name, result in results().items()}


def sizes_drawn(fig: Figure) -> list[list[np.ndarray]]:
    """List what shows the size of something: bars, marked points and cells."""
    found = []
    for ax in fig.axes:
        found += [
            [np.array([bar.get_height() for bar in container])]
            for container in ax.containers
            if isinstance(container, BarContainer)
        ]
        found += [
            [np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)]
            for line in ax.lines
            if line.get_marker() not in ("None", None)
        ]
        if ax.get_label() != "<colorbar>":
            cells = [*ax.images, *(c for c in ax.collections if isinstance(c, QuadMesh))]
            found += [[np.ma.filled(np.ma.asarray(c.get_array(), float), np.nan)] for c in cells]
    return found


@pytest.mark.parametrize("name", sorted(set(FIGURES) - SIZED_OTHERWISE))
def test_half_of_a_result_is_drawn_at_half_its_size(name, monkeypatch):
    whole = sizes_drawn(figure_of(drawn(name, plots.PAGE)))
    half_as_large = halved()
    monkeypatch.setattr(every_figure, "results", lambda: half_as_large)
    half = sizes_drawn(figure_of({**SINGLE, **SEVERAL}[name](place_for(name))))
    assert len(whole) == len(half) > 0
    for before, after in zip(whole, half, strict=True):
        moved = [
            (a, b)
            for a, b in zip(before, after, strict=True)
            if not np.allclose(a, b, equal_nan=True)
        ]
        assert moved
        for a, b in moved:
            np.testing.assert_allclose(b, a / 2, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", FIGURES)
def test_colours_run_over_all_that_a_percentage_or_a_correlation_can_be(name):
    whole = {(-1, 1)} if name.startswith("correlation") else {(0, 100), (-100, 100)}
    for ax in figure_of(drawn(name, plots.PAGE)).axes:
        for coloured in (*ax.images, *(c for c in ax.collections if isinstance(c, QuadMesh))):
            assert coloured.get_clim() in whole


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_has_a_second_axis(name):
    assert seen_at(name, plots.PAGE).second_axes == []


@pytest.mark.parametrize("add", [Axes.twinx, Axes.twiny, lambda ax: ax.secondary_yaxis("right")])
def test_a_second_axis_would_be_noticed(add):
    fig, ax = plots.subplots()
    add(ax)
    assert len(seen(fig).second_axes) == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", FIGURES)
def test_no_text_covers_another_or_leaves_the_figure(name, width):
    assert seen_at(name, width).misplaced == ([], [])


@pytest.mark.parametrize("name", [*SINGLE, *SEVERAL])
def test_on_a_figure_of_its_own_too_no_text_covers_another(name):
    fig = figure_of({**SINGLE, **SEVERAL}[name](None))
    assert seen(fig).misplaced == ([], [])


LONG = "meta-llama/Llama-3.2-{}B-Instruct-CODI-continued-under-a-long-name"


def long_names(values):
    return values.assign_coords(model=[LONG.format(size) for size in (1, 8)])


def points_of(means):
    """Make shares and failures, of ten problems, of means over (layer, thought)."""
    shares = means.expand_dims(problem=range(10))
    return shares.assign_attrs(model=LONG), shares.isel(layer=0, drop=True).round()


def of_two_models(n_thoughts):
    """Make means over (model, layer, thought) of two models with long names."""
    rng = np.random.default_rng(0)
    estimate = rng.uniform(0, 1, (2, 16, n_thoughts))
    shares = long_names(
        xr.Dataset(
            dict.fromkeys(("estimate", "low"), (("model", "layer", "thought"), estimate)),
            coords={"layer": range(16), "thought": range(n_thoughts)},
        )
    )
    shares["high"] = shares["estimate"] + 0.1
    shares["n_problems"] = xr.full_like(shares["estimate"], 187, dtype=int)
    return shares


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_and_many_layers_do_not_collide(width):
    by_layer = of_two_models(n_thoughts=1).isel(thought=0)
    for draw in (plots.concentration_by_layer, plots.correlation_by_layer):
        fig = figure_of(draw(by_layer, ax=plots.subplots(width=width, height=3.2)[1]))
        assert seen(fig).misplaced == ([], [])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n_thoughts", [1, 2, 10, 16])
def test_long_names_and_many_thoughts_do_not_collide_either(n_thoughts, width):
    shares = of_two_models(n_thoughts)
    one, importance = shares.isel(model=1), shares.isel(layer=0)
    corruptions = [f"gaussian(sigma={sigma})" for sigma in (0.1, 0.5, 1, 2)]
    by_corruption = one.isel(layer=range(4)).rename(layer="corruption")
    by_corruption = by_corruption.assign_coords(corruption=corruptions)
    height = 8.0 if width < 5 else 4.5

    def ax():
        return plots.subplots(width=width, height=3.2)[1]

    for drawn_on in (
        plots.importance_by_thought(importance.isel(model=0), ax=ax()),
        plots.importance_by_corruption(by_corruption, ax=ax()),
        plots.importance_beside_attention(one.sel(layer=3), one.sel(layer=5), ax=ax()),
        plots.importance_beside_attention_by_layer(
            importance, shares, fig=plots.figure(width, 2 * height)
        ),
        plots.attention_by_layer(one, ax=ax()),
        plots.recompute_against_frozen(one.sel(layer=3), one.sel(layer=5), ax=ax()),
        plots.attention_against_importance(
            *points_of(one["estimate"]), fig=plots.figure(width, height)
        ),
        plots.correlation_by_thought(one.sel(layer=4), ax=ax()),
    ):
        fig = figure_of(drawn_on)
        assert seen(fig).misplaced == ([], [])


def test_text_that_covers_another_would_be_noticed():
    fig, ax = plots.subplots()
    ax.text(0.5, 0.5, "over")
    ax.text(0.5, 0.52, "under")
    fig.text(0.9, 0.2, "running out of the figure")
    assert seen(fig).misplaced == ([("over", "under")], ["running out of the figure"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_in_the_place_it_is_given_and_changes_nothing_else(name):
    _, bystander = plt.subplots()
    place = place_for(name)
    plt.sca(bystander)
    style, figures_open = dict(mpl.rcParams), plt.get_fignums()
    axes = {**SINGLE, **SEVERAL}[name](place)
    if name in SINGLE:
        assert axes is place
    else:
        assert all(ax.get_figure() is place for ax in axes.flat)
    assert plt.get_fignums() == figures_open
    assert dict(mpl.rcParams) == style
    assert plt.gca() is bystander
    assert not bystander.has_data()


@pytest.mark.parametrize("name", SEVERAL)
def test_several_panels_fit_into_a_part_of_a_figure(name):
    part = place_for(name).subfigures(2, 1)[0]
    assert all(ax.get_figure() is part for ax in SEVERAL[name](part).flat)


@pytest.mark.parametrize("name", FIGURES)
def test_every_label_is_in_the_style_even_when_drawn_later(name):
    sizes = seen_at(name, plots.PAGE).sizes
    assert min(sizes) >= 6
    assert max(sizes) <= 9


@pytest.mark.parametrize("name", FIGURES)
def test_saved_text_stays_text(name, tmp_path):
    axes = drawn(name, plots.COLUMN)
    title = figure_of(axes).get_suptitle() or np.asarray(axes).flat[0].get_title(loc="left")
    svg, pdf = plots.save(axes, tmp_path / "figure", ["svg", "pdf"])
    assert title
    assert title.replace("<", "&lt;").replace(">", "&gt;") in svg.read_text()
    fonts = pdf.read_bytes()
    assert b"/FontFile2" in fonts  # embedded TrueType
    assert b"/Type3" not in fonts


def test_the_same_figure_gives_the_same_bytes_again(tmp_path):
    formats = ["png", "svg", "pdf"]
    first = plots.save(FIGURES["importance_by_thought"](3.3), tmp_path / "first", formats)
    again = plots.save(FIGURES["importance_by_thought"](3.3), tmp_path / "again", formats)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]


def test_png_is_fit_for_print(tmp_path):
    (png,) = plots.save(FIGURES["importance_by_thought"](plots.COLUMN), tmp_path / "a", ["png"])
    height, width, _ = plt.imread(png).shape
    assert width == pytest.approx(300 * plots.COLUMN, abs=1)
    assert height == pytest.approx(300 * 2.8, abs=1)
