"""A bundled model that a test is lent is as if it had just been read."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cot_attn.data import load_problems
from cot_attn.interventions import Zero, run_variants
from cot_attn.interventions.intervention import Intervention
from cot_attn.models import ContinuousThoughtModel, EntropyBelow
from cot_attn.models.validation import validate
from cot_attn.toy import handmade_model
from lent_models import Lending, _Copy

pytestmark = [pytest.mark.slow, pytest.mark.reads]


@pytest.fixture(scope="module")
def lending() -> Lending:
    return Lending()


def block(model: ContinuousThoughtModel) -> torch.nn.Module:
    return model.bridge.original_model.transformer.h[1]


def weight(model: ContinuousThoughtModel) -> torch.Tensor:
    return model.bridge.original_model.get_input_embeddings().weight


def test_a_model_that_nobody_holds_is_lent_again(lending: Lending) -> None:
    problems = load_problems("toy", n=3)
    first = lending("toy-gpt2")
    before = weakref.ref(first)
    run_variants(first, problems, [Intervention(1, Zero())], ["failed"])
    with first.hooks([("feedback.hook_out", lambda fed, hook: 0 * fed)]):
        first.run(problems)
    del first
    assert lending("toy-gpt2") is before()
    assert lending("toy-gpt2", n_thoughts=3) is not before()


@pytest.mark.parametrize(
    "part", [lambda model: model, lambda model: model.bridge, block, lambda model: model.tokenizer]
)
def test_two_that_are_held_are_two(lending: Lending, part: Callable) -> None:
    held = part(lending("toy-gpt2"))
    other = lending("toy-gpt2")
    assert part(other) is not held
    assert not set(map(id, other.bridge.modules())) & {id(held)}


LEFT = {
    "a hook": lambda model: model.bridge.blocks[0].hook_out.add_hook(lambda x, hook: None),
    "a hook on the feedback": lambda model: model.feedback.hook_in.add_hook(lambda x, hook: None),
    "a hook of PyTorch": lambda model: block(model).register_forward_hook(lambda *_: None),
    "a watcher": lambda model: model._watchers.append(print),
    "a stop rule": lambda model: setattr(model, "stop", EntropyBelow(0.5)),
    "a number of thoughts": lambda model: setattr(model, "n_thoughts", 2),
    "a name": lambda model: setattr(model, "name", "other"),
    "training": lambda model: block(model).train(),
    "a weight": lambda model: weight(model).data[3, 4].add_(1e-6),
    "another weight": lambda model: setattr(
        model.bridge.original_model.get_input_embeddings(),
        "weight",
        torch.nn.Parameter(weight(model).clone()),
    ),
    "gradients": lambda model: weight(model).requires_grad_(not weight(model).requires_grad),
    "another module": lambda model: setattr(block(model), "ln_1", torch.nn.Identity()),
    "a setting": lambda model: setattr(model.bridge.original_model.config, "use_cache", False),
    "a token": lambda model: model.tokenizer.add_tokens(["<new>"]),
    "folded weights": lambda model: model.bridge.enable_compatibility_mode(disable_warnings=True),
}


@pytest.mark.parametrize("left", LEFT)
def test_one_that_anything_was_left_on_is_not_as_it_was(left: str) -> None:
    model = handmade_model()
    validate(model)
    copy = _Copy(lambda: model)
    model.run(["take the digit 3"])
    assert copy.unchanged()
    LEFT[left](model)
    assert not copy.unchanged()


@pytest.mark.parametrize("left", ["a stop rule", "a weight"])
def test_and_is_not_lent_again(lending: Lending, left: str) -> None:
    model = lending("toy-gpt2")
    LEFT[left](model)
    before = weakref.ref(model)
    del model
    again = lending("toy-gpt2")
    assert again is not before()
    assert again.generate(["3 + 4"]) == read_anew().generate(["3 + 4"])


def read_anew() -> ContinuousThoughtModel:
    return ContinuousThoughtModel.from_pretrained("toy-gpt2", validate=False)


def test_what_is_no_bundled_model_is_read(lending: Lending, tmp_path: Path) -> None:
    read_anew().save_pretrained(tmp_path / "mine")
    first = weakref.ref(lending(tmp_path / "mine"))
    gc.collect()
    assert first() is None
