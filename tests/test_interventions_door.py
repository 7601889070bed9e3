"""Bad input is refused with a sentence before anything runs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cot_attn.data import Problem
from cot_attn.interventions import (
    CCTA,
    Attention,
    Context,
    Hook,
    Intervention,
    KeysValues,
    Resample,
    ShuffleAll,
    TokenAblator,
    Zero,
    run_variants,
)
from cot_attn.models import ContinuousThoughtModel
from cot_attn.recording import AttentionRecorder
from plain_python import printed

PROBLEMS = [Problem("a", "w1 w2", "1"), Problem("b", "w3", "2")]
ZERO = Intervention(0, Zero())


def too_short(activation: Tensor, context: Context) -> Tensor:
    return activation[:-1]


def not_a_number(activation: Tensor, context: Context) -> Tensor:
    return activation / 0


def nothing(activation: Tensor, context: Context) -> None:
    return None


@pytest.mark.slow
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
        ({"donors": []}, "donors"),
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


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (np.int64(2), (2,)),
        (np.uint8(0), (0,)),
        (torch.tensor(1), (1,)),
        (np.array(3), (3,)),
        (range(3), (0, 1, 2)),
        (np.array([2, 0]), (0, 2)),
        (torch.arange(2), (0, 1)),
        ([np.int32(1), 0], (0, 1)),
        ({2, 1}, (1, 2)),
        ((i for i in (3, 1)), (1, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_thoughts_are_whole_numbers_of_any_type(given: object, meant: tuple[int, ...]) -> None:
    change = Intervention(given, Zero())
    assert change.thoughts == meant
    assert {type(index) for index in change.thoughts} == {int}
    assert change == Intervention(meant, Zero())


def test_layers_and_heads_are_whole_numbers_of_any_type(
    tiny_gpt2_model: ContinuousThoughtModel,
) -> None:
    one = np.array([1])
    assert Hook("hidden", heads=np.int64(1)) == Hook("hidden", heads=one) == Hook("hidden", [1])
    assert KeysValues(torch.arange(2), one) == KeysValues([0, 1], [1])
    assert Attention(layers=np.int8(2), heads=one).label == "attention (layers 2; heads 1)"
    assert AttentionRecorder(tiny_gpt2_model, layers=np.array([2, -3])).layers == [0, 2]


NO_WHOLE_NUMBERS = ["True", "2.0", "'2'", "None", "[0, True]", "[1.0]", "['0']", "[None]", "b'1'"]
NO_WHOLE_NUMBERS += ["np.bool_(True)", "np.array([0.0])", "torch.tensor([True])", "{1: 2}", "1j"]
NO_WHOLE_NUMBERS += ["np.float32(1)", "slice(2)", "[[0, 1]]", "range"]


@pytest.mark.slow
def test_what_is_no_whole_number_is_no_thought_layer_or_head() -> None:
    """In a Python of its own, where no annotation is checked and the library speaks first."""
    calls = {
        "thought": "Intervention({}, Zero())",
        "head": "Hook('blocks.0.attn.hook_z', heads={})",
        "layer": "Attention(layers={})",
    }
    code = f"""
import numpy as np, torch
from cot_attn.interventions import Attention, Hook, Intervention, Zero
for kind, call in {calls}.items():
    for given in {NO_WHOLE_NUMBERS}:
        if given == "None" and kind != "thought":
            continue  # all of them
        try:
            eval(call.format(given))
        except TypeError as error:
            assert f"{{kind}}s are " in str(error) and "whole number" in str(error), error
        else:
            print(call.format(given), "is accepted")
"""
    assert printed(code) == ""


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
    with ablator.applied(frozen, PROBLEMS), pytest.raises(ValueError, match="'c' is not among"):
        tiny_gpt2_model.think([Problem("c", "w5")])
    assert torch.isfinite(tiny_gpt2_model.think(PROBLEMS).thoughts).all()
