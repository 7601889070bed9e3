"""Heat maps, lines and words show the attention they were given, in percent."""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle

from cot_attn import plots
from every_figure import results
from simulated_results import positions


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def cells(ax):
    (mesh,) = (c for c in ax.collections if isinstance(c, QuadMesh))
    return mesh, np.ma.filled(mesh.get_array(), np.nan)


def numbers(ax):
    return {tuple(map(int, t.get_position())): t.get_text() for t in ax.texts if t.get_text()}


@pytest.mark.slow
def test_attention_by_layer_shows_the_mean_over_heads_and_problems():
    heads = results()["heads"]
    ax = plots.attention_by_layer(heads)
    mesh, shown = cells(ax)
    expected = 100 * heads.mean(["problem", "head"]).values
    np.testing.assert_allclose(shown, expected, rtol=1e-5)
    assert mesh.get_clim() == (0, 100)
    np.testing.assert_allclose(shown.sum(axis=1), 100, rtol=1e-5)
    assert numbers(ax)[(5, 1)] == f"{expected[1, 5]:.0f}"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_a_colour_means_the_same_share_whatever_else_is_shown():
    def colours(*shares):
        means = xr.Dataset(
            dict.fromkeys(("estimate", "low", "high"), (("layer", "thought"), [list(shares)])),
            coords={"layer": [0], "thought": range(len(shares))},
        )
        mesh, _ = cells(plots.attention_by_layer(means))
        mesh.get_figure().canvas.draw()
        return mesh.get_facecolors()

    few, many = colours(0.04, 0.96), colours(0.04, 0.36, 0.6)
    np.testing.assert_allclose(few[0], many[0])
    np.testing.assert_allclose(many[:2], mpl.colormaps["Blues"]([0.2, 0.6]))


def test_attention_of_one_head_says_which():
    heads = results()["heads"]
    ax = plots.attention_by_layer(heads.sel(head=3))
    expected = 100 * heads.sel(head=3).mean("problem").values
    np.testing.assert_allclose(cells(ax)[1], expected, rtol=1e-5)
    assert any("head 3" in text.get_text() for text in ax.texts)


def test_attention_by_head_shows_one_thought():
    heads = results()["heads"]
    ax = plots.attention_by_head(heads, thought=4)
    expected = 100 * heads.sel(thought=4).mean("problem").values
    np.testing.assert_allclose(cells(ax)[1], expected, rtol=1e-5)
    assert "thought 4" in ax.get_title(loc="left")


def test_a_thought_that_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match=r"no thought 6.*\[0, 1, 2, 3, 4, 5\]"):
        plots.attention_by_head(results()["heads"], thought=6)


@pytest.mark.slow
def test_numbers_are_left_out_where_cells_are_too_small():
    estimate = np.full((48, 32), 1 / 6)
    small = xr.Dataset(
        dict.fromkeys(("estimate", "low", "high"), (("layer", "head"), estimate)),
        coords={"layer": range(48), "head": range(32)},
    ).expand_dims(thought=[0])
    _, ax = plots.subplots(height=2.5)
    plots.attention_by_head(small, thought=0, ax=ax)
    assert not any(text.get_text() == "17" for text in ax.texts)
    labels = [int(label.get_text()) for label in ax.get_yticklabels()]
    assert labels == list(range(0, 48, 3))


@pytest.mark.slow
def test_flow_is_shown_with_its_difference_from_an_even_spread():
    shares = np.tril(np.array([[1.0, 0, 0], [0.9, 0.1, 0], [0.2, 0.3, 0.5]]))
    matrices = xr.DataArray(
        np.stack([shares] * 5),
        dims=("problem", "from_thought", "thought"),
        coords={"from_thought": range(3), "thought": range(3)},
    )
    share, excess = (cells(ax)[1] for ax in plots.flow_between_thoughts(matrices))
    nothing = np.nan
    expected = [[100, nothing, nothing], [90, 10, nothing], [20, 30, 50]]
    np.testing.assert_allclose(share, expected, atol=1e-9)
    third = 100 / 3
    expected = [[0, nothing, nothing], [40, -40, nothing], [20 - third, 30 - third, 50 - third]]
    np.testing.assert_allclose(excess, expected, atol=1e-9)


@pytest.mark.slow
def test_differences_are_coloured_evenly_about_zero():
    mesh, _ = cells(plots.flow_between_thoughts(results()["flow"].sel(layer=2))[1])
    assert mesh.get_clim() == (-100, 100)
    norm = mesh.norm
    np.testing.assert_allclose(norm([-100, -25, 0, 25, 100]), [0, 0.25, 0.5, 0.75, 1])


@pytest.mark.slow
def test_even_flow_has_no_excess_and_still_draws():
    from cot_attn.stats.flow import causal_baseline

    even = causal_baseline(4).expand_dims(problem=3)
    _, excess = (cells(ax)[1] for ax in plots.flow_between_thoughts(even))
    np.testing.assert_allclose(excess[np.isfinite(excess)], 0, atol=1e-9)


def test_concentration_of_models_is_drawn_over_relative_depth():
    given = results()["concentration"]
    lines = {line.get_label(): line for line in plots.concentration_by_layer(given).lines}
    small, deep = lines.values()
    np.testing.assert_allclose(small.get_xdata(), [0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(deep.get_xdata(), np.arange(6) / 5)
    np.testing.assert_allclose(small.get_ydata(), given["estimate"].sel(model="toy-gpt2")[:4])
    assert small.get_linestyle() != deep.get_linestyle()
    assert small.get_marker() != deep.get_marker()


def test_a_given_depth_is_used_where_not_all_layers_were_recorded():
    given = xr.Dataset(
        {name: (("model", "layer"), [[3.0, 2.0]]) for name in ("estimate", "low", "high")},
        coords={"model": ["one"], "layer": [4, 8], "depth": (("model", "layer"), [[0.4, 0.8]])},
    )
    (line,) = plots.concentration_by_layer(given).lines
    np.testing.assert_allclose(line.get_xdata(), [0.4, 0.8])


def test_a_layer_without_attention_leaves_a_gap_and_does_not_count():
    given = results()["concentration"].sel(model="toy-llama").copy(deep=True)
    for name in ("estimate", "low", "high"):
        given[name].loc[{"layer": 2}] = np.nan
    given["n_problems"].loc[{"layer": 2}] = 0
    ax = plots.concentration_by_layer(given)
    assert np.flatnonzero(np.isnan(ax.lines[0].get_ydata())).tolist() == [2]
    assert any(text.get_text() == "toy-llama · 96 problems · 95 % intervals" for text in ax.texts)


@pytest.mark.parametrize(
    ("measure", "least"), [("effective_number", 1), ("entropy", 0), ("largest_share", 0)]
)
def test_concentration_is_drawn_from_its_smallest_value(measure, least):
    high = xr.Dataset(
        {name: ("layer", [2.9, 2.91]) for name in ("estimate", "low", "high")},
        coords={"layer": [0, 1], "measure": measure},
    )
    low, top = plots.concentration_by_layer(high).get_ylim()
    assert low <= least < top
    assert low > least - 0.1 * (top - least)


def test_concentration_of_one_model_is_drawn_over_its_layers_with_its_band():
    given = results()["concentration"].sel(model="toy-llama")
    ax = plots.concentration_by_layer(given)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), range(6))
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(float(given["low"].min()))
    assert corners.max() == pytest.approx(float(given["high"].max()))


def test_a_problems_words_are_shaded_by_the_attention_they_got():
    rows = positions()["attention"].sel(layer=1).mean("head")
    ax = plots.one_problem(positions().sel(layer=1))
    eot = int(rows["query"].values[rows["query_role"].values == "eot"][-1])
    expected = 100 * rows.sel(query=eot).values
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert len(boxes) == len(expected)
    colours = mpl.colormaps["Blues"](np.sqrt(expected / 100))
    for box, colour in zip(boxes, colours, strict=True):
        np.testing.assert_allclose(box.get_facecolor(), colour, atol=1e-6)
    written = [text.get_text() for text in ax.texts]
    thoughts = expected[rows["key_role"].values == "thought"].sum()
    assert f"thoughts: {thoughts:.0f} %" in written
    assert "answer, written later" in written
    assert "apples" in written


def test_the_thoughts_of_a_problem_have_their_colours_and_the_looker_a_frame():
    ax = plots.one_problem(positions().sel(layer=1))
    boxes = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    roles = positions()["key_role"].values
    thoughts = [box for box, role in zip(boxes, roles, strict=True) if role == "thought"]
    assert [box.get_edgecolor() for box in thoughts] == [
        to_rgba(plots.thought_colour(i)) for i in range(6)
    ]
    (eot,) = (box for box, role in zip(boxes, roles, strict=True) if role == "eot")
    assert eot.get_linewidth() > 1


def test_dollars_in_a_question_are_not_read_as_a_formula():
    ax = plots.one_problem(positions().sel(layer=0))
    dollars = [text for text in ax.texts if "$" in text.get_text()]
    assert len(dollars) == 2
    assert not any(text.get_parse_math() for text in dollars)


@pytest.mark.slow
def test_any_position_may_be_the_one_that_looks():
    last = int(positions()["query"].values[-1])
    ax = plots.one_problem(positions().sel(layer=0), query=last)
    assert "answer: " in " ".join(text.get_text() for text in ax.texts)
    with pytest.raises(ValueError, match="query=99 is not a position"):
        plots.one_problem(positions().sel(layer=0), query=99)


def test_axes_too_low_for_the_words_are_refused():
    _, ax = plots.subplots(height=1.2)
    with pytest.raises(ValueError, match="inches high"):
        plots.one_problem(positions().sel(layer=0), ax=ax)
