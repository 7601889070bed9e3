import numpy as np
import pytest
import xarray as xr

from cot_attn.stats import at_relative_depth, contrasts, correlate, correlation_differences


def two_models(n_problems: int = 120) -> tuple[xr.DataArray, xr.DataArray]:
    """In model "b" attention tracks failure, in "a" it does not."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(2, n_problems, 6, 1))
    failure = (
        rng.normal(size=(2, n_problems, 6)) + np.array([0.0, 1.0])[:, None, None] * own[..., 0]
    )
    failure[0, :10] = np.nan  # model "a" got these wrong from the start
    coords = {"model": ["a", "b"], "problem": range(n_problems), "thought": range(6)}
    dims = ("model", "problem", "thought")
    return (
        xr.DataArray(own, dims=(*dims, "depth"), coords={**coords, "depth": [1.0]}),
        xr.DataArray(failure, dims=dims, coords=coords),
    )


@pytest.mark.parametrize("estimand", ["within_problem", "within_thought"])
def test_the_difference_is_that_of_the_two_correlations_on_shared_problems(estimand: str) -> None:
    attention, failure = two_models()
    found = correlation_differences(attention, failure, estimand)
    alone = [
        correlate(attention.sel(model=name)[10:], failure.sel(model=name)[10:], estimand).estimate
        for name in ("a", "b")
    ]
    np.testing.assert_allclose(found.estimate.isel(pair=0), alone[1] - alone[0])
    assert (found.n_problems == 110).all()
    assert (found.first.item(), found.second.item()) == ("a", "b")


def test_a_real_difference_excludes_zero_and_a_model_does_not_differ_from_itself() -> None:
    attention, failure = two_models()
    assert correlation_differences(attention, failure).low.item() > 0.3
    twice = [x.isel(model=[1, 1]).assign_coords(model=["b", "b2"]) for x in (attention, failure)]
    same = correlation_differences(*twice)
    assert same.low.item() == same.high.item() == 0


def test_profiles_of_models_are_contrasted_problem_by_problem() -> None:
    attention, _ = two_models()
    shifted = attention + xr.DataArray([0.0, 1.0], dims="model")
    found = contrasts(shifted, between="model").isel(pair=0, depth=0)
    assert found.low.dims == ("thought",)
    assert (found.low > 0).all()
    assert (found.p_holm < 0.05).all()


def test_relative_depth_brings_models_of_different_depth_together() -> None:
    small = xr.DataArray([0.0, 1.0, 2.0], dims="layer", coords={"layer": [0, 1, 2]})
    large = xr.DataArray([0.0, 0.5, 1.0, 1.5, 2.0], dims="layer", coords={"layer": range(5)})
    both = xr.concat([small, large], dim=xr.DataArray(["s", "l"], dims="model", name="model"))
    found = at_relative_depth(both, 9)
    np.testing.assert_allclose(found.sel(model="s"), found.sel(model="l"))
    np.testing.assert_allclose(found.sel(model="s"), np.linspace(0, 2, 9))


def test_the_ends_of_the_depth_scale_are_the_first_and_last_layer() -> None:
    rng = np.random.default_rng(0)
    values = xr.DataArray(
        rng.random((4, 12)), dims=("problem", "layer"), coords={"layer": range(12)}
    )
    found = at_relative_depth(values)
    np.testing.assert_allclose(found.isel(depth=[0, -1]), values.isel(layer=[0, -1]))


def test_one_model_alone_cannot_be_compared() -> None:
    attention, failure = two_models()
    with pytest.raises(ValueError, match="one model only"):
        correlation_differences(attention.isel(model=[0]), failure.isel(model=[0]))
