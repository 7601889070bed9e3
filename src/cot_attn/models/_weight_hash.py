"""The hash of the weights that a model has now."""

import hashlib
from collections.abc import Iterable, Iterator

import torch
from einops import rearrange
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from cot_attn.checkpoints.pretrained import fingerprint
from cot_attn.models._bridge import check_unprocessed, every_module
from cot_attn.models.feedback import Feedback

_WORD, _ROW = 8, 1024  # bytes in a word, words in a row


class WeightHash:
    """The hash of a model's weights as they are now.

    A hash is worked out anew once any number has changed, however it was changed (an optimiser's
    step, an edit of `.data`, which PyTorch's own counters do not see), and is the old one again
    once the old numbers are back. A move to another device changes nothing.
    """

    def __init__(self) -> None:
        # One entry for every state of the weights that was asked about.
        self._hashes: dict[str, str] = {}

    def remember(self, bridge: TransformerBridge, feedback: Feedback, checkpoint: str) -> None:
        """Take a hash that is known already as that of the present weights."""
        self._hashes[_state(bridge, feedback)] = checkpoint

    def __call__(self, bridge: TransformerBridge, feedback: Feedback) -> str:
        """Return the first twelve hex digits of a SHA-256 over the present weights."""
        check_unprocessed(bridge)
        state = _state(bridge, feedback)
        if state not in self._hashes:
            self._hashes[state] = fingerprint(bridge.original_model, feedback)
        return self._hashes[state]


def _state(bridge: TransformerBridge, feedback: Feedback) -> str:
    return checksum(stored_tensors(bridge.original_model, feedback))


def stored_tensors(*roots: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that a state dict has of modules, some of them more than once."""
    for module in every_module(*roots):
        passing = module._non_persistent_buffers_set
        buffers = (each for name, each in module._buffers.items() if name not in passing)
        for tensor in (*module._parameters.values(), *buffers):
            if tensor is not None:
                yield tensor


def checksum(tensors: Iterable[Tensor]) -> str:
    """Return a checksum over the bits of tensors, for telling whether any of them has changed.

    The bits are summed as whole numbers along rows and columns, so a change of one number always
    shows, and so do numbers that change places. It is several times as fast as a SHA-256, and on
    a GPU only the sums leave it.
    """
    digest = hashlib.sha256()
    seen = set()
    for tensor in tensors:
        memory = (tensor.data_ptr(), tensor.shape)
        if memory in seen:  # tied
            continue
        seen.add(memory)
        flat = tensor.detach().contiguous().flatten().view(torch.uint8)
        if flat.storage_offset() % _WORD:  # words must begin at a multiple of their size
            flat = flat.clone()
        n_rows = len(flat) // (_WORD * _ROW)
        rows, rest = flat[: n_rows * _WORD * _ROW], flat[n_rows * _WORD * _ROW :]
        words = rearrange(rows.view(torch.int64), "(row word) -> row word", word=_ROW)
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        for sums in (words.sum(dim=0), words.sum(dim=1), rest):
            digest.update(sums.cpu().numpy().tobytes())
    return digest.hexdigest()
