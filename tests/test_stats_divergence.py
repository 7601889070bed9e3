"""Divergences and distances are SciPy's and torch's, and those that interventions measure."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance
from scipy.special import rel_entr

from cot_attn import ContinuousThoughtModel, Problem
from cot_attn.interventions import Intervention, TokenAblator, Zero, run_variants
from cot_attn.models.stages import Close
from cot_attn.stats import (
    cosine_similarity,
    js_divergence,
    kl_divergence,
    l2_distance,
    total_variation,
)

N_PROBLEMS, N_TOKENS = 4, 9
seeds = st.integers(0, 2**32 - 1)
lawful = settings(max_examples=30, deadline=None)
OF_DISTRIBUTIONS = (kl_divergence, js_divergence, total_variation)


def pair(seed: int = 0) -> tuple[xr.DataArray, xr.DataArray]:
    rng = np.random.default_rng(seed)
    labels = {"problem": list("abcd"), "token": range(N_TOKENS)}
    rows = rng.dirichlet(np.full(N_TOKENS, 0.5), size=(2, N_PROBLEMS))
    p, q = (xr.DataArray(row, labels, ("problem", "token")) for row in rows)
    return p, q


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_each_is_scipys(seed: int) -> None:
    p, q = pair(seed)
    rows = list(zip(p.values, q.values, strict=True))
    kl = rel_entr(p.values, q.values).sum(axis=1)
    np.testing.assert_allclose(kl_divergence(p, q, "token"), kl)
    js = [distance.jensenshannon(a, b) ** 2 for a, b in rows]
    np.testing.assert_allclose(js_divergence(p, q, "token"), js, atol=1e-12)
    tv = [distance.cityblock(a, b) / 2 for a, b in rows]
    np.testing.assert_allclose(total_variation(p, q, "token"), tv)
    l2 = [distance.euclidean(a, b) for a, b in rows]
    np.testing.assert_allclose(l2_distance(p, q, "token"), l2)
    cosine = [1 - distance.cosine(a, b) for a, b in rows]
    np.testing.assert_allclose(cosine_similarity(p, q, "token"), cosine)


@pytest.mark.slow
@lawful
@given(seed=seeds)
def test_pinskers_inequality_and_bounds_hold(seed: int) -> None:
    p, q = pair(seed)
    variation = total_variation(p, q, "token")
    assert (variation <= np.sqrt(kl_divergence(p, q, "token") / 2) + 1e-12).all()
    js = js_divergence(p, q, "token")
    assert ((js >= 0) & (js <= np.log(2) * variation + 1e-12)).all()
    xr.testing.assert_allclose(js, js_divergence(q, p, "token"))


@pytest.mark.parametrize("measure", [*OF_DISTRIBUTIONS, l2_distance, cosine_similarity])
def test_arrays_are_joined_by_label_and_what_only_one_has_is_kept(measure) -> None:
    p, q = pair()
    expected = measure(p, q, "token")
    assert expected.dims == ("problem",)
    xr.testing.assert_allclose(measure(p, q[::-1, ::-1], "token"), expected)
    by_layer = xr.concat([q, q], xr.DataArray([3, 7], dims="layer", name="layer"))
    found = measure(p, by_layer, "token")
    assert found.sizes == {"problem": N_PROBLEMS, "layer": 2}
    xr.testing.assert_allclose(found.sel(layer=7, drop=True), expected)
    with pytest.raises(ValueError, match="same labels along 'problem'"):
        measure(p, q.assign_coords(problem=list("wxyz")), "token")
    with pytest.raises(ValueError, match=r"no labels along 'problem'.*assign_coords"):
        measure(p, q.drop_vars("problem"), "token")


def test_entries_without_labels_are_taken_in_order_and_must_be_as_many() -> None:
    p, q = (array.drop_vars("token") for array in pair())
    np.testing.assert_allclose(l2_distance(p, q, "token"), l2_distance(*pair(), "token"))
    assert "token" not in l2_distance(p, q, "token").coords
    with pytest.raises(ValueError, match="same labels along 'token'"):
        l2_distance(p, q[:, 1:], "token")


def test_what_is_missing_stays_missing_and_what_is_impossible_is_infinite() -> None:
    p, q = pair()
    q = q.where(q["problem"] != "b")
    for measure in (*OF_DISTRIBUTIONS, l2_distance, cosine_similarity):
        missing = measure(p, q, "token").isnull()
        assert missing.values.tolist() == [False, True, False, False]
    certain = xr.DataArray([1.0, 0.0], dims="token")
    even = xr.DataArray([0.5, 0.5], dims="token")
    assert float(kl_divergence(even, certain, "token")) == np.inf
    assert float(kl_divergence(certain, even, "token")) == pytest.approx(np.log(2))
    assert np.isnan(cosine_similarity(certain, 0 * certain, "token"))


def test_single_precision_leaves_no_divergence_below_zero() -> None:
    rows = torch.softmax(torch.randn(200, 50, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels = {"problem": range(200)}
    p = xr.DataArray(rows.numpy(), labels, ("problem", "token"))
    q = xr.DataArray((rows * (1 + 3e-4)).numpy(), labels, ("problem", "token"))
    assert float(kl_divergence(p, q, "token").min()) == 0.0


@pytest.mark.parametrize("measure", OF_DISTRIBUTIONS)
def test_what_is_no_distribution_is_refused(measure) -> None:
    p, q = pair()
    with pytest.raises(ValueError, match=r"q is no distribution along 'token'.*3, not at 1.*/"):
        measure(p, 3 * q, "token")
    with pytest.raises(ValueError, match="negative"):
        measure(p - 0.5, q, "token")
    with pytest.raises(ValueError, match=r"needs the dimensions \('key',\)"):
        measure(p, q, "key")


@pytest.mark.slow
def test_interventions_measure_the_same_divergence_and_the_same_distances(
    tiny_gpt2_model: ContinuousThoughtModel, questions: list[str]
) -> None:
    """The engine computes them in torch, where the logits are; plain runs lead to the same."""
    model = tiny_gpt2_model
    problems = [
        Problem(f"p{i}", question, "w0", answer_type="text") for i, question in enumerate(questions)
    ]
    intervention = Intervention([1], Zero())
    names = ("kl_first", "disruption_l2", "disruption_tv", "thought_change")
    effects = run_variants(
        model, problems, [intervention], names, max_new_tokens=3, only_correct=False
    )
    effects = effects.isel(variant=0).sel(query="eot")

    def run() -> xr.Dataset:
        rows: list[torch.Tensor] = []

        def keep(pattern: torch.Tensor, hook: object) -> None:
            rows.append(pattern[:, :, -1].double())

        hooks = [(f"blocks.{layer}.attn.hook_pattern", keep) for layer in range(model.n_layers)]
        with model.hooks(hooks, stages=[Close()]):
            result = model.run(problems, max_new_tokens=1)
        first = torch.softmax(result.first_logits.double(), dim=-1)
        return xr.Dataset(
            {
                "token": (("problem", "token"), first.numpy()),
                "row": (("layer", "problem", "head", "key"), torch.stack(rows).numpy()),
                "vector": (("problem", "thought", "d_model"), result.thoughts.numpy()),
            },
            coords={"problem": effects["problem"].values, "layer": range(model.n_layers)},
        ).assign_coords(head=range(rows[0].shape[1]), thought=range(model.n_thoughts))

    baseline = run()
    with TokenAblator(model, [Zero()]).applied(intervention, problems):
        variant = run()
    kl = kl_divergence(baseline.token, variant.token, "token")
    assert float(kl.max()) > 0.01
    np.testing.assert_allclose(effects["kl_first"], kl, rtol=1e-3, atol=1e-5)
    for name, measure in (("disruption_l2", l2_distance), ("disruption_tv", total_variation)):
        distances = measure(baseline.row, variant.row, "key").mean("head")
        expected = distances.transpose(*effects[name].dims)
        assert float(expected.max()) > 0.01
        np.testing.assert_allclose(effects[name], expected, rtol=1e-3, atol=1e-5)
    change = 1 - cosine_similarity(baseline.vector, variant.vector, "d_model")
    later = effects["later_thought"].values[2:]
    np.testing.assert_allclose(
        effects["thought_change"].sel(later_thought=later),
        change.sel(thought=later),
        rtol=1e-3,
        atol=1e-5,
    )
