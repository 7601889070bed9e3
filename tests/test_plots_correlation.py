"""Correlations stand where they should, with their intervals, p values and points."""

from collections.abc import Iterator
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection

from cot_attn import plots, stats
from every_figure import line, results
from simulated_results import effects


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def by_thought(estimate, reach=0.1, q=None):
    estimate = np.array(estimate, dtype=float)
    numbers = {"estimate": estimate, "low": estimate - reach, "high": estimate + reach}
    if q is not None:
        numbers["q"] = np.array(q)
    return xr.Dataset(
        {name: ("thought", values) for name, values in numbers.items()},
        coords={"thought": range(len(estimate))},
    )


def points(ax):
    """The markers that belong to single estimates."""
    return [li for li in ax.lines if li.get_linestyle() == "None" and len(li.get_xdata()) == 1]


def intervals(ax):
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    return np.array([segment[:, 1] for c in lines for segment in c.get_segments()])


def test_a_correlation_is_drawn_with_its_interval_and_written():
    ax = plots.correlation_by_thought(by_thought([0.5, -0.3]))
    assert [float(point.get_ydata()[0]) for point in points(ax)] == [0.5, -0.3]
    np.testing.assert_allclose(intervals(ax), [[0.4, 0.6], [-0.4, -0.2]])
    assert [text.get_text() for text in ax.texts][-2:] == ["0.50", "−0.30"]


def test_there_is_a_line_at_zero_inside_the_axes():
    for estimate in ([0.8, 0.9], [-0.8, -0.9]):
        ax = plots.correlation_by_thought(by_thought(estimate))
        assert any(list(li.get_ydata()) == [0, 0] for li in ax.lines)
        low, high = ax.get_ylim()
        assert low < 0 < high


def test_numbers_stand_beyond_their_intervals_and_within_the_axes():
    ax = plots.correlation_by_thought(by_thought([0.9, -0.9, 0.02, -0.4], reach=0.1))
    ax.get_figure().canvas.draw()
    frame = ax.get_window_extent()
    for text, (low, high) in zip(ax.texts[-4:], intervals(ax), strict=True):
        box = text.get_window_extent()
        bottom, top = (ax.transData.transform((0, y))[1] for y in (low, high))
        assert box.y0 > top or box.y1 < bottom
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1


def test_filled_markers_are_those_below_the_level():
    ax = plots.correlation_by_thought(by_thought([0.5, 0.5], q=[0.049, 0.051]))
    first, second = (point.get_markerfacecolor() for point in points(ax))
    assert first == plots.thought_colour(0)
    assert second == "white"
    assert any("filled: q < 0.05" in text.get_text() for text in ax.texts)


def test_a_correlation_that_is_not_defined_is_marked_and_not_drawn_as_zero():
    ax = plots.correlation_by_thought(by_thought([0.5, np.nan]))
    assert ax.texts[-1].get_text() == "n/a"
    assert np.isnan(points(ax)[1].get_ydata()[0])


@pytest.mark.slow
def test_many_numbers_stand_upright_and_beyond_their_intervals():
    ax = plots.correlation_by_thought(by_thought(np.linspace(-0.9, 0.9, 16)))
    numbers = ax.texts[-16:]
    assert {text.get_rotation() for text in numbers} == {90}
    ax.get_figure().canvas.draw()
    boxes = [text.get_window_extent() for text in numbers]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    frame = ax.get_window_extent()
    for box, (low, high) in zip(boxes, intervals(ax), strict=True):
        bottom, top = (ax.transData.transform((0, y))[1] for y in (low, high))
        assert box.y0 > top or box.y1 < bottom
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1


def test_a_layer_without_any_correlation_is_marked():
    given = results()["correlations"].copy(deep=True)
    given["estimate"].loc[{"layer": 2}] = np.nan
    marks = [t for t in plots.correlation_by_layer(given).texts if t.get_text() == "n/a"]
    assert [mark.xy for mark in marks] == [(2, 0)]


def test_correlation_by_layer_gives_each_estimand_its_line():
    given = results()["correlations"]
    ax = plots.correlation_by_layer(given)
    drawn = [li for li in ax.lines if len(li.get_ydata()) == given.sizes["layer"]]
    for estimand, drawn_line in zip(given["estimand"].values, drawn, strict=True):
        np.testing.assert_allclose(drawn_line.get_ydata(), given["estimate"].sel(estimand=estimand))
    expected = np.stack([given["low"], given["high"]], axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(intervals(ax), expected)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["within problems", "pooled"]


def test_every_point_lies_at_its_attention_and_near_its_outcome():
    shares, failure = results()["shares"], results()["failure"]
    panels = plots.attention_against_importance(shares, failure, layers=[3])
    for thought in range(6):
        drawn = panels[0].lines[thought]
        expected = 100 * shares.sel(layer=3, thought=thought)
        np.testing.assert_allclose(drawn.get_xdata(), expected, rtol=1e-6)
        np.testing.assert_allclose(drawn.get_ydata(), 100 * failure.sel(thought=thought), atol=8.01)
        assert drawn.get_color() == plots.thought_colour(thought)


def test_binary_outcomes_are_spread_so_that_density_shows_and_never_mix():
    failure = effects()["failed"].sel(corruption="zero")
    (ax,) = plots.attention_against_importance(results()["shares"], failure, layers=[0])
    heights = np.concatenate([drawn.get_ydata() for drawn in ax.lines])
    heights = heights[np.isfinite(heights)]
    assert len(np.unique(heights)) == len(heights)
    assert np.all((np.abs(heights) <= 8) | (np.abs(heights - 100) <= 8))


def test_outcomes_with_many_values_are_drawn_as_they_are():
    failure = results()["failure"].copy()
    failure.values = np.random.default_rng(0).uniform(0, 1, failure.shape)
    (ax,) = plots.attention_against_importance(results()["shares"], failure, layers=[0])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * failure.sel(thought=0))


def test_problems_are_joined_by_id_and_not_by_place():
    shares, failure = results()["shares"], results()["failure"]
    (one,) = plots.attention_against_importance(shares, failure, layers=[2])
    (other,) = plots.attention_against_importance(shares, failure[::-1], layers=[2])
    np.testing.assert_allclose(one.lines[0].get_xydata(), other.lines[0].get_xydata())


def test_different_problems_are_refused():
    with pytest.raises(ValueError, match="do not have the same labels along 'problem'"):
        plots.attention_against_importance(results()["shares"], results()["failure"][:-1])


def test_few_layers_have_a_panel_each_with_their_correlations():
    given = results()["correlations"]
    panels = plots.attention_against_importance(results()["shares"], results()["failure"], given)
    assert [ax.get_title(loc="left") for ax in panels] == [f"Layer {layer}" for layer in range(4)]
    r = float(given["estimate"].sel(layer=1, estimand="pooled"))
    p = float(given["p"].sel(layer=1, estimand="pooled"))
    assert p >= 0.001
    written = [text.get_text() for text in panels[1].texts]
    assert f"pooled: r = {r:.2f}, p = {p:.3f}".replace("-", "−") in written


def test_a_very_small_p_is_not_written_as_zero():
    given = results()["correlations"].copy(deep=True)
    given["p"][:] = 0.0001
    panels = plots.attention_against_importance(results()["shares"], results()["failure"], given)
    assert all("p < 0.001" in text.get_text() for ax in panels for text in ax.texts)


def test_panels_share_both_scales():
    panels = plots.attention_against_importance(results()["shares"], results()["failure"])
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in panels}) == 1


def test_a_fitted_line_is_drawn_with_its_band():
    (ax,) = plots.attention_against_importance(
        results()["shares"], results()["failure"], line=line(), layers=[1]
    )
    here = line().sel(layer=1)
    np.testing.assert_allclose(ax.lines[-1].get_xdata(), 100 * here["share"])
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), 100 * here["estimate"])
    corners = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(100 * float(here["low"].min()))
    assert corners.max() == pytest.approx(100 * float(here["high"].max()))


def test_a_layer_that_was_not_recorded_is_refused():
    with pytest.raises(ValueError, match=r"layers=\[9\] was asked for; there are \[0, 1, 2, 3\]"):
        plots.attention_against_importance(results()["shares"], results()["failure"], layers=[9])


def test_a_map_writes_every_sign_and_hatches_what_is_negative():
    r = np.array([[0.94, -0.5], [np.nan, 0.0]])
    names = ("estimate", "low", "high")
    values = dict.fromkeys(names, (("layer", "thought"), r))
    values["q"] = (("layer", "thought"), [[0.001, 0.2], [np.nan, 0.9]])
    found = xr.Dataset(values, coords={"layer": [3, 7], "thought": [0, 5]})
    ax = plots.correlation_by_layer_and_thought(found)
    cells = {text.get_position(): text for text in ax.texts if text.get_position()[1] in (0, 1)}
    written = [cells[x, y].get_text() for y in (0, 1) for x in (0, 1)]
    assert written == ["+0.94", "−0.50", "n/a", "0.00"]
    assert [cells[x, 0].get_fontweight() for x in (0, 1)] == ["bold", "normal"]
    assert [patch.get_xy() for patch in ax.patches if patch.get_hatch()] == [(0.5, -0.5)]


@pytest.mark.slow
def test_small_panels_show_what_is_left_within_problems_at_each_layer_and_thought():
    shares = stats.double_centred(results()["shares"])
    failure = stats.double_centred(results()["failure"])
    panels = plots.attention_against_importance_within_problems(shares, failure, layers=[1, 3])
    assert panels.shape == (2, 6)
    points = next(li for li in panels[1, 2].lines if li.get_linestyle() == "None")
    np.testing.assert_allclose(points.get_xdata(), 100 * shares.sel(layer=3, thought=2))
    np.testing.assert_allclose(points.get_ydata(), 100 * failure.sel(thought=2))
    narrow = plots.figure(plots.COLUMN, 5.0)
    panels = plots.attention_against_importance_within_problems(shares, failure, fig=narrow)
    assert panels.shape == (4, 6)
    assert panels[0, 0].get_subplotspec().rowspan.start == 0
    assert panels[0, 5].get_subplotspec().rowspan.start == 5
