"""Bad input is refused with a sentence before anything runs."""

import pytest
import torch
from torch import Tensor

from cot_attn.data import Problem
from cot_attn.interventions import (
    CCTA,
    Intervention,
    Place,
    Resample,
    ShuffleAll,
    TokenAblator,
    Zero,
    run_variants,
)
from cot_attn.models import ContinuousThoughtModel

PROBLEMS = [Problem("a", "w1 w2", "1"), Problem("b", "w3", "2")]
ZERO = Intervention(0, Zero())


def too_short(activation: Tensor, place: Place) -> Tensor:
    return activation[:-1]


def not_a_number(activation: Tensor, place: Place) -> Tensor:
    return activation / 0


def nothing(activation: Tensor, place: Place) -> None:
    return None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"problems": []}, "no problems"),
        ({"problems": [PROBLEMS[0]] * 2}, "'a'"),
        ({"interventions": []}, "no interventions"),
        ({"interventions": [ZERO, Intervention(0, Zero())]}, "Two interventions are called 'zero"),
        ({"interventions": [Intervention(4, Zero())]}, "names thought 4.*0 to 3"),
        ({"outcomes": ["failled"]}, "failled.*failed"),
        ({"outcomes": []}, "give a list"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_new_tokens": 0}, "max_new_tokens 0"),
        ({"reference": []}, "reference"),
        (
            {"problems": PROBLEMS[:1], "interventions": [Intervention(0, Resample())]},
            "at least two",
        ),
        ({"interventions": [Intervention(0, too_short)]}, r"too_short returned \(31,\).*\(32,\)"),
        ({"interventions": [Intervention(0, not_a_number)]}, "not_a_number returned NaN"),
        ({"interventions": [Intervention(0, nothing)]}, "nothing returned.*NoneType"),
    ],
)
def test_run_variants_refuses(
    tiny_gpt2_model: ContinuousThoughtModel, given: dict[str, object], message: str
) -> None:
    options = {"problems": PROBLEMS, "interventions": [ZERO], "max_new_tokens": 4, **given}
    with pytest.raises(ValueError, match=message):
        run_variants(tiny_gpt2_model, only_correct=False, **options)
    assert tiny_gpt2_model.running is None


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"thoughts": -1}, ValueError, "index from 0"),
        ({"thoughts": ()}, ValueError, "index from 0"),
        ({"thoughts": (1, 1)}, ValueError, "different"),
        ({"corruption": Zero}, TypeError, r"Zero\(\)"),
    ],
)
def test_an_intervention_refuses(
    given: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Intervention(**{"thoughts": 0, "corruption": Zero(), **given})


def test_a_corruption_of_all_thoughts_is_not_charged_to_one(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    with pytest.raises(ValueError, match="none of them"):
        TokenAblator(tiny_gpt2_model, [*CCTA, ShuffleAll()])


def test_the_hook_form_refuses_problems_that_it_does_not_know(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    ablator = TokenAblator(tiny_gpt2_model)
    frozen = Intervention(0, Zero(), downstream="frozen")
    with ablator.applied(frozen, PROBLEMS), pytest.raises(ValueError, match="'c' is not part"):
        tiny_gpt2_model.think([Problem("c", "w5")])
    assert torch.isfinite(tiny_gpt2_model.think(PROBLEMS).thoughts).all()
