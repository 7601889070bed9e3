"""Loading holds the weights once, in the type that was asked for, and rounds them once."""

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from checkpoint_files import COCONUT, CODI, SAID
from conftest import tiny_tokenizer
from cot_attn.checkpoints import load, load_language_model
from families import FAMILIES

NOT_COMPUTED = ("empty", "empty_strided", "set_")
"""Memory that nobody has written to takes none, and what is mapped from a file is the system's."""


class Written(TorchDispatchMode):
    """Counts the bytes of what PyTorch computes, for as long as it is there."""

    def __init__(self):
        super().__init__()
        self.most, self._there = 0, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        shared = function.is_view or function.overloadpacket.__name__ in NOT_COMPUTED
        if isinstance(made, torch.Tensor) and not (shared or made.is_meta):
            storage = made.untyped_storage()
            self._there[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
            self.most = max(self.most, self.now)
        return made

    @property
    def now(self):
        self._there = {
            key: (storage, n_bytes)
            for key, (storage, n_bytes) in self._there.items()
            if not storage.expired()
        }
        return sum(n_bytes for _, n_bytes in self._there.values())


CHECKPOINTS = {
    "our own": ("toy-gpt2", {}),
    "a whole state dict": (COCONUT, SAID[COCONUT]),
    "with LoRA": (CODI, SAID[CODI]),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_loading_holds_the_weights_once_and_no_more_than_a_tensor_in_another_type(name, dtype):
    path, said = CHECKPOINTS[name]
    with Written() as written:
        parts = load(path, dtype=dtype, **said)
    weights = [*parts.language_model.parameters(), *parts.feedback.parameters()]
    size, largest = sum(w.nbytes for w in weights), max(w.numel() for w in weights)
    assert size <= written.now < 1.01 * size
    # LoRA is merged in float32: B A, its strength times it, and their sum with the weight.
    assert written.most <= 1.05 * size + 4 * 4 * largest


@pytest.mark.parametrize("family", ["gptj", "bloom"])
def test_a_language_model_in_bfloat16_is_the_one_in_float32_rounded(family, tmp_path):
    FAMILIES[family]().save_pretrained(tmp_path)
    words = {"tokenizer": tiny_tokenizer(), "bot": "w1", "eot": "w2"}
    narrow = load_language_model(tmp_path, dtype="bfloat16", **words).language_model
    exact = load_language_model(tmp_path, dtype="float32", **words).language_model
    exact.to(torch.bfloat16)
    for kind in ("named_parameters", "named_buffers"):
        rounded = dict(getattr(exact, kind)())
        for name, tensor in getattr(narrow, kind)():
            assert torch.equal(tensor, rounded[name]), name
