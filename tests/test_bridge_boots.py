"""A bridge that is made in less time is the same bridge."""

import copy
from collections import OrderedDict
from collections.abc import Callable

import pytest
from transformer_lens.model_bridge import TransformerBridge, transformer_bridge
from transformers import PreTrainedModel

import bridge_boots
from conftest import BUILDERS, wrap
from cot_attn.models import Identity
from families import FAMILIES


@pytest.fixture
def at_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TransformerLens makes a bridge by itself."""
    monkeypatch.delattr(transformer_bridge, "dir", raising=False)
    monkeypatch.delitem(copy._deepcopy_dispatch, OrderedDict, raising=False)


def described(bridge: TransformerBridge) -> list[object]:
    """List its hooks by all their names, whether two are one, and its modules."""
    hooks = dict(bridge._hook_registry)
    first = {id(hook): name for name, hook in reversed(hooks.items())}
    modules = [(name, type(module).__name__) for name, module in bridge.named_modules()]
    own = [[*vars(module)] for module in bridge.modules()]
    return [[(name, hook.name, first[id(hook)]) for name, hook in hooks.items()], modules, own]


@pytest.mark.slow
@pytest.mark.parametrize("build", [*BUILDERS.values(), FAMILIES["opt"], FAMILIES["bloom"]])
def test_its_hooks_and_modules_are_those_of_one_that_is_made_at_length(
    build: Callable[[], PreTrainedModel], at_length: None
) -> None:
    expected = described(wrap(build(), Identity()).bridge)
    bridge_boots.make_affordable()
    assert described(wrap(build(), Identity()).bridge) == expected


def test_a_dictionary_is_copied_with_what_is_in_it() -> None:
    inner = OrderedDict(a=[1])
    given = OrderedDict(one=inner, again=inner)
    given["itself"] = given
    copied = bridge_boots.copied(given, {})
    assert copied["one"] == inner
    assert copied["one"] is copied["again"] is not inner
    assert copied["one"]["a"] is not inner["a"]
    assert copied["itself"] is copied
