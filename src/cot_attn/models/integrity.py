"""Whether a model's weights are those that it was trained with, and the hash of those it has."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

if TYPE_CHECKING:
    from cot_attn.models.continuous import ContinuousThoughtModel

_WORD, _ROW = 8, 1024  # bytes in a word, words in a row


def check_unprocessed(bridge: TransformerBridge) -> None:
    """Raise where TransformerLens has folded weights of a bridge into one another.

    Its compatibility mode and `process_weights` fold the final norm into the unembedding: logits
    stay, but the hidden state that becomes a thought is another vector.

    Raises
    ------
    ValueError
        Where it has.
    """
    done = [
        what
        for flag, what in (
            ("compatibility_mode", "is in TransformerLens' compatibility mode"),
            ("_weights_processed", "has weights that `process_weights` has changed"),
        )
        if getattr(bridge, flag, False)
    ]
    if done:
        raise ValueError(
            f"The bridge {' and '.join(done)}: the final norm is folded into the unembedding, so "
            "what it would feed back is not the thought that the model was trained with. Load the "
            "model again, and use it without enable_compatibility_mode() and process_weights(); "
            "a second copy can be used with them for other work."
        )


class WeightHash:
    """The hash of a model's weights as they are now.

    A hash is worked out anew once any number has changed, however it was changed (an optimiser's
    step, an edit of `.data`, which PyTorch's own counters do not see), and is the old one again
    once the old numbers are back. A move to another device changes nothing.

    Parameters
    ----------
    model
        Whose weights.
    given
        The hash of the weights that it has at this moment, where it is known already.
    """

    def __init__(self, model: "ContinuousThoughtModel", given: str | None) -> None:
        self._model = model
        # One entry for every state of the weights that was asked about.
        self._known = {} if given is None else {checksum(self._weights()): given}

    def __call__(self) -> str:
        """Return the first twelve hex digits of a SHA-256 that the weights have."""
        from cot_attn.models.pretrained import fingerprint

        check_unprocessed(self._model.bridge)
        state = checksum(self._weights())
        if state not in self._known:
            self._known[state] = fingerprint(self._model)
        return self._known[state]

    def _weights(self) -> list[Tensor]:
        parts = (self._model.bridge.original_model, self._model.feedback)
        return [tensor for part in parts for tensor in part.state_dict().values()]


def checksum(tensors: Iterable[Tensor]) -> str:
    """Return a checksum over the bits of tensors, for telling whether any of them has changed.

    The bits are summed as whole numbers along rows and columns, so a change of one number always
    shows, and so do numbers that change places. It is several times as fast as a SHA-256, and on
    a GPU only the sums leave it.
    """
    digest = hashlib.sha256()
    seen = set()
    for tensor in tensors:
        place = (tensor.data_ptr(), tensor.shape)
        if place in seen:  # tied
            continue
        seen.add(place)
        flat = tensor.detach().contiguous().flatten().view(torch.uint8)
        if flat.storage_offset() % _WORD:  # words must begin at a multiple of their size
            flat = flat.clone()
        n_rows = len(flat) // (_WORD * _ROW)
        rows, rest = flat[: n_rows * _WORD * _ROW], flat[n_rows * _WORD * _ROW :]
        words = rows.view(torch.int64).view(n_rows, _ROW)
        digest.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        for part in (words.sum(dim=0), words.sum(dim=1), rest):
            digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()
