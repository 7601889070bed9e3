"""Figures over the size of models show every model where it is."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

import simulated_experiments
from cot_attn import plots, stats


def test_every_model_is_a_point_and_a_line_joins_the_means_of_sizes() -> None:
    shown = simulated_experiments.by_size()
    ax = plots.quantity_by_size(shown, factor=100)
    points = np.concatenate(
        [
            line.get_ydata()
            for line in ax.lines
            if line.get_marker() != "" and line.get_linestyle() == "None"
        ]
    )
    np.testing.assert_allclose(np.sort(points), np.sort(100 * shown["estimate"].values))
    joined = [line for line in ax.lines if line.get_linestyle() != "None"]
    assert len(joined) == 2
    for line, (_, models) in zip(joined, shown.groupby("family"), strict=True):
        means = models["estimate"].groupby(models["n_parameters"]).mean()
        np.testing.assert_allclose(line.get_ydata(), 100 * means)
        np.testing.assert_allclose(line.get_xdata(), means["n_parameters"])


def test_a_model_without_a_value_is_no_point_and_leaves_its_size_to_the_others() -> None:
    shown = simulated_experiments.by_size()
    shown["estimate"][0] = np.nan
    ax = plots.quantity_by_size(shown)
    joined = next(line for line in ax.lines if line.get_linestyle() != "None")
    assert np.isfinite(joined.get_ydata()).all()
    assert joined.get_ydata()[0] == pytest.approx(float(shown["estimate"][1]))


def test_the_trend_is_told_and_one_that_cannot_be_had_says_why() -> None:
    shown = simulated_experiments.by_size()
    trend = stats.trend_over(shown["estimate"])
    texts = [each.get_text() for each in plots.quantity_by_size(shown, trend).texts]
    assert any("for ten times the size" in text.replace("\n", " ") for text in texts)
    few = shown.isel(model=slice(0, 2))
    texts = [
        each.get_text()
        for each in plots.quantity_by_size(few, stats.trend_over(few["estimate"])).texts
    ]
    assert any("do not tell size apart" in text.replace("\n", " ") for text in texts)


def test_strategies_join_by_label_and_refuse_others() -> None:
    one, other = simulated_experiments.by_size(1.2), simulated_experiments.by_size(2.0, seed=1)
    ax = plots.strategies_by_size(one, other.isel(model=slice(None, None, -1)))
    marks = [each for each in ax.collections if isinstance(each, PathCollection)]
    places = np.concatenate([np.asarray(each.get_offsets()) for each in marks])
    wanted = np.column_stack([one["estimate"], other["estimate"]])
    np.testing.assert_allclose(places[np.argsort(places[:, 0])], wanted[np.argsort(wanted[:, 0])])
    with pytest.raises(ValueError, match=r"different models: \['model 0'\] are in one of them"):
        plots.strategies_by_size(one, other.isel(model=slice(1, None)))
    with pytest.raises(ValueError, match="lacks the coordinate 'family'"):
        plots.quantity_by_size(one.drop_vars("family"))
