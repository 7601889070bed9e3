"""What stays the same when variants run in batches of another size, and how nearly.

The tolerances are those that the README states.
"""

import numpy as np
import pytest
import xarray as xr

from cot_attn import ContinuousThoughtModel, TokenAblator, bundled_models, load_problems
from cot_attn.interventions.outcomes import DEFAULT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_noise_floor")]

EXACT = ("failed", "answer")
MEASURED = tuple(name for name in DEFAULT if name not in EXACT)
NEARLY_ALL, ALL = 1e-4, 0.05  # nats


def effects(model: ContinuousThoughtModel, order: int, batch_size: int) -> xr.Dataset:
    problems = load_problems("toy", n=4)[::order]
    return TokenAblator(model).run(problems, [*DEFAULT, "answer"], batch_size=batch_size)


@pytest.fixture(scope="module", params=sorted(bundled_models()))
def model(request: pytest.FixtureRequest) -> ContinuousThoughtModel:
    return ContinuousThoughtModel.from_pretrained(request.param)


@pytest.fixture(scope="module")
def expected(model: ContinuousThoughtModel) -> xr.Dataset:
    return effects(model, 1, 512)


@pytest.mark.parametrize(("batch_size", "order"), [(512, -1), (64, 1), (17, -1)])
def test_batch_size_and_order_change_no_answer_and_log_probabilities_by_rounding(
    model: ContinuousThoughtModel, expected: xr.Dataset, batch_size: int, order: int
) -> None:
    found = effects(model, order, batch_size).sel(problem=expected.problem)
    for name in EXACT:
        assert (found[name] == expected[name]).all()
    for name in MEASURED:
        off = abs(found[name] - expected[name]).values
        assert np.isfinite(off).all()
        assert np.quantile(off, 0.99) <= NEARLY_ALL, name
        assert off.max() <= ALL, name


def test_in_float64_they_are_the_same_to_the_last_digit() -> None:
    model = ContinuousThoughtModel.from_pretrained("toy-gpt2", dtype="float64")
    first, second = (effects(model, order, size) for order, size in ((1, 512), (-1, 64)))
    second = second.sel(problem=first.problem)
    for name in MEASURED:
        np.testing.assert_allclose(first[name], second[name], rtol=3e-7, atol=1e-9)
