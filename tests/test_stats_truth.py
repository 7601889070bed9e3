"""On a model whose weights were set by hand, what the statistics must find is known."""

import numpy as np
import pytest
import xarray as xr

from cot_attn.interventions import Resample, TokenAblator
from cot_attn.recording import AttentionRecorder
from cot_attn.stats import (
    importance,
    importance_concentration,
    run_checks,
    share,
    specialisation,
    worst_thought,
)
from cot_attn.toy import handmade_model, handmade_problems

WEIGHTS = np.array([1, 1, 4, 1, 1, 1])
READS = 2


@pytest.fixture(scope="module")
def attention() -> xr.Dataset:
    model = handmade_model(WEIGHTS.tolist())
    with AttentionRecorder(model) as recorder:
        model.run(handmade_problems(10))
    return recorder.dataset()


def effects(downstream: str) -> xr.Dataset:
    # Ten problems, ten digits: a donor's thought always holds another digit.
    ablator = TokenAblator(handmade_model(WEIGHTS.tolist()), [Resample()], downstream=downstream)
    return ablator.run(handmade_problems(10), max_new_tokens=4)


@pytest.fixture(scope="module")
def direct() -> xr.Dataset:
    return effects("frozen")


def test_shares_are_the_weights_that_were_set(attention: xr.Dataset) -> None:
    shares = share(attention, "eot").sel(layer=1, head=0)
    for problem in shares:
        np.testing.assert_allclose(problem, WEIGHTS / WEIGHTS.sum(), atol=1e-5)


def test_the_reading_head_prefers_the_thought_that_it_reads(attention: xr.Dataset) -> None:
    found = specialisation(share(attention, "eot")).sel(layer=1, head=0)
    assert int(found.thought) == READS
    assert float(found.certainty) == 1.0
    assert float(found.margin) == pytest.approx(3 / 9, abs=1e-5)


@pytest.mark.slow
def test_importance_is_on_the_thought_that_is_read_and_on_those_it_is_made_from(
    direct: xr.Dataset,
) -> None:
    total = importance(effects("recompute"))
    np.testing.assert_array_equal(importance(direct).estimate, [0, 0, 1, 0, 0, 0])
    np.testing.assert_array_equal(total.estimate, [1, 1, 1, 0, 0, 0])


@pytest.mark.slow
def test_importance_on_one_thought_has_an_effective_number_of_one(direct: xr.Dataset) -> None:
    assert int(worst_thought(direct).thought) == READS
    found = importance_concentration(direct.failed.mean("corruption"))
    assert float(found.estimate.sel(measure="effective_number")) == pytest.approx(1)


def test_nothing_fails_the_checks_but_the_sample_is_small(
    attention: xr.Dataset, direct: xr.Dataset
) -> None:
    found = run_checks(attention, direct)
    assert {check.name for check in found if check.status == "warn"} >= {"Enough problems"}
    failed = {check.name for check in found if check.status == "fail"}
    assert not failed, found
