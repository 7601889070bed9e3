"""Corruptions and calls in former words still work, and say the present ones."""

from pathlib import Path

import pytest
import torch
import xarray as xr

import cot_attn.interventions as interventions
from cot_attn.data import Problem
from cot_attn.interventions import (
    CleanActivations,
    Context,
    Hook,
    Intervention,
    Resample,
    TokenAblator,
    apply_interventions,
    collect,
    noise_floor,
    run_variants,
)
from cot_attn.models import ContinuousThoughtModel

PROBLEMS = [Problem(f"p{i}", f"w{i} w{i + 1}", "1") for i in range(3)]
DONORS = [Problem("d", "w9 w8", "1")]
CHANGE = Intervention(1, Resample())
OPTIONS = {"outcomes": ["kl_first", "answer"], "max_new_tokens": 4, "only_correct": False}


def telling(present: str) -> pytest.WarningsRecorder:
    return pytest.warns(DeprecationWarning, match=f"now called {present}")


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("Place", "Context"),
        ("Reference", "CleanActivations"),
        ("treated", "apply_interventions"),
    ],
)
def test_former_names_are_the_present_ones(former: str, present: str) -> None:
    with telling(rf"cot_attn\.interventions\.{present}"):
        assert getattr(interventions, former) is getattr(interventions, present)


@pytest.mark.slow
def test_variants_take_donors_and_folders_under_their_former_names(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    expected = run_variants(tiny_gpt2_model, PROBLEMS, [CHANGE], **OPTIONS, donors=DONORS)
    with telling("donors="), telling("resume="):
        result = run_variants(
            tiny_gpt2_model, PROBLEMS, [CHANGE], **OPTIONS, reference=DONORS, unfinished=tmp_path
        )
    xr.testing.assert_equal(result, expected)


@pytest.mark.slow
def test_the_ablator_and_the_noise_floor_take_former_names(
    tiny_gpt2_model: ContinuousThoughtModel, tmp_path: Path
) -> None:
    with telling("donors="):
        ablator = TokenAblator(tiny_gpt2_model, [Resample()], reference=DONORS)
    with telling(r"TokenAblator\.donors"):
        assert ablator.reference == ablator.donors == DONORS
    with telling("resume="):
        ablator.run(PROBLEMS, ["answer"], max_new_tokens=4, unfinished=tmp_path)
    frozen = [("input", "frozen")]
    expected = noise_floor(tiny_gpt2_model, PROBLEMS, conditions=frozen, max_new_tokens=4)
    with telling("conditions="):
        floor = noise_floor(tiny_gpt2_model, PROBLEMS, treatments=frozen, max_new_tokens=4)
    assert str(floor) == str(expected)


def test_a_corruption_that_asks_a_place_for_its_reference_works(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    def own_first(activation: torch.Tensor, place: Context) -> torch.Tensor:
        return place.reference.at(place.hook)[place.row, 0]

    clean = collect(tiny_gpt2_model, PROBLEMS)
    with (
        telling(r"Context\.clean"),
        telling(r"clean\[hook\]"),
        telling("clean="),
        apply_interventions(tiny_gpt2_model, Intervention(2, own_first), reference=clean),
    ):
        run = tiny_gpt2_model.think(PROBLEMS)
    assert torch.equal(run.thoughts[:, 2], clean["input"][:, 0])


def test_a_context_is_made_from_a_reference() -> None:
    clean = CleanActivations(("p0",), {Hook("input"): torch.ones(1, 2, 3)}, frozenset({"p0"}))
    with telling("clean="):
        context = Context("p0", 0, 0, reference=clean)
    assert context.clean is clean


def test_clean_activations_answer_to_their_former_methods() -> None:
    values = torch.arange(12.0).reshape(2, 2, 3)
    clean = CleanActivations(("a", "b"), {Hook("input"): values}, frozenset({"a", "b"}))
    with telling(r"CleanActivations\.select"):
        taken = clean.taken(Hook("input"), [(1, 0)])
    assert torch.equal(taken, values[1:, 0])
    with telling(r"CleanActivations\.n_donors"):
        assert clean.others("a") == 1
