"""Bars, points and cells show the importances they were given, in percent."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import same_color, to_hex
from matplotlib.container import BarContainer

from cot_attn import plots
from every_figure import results


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def rates(estimate, low=None, high=None, **attrs):
    numbers = {"estimate": estimate, "low": low or estimate, "high": high or estimate}
    thoughts = range(len(estimate))
    return xr.Dataset(
        {name: ("thought", np.array(values, dtype=float)) for name, values in numbers.items()},
        coords={"thought": thoughts},
        attrs=attrs,
    )


def bars(ax: Axes) -> list[BarContainer]:
    return [container for container in ax.containers if isinstance(container, BarContainer)]


def heights(container: BarContainer) -> list[float]:
    return [bar.get_height() for bar in container]


def intervals(ax: Axes) -> np.ndarray:
    """The ends of all interval lines, (line, [low, high])."""
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    return np.array([segment[:, 1] for line in lines for segment in line.get_segments()])


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def numbers_clear_of_bars(ax: Axes) -> bool:
    """Say whether no number lies over a bar or an interval."""
    ax.get_figure().canvas.draw()
    numbers = [t.get_window_extent().padded(-0.5) for t in ax.texts if t.get_fontsize() == 6]
    boxes = [bar.get_window_extent() for container in bars(ax) for bar in container]
    centres = [(box.x0 + box.x1) / 2 for box in boxes]
    ends = [ax.transData.transform((0, high))[1] for _, high in intervals(ax)]
    return not any(n.overlaps(box) for n in numbers for box in boxes) and not any(
        n.x0 < x < n.x1 and n.y0 < end
        for n in numbers
        for x, end in zip(centres, ends, strict=True)
    )


def test_importance_by_thought_shows_the_estimates_in_percent():
    given = rates([0.214, 0.5, 0.0], [0.1, 0.4, 0.0], [0.35, 0.6, 0.04])
    ax = plots.importance_by_thought(given)
    assert heights(bars(ax)[0]) == pytest.approx([21.4, 50, 0])
    np.testing.assert_allclose(intervals(ax), [[10, 35], [40, 60], [0, 4]])
    assert words(ax)[-3:] == ["21", "50", "0"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2"]


@pytest.mark.slow
def test_a_thought_has_its_colour_in_every_figure():
    ax = plots.importance_by_thought(results()["importance"])
    for thought, bar in enumerate(bars(ax)[0]):
        assert same_color(bar.get_facecolor(), plots.thought_colour(thought))
    points = plots.importance_by_corruption(results()["importance_by_corruption"]).lines
    colours = [to_hex(line.get_color()) for line in points if line.get_marker() != "None"]
    assert colours == [plots.thought_colour(thought) for thought in range(6)]


def test_the_number_of_problems_is_written_and_what_the_intervals_are():
    (n,) = set(results()["importance"]["n_problems"].values)
    ax = plots.importance_by_thought(results()["importance"])
    assert any(f"{n} problems · 95 % intervals" in text for text in words(ax))
    ax = plots.importance_by_thought(rates([0.5], confidence=0.99))
    assert "99 % intervals" in words(ax)


def test_an_interval_can_be_seen_on_its_bar():
    ax = plots.importance_by_thought(rates([0.5], low=[0.3], high=[0.6]))
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    (edge,) = lines.get_path_effects()
    assert same_color(edge._gc["foreground"], "white")
    assert edge._gc["linewidth"] > 2 * lines.get_linewidth()[0]


def test_importance_of_which_nothing_is_known_is_marked_on_an_axis_of_percents():
    ax = plots.importance_by_thought(rates([np.nan, np.nan]))
    assert words(ax)[-2:] == ["n/a", "n/a"]
    assert ax.get_ylim() == (0, 1)


def test_bars_start_at_zero_and_end_below_the_top():
    ax = plots.importance_by_thought(rates([0.9, 1.0], [0.8, 0.95], [0.95, 1.0]))
    low, high = ax.get_ylim()
    assert low == 0
    assert high > 100


def test_an_importance_that_is_not_known_is_marked_and_not_drawn_as_zero():
    ax = plots.importance_by_thought(rates([0.5, np.nan]))
    assert words(ax)[-2:] == ["50", "n/a"]
    assert np.isnan(heights(bars(ax)[0])[1])


def test_another_outcome_is_drawn_in_its_own_unit():
    ax = plots.importance_by_thought(rates([2.5, 0.1], outcome="kl_value"))
    assert heights(bars(ax)[0]) == pytest.approx([2.5, 0.1])
    assert "nats" in ax.get_ylabel()
    assert "%" not in ax.get_ylabel()


def test_importance_and_attention_stand_on_one_axis_and_one_scale():
    importance = rates([0.203, 0.05], [0.15, 0.02], [0.25, 0.09])
    share = rates([0.448, 0.552], [0.4, 0.5], [0.5, 0.6])
    ax = plots.importance_beside_attention(importance, share)
    assert ax.get_figure().axes == [ax]
    first, second = bars(ax)
    assert heights(first) == pytest.approx([20.3, 5])
    assert heights(second) == pytest.approx([44.8, 55.2])
    np.testing.assert_allclose(intervals(ax), [[15, 25], [2, 9], [40, 50], [50, 60]])
    assert words(ax)[-4:] == ["20", "5.0", "45", "55"]
    assert ax.get_ylabel() == "%"


def test_smaller_attention_gives_smaller_bars_and_leaves_importance_alone():
    importance, share = rates([0.5, 0.2]), rates([0.6, 0.4])
    whole = bars(plots.importance_beside_attention(importance, share))
    tenth = bars(plots.importance_beside_attention(importance, share / 10))
    assert heights(tenth[0]) == heights(whole[0])
    assert heights(tenth[1]) == pytest.approx([0.1 * h for h in heights(whole[1])])


def test_attention_and_importance_are_joined_by_label():
    share = rates([0.1, 0.2, 0.7]).isel(thought=[2, 0, 1])
    ax = plots.importance_beside_attention(rates([0.3, 0.2, 0.1]), share)
    assert heights(bars(ax)[1]) == pytest.approx([10, 20, 70])


def test_the_subtitle_gives_the_total_attention_on_thoughts():
    total = xr.Dataset({"estimate": 0.1821, "low": 0.171, "high": 0.193})
    ax = plots.importance_beside_attention(rates([0.5]), rates([1.0]), total=total)
    assert any("attention on thoughts 18 % (17 to 19)" in text for text in words(ax))


def test_total_attention_of_each_problem_is_averaged():
    total = xr.DataArray([0.1, 0.2, 0.3], dims="problem")
    ax = plots.importance_beside_attention(rates([0.5]), rates([1.0]), total=total)
    assert any("attention on thoughts 20 %" in text for text in words(ax))


def test_nats_do_not_share_an_axis_with_attention():
    with pytest.raises(ValueError, match="cannot share an axis"):
        plots.importance_beside_attention(rates([2.0], outcome="kl_value"), rates([1.0]))


def test_different_thoughts_are_not_drawn_side_by_side():
    with pytest.raises(ValueError, match=r"\[0, 1\].*\[0, 1, 2\]"):
        plots.importance_beside_attention(rates([0.5, 0.5]), rates([0.2, 0.3, 0.5]))


@pytest.mark.slow
@pytest.mark.parametrize("width", [plots.COLUMN, plots.PAGE])
@pytest.mark.parametrize("n_thoughts", [1, 6, 12, 16])
def test_numbers_cover_neither_bars_nor_intervals(n_thoughts, width):
    rng = np.random.default_rng(n_thoughts)
    estimate = list(rng.uniform(0, 0.9, n_thoughts))
    high = [value + 0.1 for value in estimate]
    _, ax = plots.subplots(width=width, height=2.4)
    plots.importance_beside_attention(
        rates(estimate, high=high), rates(estimate[::-1], high=high[::-1]), ax=ax
    )
    assert numbers_clear_of_bars(ax)


@pytest.mark.slow
def test_numbers_for_which_there_is_no_room_even_upright_are_left_out():
    many = rates([0.5] * 60)
    ax = plots.importance_beside_attention(many, many)
    assert "50" not in words(ax)
    assert len(bars(ax)[0]) == 60


@pytest.mark.slow
def test_every_panel_has_the_same_scale_and_shows_its_own_layer():
    shares = results()["shares"]
    panels = plots.importance_beside_attention_by_layer(
        results()["importance"], shares, layers=[1, 3], totals=results()["totals"]
    )
    assert panels.shape == (1, 2)
    assert len({ax.get_ylim() for ax in panels.flat}) == 1
    for layer, ax in zip([1, 3], panels.flat, strict=True):
        expected = 100 * shares.sel(layer=layer).mean("problem").values
        assert heights(bars(ax)[1]) == pytest.approx(expected)
        assert ax.get_title(loc="left") == f"Layer {layer}"


@pytest.mark.slow
def test_models_with_different_numbers_of_layers_stand_in_rows_of_their_own():
    importance = xr.concat([rates([0.5, 0.1]), rates([0.2, 0.3])], dim="model")
    importance = importance.assign_coords(model=["small", "deep"])
    importance["n_problems"] = (("model", "thought"), [[120, 120], [29, 29]])
    estimate = np.full((2, 8, 2), 0.5)
    estimate[0, 2:] = np.nan
    shares = xr.Dataset(
        dict.fromkeys(("estimate", "low", "high"), (("model", "layer", "thought"), estimate)),
        coords={"model": ["small", "deep"], "layer": range(8), "thought": [0, 1]},
    )
    panels = plots.importance_beside_attention_by_layer(importance, shares)
    titles = [[ax and ax.get_title(loc="left") for ax in row] for row in panels]
    assert titles == [
        ["small, layer 0", "small, layer 1", None],
        ["deep, layer 1", "deep, layer 3", "deep, layer 7"],
    ]
    assert heights(bars(panels[1, 0])[0]) == pytest.approx([20, 30])
    (legend,) = panels[0, 0].get_figure().legends
    assert legend.get_title().get_text() == "small: 120 problems · deep: 29 problems"


def test_corruptions_are_rows_with_a_point_and_an_interval_for_each_thought():
    given = results()["importance_by_corruption"]
    ax = plots.importance_by_corruption(given)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == list(given["corruption"].values)
    points = [line for line in ax.lines if line.get_marker() != "None"]
    for thought, line in enumerate(points):
        here = given.sel(thought=thought)
        np.testing.assert_allclose(line.get_xdata(), 100 * here["estimate"])
        ends = [segment[:, 0] for segment in ax.collections[thought].get_segments()]
        np.testing.assert_allclose(ends, 100 * np.stack([here["low"], here["high"]], axis=1))
        # Every point lies in the row of its corruption.
        assert [round(y) for y in line.get_ydata()] == list(range(len(names)))


def test_problems_are_sorted_by_difficulty_and_wrong_ones_left_out():
    failure = xr.DataArray(
        [[1.0, 1.0], [np.nan, np.nan], [1.0, 0.0], [0.25, 0.0]],
        dims=("problem", "thought"),
        coords={
            "problem": ["hard", "wrong", "easy", "easy too"],
            "thought": [0, 1],
            "difficulty": ("problem", [2.0, 1.0, 1.0, 1.0]),
        },
    )
    ax = plots.importance_by_problem(failure)
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(shown, [[100, 25, 100], [0, 0, 100]])
    assert ax.images[0].get_clim() == (0, 100)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]
    assert any("3 problems · 1 wrong before, left out" in text for text in words(ax))


def test_problems_of_unknown_difficulty_come_last():
    failure = xr.DataArray(
        [[1.0], [0.0]],
        dims=("problem", "thought"),
        coords={"thought": [0], "difficulty": ("problem", [np.nan, 3.0])},
    )
    ax = plots.importance_by_problem(failure)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), [[0, 100]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "?"]


def test_a_matrix_without_any_known_value_is_refused():
    nothing = xr.DataArray(np.full((2, 2), np.nan), dims=("problem", "thought"))
    with pytest.raises(ValueError, match="no problem was answered right"):
        plots.importance_by_problem(nothing)


def test_total_and_direct_importance_stand_on_one_axis():
    ax = plots.recompute_against_frozen(rates([0.8, 0.4]), rates([0.3, 0.4]))
    assert [heights(container) for container in bars(ax)] == [
        pytest.approx([80, 40]),
        pytest.approx([30, 40]),
    ]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["later thoughts recomputed", "later thoughts frozen"]


def test_a_further_dimension_is_refused_and_the_way_out_named():
    with pytest.raises(ValueError, match=r"\.sel\(corruption="):
        plots.importance_by_thought(results()["importance_by_corruption"])


def test_a_result_without_intervals_is_refused():
    with pytest.raises(ValueError, match=r"lacks \['high', 'low'\]"):
        plots.importance_by_thought(rates([0.5]).drop_vars(["low", "high"]))
